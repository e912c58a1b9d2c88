//! What clients do: submit, challenges, ready, fetch, thanks.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use stapled_ca::session::{Client, ClientError, Place, SessionId, Shown, ShownChallenge, SubmitKey};
use stapled_ca::store;
use tokio::time::Instant;

use crate::failure::Failure;

/// How often a client looks after its session.
const INTERVAL: Duration = Duration::from_millis(250);
/// The longest `--wait`, in seconds.
const LONGEST_WAIT: u64 = 86_400;
/// Where a web server has the files of http-01.
const CHALLENGES: &str = ".well-known/acme-challenge";
const HTTP_01: &str = "http-01";

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The intake of the authority, for example http://ca.example.org:8880
    #[arg(long, value_name = "URL")]
    server: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    server: Server,
    /// The certificate request, PEM or DER
    #[arg(value_name = "CSR")]
    csr: PathBuf,
    /// Write the files of http-01 below this directory, say ready, and wait for the certificate
    #[arg(long, value_name = "DIR", requires = "out")]
    webroot: Option<PathBuf>,
    /// The file for the certificate with its chain (with --webroot)
    #[arg(long, short, value_name = "FILE", requires = "webroot")]
    out: Option<PathBuf>,
    /// The key of the submission: with the same key and request, a submission that is repeated leads to the same session
    /// [default: 128 random bits]
    #[arg(long, value_name = "KEY")]
    key: Option<SubmitKey>,
    /// How long to wait for the certificate, in seconds: at most a day
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(..=LONGEST_WAIT))]
    wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Challenges {
    #[command(flatten)]
    server: Server,
    /// The session, as `submit` printed it
    session: SessionId,
    /// Print the session as one JSON object
    #[arg(long)]
    json: bool,
    /// How long to wait until the challenges are made, in seconds: at most a day
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=LONGEST_WAIT))]
    wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Ready {
    #[command(flatten)]
    server: Server,
    /// The session
    session: SessionId,
    /// The numbers of the challenges to test [default: all]
    numbers: Vec<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    #[command(flatten)]
    server: Server,
    /// The session
    session: SessionId,
    /// The file for the certificate with its chain
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// How long to wait for the certificate, in seconds: at most a day
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LONGEST_WAIT))]
    wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Thanks {
    #[command(flatten)]
    server: Server,
    /// The session
    session: SessionId,
}

impl Submit {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        // Mistakes are told before there is a session, or a certificate that nobody gets.
        self.webroot.as_deref().map_or(Ok(()), existing_webroot)?;
        self.out.as_deref().map_or(Ok(()), writable)?;
        let client = Client::new(self.server.server);
        let until = Instant::now() + Duration::from_secs(self.wait);
        let key = self.key.map_or_else(SubmitKey::random, Ok).map_err(|_| Failure::Randomness)?;
        let session = submitted(&client, &store::read(&self.csr)?, &key, until).await?;
        writeln!(out, "{session} submitted")?;
        out.flush()?;
        let (Some(webroot), Some(file)) = (self.webroot, self.out) else { return Ok(()) };
        let made = Files::default();
        let certificate = certified(&client, &session, &webroot, made, until).await?;
        store::replace(&file, &certificate, store::READABLE)?;
        // Thanks are advisory.
        if let Err(error) = client.thanks(&session).await {
            tracing::info!(%error, "the thanks did not arrive");
        }
        writeln!(out, "{session} certificate in {}", file.display())?;
        Ok(())
    }
}

/// The directory of a web server exists. One that is made here would be nobody's.
fn existing_webroot(path: &Path) -> Result<(), Failure> {
    if path.is_dir() { Ok(()) } else { Err(Failure::NoWebroot { path: path.to_owned() }) }
}

/// A file can be written at this path, as far as can be seen.
fn writable(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let wrong = |what| Err(Failure::Out { path: path.to_owned(), what });
    if path.is_dir() {
        return wrong("it is a directory");
    }
    if folder.is_dir() { Ok(()) } else { wrong("its directory does not exist") }
}

/// Submits a request. A server that ends before it answers may have made the session, so the same submission is repeated with its
/// key. A server that is away is waited for.
async fn submitted(client: &Client, request: &[u8], key: &SubmitKey, until: Instant) -> Result<SessionId, ClientError> {
    let (mut was_there, mut is_told) = (false, false);
    loop {
        match client.submit(request.to_vec(), key).await {
            Err(ClientError::Exchange { .. }) if Instant::now() < until => was_there = true,
            Err(error @ ClientError::Connect { .. }) if Instant::now() < until => {
                if !is_told {
                    tracing::warn!("{error}; trying again until the time of --wait is over");
                    is_told = true;
                }
            }
            // The server may still decide about the first submission, or be on its way back.
            Err(error) if was_there && error.is_passing() && Instant::now() < until => {}
            result => return result,
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Passes the challenges of a session and waits for its certificate.
async fn certified(
    client: &Client,
    session: &SessionId,
    webroot: &Path,
    mut files: Files,
    until: Instant,
) -> Result<bytes::Bytes, Failure> {
    let mut told = None;
    loop {
        match client.show(session).await {
            Ok(shown) if shown.issued => match client.certificate(session).await {
                Ok(Some(certificate)) => return Ok(certificate),
                Ok(None) => {}
                Err(error) if error.is_passing() => tracing::debug!(%error, "no answer"),
                Err(error) => return Err(error.into()),
            },
            Ok(shown) if !shown.live => return Err(dead(shown)),
            // Ready once for each round: after a round that failed, the client may have mended what was wrong.
            Ok(shown) if shown.state == "testchallenge" && told != Some(shown.attempts) => {
                if let Some(reason) = shown.reason.as_ref().filter(|_| told.is_some()) {
                    tracing::warn!("{reason}; trying again");
                    tokio::time::sleep(INTERVAL * 4).await;
                }
                let numbers = files.put(webroot, &shown.challenges)?;
                match client.ready(session, Some(&numbers)).await {
                    Ok(()) => told = Some(shown.attempts),
                    Err(error) if error.is_passing() => {}
                    // The next look at the session shows why.
                    Err(ClientError::Refused { code, .. }) if code == "wrong_state" || code == "expired" => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(_) => {}
            // The server is away: it comes back, and the session with it.
            Err(error) if error.is_passing() => tracing::debug!(%error, "no answer"),
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Err(Failure::Late { session: session.to_string() });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn dead(shown: Shown) -> Failure {
    let reason = shown.reason.unwrap_or_else(|| "no reason is known".to_owned());
    if shown.state == "expired" {
        return Failure::Expired { session: shown.session, reason };
    }
    Failure::Dead { session: shown.session, state: shown.state, reason }
}

/// The files of http-01, which are removed in the end.
#[derive(Default)]
struct Files(Vec<PathBuf>);

impl Files {
    /// Writes the files of all http-01 challenges. Returns the numbers of the challenges.
    fn put(&mut self, webroot: &Path, challenges: &[ShownChallenge]) -> Result<Vec<usize>, Failure> {
        let folder = webroot.join(CHALLENGES);
        let cannot = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| Failure::Webroot { path, source }
        };
        fs::create_dir_all(&folder).map_err(cannot(&folder))?;
        let mut numbers = Vec::new();
        for challenge in challenges.iter().filter(|challenge| challenge.r#type == HTTP_01) {
            // The token becomes the name of a file.
            let is_token = |token: &str| {
                (1..=255).contains(&token.len())
                    && token.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
            };
            if !is_token(&challenge.token) {
                return Err(Failure::Token);
            }
            let path = folder.join(&challenge.token);
            if !self.0.contains(&path) {
                store::replace(&path, challenge.authorization.as_bytes(), store::READABLE)?;
                // A restrictive umask must not keep the web server from reading it.
                fs::set_permissions(&path, fs::Permissions::from_mode(store::READABLE)).map_err(cannot(&path))?;
                self.0.push(path);
            }
            numbers.push(challenge.number);
        }
        Ok(numbers)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

impl Challenges {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let client = Client::new(self.server.server);
        let until = Instant::now() + Duration::from_secs(self.wait);
        let shown = loop {
            let shown = client.show(&self.session).await?;
            if shown.state != "makechallenge" || Instant::now() >= until {
                break shown;
            }
            tokio::time::sleep(INTERVAL).await;
        };
        if self.json {
            serde_json::to_writer(&mut *out, &shown)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(out, "{} {}", shown.session, shown.state)?;
        if let Some(reason) = &shown.reason {
            writeln!(out, "reason: {reason}")?;
        }
        for challenge in &shown.challenges {
            let ShownChallenge { number, r#type: kind, name, token, authorization, .. } = challenge;
            let passed = if challenge.satisfied { " satisfied" } else { "" };
            writeln!(out, "{number} {kind} {name} {token} {authorization}{passed}")?;
        }
        Ok(())
    }
}

impl Ready {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let numbers = (!self.numbers.is_empty()).then_some(self.numbers.as_slice());
        Client::new(self.server.server).ready(&self.session, numbers).await?;
        writeln!(out, "{} ready", self.session)?;
        Ok(())
    }
}

impl Fetch {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        writable(&self.out)?;
        let client = Client::new(self.server.server);
        let until = Instant::now() + Duration::from_secs(self.wait);
        let certificate = loop {
            let is_over = Instant::now() >= until;
            match client.certificate(&self.session).await {
                Ok(Some(certificate)) => break certificate,
                Ok(None) => match client.show(&self.session).await {
                    Ok(shown) if !shown.live => return Err(dead(shown)),
                    Ok(_) if is_over => return Err(Failure::Late { session: self.session.to_string() }),
                    Ok(_) => {}
                    Err(error) if error.is_passing() && !is_over => {}
                    Err(error) => return Err(error.into()),
                },
                // The server is away: it comes back, and the session with it.
                Err(error) if error.is_passing() && !is_over => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(INTERVAL).await;
        };
        store::replace(&self.out, &certificate, store::READABLE)?;
        writeln!(out, "{} certificate in {}", self.session, self.out.display())?;
        Ok(())
    }
}

impl Thanks {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        Client::new(self.server.server).thanks(&self.session).await?;
        writeln!(out, "{} thanked", self.session)?;
        Ok(())
    }
}
