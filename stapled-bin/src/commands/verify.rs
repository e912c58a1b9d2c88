//! `stapled verify`: judges one response, as the daemon would, and says why.

use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::hexadecimal::Hexadecimal;
use stapled_core::overview::json::json_line;
use stapled_core::reason::ReasonCode;
use stapled_core::time::Timestamp;
use stapled_core::verdict::{Question, Verdict};
use stapled_haproxy::HaproxySink;

use super::answer::{CommandError, answer, exit_code};
use super::input::{self, MAX_FILE};
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
    nonce: Option<Bytes>,

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

impl Verify {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let extra = self.extra_cert.iter().map(|path| ("--extra-cert", path.as_path()));
        let named = [
            ("--response", self.response.as_path()),
            ("--cert", self.cert.as_path()),
            ("--issuer", self.issuer.as_path()),
        ];
        input::check_standard_input(named.into_iter().chain(extra))?;
        let verdict = self.verdict()?;
        let text = if self.json { json_line(&verdict) } else { verdict.to_string() };
        answer(out, &text, exit_code(&verdict))
    }

    fn verdict(&self) -> Result<Verdict, CommandError> {
        // All files are opened first: a missing file is an error whatever the others hold.
        let response = input::read(&self.response)?;
        let certificate = input::read(&self.cert)?;
        let issuer = input::read(&self.issuer)?;
        let delegates = self.delegates()?;
        let inputs = [("--response", response), ("--cert", certificate), ("--issuer", issuer)];
        let whole = inputs.map(|(option, input)| input.ok_or(option));
        let [Ok(response), Ok(certificate), Ok(issuer)] = &whole else {
            let option = whole.iter().find_map(|input| input.as_ref().err()).copied().unwrap_or_default();
            let detail = format!("{option}: more than the {MAX_FILE} bytes that are read");
            return Ok(Verdict::invalid(ReasonCode::new("too_large"), detail));
        };
        let at = self.at.map_or_else(|| SystemClock.now(), Timestamp::from_unix);
        let mut question = Question::new(response, certificate, issuer, at)
            .policy(self.judging.policy())
            .delegates(&delegates)
            .requirements(HaproxySink::default_requirements());
        question.nonce = self.nonce.as_deref();
        Ok(question.verdict())
    }

    /// The certificates of delegates. A file without certificates is reported and skipped: the verdict is about the
    /// response.
    fn delegates(&self) -> Result<Vec<Certificate>, CommandError> {
        let mut delegates = Vec::new();
        for path in &self.extra_cert {
            let warn = |what: &str| {
                let name = input::name(path);
                say(&format!("--extra-cert {name}: {what}: passed over"));
            };
            match input::read(path)? {
                None => warn("too large for certificates"),
                Some(bytes) => match Bundle::read(&bytes) {
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

fn unix_time(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "a whole number of seconds since 1970 is needed")
}

fn nonce(text: &str) -> Result<Bytes, &'static str> {
    let malformed = "an even number of hexadecimal digits is needed, at least two";
    Hexadecimal::decode(text).filter(|octets| !octets.is_empty()).map(Bytes::from).ok_or(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces() {
        let octets = |text| nonce(text).map(|nonce| nonce.to_vec()).ok();
        assert_eq!(octets("00fFa0"), Some(vec![0, 0xff, 0xa0]));
        for text in ["", "0", "000", "0x00", "00 00", "+1", "-1", "zz", "ää", "aä"] {
            assert_eq!(octets(text), None, "{text}");
        }
    }
}
