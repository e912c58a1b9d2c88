//! Tests of our fetcher and our judgement with OpenSSL's responder: every method and hash, every signer and algorithm,
//! and the responder's possible errors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stapled_ca::{Issued, KeyType, Profile};
use stapled_core::Weak;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock as _, SystemClock};
use stapled_core::fetch::{Method, OcspFetcher as _, Question};
use stapled_core::io::http::HttpFetcher;
use stapled_core::ocsp::{CertIdHash, CertStatus, OcspRequest, OcspResponse};
use stapled_core::staple::{Judge, JudgePolicy, Judgement};
use stapled_tests::{OpensslResponder, World};

const HASHES: [CertIdHash; 4] = [CertIdHash::Sha1, CertIdHash::Sha256, CertIdHash::Sha384, CertIdHash::Sha512];

/// A certificate, and the responder for it.
struct Case {
    world: World,
    leaf: Issued,
    chain: Arc<CertChain>,
    responder: OpensslResponder,
}

impl Case {
    /// A case whose authority has a key of this type. The responder does not run yet.
    fn new(key: KeyType) -> Self {
        let mut world = World::new();
        world.ca = stapled_ca::Authority::root("Asked CA").key(key).create().unwrap();
        let leaf = world.ca.issue(&Profile::server("asked.example")).unwrap();
        let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
        let chain = CertChain::new(certificate(leaf.der()), certificate(world.ca.certificate())).unwrap();
        let responder = OpensslResponder::new(&world);
        Case { world, leaf, chain: Arc::new(chain), responder }
    }

    /// Starts the responder. The certificate is good; the signer is `delegate`, or the authority itself.
    fn start(mut self, delegate: Option<&Issued>, arguments: &[&str]) -> Self {
        let index = OpensslResponder::valid(self.leaf.serial());
        self.responder.start_with(&self.world, delegate, &index, arguments);
        self
    }

    fn delegate(&self, adapt: impl FnOnce(Profile) -> Profile) -> Issued {
        self.world.ca.issue(&adapt(Profile::ocsp_responder("Asked Responder"))).unwrap()
    }

    /// The responder's answer.
    fn ask(&self, hash: CertIdHash, nonce: Option<&[u8]>, method: Method) -> Bytes {
        let request = OcspRequest::new(&self.chain.cert_id(hash), nonce).unwrap();
        let url = self.responder.url();
        let question = Question::new(&self.chain, &request, method, &url);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(HttpFetcher::new().fetch(&question)).unwrap();
        answer.body.unwrap()
    }

    fn judge_with(
        &self,
        response: &Bytes,
        policy: &JudgePolicy,
        nonce: Option<&[u8]>,
        delegates: &[Certificate],
    ) -> Result<Judgement, String> {
        Judge::new(&self.chain)
            .at(SystemClock.now())
            .policy(policy)
            .nonce(nonce)
            .delegates(delegates)
            .judge(response.clone())
            .map_err(|refusal| refusal.code().to_string())
    }

    fn judge(&self, response: &Bytes) -> Result<Judgement, String> {
        self.judge_with(response, &JudgePolicy::default(), None, &[])
    }

    /// The judgement of an answer that must be accepted.
    fn believed(&self, hash: CertIdHash, method: Method) -> Judgement {
        self.judge(&self.ask(hash, None, method)).unwrap()
    }

    /// The reason for which an answer is refused.
    fn refused(&self) -> String {
        self.judge(&self.ask(CertIdHash::Sha1, None, Method::Post)).expect_err("a refusal")
    }
}

const WEEK: &[&str] = &["-ndays", "7"];

#[test]
fn every_signer_answers_every_method_and_hash() {
    for key in [KeyType::EcdsaP256, KeyType::Rsa2048, KeyType::EcdsaP384] {
        for delegated in [false, true] {
            for arguments in [WEEK, &["-ndays", "7", "-resp_key_id"]] {
                let case = Case::new(key);
                let delegate = delegated.then(|| case.delegate(|profile| profile.key(key)));
                let case = case.start(delegate.as_ref(), arguments);
                for hash in HASHES {
                    for method in [Method::Get, Method::Post] {
                        let what = format!("{key:?}, delegated {delegated}, {arguments:?}, {hash:?}, {method:?}");
                        let judgement = case.believed(hash, method);
                        assert_eq!(judgement.status, CertStatus::Good, "{what}");
                        assert_eq!(judgement.facts.delegated, delegated, "{what}");
                        assert_eq!(judgement.facts.cert_id, case.chain.cert_id(hash), "{what}");
                        assert_eq!(judgement.facts.single_responses, 1, "{what}");
                        assert!(judgement.facts.warnings.is_empty(), "{what}: {:?}", judgement.facts.warnings);
                        assert!(judgement.staple().is_some(), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_status_is_read() {
    let mut case = Case::new(KeyType::EcdsaP256);
    let serial = case.leaf.serial().clone();
    for (index, expected) in [
        (OpensslResponder::valid(&serial), CertStatus::Good),
        (
            OpensslResponder::revoked(&serial, "260102030405Z,keyCompromise"),
            CertStatus::Revoked { at: stapled_core::time::Timestamp::from_unix(1_767_323_045), reason: Some(1) },
        ),
        (
            OpensslResponder::revoked(&serial, "260102030405Z"),
            CertStatus::Revoked { at: stapled_core::time::Timestamp::from_unix(1_767_323_045), reason: None },
        ),
        (String::new(), CertStatus::Unknown),
    ] {
        case.responder = OpensslResponder::new(&case.world);
        case.responder.start_with(&case.world, None, &index, WEEK);
        let judgement = case.believed(CertIdHash::Sha256, Method::Post);
        assert_eq!(judgement.status, expected);
        assert_eq!(judgement.staple().is_some(), expected == CertStatus::Good);
    }
}

#[test]
fn a_nonce_comes_back() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(|profile| profile);
    let case = case.start(Some(&delegate), WEEK);
    let (asked, other) = ([7; 32], [8; 32]);
    let judged = |response: &Bytes, nonce: &[u8]| {
        case.judge_with(response, &JudgePolicy::default(), Some(nonce), &[]).map(|judgement| judgement.status)
    };
    for method in [Method::Get, Method::Post] {
        let with = case.ask(CertIdHash::Sha1, Some(&asked), method);
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(&with) else { panic!("no answer") };
        assert_eq!(basic.extensions.len(), 1, "the nonce");
        assert_eq!(judged(&with, &asked), Ok(CertStatus::Good));
        assert_eq!(judged(&with, &other), Err("nonce_mismatch".to_owned()));
        let without = case.ask(CertIdHash::Sha1, None, method);
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(&without) else { panic!("no answer") };
        assert!(basic.extensions.is_empty(), "nobody asked for a nonce");
        assert_eq!(judged(&without, &asked), Ok(CertStatus::Good), "the times decide");
    }
}

#[test]
fn the_lifetimes_of_the_responder_are_read() {
    let lifetime = |arguments: &[&str]| {
        let case = Case::new(KeyType::EcdsaP256).start(None, arguments);
        let facts = case.believed(CertIdHash::Sha1, Method::Get).facts;
        facts.next_update.unwrap().since(facts.this_update)
    };
    assert_eq!(lifetime(&["-nmin", "60"]), Duration::from_secs(3600));
    assert_eq!(lifetime(&["-ndays", "3"]), Duration::from_secs(3 * 86_400));

    let case = Case::new(KeyType::EcdsaP256).start(None, &[]);
    assert_eq!(case.refused(), "missing_next_update");
    let mut policy = JudgePolicy::default();
    policy.missing_next_update = Weak::Allow;
    let response = case.ask(CertIdHash::Sha1, None, Method::Post);
    assert_eq!(case.judge_with(&response, &policy, None, &[]).unwrap().status, CertStatus::Good);
}

#[test]
fn a_response_without_its_delegates_certificate_makes_no_staple() {
    for by in [&[][..], &["-resp_key_id"]] {
        let mut case = Case::new(KeyType::EcdsaP256);
        let delegate = case.delegate(|profile| profile);
        case = case.start(Some(&delegate), &[WEEK, &["-resp_no_certs"], by].concat());
        assert_eq!(case.refused(), "responder_cert_missing", "{by:?}");
        let response = case.ask(CertIdHash::Sha1, None, Method::Post);
        let brought = [Certificate::from_der(delegate.der()).unwrap()];
        let judgement = case.judge_with(&response, &JudgePolicy::default(), None, &brought).unwrap();
        assert_eq!(judgement.status, CertStatus::Good, "{by:?}");
        assert!(judgement.staple().is_none(), "clients do not have it");
    }
    // A response signed by the issuer itself needs no certificate.
    let case = Case::new(KeyType::EcdsaP256).start(None, &[WEEK, &["-resp_no_certs"]].concat());
    assert!(case.believed(CertIdHash::Sha1, Method::Get).staple().is_some());
}

#[test]
fn signers_without_the_right_are_refused() {
    let now = SystemClock.now().unix();
    let refused = |adapt: &dyn Fn(Profile) -> Profile| {
        let case = Case::new(KeyType::EcdsaP256);
        let delegate = case.delegate(adapt);
        case.start(Some(&delegate), WEEK).refused()
    };
    assert_eq!(refused(&|_| Profile::server("sibling.example")), "responder_missing_eku");
    assert_eq!(refused(&|profile| profile.valid_between(now - 90_000, now - 60)), "responder_cert_expired");
    assert_eq!(refused(&|profile| profile.key_usages([stapled_ca::KeyUsage::KeyAgreement])), "responder_key_usage");
    let stranger = World::new();
    let foreign = stranger.ca.issue(&Profile::ocsp_responder("Foreign Responder")).unwrap();
    let case = Case::new(KeyType::EcdsaP256).start(Some(&foreign), WEEK);
    assert_eq!(case.refused(), "responder_wrong_issuer");
}

#[test]
fn signatures() {
    let verdict = |arguments: &[&str]| {
        let case = Case::new(KeyType::Rsa2048).start(None, &[WEEK, arguments].concat());
        case.judge(&case.ask(CertIdHash::Sha1, None, Method::Post)).map(|judgement| judgement.facts.signature_algorithm)
    };
    assert_eq!(verdict(&["-badsig"]), Err("bad_signature".to_owned()));
    assert_eq!(verdict(&["-rmd", "sha1"]), Err("weak_signature".to_owned()));
    assert_eq!(verdict(&["-rmd", "sha256"]), Ok("sha256WithRSAEncryption"));
    assert_eq!(verdict(&["-rmd", "sha384"]), Ok("sha384WithRSAEncryption"));
    assert_eq!(verdict(&["-rmd", "sha512"]), Ok("sha512WithRSAEncryption"));
    // A salt of the hash's length, as RFC 4055 §3.1 recommends.
    let pss = ["-rmd", "sha256", "-rsigopt", "rsa_padding_mode:pss", "-rsigopt", "rsa_pss_saltlen:digest"];
    assert_eq!(verdict(&pss), Ok("RSASSA-PSS-SHA256"));
}
