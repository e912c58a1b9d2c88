//! Tests of the questions to one responder: the first question, and the failures after which another question can help.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use stapled_ca::{Authority, Issued, KeyType, Profile};
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::chain::named::NamedCertificate;
use stapled_ocsp::exchange::inquiry::{Habits, Inquiry, Trouble};
use stapled_ocsp::exchange::{FetchError, Method};
use stapled_ocsp::ocsp::{CertIdHash, OcspResponse};
use stapled_ocsp::staple::Refusal;
use stapled_ocsp::time::Timestamp;

use CertIdHash::{Sha1, Sha256, Sha384};
use Method::{Get, Post};

const URL: &str = "http://ocsp.example/ca";

fn chain() -> CertChain {
    let ca = Authority::root("Asked CA").key(KeyType::EcdsaP256).create().unwrap();
    let leaf: Issued = ca.issue(&Profile::server("asked.test")).unwrap();
    let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
    CertChain::new(certificate(leaf.der()), certificate(ca.certificate())).unwrap()
}

fn status(status: u16) -> Trouble {
    FetchError::Status { url: URL.to_owned(), status, retry_after: None }.into()
}

fn error_status(number: u8) -> Trouble {
    let response = [0x30, 0x03, 0x0a, 0x01, number];
    let OcspResponse::Error(status) = OcspResponse::from_der(&response).unwrap() else { panic!() };
    Refusal::ErrorStatus(status).into()
}

fn malformed() -> Trouble {
    Refusal::from(OcspResponse::from_der(b"<html>").unwrap_err()).into()
}

fn expired() -> Trouble {
    Refusal::Expired { next_update: Timestamp::from_unix(1), at: Timestamp::from_unix(2) }.into()
}

fn timed_out() -> Trouble {
    FetchError::TimedOut { url: URL.to_owned(), after: std::time::Duration::from_secs(15) }.into()
}

fn refused() -> Trouble {
    FetchError::Connect { url: URL.to_owned(), why: "refused".to_owned() }.into()
}

fn redirected() -> Trouble {
    let error = FetchError::Connect { url: "http://portal.example/".to_owned(), why: "refused".to_owned() };
    FetchError::Redirected { url: URL.to_owned(), error: Box::new(error) }.into()
}

fn no_match() -> Trouble {
    Refusal::NoMatchingCertId { serial: "01".to_owned() }.into()
}

/// Asks until no question is left, with the next trouble for each question. Returns the questions.
fn asked(mut inquiry: Inquiry<'_>, troubles: &[Trouble]) -> (Vec<(CertIdHash, Method)>, Habits) {
    let mut questions = Vec::new();
    for trouble in troubles {
        let question = inquiry.question(None).unwrap();
        questions.push((question.hash, question.method));
        if !inquiry.refused(question.method, trouble) {
            return (questions, inquiry.learnt());
        }
    }
    let question = inquiry.question(None).unwrap();
    questions.push((question.hash, question.method));
    (questions, inquiry.learnt())
}

fn habits(method: Option<Method>, hash: Option<CertIdHash>) -> Habits {
    let mut habits = Habits::default();
    (habits.method, habits.hash) = (method, hash);
    habits
}

#[test]
fn each_failure_leads_to_a_question_that_may_help() {
    let chain = chain();
    let first = |hash| Inquiry::new(&chain, URL, hash);
    let post = Some(Post);
    for (name, inquiry, troubles, questions, learnt) in [
        ("nothing wrong", first(Sha1), vec![], vec![(Sha1, Get)], habits(None, None)),
        ("GET refused", first(Sha1), vec![status(405)], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        ("a bad request", first(Sha1), vec![status(400)], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        ("an HTML page", first(Sha1), vec![malformed()], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        ("hung", first(Sha1), vec![timed_out()], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        ("failed", first(Sha1), vec![status(503)], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        ("nothing", first(Sha1), vec![status(204)], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        ("redirected", first(Sha1), vec![redirected()], vec![(Sha1, Get), (Sha1, Post)], habits(post, None)),
        // A cached answer about one certificate says nothing about the next certificate.
        ("a stale cache", first(Sha1), vec![expired()], vec![(Sha1, Get), (Sha1, Post)], habits(None, None)),
        ("try later", first(Sha1), vec![error_status(3)], vec![(Sha1, Get), (Sha1, Post)], habits(None, None)),
        ("unauthorized", first(Sha1), vec![error_status(6)], vec![(Sha1, Get), (Sha1, Post)], habits(None, None)),
        ("unknown", first(Sha1), vec![Trouble::Unknown], vec![(Sha1, Get), (Sha1, Post)], habits(None, None)),
        ("foreign", first(Sha1), vec![no_match()], vec![(Sha1, Get), (Sha1, Post)], habits(None, None)),
        // Another method does not reach the responder either, and says nothing about its habits.
        ("not reached", first(Sha1), vec![refused()], vec![(Sha1, Get)], habits(None, None)),
        ("busy", first(Sha1), vec![status(429)], vec![(Sha1, Get)], habits(None, None)),
        (
            "SHA-1 unknown",
            first(Sha1),
            vec![error_status(6), error_status(6)],
            vec![(Sha1, Get), (Sha1, Post), (Sha256, Get)],
            habits(None, Some(Sha256)),
        ),
        (
            "SHA-1 unknown, POST blocked",
            first(Sha1),
            vec![error_status(6), status(405)],
            vec![(Sha1, Get), (Sha1, Post), (Sha256, Get)],
            habits(None, Some(Sha256)),
        ),
        (
            "SHA-256 unknown",
            first(Sha256),
            vec![no_match(), no_match()],
            vec![(Sha256, Get), (Sha256, Post), (Sha1, Get)],
            habits(None, Some(Sha1)),
        ),
        (
            "SHA-384",
            first(Sha384),
            vec![Trouble::Unknown, Trouble::Unknown],
            vec![(Sha384, Get), (Sha384, Post), (Sha1, Get)],
            habits(None, Some(Sha1)),
        ),
        (
            "neither GET nor SHA-1",
            first(Sha1),
            vec![error_status(1), error_status(1)],
            vec![(Sha1, Get), (Sha1, Post), (Sha256, Post)],
            habits(post, Some(Sha256)),
        ),
        (
            "nothing helps",
            first(Sha1),
            vec![error_status(6), error_status(6), error_status(6), error_status(6)],
            vec![(Sha1, Get), (Sha1, Post), (Sha256, Get), (Sha256, Post)],
            habits(None, Some(Sha256)),
        ),
    ] {
        assert_eq!(asked(inquiry, &troubles), (questions, learnt), "{name}");
    }
}

#[test]
fn no_responder_is_asked_more_than_four_times() {
    let chain = chain();
    for trouble in
        [status(405), error_status(1), error_status(6), Trouble::Unknown, malformed(), no_match(), timed_out()]
    {
        let inquiry = Inquiry::new(&chain, URL, Sha1);
        let (questions, _) = asked(inquiry, &vec![trouble.clone(); 8]);
        assert!(questions.len() <= 4, "{trouble}: {questions:?}");
    }
}

#[test]
fn a_fixed_method_or_hash_is_kept() {
    let chain = chain();
    let unknown = [Trouble::Unknown, Trouble::Unknown];
    // A server finds its staple by SHA-1 only: an answer with another hash is useless to it, so habits do not count.
    let only = Inquiry::with_hash_only(&chain, URL, Sha1).habits(habits(None, Some(Sha256)));
    assert_eq!(asked(only, &unknown).0, [(Sha1, Get), (Sha1, Post)]);
    for method in [Get, Post] {
        let only = Inquiry::with_hash_only(&chain, URL, Sha1).method_only(method);
        assert_eq!(asked(only, &[status(405)]).0, [(Sha1, method)]);
    }
}

#[test]
fn habits_come_first() {
    let chain = chain();
    let used_to = |habits| Inquiry::new(&chain, URL, Sha1).habits(habits);
    assert_eq!(asked(used_to(habits(Some(Post), None)), &[]).0, [(Sha1, Post)]);
    assert_eq!(asked(used_to(habits(None, Some(Sha256))), &[]).0, [(Sha256, Get)]);
    // The habits may have changed.
    let unknown = [error_status(6), error_status(6)];
    let changed = [(Sha256, Get), (Sha256, Post), (Sha1, Get)];
    assert_eq!(asked(used_to(habits(None, Some(Sha256))), &unknown).0, changed);
    // A responder that is asked by POST for good reasons is asked by POST with the other hash too.
    let by_post = used_to(habits(Some(Post), None));
    assert_eq!(asked(by_post, &[error_status(6)]).0, [(Sha1, Post), (Sha256, Post)]);
}

#[test]
fn the_first_hash_gives_the_responders_result() {
    let chain = chain();
    let first_trouble = |troubles: [Trouble; 3]| {
        let mut inquiry = Inquiry::new(&chain, URL, Sha1);
        for trouble in &troubles {
            let question = inquiry.question(None).unwrap();
            inquiry.refused(question.method, trouble);
        }
        inquiry.first_trouble().unwrap().to_string()
    };
    let unknown = Trouble::Unknown.to_string();
    assert_eq!(first_trouble([error_status(6), Trouble::Unknown, no_match()]), unknown, "POST is nearer to the truth");
    assert_eq!(first_trouble([Trouble::Unknown, timed_out(), no_match()]), unknown, "silence says nothing");
    assert_eq!(first_trouble([timed_out(), Trouble::Unknown, no_match()]), unknown);
}

#[test]
fn get_is_for_short_urls_without_query_and_nonce() {
    let chain = chain();
    let method = |url: &str, nonce: Option<&[u8]>| {
        let inquiry = Inquiry::new(&chain, url, Sha1);
        let question = inquiry.question(nonce).unwrap();
        assert_eq!(question.request.nonce(), nonce);
        (question.method, question.request.get_url(url))
    };
    assert_eq!(method(URL, None).0, Get);
    assert_eq!(method(URL, Some(&[7; 32])).0, Post);
    assert_eq!(method("http://ocsp.example/ca?x=1", None), (Post, None));
    // A URL of up to 255 bytes in all uses GET; from 256 bytes, POST is used.
    let of_length = |length: usize| format!("http://ocsp.example/{}", "a".repeat(length));
    let (mut longest, mut shortest) = (0, usize::MAX);
    for length in 0..255 {
        let (method, url) = method(&of_length(length), None);
        let whole = url.unwrap().len();
        match method {
            Get => longest = longest.max(whole),
            Post => shortest = shortest.min(whole),
        }
    }
    assert_eq!((longest, shortest), (255, 256));
}

#[test]
fn past_caches_get_is_used_only_if_post_is_not_served() {
    let chain = chain();
    let inquiry = || Inquiry::with_hash_only(&chain, URL, Sha1).past_caches();
    for (troubles, expected) in [
        (vec![], vec![(Sha1, Post)]),
        (vec![status(405)], vec![(Sha1, Post), (Sha1, Get)]),
        (vec![status(405), expired()], vec![(Sha1, Post), (Sha1, Get)]),
        (vec![expired()], vec![(Sha1, Post)]),
        (vec![timed_out()], vec![(Sha1, Post)]),
    ] {
        assert_eq!(asked(inquiry(), &troubles).0, expected, "{troubles:?}");
    }
    // The question with another hash uses POST too, and the inquiry learns no habits from this.
    let (questions, learnt) = asked(inquiry(), &[error_status(6)]);
    assert_eq!((questions, learnt), (vec![(Sha1, Post)], Habits::default()));
    let both = Inquiry::new(&chain, URL, Sha1).past_caches();
    assert_eq!(asked(both, &[error_status(6)]).0, [(Sha1, Post), (Sha256, Post)]);
}

#[test]
fn a_certificate_that_only_a_cert_id_names_is_asked_about_with_its_hash_alone() {
    let chain = chain();
    let named = NamedCertificate::of(chain.issuer(), &chain.cert_id(Sha256)).unwrap();
    let mut inquiry = Inquiry::of_named(&named, URL, Sha256).habits(Habits::default());
    let question = inquiry.question(None).unwrap();
    assert_eq!((question.method, question.hash), (Get, Sha256));
    let same = Inquiry::with_hash_only(&chain, URL, Sha256).question(None).unwrap();
    assert_eq!(question.request, same.request);
    assert!(inquiry.refused(Get, &Trouble::Unknown), "POST may help");
    assert_eq!(inquiry.question(None).unwrap().method, Post);
    assert!(!inquiry.refused(Post, &Trouble::Unknown), "no other hash");
}

#[test]
fn a_cert_id_of_another_issuer_names_no_certificate_of_this_one() {
    let (chain, other) = (chain(), chain());
    assert!(NamedCertificate::of(chain.issuer(), &other.cert_id(Sha1)).is_none());
    assert!(NamedCertificate::of(chain.issuer(), &chain.cert_id(Sha384)).is_some());
    let named = NamedCertificate::of(chain.issuer(), &chain.cert_id(Sha1)).unwrap();
    assert_eq!(named.serial(), chain.end_entity().serial());
    assert_eq!(named.cert_id(Sha256), chain.cert_id(Sha256));
}
