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

use super::input::{self, Input, MAX_FILE};
use super::report::Report;
use super::{CommandError, answer, encoding};
use crate::judging::Judging;

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

Output with --json, on one line; what is not known is null:
  {\"verdict\": \"valid\" or \"invalid\", \"status\": \"good\", \"revoked\", \"unknown\" or null, \"reason\": a stable word such as
   \"expired\" or null, \"stapleable\": whether HAProxy would get it now, \"detail\": the same in words, \"this_update\",
   \"next_update\", \"produced_at\": RFC 3339, \"responder\": who signed, \"delegated\": whether that is a delegate of the
   issuer, \"signature_algorithm\", \"serial\": of the certificate, in hexadecimal}
  Of an invalid response, the times and the algorithm are what it says itself.

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
                crate::say(&format!("--extra-cert {name}: {what}: passed over"));
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
            Ok(der) => Bytes::from(der),
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
