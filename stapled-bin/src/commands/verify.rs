//! `stapled verify`: judges one response, as the daemon would, and says why.

use std::io::{self, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use stapled_core::certificate::Certificate;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::hexadecimal::Hexadecimal;
use stapled_core::overview::json::json_line;
use stapled_core::time::Timestamp;
use stapled_core::verdict::list::Listed;
use stapled_core::verdict::{Question, Verdict};
use stapled_haproxy::HaproxySink;

use super::answer::{CommandError, GOOD, answer, exit_code};
use super::input::{self, InputError};
use crate::judging::{Judging, judge_policy};
use crate::progress::Terminal;

/// Judge an OCSP response for a certificate, and say why
///
/// Applies the same rules as the daemon does before it staples anything: the signature over the original bytes, the
/// responder's right to sign, the certificate in question, the times (RFC 6960, RFC 9919).
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP.replace("{LISTS}", Listed::FORM).replace("{FIELDS}", Verdict::FIELDS))]
pub(crate) struct Verify {
    /// The response: DER, PEM (OCSP RESPONSE) or base64; - is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    response: Option<PathBuf>,

    /// The certificate in question, PEM or DER; of several, the first that is not a CA's
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    cert: Option<PathBuf>,

    /// The certificate of its issuer, PEM or DER; of several, the first
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    issuer: Option<PathBuf>,

    /// Judge many responses instead: FILE has on each line a response, a certificate and its issuer, and perhaps a time; prints one
    /// line of JSON for each; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["response", "cert", "issuer", "nonce"])]
    list: Option<PathBuf>,

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

{LISTS} The exit code is the highest of all lines.

Output with --json: one line, an object with these fields; what is not known is null:
  {FIELDS}

Exit codes:
  0    the response is valid, and the certificate good
  10   valid: revoked
  11   valid: unknown
  20   the response is invalid, or one of the certificates, whatever bytes they are
  1    the answer could not be written
  2    wrong arguments, or a file that cannot be opened";

impl Verify {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let extra = self.extra_cert.iter().map(|path| ("--extra-cert", Some(path)));
        let named = [
            ("--list", self.list.as_ref()),
            ("--response", self.response.as_ref()),
            ("--cert", self.cert.as_ref()),
            ("--issuer", self.issuer.as_ref()),
        ];
        input::check_standard_input(named.into_iter().chain(extra))?;
        let mut delegates = Vec::new();
        for path in &self.extra_cert {
            delegates.extend(input::certificates("--extra-cert", path)?);
        }
        let (Some(response), Some(certificate), Some(issuer)) = (&self.response, &self.cert, &self.issuer) else {
            return self.judge_list(&delegates, out);
        };
        let verdict = self.verdict([response, certificate, issuer], self.at(), &delegates)?;
        let text = if self.json { json_line(&verdict) } else { verdict.to_string() };
        answer(out, &text, exit_code(&verdict))
    }

    fn at(&self) -> Timestamp {
        self.at.map_or_else(|| SystemClock.now(), Timestamp::from_unix)
    }

    /// Judges each line of the list as it comes. A bad line, or a file that cannot be opened, is a verdict of its own.
    fn judge_list(&self, delegates: &[Certificate], out: &mut dyn Write) -> Result<u8, CommandError> {
        let path = self.list.clone().unwrap_or_default();
        let mut list = input::list(&path)?;
        let unreadable = |error| InputError::Unreadable { path: path.clone(), error };
        // On a terminal, the verdicts show how far the work is.
        let is_for_programs = self.json || io::stdout().is_terminal();
        let show = if is_for_programs { Terminal::with_bar } else { Terminal::with_progress };
        let terminal = show("responses");
        let of = Listed::count(&mut list).map_err(unreadable)?;
        let worst = Listed::all_in(BufReader::new(list)).enumerate().try_fold(GOOD, |worst, (done, listed)| {
            terminal.show(done, of);
            let listed = listed.map_err(unreadable)?;
            let judged = listed.judged(|files, at| self.verdict(files, at.unwrap_or_else(|| self.at()), delegates));
            answer(out, &json_line(&judged), worst.max(exit_code(&judged.verdict)))
        });
        terminal.finish();
        worst
    }

    fn verdict(&self, files: [&Path; 3], at: Timestamp, delegates: &[Certificate]) -> Result<Verdict, CommandError> {
        // All files are opened first: a missing file is an error whatever the others hold.
        let [response, certificate, issuer] = files.map(input::read);
        let (response, certificate, issuer) = (response?, certificate?, issuer?);
        let inputs = [("--response", response), ("--cert", certificate), ("--issuer", issuer)];
        let whole = inputs.map(|(option, input)| input.ok_or(option));
        let [Ok(response), Ok(certificate), Ok(issuer)] = &whole else {
            let option = whole.iter().find_map(|input| input.as_ref().err()).copied().unwrap_or_default();
            return Ok(input::too_large(option));
        };
        let mut question = Question::new(response, certificate, issuer, at)
            .policy(judge_policy(&self.judging.settings))
            .delegates(delegates)
            .requirements(HaproxySink::default_requirements());
        question.nonce = self.nonce.as_deref();
        Ok(question.verdict())
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
