//! `stapled verify`: judges one response, as the daemon would, and says why.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use stapled_core::bundle::{Bundle, BundleError};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::reason::ReasonCode;
use stapled_core::staple::{JudgePolicy, judge};
use stapled_core::time::Timestamp;

use super::answer::{CommandError, answer};
use super::encoding;
use super::input::{self, Input, MAX_FILE};
use super::report::Report;
use crate::judging::Judging;
use crate::stderr::say;

/// Judge an OCSP response for a certificate, and say why
///
/// Applies the same rules as the daemon does before it staples anything: the signature over the original bytes, the
/// responder's right to sign, the certificate in question, the times (RFC 6960, RFC 9919).
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// The response: DER, PEM (OCSP RESPONSE) or base64; - is standard input
    #[arg(long, value_name = "FILE")]
    response: PathBuf,

    /// The certificate in question, PEM or DER; of several, the first that is not a CA's
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,

    /// The certificate of its issuer, PEM or DER; of several, the first
    #[arg(long, value_name = "FILE")]
    issuer: PathBuf,

    /// When to judge, in seconds since 1970 [default: now]
    #[arg(long, value_name = "UNIX-TIME", value_parser = unix_time, allow_negative_numbers = true)]
    at: Option<i64>,

    /// The nonce that was asked with, in hexadecimal: a response with another one is refused
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    nonce: Option<Nonce>,

    /// Certificates that may have signed the response though they are not in it; may be repeated. The same rules hold
    /// for them, and the response cannot be stapled, since clients do not have them
    #[arg(long, value_name = "FILE")]
    extra_cert: Vec<PathBuf>,

    #[command(flatten)]
    judging: Judging,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Example:
  stapled verify --response site.pem.ocsp --cert site.pem --issuer site.pem.issuer

Output with --json: one line, an object with these fields; what is not known is null:
  verdict              \"valid\" or \"invalid\"
  status               \"good\", \"revoked\" or \"unknown\"; null where it is invalid
  reason               a stable word such as \"expired\"; null where it is valid
  stapleable           whether HAProxy would be given it now
  detail               the same in words
  this_update, next_update, produced_at
                       RFC 3339; of an invalid response, what it says itself
  responder            who signed; null where it is invalid
  delegated            whether that is a delegate of the issuer
  signature_algorithm  such as \"ecdsa-with-SHA256\"
  serial               of the certificate, in hexadecimal

Exit codes:
  0    the response is valid, and the certificate good
  10   valid: revoked
  11   valid: unknown
  20   the response is invalid, or one of the certificates, whatever bytes they are
  1    the answer could not be written
  2    wrong arguments, or a file that cannot be opened";

/// The octets of a nonce.
#[derive(Clone, Debug)]
struct Nonce(Vec<u8>);

/// What is judged: the contents of files.
struct Question<'a> {
    response: &'a [u8],
    certificate: &'a [u8],
    issuer: &'a [u8],
    at: Timestamp,
    policy: JudgePolicy,
    nonce: Option<&'a [u8]>,
    delegates: &'a [Certificate],
}

impl Verify {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let extra = self.extra_cert.iter().map(|path| ("--extra-cert", path.as_path()));
        let named = [
            ("--response", self.response.as_path()),
            ("--cert", self.cert.as_path()),
            ("--issuer", self.issuer.as_path()),
        ];
        input::check_standard_input(named.into_iter().chain(extra))?;
        let report = self.report()?;
        let text = if self.json { report.json() } else { report.in_words() };
        answer(out, &text, report.code())
    }

    fn report(&self) -> Result<Report, CommandError> {
        // All are opened before anything is said of one: a file that is not there is told, whatever else is wrong.
        let response = input::read(&self.response)?;
        let certificate = input::read(&self.cert)?;
        let issuer = input::read(&self.issuer)?;
        let delegates = self.delegates()?;
        let inputs = [(&response, "--response"), (&certificate, "--cert"), (&issuer, "--issuer")];
        for (input, option) in inputs {
            if matches!(input, Input::TooLarge) {
                let detail = format!("{option}: more than the {MAX_FILE} bytes that are read");
                return Ok(Report::invalid(ReasonCode::new("too_large"), detail));
            }
        }
        let question = Question {
            response: response.bytes(),
            certificate: certificate.bytes(),
            issuer: issuer.bytes(),
            at: self.at.map_or_else(|| SystemClock.now(), Timestamp::from_unix),
            policy: self.judging.policy(),
            nonce: self.nonce.as_ref().map(|nonce| nonce.0.as_slice()),
            delegates: &delegates,
        };
        Ok(question.answer())
    }

    /// The certificates from outside. What is none of them is told and passed over: the verdict is about the response.
    fn delegates(&self) -> Result<Vec<Certificate>, CommandError> {
        let mut delegates = Vec::new();
        for path in &self.extra_cert {
            let warn = |what: &str| {
                let name = input::name(path);
                say(&format!("--extra-cert {name}: {what}: passed over"));
            };
            match input::read(path)? {
                Input::TooLarge => warn("too large for certificates"),
                Input::Bytes(bytes) => match Bundle::read(&bytes) {
                    Err(error) => warn(&error.to_string()),
                    Ok(bundle) => {
                        bundle.broken.iter().for_each(|(_, error)| warn(&error.to_string()));
                        delegates.extend(bundle.certificates);
                    }
                },
            }
        }
        Ok(delegates)
    }
}

impl Question<'_> {
    /// Any bytes have an answer.
    fn answer(&self) -> Report {
        let malformed = |detail: String| Report::invalid(ReasonCode::new("malformed"), detail);
        let certificate = match end_entity(self.certificate) {
            Ok(certificate) => certificate,
            Err(what) => return malformed(format!("the certificate cannot be read: {what}")),
        };
        let issuer = match first(self.issuer) {
            Ok(issuer) => issuer,
            Err(what) => return malformed(format!("the issuer's certificate cannot be read: {what}")),
        };
        let chain = match CertChain::new(Arc::new(certificate), Arc::new(issuer)) {
            Ok(chain) => Arc::new(chain),
            Err(error) => return Report::invalid(error.code(), error.to_string()),
        };
        let response = match encoding::response(self.response) {
            Ok(der) => Bytes::from_owner(der),
            Err(error) => return malformed(format!("not an OCSP response: {error}")),
        };
        let judged = judge(&response, &chain, self.at, &self.policy, self.nonce, self.delegates);
        Report::of(&judged, &response, &chain, self.at)
    }
}

/// The certificate that a server would present, as the daemon takes it; of CAs alone, the first.
pub(super) fn end_entity(bytes: &[u8]) -> Result<Certificate, BundleError> {
    let bundle = Bundle::read(bytes)?;
    let end_entity = bundle.end_entity().cloned();
    // Where one is broken, nobody knows that it is not the one.
    match (end_entity, bundle.broken.into_iter().next()) {
        (Some(end_entity), _) => Ok(end_entity),
        (None, Some((_, error))) => Err(error),
        (None, None) => bundle.certificates.into_iter().next().ok_or(BundleError::NoCertificate),
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

fn unix_time(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "a whole number of seconds since 1970 is needed")
}

fn nonce(text: &str) -> Result<Nonce, &'static str> {
    let malformed = "an even number of hexadecimal digits is needed, at least two";
    let octet = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u8::from_str_radix(digits, 16).ok().filter(|_| pair.len() == 2)
    };
    let octets: Option<Vec<u8>> = text.as_bytes().chunks(2).map(octet).collect();
    octets.filter(|octets| !octets.is_empty()).map(Nonce).ok_or(malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
    use stapled_ca::{Authority, Profile, pem};

    use super::*;

    /// Response, certificate and issuer of a question whose answer is `good` now.
    fn files() -> [Vec<u8>; 3] {
        let ca = Authority::root("Judged CA").create().unwrap();
        let leaf = ca.issue(&Profile::server("judged.test")).unwrap();
        let response = ResponseBuilder::new(&ca).good(&ca.cert_id(leaf.serial(), HashAlgorithm::Sha1));
        [response.build().unwrap(), leaf.der().to_vec(), ca.certificate().to_vec()]
    }

    fn answer_of(files: &[Vec<u8>; 3]) -> Report {
        let [response, certificate, issuer] = files;
        let question = Question {
            response,
            certificate,
            issuer,
            at: SystemClock.now(),
            policy: JudgePolicy::default(),
            nonce: None,
            delegates: &[],
        };
        question.answer()
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
        FILES.with(|files| assert_eq!(answer_of(files).code(), crate::commands::answer::GOOD));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases()))]

        /// Any bytes in any of the three files, as DER, PEM and base64, and any change of one byte: an answer, of one
        /// line, with a reason where it is none.
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
                let report = answer_of(&files);
                assert!([0, 20].contains(&report.code()), "{report:?}");
                assert_eq!(report.reason.is_some(), report.code() == 20);
                let json = report.json();
                assert_eq!(json.matches('\n').count(), 1);
                assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
                assert!(!report.in_words().is_empty());
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

    #[test]
    fn nonces() {
        let octets = |text| nonce(text).map(|nonce| nonce.0).ok();
        assert_eq!(octets("00fFa0"), Some(vec![0, 0xff, 0xa0]));
        for text in ["", "0", "000", "0x00", "00 00", "+1", "-1", "zz", "ää", "aä"] {
            assert_eq!(octets(text), None, "{text}");
        }
    }
}
