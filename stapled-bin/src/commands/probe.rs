//! `stapled probe`: makes a handshake as a client does, and judges the staple that the server sends.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use stapled_core::overview::json::json_line;
use stapled_core::probe::Probe;
use stapled_core::probe::report::Probed;
use stapled_core::probe::starttls::StartTls;
use stapled_core::probe::target::Target;
use stapled_core::time::span::Span;

use super::answer::{CommandError, GOOD, INVALID, UNANSWERED, UNREACHABLE, answer, exit_code};
use super::input;
use crate::judging::{Judging, judge_policy};
use crate::options::arguments::durations;

/// Connect to a TLS server as a client does, and judge the staple that it sends
///
/// Shows the handshake, the chain as the server sends it, whether it is must-staple, and the verdict on the staple by the rules of
/// the daemon. Every address of a host is asked, one after the other.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP.replace("{FIELDS}", Probed::FIELDS))]
pub(crate) struct ProbeCommand {
    /// The servers: HOST:PORT, with an IPv6 address in brackets, or the path of a unix socket
    #[arg(value_name = "HOST:PORT", required = true)]
    targets: Vec<Target>,

    /// The name to ask for (SNI) [default: HOST]
    #[arg(long, value_name = "NAME")]
    servername: Option<String>,

    /// Begin in plain text, with this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = PossibleValuesParser::new(StartTls::ALL.map(|(_, name)| name)))]
    starttls: Option<String>,

    /// Offer TLS 1.2 only
    #[arg(long = "tls1.2")]
    tls12: bool,

    /// Certificates of issuers, for servers that do not send that of theirs
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,

    /// The roots that clients trust: the chain and the name are checked, too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// How long one address may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = durations(1, 3600))]
    timeout: Span,

    #[command(flatten)]
    judging: Judging,

    /// Print one object per line for each address
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  stapled probe www.example.org:443
  stapled probe mail.example.org:25 --starttls smtp
  stapled probe 192.0.2.7:443 [2001:db8::7]:443 --servername www.example.org --ca /etc/ssl/certs/ca-certificates.crt

Output with --json, one object per line for each address; what is not known is null:
  {FIELDS}

Exit codes, of several addresses the highest:
  0    the staple is valid, and the certificate good
  1    the server sends no staple, and the certificate does not demand one
  4    no address of the server answers
  10   the staple is valid: revoked
  11   the staple is valid: unknown
  20   the staple is invalid; or a must-staple certificate has none; or, with --ca, clients do not trust the chain
  2    wrong arguments, or a file that cannot be opened";

impl ProbeCommand {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let mut probe = Probe::new(rustls::crypto::aws_lc_rs::default_provider())
            .timeout(self.timeout.into())
            .policy(judge_policy(&self.judging.settings));
        if let Some(name) = &self.servername {
            probe = probe.server_name(name);
        }
        if let Some((protocol, _)) = StartTls::ALL.into_iter().find(|(_, name)| Some(*name) == self.starttls.as_deref())
        {
            probe = probe.starttls(protocol);
        }
        if self.tls12 {
            probe = probe.tls12_only();
        }
        if let Some(path) = &self.issuer {
            probe = probe.issuers(input::certificates("--issuer", path)?);
        }
        if let Some(path) = &self.ca {
            probe = probe.roots(input::certificates("--ca", path)?);
        }
        let mut worst = GOOD;
        for probed in self.targets.iter().flat_map(|target| probe.run(target)) {
            let code = if probed.is_passed_over { GOOD } else { code(&probed) };
            worst = worst.max(code);
            let text = if self.json { json_line(&probed) } else { probed.to_string() };
            answer(out, &text, worst)?;
        }
        Ok(worst)
    }
}

fn code(probed: &Probed) -> u8 {
    match &probed.findings {
        Err(_) => UNREACHABLE,
        Ok(findings) if findings.is_untrusted() => INVALID,
        Ok(findings) => findings.verdict.as_ref().map_or(UNANSWERED, exit_code),
    }
}
