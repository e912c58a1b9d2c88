//! The OCSP responder: answers for what its authorities issued, over HTTP.
//!
//! Answers are signed when they are first asked for and kept until half of
//! their validity is over or the status changes. A nonce is ignored, as
//! responders with prepared answers do, unless it is told to echo it.

mod access;
mod answer;
mod http;
mod server;

pub use access::{Access, AccessObserver, Outcome, Tally};
pub use answer::{Responder, UnknownSerial};
pub use http::Question;
pub(crate) use http::{percent_decode, request_in_path};
pub use server::{Limits, RunningResponder};

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::authority::Authority;
use crate::clock;
use crate::ocsp::{HashAlgorithm, Signer};

/// What a responder shall do, before it does it.
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
    pub(crate) served: Vec<Served>,
    pub(crate) policy: Policy,
    pub(crate) observer: Option<Arc<dyn AccessObserver>>,
    pub(crate) clock: Clock,
    limits: Limits,
    threads: usize,
}

/// Unix seconds, from wherever.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) authority: Authority,
    pub(crate) signer: Signer,
}

#[derive(Debug)]
pub(crate) struct Policy {
    /// Seconds; may change while it answers.
    pub(crate) validity: AtomicU64,
    pub(crate) backdate: Duration,
    pub(crate) unknown_serial: UnknownSerial,
    pub(crate) echo_nonce: bool,
    pub(crate) prepare: bool,
    pub(crate) responder_by_name: bool,
}

impl Responder {
    /// A responder for no authority yet.
    pub fn builder() -> ResponderBuilder {
        ResponderBuilder {
            served: Vec::new(),
            policy: Policy {
                validity: AtomicU64::new(7 * 86_400),
                backdate: Duration::ZERO,
                unknown_serial: UnknownSerial::default(),
                echo_nonce: false,
                prepare: true,
                responder_by_name: false,
            },
            observer: None,
            clock: Arc::new(clock::now),
            limits: Limits::default(),
            threads: 1,
        }
    }
}

impl ResponderBuilder {
    /// Answers for this authority; the authority itself signs.
    pub fn authority(self, authority: &Authority) -> Self {
        let signer = authority.signer();
        self.delegated(authority, signer)
    }

    /// Answers for this authority; the delegate signs.
    pub fn delegated(mut self, authority: &Authority, delegate: Signer) -> Self {
        self.served.push(Served { authority: authority.clone(), signer: delegate });
        self
    }

    /// How long after signing nextUpdate lies; seven days if not said.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.policy.validity = AtomicU64::new(validity.as_secs());
        self
    }

    /// How long before signing thisUpdate lies, for clients whose clock is
    /// slow; not at all if not said.
    pub fn backdate(mut self, backdate: Duration) -> Self {
        self.policy.backdate = backdate;
        self
    }

    /// What to say of a serial number that was never issued.
    pub fn unknown_serial(mut self, answer: UnknownSerial) -> Self {
        self.policy.unknown_serial = answer;
        self
    }

    /// Whether a nonce is echoed, which takes a signature for each request.
    pub fn echo_nonce(mut self, echo: bool) -> Self {
        self.policy.echo_nonce = echo;
        self
    }

    /// Whether answers are kept; otherwise each is signed for its request.
    pub fn prepare(mut self, prepare: bool) -> Self {
        self.policy.prepare = prepare;
        self
    }

    /// Whether the responder calls itself by name instead of by key.
    pub fn responder_by_name(mut self, by_name: bool) -> Self {
        self.policy.responder_by_name = by_name;
        self
    }

    /// Is told of every question.
    pub fn observer(mut self, observer: Arc<dyn AccessObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Takes the time from elsewhere than the system.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds on what clients may do.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many threads answer; one if not said.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The responder without a server round it.
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
        Responder::assemble(self, by_issuer)
    }

    /// Listens on `address` (port 0: any free one) and answers on threads of
    /// its own until the returned value is dropped.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread be started.
    pub fn start(self, address: SocketAddr) -> std::io::Result<RunningResponder> {
        let (limits, threads) = (self.limits.clone(), self.threads);
        server::start(Arc::new(self.build()), address, limits, threads)
    }
}
