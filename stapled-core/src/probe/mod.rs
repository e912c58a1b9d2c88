//! What a client of a TLS server gets: a handshake with `status_request`, the chain, and the staple, judged as everywhere in
//! this project.
//!
//! A [`Probe`] records what the server sends, and trusts nothing: the chain is verified only where roots are given. The
//! handshake is that of TLS 1.2 or 1.3, over TCP or a unix socket, at once or after [`StartTls`].

mod handshake;
pub mod report;
pub mod starttls;
mod stream;
pub mod target;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;

use crate::certificate::Certificate;
use crate::clock::{Clock, SystemClock};
use crate::lookup::search::IssuerSearch;
use crate::reason::ReasonCode;
use crate::sink::Requirements;
use crate::staple::{Judge, JudgePolicy};
use crate::time::Timestamp;
use crate::verdict::Verdict;

use handshake::Hello;
use report::{Findings, Probed};
use starttls::StartTls;
use stream::Deadline;
use target::Target;

/// A client that records what a TLS server sends.
///
/// ```no_run
/// use stapled_core::probe::Probe;
/// use stapled_core::probe::target::Target;
///
/// # fn example(provider: rustls::crypto::CryptoProvider) {
/// let probe = Probe::new(provider);
/// let target: Target = "www.example.org:443".parse().expect("host and port");
/// for probed in probe.run(&target) {
///     println!("{probed}");
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Probe {
    provider: Arc<CryptoProvider>,
    server_name: Option<String>,
    starttls: Option<StartTls>,
    versions: Versions,
    timeout: Duration,
    issuers: Vec<Arc<Certificate>>,
    roots: Option<Vec<Arc<Certificate>>>,
    policy: JudgePolicy,
}

/// The versions of TLS that the client offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Versions {
    #[default]
    All,
    Only12,
}

impl Probe {
    /// A client with this provider of cryptography, which waits 10 s for each address and checks no trust.
    pub fn new(provider: impl Into<Arc<CryptoProvider>>) -> Self {
        Probe {
            provider: provider.into(),
            server_name: None,
            starttls: None,
            versions: Versions::All,
            timeout: Duration::from_secs(10),
            issuers: Vec::new(),
            roots: None,
            policy: JudgePolicy::default(),
        }
    }

    /// The name that the client asks for (SNI). Without it: the host of the target.
    pub fn server_name(self, name: impl Into<String>) -> Self {
        Probe { server_name: Some(name.into()), ..self }
    }

    /// Begins in plain text with this protocol, and goes over to TLS.
    pub fn starttls(self, starttls: StartTls) -> Self {
        Probe { starttls: Some(starttls), ..self }
    }

    /// Offers TLS 1.2 alone.
    pub fn tls12_only(self) -> Self {
        Probe { versions: Versions::Only12, ..self }
    }

    /// How long one address may take, from the connection to the end of the handshake.
    pub fn timeout(self, timeout: Duration) -> Self {
        Probe { timeout, ..self }
    }

    /// Certificates among which the issuer is looked for, after those that the server sends.
    pub fn issuers(self, issuers: impl IntoIterator<Item = Certificate>) -> Self {
        Probe { issuers: issuers.into_iter().map(Arc::new).collect(), ..self }
    }

    /// The roots that the client trusts. Without them, trust is not checked.
    pub fn roots(self, roots: impl IntoIterator<Item = Certificate>) -> Self {
        Probe { roots: Some(roots.into_iter().map(Arc::new).collect()), ..self }
    }

    /// The rules by which the staple is judged.
    pub fn policy(self, policy: JudgePolicy) -> Self {
        Probe { policy, ..self }
    }

    /// Makes a handshake with every address of the target, one after the other, and judges what came. Blocks for the timeout of
    /// each address at most, after the name is resolved.
    pub fn run(&self, target: &Target) -> Vec<Probed> {
        let name = self.server_name.clone().unwrap_or_else(|| target.host().to_owned());
        let probed = |address, findings| Probed::new(target, address, &name, findings);
        let addresses = match target.addresses(self.starttls) {
            Ok(addresses) => addresses,
            Err(error) => return vec![probed(None, Err(error.to_string()))],
        };
        let mut all: Vec<Probed> = addresses
            .into_iter()
            .map(|address| {
                let text = address.to_string();
                let hello = Deadline::connect(&address, self.timeout).map_err(|error| error.to_string());
                let hello = hello.and_then(|stream| self.handshake(stream, &name));
                probed(Some(text), hello.map(|hello| self.judge(hello, SystemClock.now())))
            })
            .collect();
        // As a client does, which takes another address: those without an answer do not count if one answers.
        if all.iter().any(Probed::is_reached) {
            all.iter_mut().filter(|one| !one.is_reached()).for_each(Probed::pass_over);
        }
        all
    }

    fn handshake(&self, mut stream: Deadline, name: &str) -> Result<Hello, String> {
        if let Some(starttls) = self.starttls {
            starttls.begin(&mut stream).map_err(|error| error.to_string())?;
        }
        let roots = self.roots.as_deref();
        handshake::with(&mut stream, name, Arc::clone(&self.provider), self.versions == Versions::Only12, roots)
    }

    /// Judges the staple for the chain that the server sent.
    fn judge(&self, hello: Hello, at: Timestamp) -> Findings {
        let certificate = |der: &Vec<u8>| Certificate::from_der(der).map(Arc::new);
        let chain: Vec<Arc<Certificate>> = hello.certificates.iter().filter_map(|der| certificate(der).ok()).collect();
        let served = hello.certificates.first().map(certificate);
        let verdict = match (&served, &hello.staple) {
            (_, None) => None,
            (None, _) => Some(Verdict::invalid(ReasonCode::new("malformed"), "the server sent no certificate")),
            (Some(Err(error)), _) => {
                let what = format!("the server's certificate cannot be read: {error}");
                Some(Verdict::invalid(ReasonCode::new("malformed"), what))
            }
            (Some(Ok(end_entity)), Some(staple)) => {
                let mut search = IssuerSearch::new(end_entity);
                let roots = self.roots.as_deref().unwrap_or_default();
                let found = [chain.get(1..).unwrap_or_default(), &self.issuers, roots]
                    .into_iter()
                    .find_map(|candidates| search.among(candidates));
                Some(match found {
                    Some(found) => {
                        let judged = Judge::new(&found).at(at).policy(&self.policy).judge(staple.clone());
                        Verdict::of(&judged, staple, &found, at, &Requirements::default())
                    }
                    None => {
                        let what = format!(
                            "the server sent no certificate of the issuer \"{}\": give it as a file",
                            end_entity.issuer_name()
                        );
                        Verdict::invalid(ReasonCode::new("issuer_missing"), what)
                    }
                })
            }
        };
        Findings {
            must_staple: served.as_ref().is_some_and(|served| served.as_ref().is_ok_and(|one| one.must_staple())),
            protocol: hello.protocol,
            cipher: hello.cipher,
            chain,
            trust: hello.trust,
            handshake_error: hello.error,
            staple: hello.staple,
            verdict,
            at,
        }
    }
}
