//! Builds a responder.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::authority::Authority;
use crate::clock;
use crate::error::AuthorityError;
use crate::hash::HashAlgorithm;
use crate::http_server::Limits;
use crate::ocsp::Signer;
use crate::responder::access::AccessObserver;
use crate::responder::answer::Responder;
use crate::responder::file_names::{self, Named, SameFileName};
use crate::responder::policy::{Clock, Policy, UnknownSerial};
use crate::responder::served::Served;
use crate::responder::server::{self, RunningResponder};

/// Builds a responder.
///
/// ```
/// use stapled_ca::{Authority, Responder};
///
/// let ca = Authority::root("Example CA").create()?;
/// let running = Responder::builder().authority(&ca).start("127.0.0.1:0".parse()?)?;
/// println!("OCSP at {}", running.url());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ResponderBuilder {
    served: Vec<Served>,
    policy: Policy,
    observer: Option<Arc<dyn AccessObserver>>,
    clock: Clock,
    limits: Limits,
    threads: usize,
}

impl Responder {
    /// Builds a responder. It answers for no authority yet.
    pub fn builder() -> ResponderBuilder {
        ResponderBuilder {
            served: Vec::new(),
            policy: Policy::default(),
            observer: None,
            clock: Arc::new(clock::now),
            limits: Limits::default(),
            threads: 1,
        }
    }
}

impl ResponderBuilder {
    /// Answers for this authority, which signs the responses itself.
    pub fn authority(self, authority: &Authority) -> Self {
        let signer = authority.signer();
        self.delegated(authority, signer)
    }

    /// Answers for this authority. The delegate signs the responses.
    pub fn delegated(mut self, authority: &Authority, delegate: Signer) -> Self {
        self.served.push(Served::new(authority.clone(), delegate));
        self
    }

    /// Answers for this authority. The delegate in its directory signs the responses. The thread of [`Responder::upkeep`], and
    /// [`Responder::write_responses`], issue and install a new one after two thirds of its validity.
    ///
    /// # Errors
    /// When the directory has no delegated responder, or its files cannot be read.
    pub fn installed_delegate(mut self, authority: &Authority) -> Result<Self, AuthorityError> {
        self.served.push(Served::by_installed_delegate(authority.clone())?);
        Ok(self)
    }

    /// The time from signing to nextUpdate. Default: seven days.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.policy.validity = AtomicU64::new(validity.as_secs());
        self
    }

    /// The time from thisUpdate to signing, for clients with a slow clock. Default: zero.
    pub fn backdate(mut self, backdate: Duration) -> Self {
        self.policy.backdate = backdate;
        self
    }

    /// The answer for a serial number that was never issued. Default: `unknown`.
    pub fn unknown_serial(mut self, answer: UnknownSerial) -> Self {
        self.policy.unknown_serial = answer;
        self
    }

    /// Whether a nonce is echoed. Then each request needs a signature. Default: false.
    pub fn echo_nonce(mut self, echo: bool) -> Self {
        self.policy.echo_nonce = echo;
        self
    }

    /// Whether signed responses are kept and used again. Default: true.
    pub fn prepare(mut self, prepare: bool) -> Self {
        self.policy.prepare = prepare;
        self
    }

    /// Whether the ResponderID is the name of the signer instead of its key. Default: false.
    pub fn responder_by_name(mut self, by_name: bool) -> Self {
        self.policy.responder_by_name = by_name;
        self
    }

    /// Whether the first question about each certificate is written into the ledger of its authority, if that is a file: a
    /// sign that a server has the certificate. Default: false.
    pub fn record_first_questions(mut self, record: bool) -> Self {
        self.policy.record_first_questions = record;
        self
    }

    /// Signs responses about all certificates that have not expired in advance, but at most this number of responses; two for each
    /// certificate. The thread of [`Responder::upkeep`] signs them. Default: 0, so a response is signed when it is first asked for.
    pub fn presign(mut self, most: usize) -> Self {
        self.policy.presign = most;
        self
    }

    /// Publishes a certificate revocation list of each authority beside its certificate, at `/NAME.crl`. It is valid for this time,
    /// and signed anew after a revocation and at half of its validity, by the thread of [`Responder::upkeep`]. Default: none is
    /// published.
    pub fn publish_crls(mut self, validity: Duration) -> Self {
        self.policy.crl_validity = Some(validity);
        self
    }

    /// Reports every question to this observer.
    pub fn observer(mut self, observer: Arc<dyn AccessObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Uses this clock. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Limits what clients may do.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The number of threads that answer. Default: one.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Refuses authorities whose files have the same name: `NAME.crt` and `NAME.crl`, and `ca.crt` and `ca.crl` of the first one.
    ///
    /// # Errors
    /// The first two such authorities.
    pub fn check_file_names(&self) -> Result<(), SameFileName> {
        let named = self.served.iter().enumerate().map(|(place, served)| {
            let name = served.authority.name().to_owned();
            let shown = match served.authority.directory() {
                Some(directory) => format!("{name} in {}", directory.display()),
                None => name.clone(),
            };
            Named { name, shown, identity: place }
        });
        file_names::check(&named.collect::<Vec<_>>())
    }

    /// Builds the responder without a server.
    #[must_use]
    pub fn build(self) -> Responder {
        let mut by_issuer = HashMap::new();
        for (position, served) in self.served.iter().enumerate() {
            let identity = served.authority.identity();
            for hash in HashAlgorithm::ALL {
                let issuer = (hash, hash.digest(&identity.name), hash.digest(&identity.public_key));
                by_issuer.entry(issuer).or_insert(position);
            }
        }
        Responder::assemble(self.served, by_issuer, self.policy, self.observer, self.clock)
    }

    /// Starts a server on `address` with threads of its own. Port 0 chooses a free port. The server stops when the
    /// returned value is dropped.
    ///
    /// # Errors
    /// When the address cannot be bound, or a thread cannot be started.
    pub fn start(self, address: SocketAddr) -> std::io::Result<RunningResponder> {
        let (limits, threads) = (self.limits.clone(), self.threads);
        let responder = Arc::new(self.build());
        let upkeep = responder.upkeep()?;
        server::start(responder, upkeep, address, limits, threads)
    }
}
