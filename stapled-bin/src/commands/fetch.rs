//! `stapled fetch`: asks a certificate's responders once, and shows how each question went.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stapled_core::asking::Asking;
use stapled_core::fetch::Method;
use stapled_core::io::certificate_file::issuer_file_of;
use stapled_core::io::fetched::{Fetched, Fetching, Keep};
use stapled_core::ocsp::CertIdHash;
use stapled_core::overview::json::json_line;
use stapled_core::time::span::Span;
use stapled_haproxy::HaproxySink;

use super::answer::{CommandError, GOOD, UNANSWERED, answer, exit_code};
use super::input;
use crate::judging::{Judging, judge_policy};
use crate::network::Network;
use crate::options::arguments::{self, Options, durations};
use crate::options::option::Section;
use crate::stderr::say;

/// Ask a certificate's OCSP responders once, and show how each question went
///
/// Asks as the daemon does: the certificate's URLs in their order, by GET and POST, with one hash and the other, until an
/// answer is believed. The tool for when a CA misbehaves.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP.replace("{FIELDS}", Fetched::FIELDS))]
pub(crate) struct Fetch {
    /// The certificate, PEM or DER, with or without the chain; - is standard input
    #[arg(value_name = "CERT")]
    cert: PathBuf,

    /// The certificate of its issuer [default: looked for in CERT and CERT.issuer, then fetched from where CERT says]
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,

    /// Save the response, if it is valid and the certificate good, as DER, without the certificates that no client needs;
    /// whatever FILE holds is replaced at once. Where the certificate is revoked, its staple is removed from FILE
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Save the last response whatever it is, for `stapled inspect`: one that is not good as it came
    #[arg(long, requires = "output")]
    save_any: bool,

    /// Print one line of JSON
    #[arg(long)]
    json: bool,

    /// Ask this responder instead of those that the certificate names
    #[arg(long, value_name = "URL", help_heading = Section::Asking.heading())]
    url: Option<String>,

    /// auto: by GET where the URL is short; by POST otherwise, and where GET brings no staple
    #[arg(long, value_enum, default_value_t, help_heading = Section::Asking.heading())]
    method: MethodOption,

    /// The hash in the question; auto: SHA-1, and SHA-256 where the responder does not know the certificate by that
    #[arg(long, value_enum, default_value_t, help_heading = Section::Asking.heading())]
    hash: HashOption,

    /// Put a nonce of 32 random octets into questions
    #[arg(long, help_heading = Section::Asking.heading())]
    nonce: bool,

    /// How long one question may take
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = durations(1, Span::MAX.as_secs()), help_heading = Section::Asking.heading())]
    timeout: Span,

    #[command(flatten)]
    network: Options<arguments::Network>,

    #[command(flatten)]
    judging: Judging,
}

const AFTER_HELP: &str = "\
Examples:
  stapled fetch site.pem
  stapled fetch site.pem --method post --hash sha1 -o site.pem.ocsp
  stapled fetch site.pem --responder http://ocsp.ca.example=http://mirror.internal/ca
  stapled fetch site.pem --url http://ocsp.example/ --save-any -o answer.der; stapled inspect answer.der

Output with --json, on one line: that of `stapled verify`, and before it
  {FIELDS}

Exit codes:
  0    the response is valid, and the certificate good
  10   valid: revoked
  11   valid: unknown
  20   no response is valid, or the certificate or its issuer cannot be used
  1    nobody answered, or there is nobody to ask; or the response could not be saved
  2    wrong arguments, or a file that cannot be opened";

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum MethodOption {
    #[default]
    Auto,
    Get,
    Post,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum HashOption {
    #[default]
    Auto,
    Sha1,
    Sha256,
}

impl Fetch {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        input::check_standard_input([("CERT", Some(&self.cert)), ("--issuer", self.issuer.as_ref())])?;
        let network = Network::of(&self.network.settings)?;
        let fetcher = network.fetcher(self.timeout.into())?;
        // All files are read first.
        let Some(certificate) = input::read(&self.cert)? else {
            return self.conclude(out, &Fetched::of(input::too_large("CERT")));
        };
        let issuer = self.issuer.as_deref().map(input::read).transpose()?;
        if matches!(issuer, Some(None)) {
            return self.conclude(out, &Fetched::of(input::too_large("--issuer")));
        }
        let issuer = self.issuer.as_deref().map(input::name).zip(issuer.flatten());
        let beside = issuer_file_of(&self.cert);
        let near = if issuer.is_none() { input::read(&beside).ok().flatten() } else { None };
        let keep = if self.save_any { Keep::Any } else { Keep::Staples };
        let fetching = Fetching {
            certificate: (input::name(&self.cert), &certificate),
            issuer: issuer.as_ref().map(|(name, contents)| (name.clone(), contents.as_slice())),
            beside: (beside.display().to_string(), near.as_ref().map(|near| near.as_slice())),
            urls: &|certificate| match &self.url {
                // Only the responder that was named.
                Some(url) => vec![url.trim().to_owned()],
                None => network.overrides.urls_of(certificate),
            },
            asking: &|asking| self.chosen(asking),
            requirements: HaproxySink::default_requirements(),
            output: self.output.as_deref().map(|path| (path, keep)),
        };
        let mut written = Ok(GOOD);
        let mut told = |text: &str| {
            if !self.json && written.is_ok() {
                written = answer(out, text, UNANSWERED);
            }
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Start)?;
        let fetched = runtime.block_on(fetching.run(&fetcher, &mut told));
        // A name look-up that still hangs is left behind.
        runtime.shutdown_background();
        written?;
        self.conclude(out, &fetched)
    }

    /// The questions that the options choose.
    fn chosen<'c>(&self, asking: Asking<'c>) -> Asking<'c> {
        let asking = asking.judge_policy(judge_policy(&self.judging.settings));
        let asking = match self.hash {
            HashOption::Auto => asking,
            HashOption::Sha1 => asking.hash_only(CertIdHash::Sha1),
            HashOption::Sha256 => asking.hash_only(CertIdHash::Sha256),
        };
        let asking = match self.method {
            MethodOption::Auto => asking,
            MethodOption::Get => asking.method_only(Method::Get),
            MethodOption::Post => asking.method_only(Method::Post),
        };
        if self.nonce { asking.with_nonce() } else { asking }
    }

    /// Writes the verdict.
    fn conclude(&self, out: &mut dyn Write, fetched: &Fetched) -> Result<u8, CommandError> {
        let code = if fetched.is_conclusive() { exit_code(&fetched.verdict) } else { UNANSWERED };
        let text = if self.json { json_line(fetched) } else { fetched.in_words(self.output.as_deref()) };
        let code = answer(out, &text, code)?;
        if let Some(fault) = &fetched.fault {
            say(fault);
        }
        Ok(code)
    }
}
