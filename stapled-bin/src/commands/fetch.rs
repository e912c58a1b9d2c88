//! `stapled fetch`: asks a certificate's responders once, and shows how each question went.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::certificate_file::issuer_file_of;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::fetch::{FetchError, Method, OcspFetcher, Question};
use stapled_core::inquiry::{HashChoice, Inquiry, MethodChoice, NextQuestion, Trouble};
use stapled_core::io::file::read_existing;
use stapled_core::io::http::HttpFetcher;
use stapled_core::lookup::IssuerSearch;
use stapled_core::ocsp::{CertIdHash, CertStatus, OcspResponse};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::reason::ReasonCode;
use stapled_core::staple::{Judge, JudgePolicy, Judgement, Refusal};
use stapled_core::url_text::without_credentials;
use stapled_core::verdict::{Verdict, end_entity};
use stapled_haproxy::HaproxySink;

use super::answer::{CommandError, UNANSWERED, answer};
use super::input::{self, Input, MAX_FILE};
use super::report::{exit_code, in_words};
use crate::judging::Judging;
use crate::network::NetworkArguments;
use crate::options::declaration::Section;
use crate::stderr::say;
use crate::text::{json_line, visible};

/// The length of a nonce in octets (RFC 9654 §2.1).
const NONCE_LENGTH: usize = 32;
/// How many bytes are read from a caIssuers URL.
const MAX_ISSUER: usize = 64 * 1024;

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

/// One question, and what came of it.
#[derive(Clone, Debug, Serialize)]
struct Attempt {
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
    attempts: Vec<Attempt>,
    url: Option<String>,
    saved: Option<String>,
    removed: Option<String>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// An answer that counts, more or less.
struct Heard {
    url: String,
    response: Bytes,
    judged: Result<Judgement, Refusal>,
    /// What is wrong with it, if another question may bring a better answer.
    trouble: Option<Trouble>,
}

/// What is asked, and how.
struct Asker<'a> {
    fetcher: HttpFetcher,
    chain: &'a Arc<CertChain>,
    hashes: HashChoice,
    methods: MethodChoice,
    policy: JudgePolicy,
    nonce: bool,
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
            Input::TooLarge => return self.end_early(out, "too_large", format!("CERT: more than {MAX_FILE} bytes")),
        };
        let end_entity = match end_entity(&certificate) {
            Ok(end_entity) => Arc::new(end_entity),
            Err(error) => return self.end_early(out, "malformed", format!("the certificate cannot be read: {error}")),
        };
        let (chain, issuer) = match self.find_issuer(&end_entity, &certificate, &fetcher).await? {
            Ok(found) => found,
            Err((code, what)) => return self.end_early(out, code, what),
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
        let asker = Asker {
            fetcher,
            chain: &chain,
            hashes: match self.hash {
                HashOption::Auto => HashChoice::First(CertIdHash::Sha1),
                HashOption::Sha1 => HashChoice::Only(CertIdHash::Sha1),
                HashOption::Sha256 => HashChoice::Only(CertIdHash::Sha256),
            },
            methods: match self.method {
                MethodOption::Auto => MethodChoice::Auto,
                MethodOption::Get => MethodChoice::Only(Method::Get),
                MethodOption::Post => MethodChoice::Only(Method::Post),
            },
            policy: self.judging.policy(),
            nonce: self.nonce,
        };
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut heard: Option<Heard> = None;
        for url in urls {
            let mut told = Ok(());
            let of_this = asker
                .ask(&url, |attempt| {
                    if !self.json && told.is_ok() {
                        told = self.say(out, &attempt.in_words());
                    }
                    attempts.push(attempt);
                })
                .await;
            told?;
            heard = better(heard, of_this);
            if heard.as_ref().is_some_and(Heard::is_believed) {
                break;
            }
        }
        self.conclude(out, &chain, issuer, attempts, heard)
    }

    fn conclude(
        &self,
        out: &mut dyn Write,
        chain: &CertChain,
        issuer: String,
        attempts: Vec<Attempt>,
        heard: Option<Heard>,
    ) -> Result<u8, CommandError> {
        let verdict = match (&heard, attempts.first()) {
            (Some(heard), _) => {
                let requirements = HaproxySink::default_requirements();
                Verdict::of(&heard.judged, &heard.response, chain, SystemClock.now(), &requirements)
            }
            (None, Some(first)) => Verdict::invalid(
                ReasonCode::new(first.outcome),
                format!("nobody answered: {}", first.detail.as_deref().unwrap_or(first.outcome)),
            )
            .about(chain),
            (None, None) => {
                let what =
                    "the certificate names no OCSP responder: name one with --url; servers need no staple for it";
                Verdict::invalid(ReasonCode::new("no_ocsp_url"), what).about(chain)
            }
        };
        let mut code = if heard.is_some() { exit_code(&verdict) } else { UNANSWERED };
        let is_good = heard.as_ref().is_some_and(|heard| heard.is_good());
        let mut saved = None;
        let mut unsaved = None;
        if let (Some(path), Some(heard)) = (&self.output, heard.as_ref().filter(|_| is_good || self.save_any)) {
            match save(path, heard.to_save()) {
                Ok(()) => saved = Some(path.display().to_string()),
                Err(error) => {
                    code = UNANSWERED;
                    unsaved = Some(format!("{} cannot be written: {error}", path.display()));
                }
            }
        }
        let mut removed = None;
        let is_revoked = heard.as_ref().is_some_and(Heard::is_revoked);
        if let (Some(path), true, None) = (&self.output, is_revoked, &saved) {
            match remove_staple(path, chain) {
                Ok(true) => removed = Some(path.display().to_string()),
                Ok(false) => {}
                Err(error) => {
                    code = UNANSWERED;
                    unsaved = Some(format!(
                        "{} holds a staple of this certificate, which is revoked, and cannot be removed: {error}; remove it",
                        path.display()
                    ));
                }
            }
        }
        let url = heard.map(|heard| heard.url);
        let text = if self.json {
            let certificate = Some(chain.end_entity().name().to_owned());
            json_line(&Found { certificate, issuer: Some(issuer), attempts, url, saved, removed, verdict })
        } else {
            let mut text = match &url {
                Some(_) => in_words(&verdict),
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
        if let Some(unsaved) = unsaved {
            say(&unsaved);
        }
        Ok(code)
    }

    /// The chain, and where its issuer was found.
    async fn find_issuer(
        &self,
        end_entity: &Arc<Certificate>,
        certificate: &[u8],
        fetcher: &HttpFetcher,
    ) -> Result<Result<(Arc<CertChain>, String), (&'static str, String)>, CommandError> {
        let mut search = IssuerSearch::new(end_entity);
        let mut chain_of = |bytes: &[u8]| {
            let certificates = Bundle::read_issuers(bytes).map(|bundle| bundle.certificates).unwrap_or_default();
            let certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
            let chain = search.among(&certificates).map(Arc::new);
            (chain, search.error().map(|error| (error.code().as_str(), error.to_string())))
        };
        if let Some(path) = &self.issuer {
            let Input::Bytes(bytes) = input::read(path)? else {
                return Ok(Err(("too_large", format!("--issuer: more than {MAX_FILE} bytes"))));
            };
            return Ok(match (chain_of(&bytes), Bundle::read_issuers(&bytes)) {
                ((Some(chain), _), _) => Ok((chain, input::name(path))),
                ((None, Some(unsupported)), _) => Err(unsupported),
                ((None, None), Err(error)) => {
                    Err(("malformed", format!("the issuer's certificate cannot be read: {error}")))
                }
                ((None, None), Ok(_)) => Err((
                    "wrong_issuer",
                    format!("{} was issued by none of the certificates in {}", end_entity.name(), input::name(path)),
                )),
            });
        }
        let mut unsupported = match chain_of(certificate) {
            (Some(chain), _) => return Ok(Ok((chain, input::name(&self.cert)))),
            (None, error) => error,
        };
        let beside = issuer_file_of(&self.cert);
        if let Ok(Input::Bytes(bytes)) = input::read(&beside) {
            match chain_of(&bytes) {
                (Some(chain), _) => return Ok(Ok((chain, beside.display().to_string()))),
                (None, error) => unsupported = unsupported.or(error),
            }
        }
        let mut tried = Vec::new();
        for url in end_entity.ca_issuers_urls() {
            match fetcher.fetch_issuer(url, MAX_ISSUER).await {
                Ok(bytes) => match chain_of(&bytes) {
                    (Some(chain), _) => return Ok(Ok((chain, url.clone()))),
                    (None, error) => {
                        unsupported = unsupported.or(error);
                        tried.push(format!("{url}: no certificate that issued it"));
                    }
                },
                Err(error) => tried.push(error.to_string()),
            }
        }
        if let Some(unsupported) = unsupported {
            return Ok(Err(unsupported));
        }
        let tried =
            if tried.is_empty() { "the certificate says nowhere to fetch it".to_owned() } else { tried.join("; ") };
        let what = format!(
            "the certificate of its issuer is neither in {} nor in {}, and cannot be fetched ({tried}): name it with \
             --issuer",
            input::name(&self.cert),
            beside.display()
        );
        Ok(Err(("issuer_missing", what)))
    }

    /// Says why nothing was asked.
    fn end_early(&self, out: &mut dyn Write, code: &'static str, detail: String) -> Result<u8, CommandError> {
        let verdict = Verdict::invalid(ReasonCode::new(code), detail);
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
            in_words(&verdict)
        };
        answer(out, &text, exit)
    }

    fn say(&self, out: &mut dyn Write, text: &str) -> Result<(), CommandError> {
        answer(out, text, UNANSWERED).map(drop)
    }
}

impl Asker<'_> {
    /// Asks one responder, telling each attempt; returns the best that was heard.
    async fn ask(&self, url: &str, mut tell: impl FnMut(Attempt)) -> Option<Heard> {
        let mut inquiry = Inquiry::new(self.chain, url, self.hashes).methods(self.methods);
        let mut heard = None;
        loop {
            let nonce = self.nonce.then(rand::random::<[u8; NONCE_LENGTH]>);
            let nonce = nonce.as_ref().map(<[u8; NONCE_LENGTH]>::as_slice);
            // The CertID is made of hashes: it encodes.
            let Ok(question) = inquiry.question(nonce) else { return heard };
            let (attempt, outcome) = self.attempt(url, &question).await;
            tell(attempt);
            let trouble = match outcome {
                Ok(of_this) => {
                    let trouble = of_this.trouble.clone();
                    heard = better(heard, Some(of_this));
                    trouble
                }
                Err(error) => Some(error.into()),
            };
            match trouble {
                Some(trouble) if inquiry.refused(question.method, &trouble) => {}
                _ => return heard,
            }
        }
    }

    /// One question.
    async fn attempt(&self, url: &str, question: &NextQuestion) -> (Attempt, Result<Heard, FetchError>) {
        let NextQuestion { request, method, hash, .. } = question;
        let began = Instant::now();
        let asked = Question { chain: self.chain, request, method: *method, url, etag: None };
        let answer = self.fetcher.fetch(&asked).await;
        let mut attempt = Attempt {
            url: without_credentials(url),
            address: None,
            method: match method {
                Method::Get => "GET",
                Method::Post => "POST",
            },
            hash: hash.name(),
            http_status: None,
            content_type: None,
            milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes: None,
            outcome: "good",
            detail: None,
        };
        match answer {
            Ok(answer) => {
                let response = answer.body.clone().unwrap_or_default();
                let now = SystemClock.now();
                let judged =
                    Judge::new(self.chain).at(now).policy(&self.policy).nonce(request.nonce()).judge(response.clone());
                attempt.http_status = Some(200);
                attempt.bytes = Some(response.len());
                attempt.address = answer.from.map(|address| address.ip().to_string());
                let trouble = match &judged {
                    Ok(judgement) if judgement.status == CertStatus::Unknown => Some(Trouble::Unknown),
                    Ok(_) => None,
                    Err(refusal) => Some(Trouble::with_answer(refusal.clone(), &answer)),
                };
                match &judged {
                    Ok(judgement) => attempt.outcome = status_name(judgement.status),
                    Err(refusal) => {
                        attempt.outcome = refusal.code().as_str();
                        attempt.detail = trouble.as_ref().map(Trouble::to_string);
                    }
                }
                attempt.content_type = answer.content_type;
                (attempt, Ok(Heard { url: without_credentials(url), response, judged, trouble }))
            }
            Err(error) => {
                if let FetchError::Status { status, .. } = &error {
                    attempt.http_status = Some(*status);
                }
                attempt.outcome = error.code().as_str();
                attempt.detail = Some(error.to_string());
                (attempt, Err(error))
            }
        }
    }
}

impl Attempt {
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

impl Heard {
    fn is_good(&self) -> bool {
        matches!(&self.judged, Ok(judgement) if judgement.status == CertStatus::Good)
    }

    fn is_revoked(&self) -> bool {
        matches!(&self.judged, Ok(judgement) if matches!(judgement.status, CertStatus::Revoked { .. }))
    }

    /// The staple where it is one, in its smallest form; otherwise what came.
    fn to_save(&self) -> &[u8] {
        let staple = self.judged.as_ref().ok().and_then(Judgement::staple);
        staple.map_or(self.response.as_ref(), |staple| staple.response())
    }

    /// Whether no other responder needs to be asked.
    fn is_believed(&self) -> bool {
        matches!(&self.judged, Ok(judgement) if judgement.status != CertStatus::Unknown)
    }

    fn rank(&self) -> u8 {
        match &self.judged {
            Err(_) => 0,
            Ok(_) if !self.is_believed() => 1,
            Ok(_) => 2,
        }
    }
}

/// Of two answers the one that says more; of equals the first.
fn better(one: Option<Heard>, other: Option<Heard>) -> Option<Heard> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.rank() > one.rank() { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn status_name(status: CertStatus) -> &'static str {
    match status {
        CertStatus::Good => "good",
        CertStatus::Revoked { .. } => "revoked",
        _ => "unknown",
    }
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
