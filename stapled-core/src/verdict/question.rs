//! The verdict on the contents of files.

use std::sync::Arc;

use bytes::Bytes;

use super::value::Verdict;
use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::ocsp::encoding;
use crate::reason::ReasonCode;
use crate::sink::Requirements;
use crate::staple::{Judge, JudgePolicy};
use crate::time::Timestamp;

/// The contents of three files, and how they are judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Question<'a> {
    /// The response: DER, PEM or base64.
    pub response: &'a [u8],
    /// The certificate in question, with or without its chain: PEM or DER.
    pub certificate: &'a [u8],
    /// The certificate of its issuer: PEM or DER.
    pub issuer: &'a [u8],
    /// The time of the verdict.
    pub at: Timestamp,
    /// The rules by which the response is judged.
    pub policy: JudgePolicy,
    /// The nonce of the request, where it had one.
    pub nonce: Option<&'a [u8]>,
    /// Certificates of delegates that the response may lack.
    pub delegates: &'a [Certificate],
    /// The requirements of the server that would staple the response.
    pub requirements: Requirements,
}

impl<'a> Question<'a> {
    /// The contents of the files with the response, the certificate in question and its issuer's certificate, to be judged
    /// at this time by the strict policy, for a server without requirements.
    pub fn new(response: &'a [u8], certificate: &'a [u8], issuer: &'a [u8], at: impl Into<Timestamp>) -> Self {
        Question {
            response,
            certificate,
            issuer,
            at: at.into(),
            policy: JudgePolicy::default(),
            nonce: None,
            delegates: &[],
            requirements: Requirements::default(),
        }
    }

    /// The same, judged by these rules.
    pub fn policy(self, policy: JudgePolicy) -> Self {
        Question { policy, ..self }
    }

    /// The same, for the answer to a request with this nonce.
    pub fn nonce(self, nonce: &'a [u8]) -> Self {
        Question { nonce: Some(nonce), ..self }
    }

    /// The same, with certificates of delegates that the response may lack.
    pub fn delegates(self, delegates: &'a [Certificate]) -> Self {
        Question { delegates, ..self }
    }

    /// The same, for a server with these requirements.
    pub fn requirements(self, requirements: Requirements) -> Self {
        Question { requirements, ..self }
    }

    /// The verdict. Any bytes have one.
    pub fn verdict(&self) -> Verdict {
        let malformed = |detail: String| Verdict::invalid(ReasonCode::new("malformed"), detail);
        let certificate = match Bundle::served(self.certificate) {
            Ok(certificate) => certificate,
            Err(what) => return malformed(format!("the certificate cannot be read: {what}")),
        };
        let issuer = match first(self.issuer) {
            Ok(issuer) => issuer,
            Err(what) => return malformed(format!("the issuer's certificate cannot be read: {what}")),
        };
        let chain = match CertChain::new(Arc::new(certificate), Arc::new(issuer)) {
            Ok(chain) => Arc::new(chain),
            Err(error) => return Verdict::invalid(error.code(), error.to_string()),
        };
        let response = match encoding::response(self.response) {
            Ok(der) => Bytes::from_owner(der),
            Err(error) => return malformed(format!("not an OCSP response: {error}")),
        };
        let judged = Judge::new(&chain)
            .at(self.at)
            .policy(&self.policy)
            .nonce(self.nonce)
            .delegates(self.delegates)
            .judge(response.clone());
        Verdict::of(&judged, &response, &chain, self.at, &self.requirements)
    }
}

/// The first certificate.
fn first(bytes: &[u8]) -> Result<Certificate, BundleError> {
    let bundle = Bundle::read(bytes)?;
    match bundle.broken.into_iter().next() {
        Some((1, error)) => Err(error),
        _ => bundle.certificates.into_iter().next().ok_or(BundleError::NoCertificate),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
    use stapled_ca::{Authority, Profile, pem};

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::ocsp::CertStatus;

    /// Response, certificate and issuer of a question whose answer is `good` now.
    fn files() -> [Vec<u8>; 3] {
        let ca = Authority::root("Judged CA").create().unwrap();
        let leaf = ca.issue(&Profile::server("judged.test")).unwrap();
        let response = ResponseBuilder::new(&ca).good(&ca.cert_id(leaf.serial(), HashAlgorithm::Sha1));
        [response.build().unwrap(), leaf.der().to_vec(), ca.certificate().to_vec()]
    }

    fn answer_of(files: &[Vec<u8>; 3]) -> Verdict {
        let [response, certificate, issuer] = files;
        Question::new(response, certificate, issuer, SystemClock.now()).verdict()
    }

    /// How many are tried: more where `make prove` asks for it.
    fn cases() -> u32 {
        if std::env::var("STAPLED_PROVE").is_ok_and(|much| much == "full") { 200_000 } else { 1_000 }
    }

    thread_local! {
        static FILES: [Vec<u8>; 3] = files();
    }

    #[test]
    fn untouched_files_are_good() {
        FILES.with(|files| assert_eq!(answer_of(files).status, Ok(CertStatus::Good)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]

        /// Any bytes in any of the three files, as DER, PEM and base64, and any change of one byte, have a verdict: good,
        /// or a reason.
        #[test]
        fn any_bytes_have_an_answer(
            which in 0usize..3,
            form in 0usize..3,
            change in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..400).prop_map(Change::All),
                (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(place, byte)| Change::Byte(place, byte)),
                any::<prop::sample::Index>().prop_map(Change::Cut),
            ],
        ) {
            FILES.with(|files| {
                let mut files = files.clone();
                let bytes = change.of(&files[which]);
                let label = if which == 0 { "OCSP RESPONSE" } else { "CERTIFICATE" };
                let text = pem::encode(label, &bytes);
                files[which] = match form {
                    0 => bytes,
                    1 => text.into_bytes(),
                    _ => text.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
                };
                let verdict = answer_of(&files);
                assert!(matches!(verdict.status, Ok(CertStatus::Good) | Err(_)), "{verdict:?}");
                assert_eq!(verdict.stapleable, verdict.status.is_ok(), "{verdict:?}");
                assert!(!verdict.detail.is_empty());
            });
        }
    }

    #[derive(Clone, Debug)]
    enum Change {
        All(Vec<u8>),
        Byte(prop::sample::Index, u8),
        Cut(prop::sample::Index),
    }

    impl Change {
        fn of(self, original: &[u8]) -> Vec<u8> {
            let mut bytes = original.to_vec();
            match self {
                Change::All(bytes) => return bytes,
                Change::Byte(place, byte) => *place.get_mut(&mut bytes) = byte,
                Change::Cut(place) => bytes.truncate(place.index(original.len())),
            }
            bytes
        }
    }
}
