//! A CA, a certificate that it issued, and responses about the certificate.

use std::sync::Arc;

use bytes::Bytes;
use stapled_ca::ocsp::{CertId, HashAlgorithm, ResponseBuilder, Signer};
use stapled_ca::{Authority, Issued, KeyType, Profile};
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::chain::named::NamedCertificate;
use stapled_ocsp::ocsp::{CertIdHash, CertStatus};
use stapled_ocsp::staple::{Judge, JudgePolicy, Judgement};
use stapled_ocsp::time::Timestamp;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;

/// A CA, a certificate that it issued, and the judgement of responses about the certificate.
pub(crate) struct Case {
    pub(crate) ca: Authority,
    pub(crate) leaf: Issued,
    pub(crate) chain: Arc<CertChain>,
}

impl Case {
    pub(crate) fn new(key: KeyType) -> Self {
        let ca = authority("Judged CA", key);
        let leaf = ca.issue(&server("judged.test")).unwrap();
        let chain = chain(&leaf, &ca);
        Case { ca, leaf, chain }
    }

    pub(crate) fn id(&self) -> CertId {
        self.ca.cert_id(self.leaf.serial(), HashAlgorithm::Sha1)
    }

    /// A good response, signed by the issuer. A test changes one part of it.
    pub(crate) fn good(&self) -> ResponseBuilder {
        self.good_by(self.ca.signer())
    }

    pub(crate) fn good_by(&self, signer: Signer) -> ResponseBuilder {
        times(ResponseBuilder::signed_by(signer)).good(&self.id())
    }

    pub(crate) fn delegate(&self, profile: Profile) -> Signer {
        Signer::delegate(&self.ca.issue(&profile).unwrap())
    }

    pub(crate) fn judge_with(&self, response: &ResponseBuilder, policy: &JudgePolicy) -> Result<Judgement, String> {
        self.judge_bytes(response.build().unwrap(), policy, None)
    }

    pub(crate) fn judge_bytes(
        &self,
        response: Vec<u8>,
        policy: &JudgePolicy,
        nonce: Option<&[u8]>,
    ) -> Result<Judgement, String> {
        let response = Bytes::from(response);
        let judge = Judge::new(&self.chain).at(Timestamp::from_unix(NOW)).policy(policy).nonce(nonce);
        let judged = judge.judge(response.clone()).map_err(|refusal| refusal.code().to_string());
        self.assert_judged_without_memory(response.clone(), policy, nonce, &judged);
        self.assert_judged_without_the_certificate(response, policy, nonce, &judged);
        judged
    }

    /// The judgement does not depend on those before it: it is the same again, and the same with an issuer of whom nothing is
    /// remembered.
    fn assert_judged_without_memory(
        &self,
        response: Bytes,
        policy: &JudgePolicy,
        nonce: Option<&[u8]>,
        judged: &Result<Judgement, String>,
    ) {
        for chain in [&self.chain, &chain(&self.leaf, &self.ca)] {
            let judge = Judge::new(chain).at(Timestamp::from_unix(NOW)).policy(policy).nonce(nonce);
            let again = judge.judge(response.clone()).map_err(|refusal| refusal.code().to_string());
            assert_eq!(format!("{again:?}"), format!("{judged:?}"));
            if let (Ok(again), Ok(judged)) = (again, judged) {
                assert_eq!(again.staple(), judged.staple());
            }
        }
    }

    /// The judgement is the same if only the issuer and the serial number of the certificate are known.
    fn assert_judged_without_the_certificate(
        &self,
        response: Bytes,
        policy: &JudgePolicy,
        nonce: Option<&[u8]>,
        judged: &Result<Judgement, String>,
    ) {
        let named = NamedCertificate::of(self.chain.issuer(), &self.chain.cert_id(CertIdHash::Sha256)).unwrap();
        let judge = Judge::of_named(&named).at(Timestamp::from_unix(NOW)).policy(policy).nonce(nonce);
        match (judge.judge(response), judged) {
            (Err(refusal), Err(code)) => assert_eq!(refusal.code().as_str(), code),
            (Ok(of_named), Ok(judgement)) => {
                assert_eq!(of_named.status, judgement.status);
                assert_eq!(of_named.is_staple(), judgement.is_staple());
                assert!(of_named.staple().is_none() && judgement.clone().into_named_staple().is_none());
                let (staple, of_named) = (judgement.staple(), of_named.into_named_staple());
                assert_eq!(
                    of_named.as_ref().map(|of_named| of_named.response()),
                    staple.map(|staple| staple.response())
                );
                assert_eq!(of_named.map(|of_named| of_named.expires()), staple.map(|staple| staple.expires()));
            }
            (of_named, judged) => panic!("{of_named:?}\n{judged:?}"),
        }
    }

    /// The verdict: `good`, `revoked`, `unknown`, or the reason code.
    pub(crate) fn verdict(&self, response: &ResponseBuilder) -> String {
        verdict(self.judge_with(response, &JudgePolicy::default()))
    }
}

pub(crate) fn verdict(judged: Result<Judgement, String>) -> String {
    match judged {
        Err(code) => code,
        Ok(judgement) => {
            assert_eq!(judgement.staple().is_some(), judgement.status == CertStatus::Good);
            match judgement.status {
                CertStatus::Good => "good".to_owned(),
                CertStatus::Revoked { .. } => "revoked".to_owned(),
                _ => "unknown".to_owned(),
            }
        }
    }
}

pub(crate) fn authority(name: &str, key: KeyType) -> Authority {
    let validity = stapled_ca::Validity::Between { not_before: NOW - 1000 * DAY, not_after: NOW + 1000 * DAY };
    Authority::root(name).key(key).validity(validity).create().unwrap()
}

pub(crate) fn server(name: &str) -> Profile {
    Profile::server(name).valid_between(NOW - 30 * DAY, NOW + 60 * DAY).ocsp_url("http://ocsp.test/")
}

pub(crate) fn responder() -> Profile {
    Profile::ocsp_responder("Responder").valid_between(NOW - DAY, NOW + DAY)
}

pub(crate) fn times(builder: ResponseBuilder) -> ResponseBuilder {
    builder.produced_at(NOW - 60).this_update(NOW - 60).next_update(NOW + 7 * DAY)
}

pub(crate) fn chain(leaf: &Issued, ca: &Authority) -> Arc<CertChain> {
    let leaf = Certificate::from_der(leaf.der()).unwrap();
    let issuer = Certificate::from_der(ca.certificate()).unwrap();
    Arc::new(CertChain::new(Arc::new(leaf), Arc::new(issuer)).unwrap())
}
