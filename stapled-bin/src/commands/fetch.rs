//! `stapled fetch`: asks a certificate's responders once, and shows how each question went.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use stapled_core::asking::Asking;
use stapled_core::asking::attempt::Attempt;
use stapled_core::chain::CertChain;
use stapled_core::exchange::inquiry::Trouble;
use stapled_core::fetch::{FetchError, Method};
use stapled_core::io::file::read_existing;
use stapled_core::io::http::HttpFetcher;
use stapled_core::ocsp::{CertIdHash, CertStatus, OcspResponse};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::reason::ReasonCode;
use stapled_core::staple::Judgement;
use stapled_core::verdict::{Verdict, end_entity};
use stapled_haproxy::HaproxySink;

use super::answer::{CommandError, UNANSWERED, answer};
use super::input::{self, Input, MAX_FILE};
use super::issuer::{self, NoIssuer};
use super::report::exit_code;
use crate::judging::Judging;
use crate::network::NetworkArguments;
use crate::options::declaration::Section;
use crate::stderr::say;
use crate::text::{json_line, visible};

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
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..), help_heading = Section::Asking.heading())]
    timeout: u32,

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

/// One question and its result, as JSON shows it.
#[derive(Clone, Debug, Serialize)]
struct AttemptRow {
    url: String,
    address: Option<String>,
    method: &'static str,
    hash: &'static str,
    http_status: Option<u16>,
    content_type: Option<String>,
    milliseconds: u64,
    bytes: Option<usize>,
    outcome: &'static str,
    detail: Option<String>,
}

/// Everything that was found out.
#[derive(Clone, Debug, Serialize)]
struct Found {
    certificate: Option<String>,
    issuer: Option<String>,
    attempts: Vec<AttemptRow>,
    url: Option<String>,
    saved: Option<String>,
    removed: Option<String>,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Fetch {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let named = [("CERT", Some(self.cert.as_path())), ("--issuer", self.issuer.as_deref())];
        input::check_standard_input(named.into_iter().filter_map(|(name, path)| Some((name, path?))))?;
        let network = self.network.network()?;
        let fetcher = network.fetcher(Duration::from_secs(self.timeout.into()))?;
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
        let certificate = match input::read(&self.cert)? {
            Input::Bytes(bytes) => bytes,
            Input::TooLarge => {
                return self.end_early(out, ReasonCode::new("too_large"), format!("CERT: more than {MAX_FILE} bytes"));
            }
        };
        let end_entity = match end_entity(&certificate) {
            Ok(end_entity) => Arc::new(end_entity),
            Err(error) => {
                return self.end_early(
                    out,
                    ReasonCode::new("malformed"),
                    format!("the certificate cannot be read: {error}"),
                );
            }
        };
        let found = match &self.issuer {
            Some(file) => issuer::in_file(&end_entity, file),
            None => issuer::around(&end_entity, &self.cert, &certificate, &fetcher).await,
        };
        let (chain, issuer) = match found {
            Ok(found) => found,
            Err(NoIssuer::Input(error)) => return Err(error.into()),
            Err(error) => return self.end_early(out, error.code(), error.to_string()),
        };
        drop(certificate);
        let urls = match &self.url {
            // Only the responder that was named.
            Some(url) => vec![url.trim().to_owned()],
            None => overrides.urls_of(&end_entity),
        };
        if !self.json {
            let name = visible(end_entity.name());
            self.say(
                out,
                &format!("{name}, serial number {}; issuer: {}\n", end_entity.serial_hex(), visible(&issuer)),
            )?;
        }
        let mut written = Ok(());
        let asking = self.asking(&chain);
        let show = |attempt: &Attempt| {
            if !self.json && written.is_ok() {
                written = self.say(out, &AttemptRow::of(attempt).in_words());
            }
        };
        let asked = asking.ask(&urls, &fetcher, show).await;
        written?;
        match asked {
            Ok(attempts) => self.conclude(out, &chain, issuer, &attempts),
            Err(unasked) => self.end_early(out, unasked.code(), unasked.to_string()),
        }
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
        issuer: String,
        attempts: &[Attempt],
    ) -> Result<u8, CommandError> {
        let best = best_of(attempts);
        let verdict = verdict(chain, attempts, best);
        let mut code = if best.is_some() { exit_code(&verdict) } else { UNANSWERED };
        let Kept { saved, removed, fault } = best.map(|best| self.keep(chain, best)).unwrap_or_default();
        if fault.is_some() {
            code = UNANSWERED;
        }
        let url = best.map(|best| best.url.clone());
        let text = if self.json {
            let certificate = Some(chain.end_entity().name().to_owned());
            let attempts = attempts.iter().map(AttemptRow::of).collect();
            json_line(&Found { certificate, issuer: Some(issuer), attempts, url, saved, removed, verdict })
        } else {
            let mut text = match &url {
                Some(_) => verdict.to_string(),
                None => {
                    let code = verdict.status.err().map(|code| code.as_str()).unwrap_or_default();
                    format!("NO ANSWER ({code}): {}\n", visible(&verdict.detail))
                }
            };
            if let Some(path) = &self.output {
                let what = match (&saved, &removed) {
                    (Some(_), _) => "saved to",
                    (None, Some(_)) => "the certificate is revoked: removed its staple from",
                    (None, None) => "nothing saved to",
                };
                text.push_str(&format!("{what} {}\n", visible(&path.display().to_string())));
            }
            text
        };
        let code = answer(out, &text, code)?;
        if let Some(fault) = fault {
            say(&fault);
        }
        Ok(code)
    }

    /// Saves the answer, or removes the staple of a revoked certificate, where the options say so.
    fn keep(&self, chain: &CertChain, best: &Attempt) -> Kept {
        let Some(path) = &self.output else { return Kept::default() };
        let name = path.display().to_string();
        let status = best.judgement().map(|judgement| judgement.status);
        let mut kept = Kept::default();
        if self.save_any || status == Some(CertStatus::Good) {
            match save(path, &to_save(best)) {
                Ok(()) => return Kept { saved: Some(name), ..kept },
                Err(error) => kept.fault = Some(format!("{name} cannot be written: {error}")),
            }
        }
        if !matches!(status, Some(CertStatus::Revoked { .. })) {
            return kept;
        }
        match remove_staple(path, chain) {
            Ok(true) => kept.removed = Some(name),
            Ok(false) => {}
            Err(error) => {
                let what = "holds a staple of this certificate, which is revoked, and cannot be removed";
                kept.fault = Some(format!("{name} {what}: {error}; remove it"));
            }
        }
        kept
    }

    /// Says why nothing was asked.
    fn end_early(&self, out: &mut dyn Write, code: ReasonCode, detail: String) -> Result<u8, CommandError> {
        let verdict = Verdict::invalid(code, detail);
        let exit = exit_code(&verdict);
        let text = if self.json {
            json_line(&Found {
                certificate: None,
                issuer: None,
                attempts: Vec::new(),
                url: None,
                saved: None,
                removed: None,
                verdict,
            })
        } else {
            verdict.to_string()
        };
        answer(out, &text, exit)
    }

    fn say(&self, out: &mut dyn Write, text: &str) -> Result<(), CommandError> {
        answer(out, text, UNANSWERED).map(drop)
    }
}

/// What was done with the file of `--output`.
#[derive(Default)]
struct Kept {
    saved: Option<String>,
    removed: Option<String>,
    /// Why the file is not as it should be.
    fault: Option<String>,
}

impl AttemptRow {
    fn of(attempt: &Attempt) -> Self {
        let answer = attempt.answer.as_ref().map(|(answer, _)| answer);
        let http_status = match &attempt.trouble {
            Some(Trouble::Fetch(FetchError::Status { status, .. })) => Some(*status),
            _ => answer.map(|_| 200),
        };
        AttemptRow {
            url: attempt.url.clone(),
            address: answer.and_then(|answer| answer.from).map(|address| address.ip().to_string()),
            method: match attempt.method {
                Method::Get => "GET",
                Method::Post => "POST",
            },
            hash: attempt.hash.name(),
            http_status,
            content_type: answer.and_then(|answer| answer.content_type.clone()),
            milliseconds: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            bytes: answer.map(|answer| answer.body.as_ref().map_or(0, Bytes::len)),
            outcome: match (&attempt.trouble, attempt.judgement().map(|judgement| judgement.status)) {
                (Some(trouble), _) => trouble.code().as_str(),
                (None, Some(CertStatus::Revoked { .. })) => "revoked",
                (None, _) => "good",
            },
            detail: attempt
                .trouble
                .as_ref()
                .filter(|trouble| !matches!(trouble, Trouble::Unknown))
                .map(Trouble::to_string),
        }
    }

    /// As a line for people, and a second for what is wrong.
    fn in_words(&self) -> String {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let status = or_dash(self.http_status.map(|status| format!("HTTP {status}")));
        let bytes = or_dash(self.bytes.map(|bytes| format!("{bytes} bytes")));
        let mut words = format!(
            "  {:<4} {:<7} {status:<8} {bytes:>11} {:>6} ms  {:<22} {}\n",
            self.method,
            self.hash,
            self.milliseconds,
            self.outcome,
            visible(&self.url),
        );
        if let Some(address) = &self.address {
            words.insert_str(words.len().saturating_sub(1), &format!(" ({})", visible(address)));
        }
        if let Some(detail) = &self.detail {
            words.push_str(&format!("       {}\n", visible(detail)));
        }
        words
    }
}

/// The attempt whose answer says most: believed before judged, judged before refused; of equals the first. `None`: no answer
/// came.
fn best_of(attempts: &[Attempt]) -> Option<&Attempt> {
    let rank = |attempt: &&Attempt| (attempt.is_believed(), attempt.judgement().is_some());
    let answered = attempts.iter().filter(|attempt| attempt.answer.is_some());
    // Of equals, the last one is the maximum.
    answered.rev().max_by_key(rank)
}

/// The verdict on the best answer, or on the absence of any.
fn verdict(chain: &CertChain, attempts: &[Attempt], best: Option<&Attempt>) -> Verdict {
    if let Some((best, (answer, judged))) = best.and_then(|best| Some((best, best.answer.as_ref()?))) {
        let requirements = HaproxySink::default_requirements();
        let response = answer.body.clone().unwrap_or_default();
        return Verdict::of(judged, &response, chain, best.at, &requirements);
    }
    let invalid = match attempts.first().and_then(|first| first.trouble.as_ref()) {
        Some(trouble) => Verdict::invalid(trouble.code(), format!("no responder answered: {trouble}")),
        None => {
            let what = "the certificate names no OCSP responder: name one with --url; servers need no staple for it";
            Verdict::invalid(ReasonCode::new("no_ocsp_url"), what)
        }
    };
    invalid.about(chain)
}

/// The staple where the answer is one, in its smallest form; otherwise the answer as it came.
fn to_save(best: &Attempt) -> Bytes {
    let staple = best.judgement().and_then(Judgement::staple);
    let answer = || best.answer.as_ref().and_then(|(answer, _)| answer.body.clone()).unwrap_or_default();
    staple.map_or_else(answer, |staple| staple.response().clone())
}

/// Removes a response about this certificate, so that no server takes it up; anything else stays. Returns whether one was
/// removed.
fn remove_staple(path: &Path, chain: &CertChain) -> std::io::Result<bool> {
    let Some(kept) = read_existing(path)? else { return Ok(false) };
    let is_about = match OcspResponse::from_der(&kept) {
        Ok(OcspResponse::Basic(basic)) => basic.responses.iter().any(|single| chain.is_named_by(&single.cert_id)),
        _ => false,
    };
    if is_about {
        std::fs::remove_file(path)?;
    }
    Ok(is_about)
}

/// Replaces a file at once: a reader gets either the old contents or the new.
fn save(path: &Path, response: &[u8]) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".stapled-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)?;
    file.write_all(response)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
