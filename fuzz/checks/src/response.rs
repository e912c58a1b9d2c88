//! Properties of responses: no bytes cause a panic, and an accepted response was signed with the right to sign.

use std::sync::Arc;

use bytes::Bytes;
use stapled_ca::der;
use stapled_core::Weak;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::response::BasicResponse;
use stapled_core::ocsp::{CertStatus, OcspResponse};
use stapled_core::staple::{Judge, JudgePolicy, Judgement, Refusal, Staple};
use stapled_core::time::Timestamp;

use crate::fixture::{self, Fixture};

const AT: Timestamp = Timestamp::from_unix(fixture::AT);

/// Judges the bytes for each of the fixture's certificates. Judges their tbsResponseData again with a right signature,
/// so that the checks after the signature run, too.
pub fn response(bytes: &[u8]) {
    let fixture = Fixture::get();
    let sent = Bytes::copy_from_slice(bytes);
    for chain in &fixture.chains {
        check(&sent, chain);
    }
    if let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(bytes) {
        for by_delegate in [false, true] {
            let signed = fixture.sign(basic.tbs_response_data, by_delegate, &basic.certificates);
            check(&Bytes::from(signed), &fixture.chains[0]);
        }
    }
}

fn check(response: &Bytes, chain: &Arc<CertChain>) {
    let strict = JudgePolicy::default();
    let mut lenient = strict;
    lenient.sha1_signatures = Weak::Allow;
    lenient.weak_keys = Weak::Allow;
    lenient.missing_next_update = Weak::Allow;
    let by = |policy: &JudgePolicy, at: Timestamp| Judge::new(chain).at(at).policy(policy).judge(response.clone());

    match (by(&strict, AT), by(&lenient, AT)) {
        (Ok(judgement), Ok(same)) => {
            assert_eq!(judgement.status, same.status);
            assert_eq!(judgement.staple(), same.staple());
            believed(response, chain, &judgement, &strict);
            let next_update = judgement.facts.next_update.expect("the strict policy wants one");
            assert!(next_update > AT);
            assert!(by(&strict, next_update).is_err(), "believed beyond its end");
            if let Some(staple) = judgement.staple() {
                assert!(staple.expires() > AT || staple.expires().unix() == AT.unix());
            }
        }
        (Err(Refusal::WeakKey { .. } | Refusal::WeakSignature { .. } | Refusal::MissingNextUpdate), Ok(judgement)) => {
            believed(response, chain, &judgement, &lenient);
        }
        (Err(refusal), Err(same)) => {
            assert!(refusal == same || matches!(refusal, Refusal::MissingNextUpdate));
            // Every refusal has words for logs, and a code.
            assert!((1..4000).contains(&refusal.to_string().len()) && !refusal.code().as_str().is_empty());
        }
        (strict, lenient) => panic!("{strict:?}, but with a lenient policy {lenient:?}"),
    }

    // With a delegate from outside, a response may be accepted, but is never a staple. A nonce can only refuse.
    let delegate = Certificate::from_der(Fixture::get().delegate.certificate().unwrap()).unwrap();
    if let Ok(judgement) =
        Judge::new(chain).at(AT).policy(&strict).nonce(Some(b"asked")).delegates(&[delegate]).judge(response.clone())
    {
        assert_eq!(judgement.facts.foreign_delegate, by(&strict, AT).is_err());
        assert!(judgement.staple().is_none() || !judgement.facts.foreign_delegate);
    }
}

/// Properties of an accepted response.
fn believed(response: &Bytes, chain: &CertChain, judgement: &Judgement, policy: &JudgePolicy) {
    let basic = read(response);
    is_signed_by_right(response, chain, &basic);
    is_read_alike(response, chain, &basic, judgement);
    if let Some(staple) = judgement.staple() {
        assert_eq!(judgement.status, CertStatus::Good);
        is_smallest(&basic, staple);
        let again = Judge::new(staple.chain())
            .at(AT)
            .policy(policy)
            .judge(staple.response().clone())
            .expect("what clients get holds");
        assert_eq!(again.staple(), Some(staple), "it is in its smallest form");
        assert_eq!(format!("{:?}", again.facts), format!("{:?}", judgement.facts));
        is_signed_by_right(staple.response(), chain, &read(staple.response()));
        assert_eq!(staple.chain().subject(), chain.subject());
        // Nothing that is remembered of the issuer changes a judgement.
        let issuer = Arc::new(Certificate::clone(chain.issuer()));
        let fresh = CertChain::new(Arc::clone(chain.end_entity()), issuer).expect("the same certificates");
        let afresh = Judge::new(&fresh).at(AT).policy(policy).judge(response.clone()).expect("the same response");
        assert_eq!(afresh.staple(), Some(staple));
    }
    assert!(judgement.facts.this_update <= AT + JudgePolicy::default().clock_skew);
    assert!(judgement.facts.next_update.is_none_or(|next_update| next_update > AT));
}

fn read(response: &[u8]) -> BasicResponse<'_> {
    let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { panic!("believed, but not read") };
    basic
}

/// Clients get the signed bytes unchanged, and at most one of the certificates: the delegate's.
fn is_smallest(came: &BasicResponse<'_>, staple: &Staple) {
    let kept = read(staple.response());
    assert_eq!(kept.tbs_response_data, came.tbs_response_data, "what is signed stays as it came");
    assert_eq!((kept.signature_algorithm, kept.signature), (came.signature_algorithm, came.signature));
    assert_eq!(kept.certificates.len(), usize::from(staple.facts().delegated));
    assert!(kept.certificates.iter().all(|certificate| came.certificates.contains(certificate)));
}

/// The judged bytes are those that the issuer or its delegate signed.
fn is_signed_by_right(response: &[u8], chain: &CertChain, basic: &BasicResponse<'_>) {
    let tbs = basic.tbs_response_data;
    assert!(response.windows(tbs.len()).any(|window| window == tbs), "the signed bytes came so");
    let issuer = chain.issuer().as_der();
    let by_issuer = fixture::has_signed(issuer, tbs, basic.signature);
    let by_delegate = basic.certificates.iter().any(|certificate| {
        fixture::has_signed(certificate, tbs, basic.signature) && fixture::has_issued(issuer, certificate)
    });
    assert!(by_issuer || by_delegate, "believed without a signature");
}

/// tbsResponseData and the signature, cut by the test authority's own reader.
fn cut(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut outer = der::only(response, der::SEQUENCE)?.contents;
    der::expect(&mut outer, der::ENUMERATED)?;
    let mut body = der::only(der::expect(&mut outer, 0xa0)?.contents, der::SEQUENCE)?.contents;
    der::expect(&mut body, der::OBJECT_IDENTIFIER)?;
    let mut basic = der::only(der::expect(&mut body, der::OCTET_STRING)?.contents, der::SEQUENCE)?.contents;
    let tbs = der::expect(&mut basic, der::SEQUENCE)?.whole;
    der::expect(&mut basic, der::SEQUENCE)?;
    // The first octet is the count of unused bits: zero.
    let (0, signature) = der::expect(&mut basic, 0x03)?.contents.split_first()? else { return None };
    Some((tbs, signature))
}

/// An independent reader cuts the same bytes, and an independent decoder reads the same fields.
fn is_read_alike(response: &[u8], chain: &CertChain, basic: &BasicResponse<'_>, judgement: &Judgement) {
    let (tbs, signature) = cut(response).expect("another hand finds the signature");
    assert_eq!((basic.tbs_response_data, basic.signature), (tbs, signature));
    let data = match rasn::der::decode::<rasn_ocsp::ResponseData>(tbs) {
        Ok(data) => data,
        // rasn refuses identifiers with an arc above 32 bits; DER allows them.
        Err(error) if format!("{error:?}").contains("UnsupportedObjectIdentifierArc") => return,
        // rasn refuses reasons that RFC 5280 does not define; to us, the certificate is revoked all the same.
        Err(_) if basic.responses.iter().any(|single| has_undefined_reason(single.status)) => return,
        Err(error) => panic!("another decoder does not read it: {error}"),
    };
    assert_eq!(basic.produced_at.unix(), data.produced_at.timestamp());
    assert_eq!(basic.extensions.len(), data.response_extensions.as_ref().map_or(0, |list| list.len()));
    assert_eq!(basic.responses.len(), data.responses.len());
    let mut answered = false;
    for (ours, theirs) in basic.responses.iter().zip(data.responses.iter()) {
        assert_eq!(ours.this_update.unix(), theirs.this_update.timestamp());
        assert_eq!(ours.next_update.map(Timestamp::unix), theirs.next_update.map(|at| at.timestamp()));
        assert_eq!(ours.cert_id.issuer_key_hash(), theirs.cert_id.issuer_key_hash.as_ref());
        assert_eq!(ours.cert_id.issuer_name_hash(), theirs.cert_id.issuer_name_hash.as_ref());
        let same_status = matches!(
            (&ours.status, &theirs.cert_status),
            (CertStatus::Good, rasn_ocsp::CertStatus::Good)
                | (CertStatus::Revoked { .. }, rasn_ocsp::CertStatus::Revoked(_))
                | (CertStatus::Unknown, rasn_ocsp::CertStatus::Unknown(()))
        );
        assert!(same_status);
        let serial = rasn::der::encode(&theirs.cert_id.serial_number).unwrap();
        answered |= serial.ends_with(chain.end_entity().serial())
            && ours.status == judgement.status
            && ours.this_update == judgement.facts.this_update
            && ours.next_update == judgement.facts.next_update;
    }
    assert!(answered, "an answer about this certificate");
}

fn has_undefined_reason(status: CertStatus) -> bool {
    matches!(status, CertStatus::Revoked { reason: Some(reason), .. } if CertStatus::reason_name(reason).is_none())
}
