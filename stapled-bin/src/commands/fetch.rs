//! `stapled fetch`: asks a certificate's responders once, and shows how each question went.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use stapled_core::asking::Asking;
use stapled_core::asking::attempt::Attempt;
use stapled_core::asking::issuer;
use stapled_core::bundle::Bundle;
use stapled_core::chain::CertChain;
use stapled_core::fetch::Method;
use stapled_core::io::certificate_file::issuer_file_of;
use stapled_core::io::fetched::{Fetched, Keep};
use stapled_core::io::http::HttpFetcher;
use stapled_core::ocsp::CertIdHash;
use stapled_core::overrides::ResponderOverrides;
use stapled_core::overview::json::json_line;
use stapled_core::reason::ReasonCode;
use stapled_core::time::span::Span;
use stapled_core::verdict::Verdict;
use stapled_haproxy::HaproxySink;

use super::answer::{CommandError, UNANSWERED, answer, exit_code};
use super::input;
use crate::judging::Judging;
use crate::network::NetworkArguments;
use crate::options::arguments::durations;
use crate::options::option::Section;
use crate::stderr::say;
use crate::text::visible;

/// Ask a certificate's OCSP responders once, and show how each question went
///
/// Asks as the daemon does: the certificate's URLs in their order, by GET and POST, with one hash and the other, until an
/// answer is believed. The tool for when a CA misbehaves.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
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
    network: NetworkArguments,

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
  {\"certificate\", \"issuer\": where it was found, \"attempts\": [{\"url\", \"address\": that answered, \"method\", \"hash\",
   \"http_status\", \"content_type\", \"milliseconds\", \"bytes\", \"outcome\": \"good\", \"revoked\", \"unknown\" or a reason,
   \"detail\"}], \"url\": whose answer counts, \"saved\", \"removed\"}

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
        let named = [("CERT", Some(self.cert.as_path())), ("--issuer", self.issuer.as_deref())];
        input::check_standard_input(named.into_iter().filter_map(|(name, path)| Some((name, path?))))?;
        let network = self.network.network()?;
        let fetcher = network.fetcher(self.timeout.into())?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Start)?;
        let ended = runtime.block_on(self.ask(fetcher, &network.overrides, out));
        // A name look-up that still hangs is left behind.
        runtime.shutdown_background();
        ended
    }

    async fn ask(
        &self,
        fetcher: HttpFetcher,
        overrides: &ResponderOverrides,
        out: &mut dyn Write,
    ) -> Result<u8, CommandError> {
        let (chain, issuer) = match self.chain(&fetcher).await? {
            Ok(found) => found,
            Err(verdict) => return self.end_early(out, verdict),
        };
        let end_entity = chain.end_entity();
        let urls = match &self.url {
            // Only the responder that was named.
            Some(url) => vec![url.trim().to_owned()],
            None => overrides.urls_of(end_entity),
        };
        if !self.json {
            let (name, serial) = (visible(end_entity.name()), end_entity.serial_hex());
            self.say(out, &format!("{name}, serial number {serial}; issuer: {}\n", visible(&issuer)))?;
        }
        let mut written = Ok(());
        let asking = self.asking(&chain);
        let show = |attempt: &Attempt| {
            if !self.json && written.is_ok() {
                written = self.say(out, &attempt.to_string());
            }
        };
        let asked = asking.ask(&urls, &fetcher, show).await;
        written?;
        match asked {
            Ok(attempts) => self.conclude(out, &chain, &issuer, &attempts),
            Err(unasked) => self.end_early(out, Verdict::invalid(unasked.code(), unasked.to_string())),
        }
    }

    /// The certificate with its issuer, and where that was found; or why a chain cannot be had. The outer error is that of a
    /// file.
    async fn chain(&self, fetcher: &HttpFetcher) -> Result<Result<(CertChain, String), Verdict>, CommandError> {
        let certificate = match input::read(&self.cert)? {
            Some(bytes) => bytes,
            None => return Ok(Err(input::too_large("CERT"))),
        };
        let end_entity = match Bundle::served(&certificate) {
            Ok(end_entity) => Arc::new(end_entity),
            Err(error) => {
                let what = format!("the certificate cannot be read: {error}");
                return Ok(Err(Verdict::invalid(ReasonCode::new("malformed"), what)));
            }
        };
        if let Some(file) = &self.issuer {
            let Some(bytes) = input::read(file)? else { return Ok(Err(input::too_large("--issuer"))) };
            return Ok(issuer::among(&end_entity, input::name(file), &bytes).map_err(|verdict| *verdict));
        }
        let beside = issuer_file_of(&self.cert);
        let near = input::read(&beside).ok().flatten();
        let places = [
            (input::name(&self.cert), Some(certificate.as_slice())),
            (beside.display().to_string(), near.as_ref().map(|near| near.as_slice())),
        ];
        Ok(issuer::around(&end_entity, &places, fetcher).await.map_err(|verdict| *verdict))
    }

    /// The questions that the options choose.
    fn asking<'c>(&self, chain: &'c CertChain) -> Asking<'c> {
        let asking = Asking::new(chain).judge_policy(self.judging.policy());
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

    /// Saves what the options ask for, and writes the verdict.
    fn conclude(
        &self,
        out: &mut dyn Write,
        chain: &CertChain,
        issuer: &str,
        attempts: &[Attempt],
    ) -> Result<u8, CommandError> {
        let best = Attempt::best_of(attempts);
        let verdict = match best.or(attempts.first()) {
            Some(attempt) => attempt.verdict(chain, &HaproxySink::default_requirements()),
            None => {
                let what =
                    "the certificate names no OCSP responder: name one with --url; servers need no staple for it";
                Verdict::invalid(ReasonCode::new("no_ocsp_url"), what).about(chain)
            }
        };
        let mut found = Fetched::of(verdict).asked(chain, issuer, attempts);
        if let (Some(best), Some(path)) = (best, &self.output) {
            found.keep(chain, best, path, if self.save_any { Keep::Any } else { Keep::Staples });
        }
        let code = match (best, &found.fault) {
            (Some(_), None) => exit_code(&found.verdict),
            _ => UNANSWERED,
        };
        let text = if self.json { json_line(&found) } else { found.in_words(self.output.as_deref()) };
        let code = answer(out, &text, code)?;
        if let Some(fault) = &found.fault {
            say(fault);
        }
        Ok(code)
    }

    /// Says why nothing was asked.
    fn end_early(&self, out: &mut dyn Write, verdict: Verdict) -> Result<u8, CommandError> {
        let exit = exit_code(&verdict);
        let text = if self.json { json_line(&Fetched::of(verdict)) } else { verdict.to_string() };
        answer(out, &text, exit)
    }

    fn say(&self, out: &mut dyn Write, text: &str) -> Result<(), CommandError> {
        answer(out, text, UNANSWERED).map(drop)
    }
}
