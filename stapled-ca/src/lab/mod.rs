//! A responder that fails on command, for tests and laboratories.
//!
//! Everything wrong is done here and only here; [`crate::Responder`], which a
//! lab has inside for its right answers, knows nothing of it.

mod control;
mod fault;
mod message;
mod state;
mod wire;
mod wrong;

pub use fault::{Fault, FaultError};
pub use state::LabRequest;

use std::borrow::Borrow;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::background::{Background, stopped};
use crate::error::AuthorityError;
use crate::ledger::{Reason, Record, Status};
use crate::ocsp::Signer;
use crate::responder::{Responder, ResponderBuilder, UnknownSerial};
use crate::serial::Serial;
use crate::store::StoreError;
use state::State;
use wrong::Impostors;

/// A running lab. Dropping it stops it.
///
/// ```
/// use stapled_ca::lab::{Fault, Lab};
/// use stapled_ca::{Authority, Profile};
///
/// let ca = Authority::root("Lab CA").create()?;
/// let lab = Lab::start([&ca])?;
/// let issued = ca.issue(&Profile::server("example.org").ocsp_url(lab.url()))?;
/// lab.fault(issued.serial(), Fault::TryLater);
/// lab.clear(issued.serial());
/// assert_eq!(lab.requests().len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lab {
    address: SocketAddr,
    bench: Arc<Bench>,
    _background: Background,
}

/// A lab before it runs.
#[must_use]
pub struct LabBuilder {
    responder: ResponderBuilder,
    address: SocketAddr,
    control: bool,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Bench {
    responder: Responder,
    state: State,
    impostors: Impostors,
    control: bool,
    address: SocketAddr,
}

impl Lab {
    /// Starts a lab for these authorities on a free port of 127.0.0.1. They
    /// sign themselves; what they issue later is answered for, too.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start<A: Borrow<Authority>>(authorities: impl IntoIterator<Item = A>) -> io::Result<Self> {
        let lab = authorities.into_iter().fold(Self::builder(), |lab, authority| lab.authority(authority.borrow()));
        lab.start()
    }

    /// A lab with more to say about it.
    pub fn builder() -> LabBuilder {
        LabBuilder {
            // Each answer is signed anew, so that each is newer than the last.
            responder: Responder::builder().prepare(false),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            control: false,
        }
    }

    /// Its OCSP URL, with a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fails every question for this certificate, until cleared.
    pub fn fault(&self, serial: &Serial, fault: Fault) {
        self.bench.state.set(Some(serial), fault, None);
    }

    /// Fails the next `times` questions for this certificate.
    pub fn fault_times(&self, serial: &Serial, fault: Fault, times: u32) {
        self.bench.state.set(Some(serial), fault, Some(times));
    }

    /// Fails every question for certificates without a fault of their own.
    pub fn fault_all(&self, fault: Fault) {
        self.bench.state.set(None, fault, None);
    }

    /// Fails the next `times` questions for certificates without a fault of
    /// their own.
    pub fn fault_all_times(&self, fault: Fault, times: u32) {
        self.bench.state.set(None, fault, Some(times));
    }

    /// Ends the fault of this certificate; the one for all may still hold.
    pub fn clear(&self, serial: &Serial) {
        self.bench.state.clear(serial);
    }

    /// Ends all faults.
    pub fn clear_all(&self) {
        self.bench.state.clear_all();
    }

    /// Revokes a certificate of whichever authority issued it, as of now.
    ///
    /// # Errors
    /// When none did, or the ledger fails.
    pub fn revoke(&self, serial: &Serial) -> Result<Record, AuthorityError> {
        self.revoke_for(serial, None)
    }

    /// Revokes a certificate for a reason.
    ///
    /// # Errors
    /// As [`Lab::revoke`].
    pub fn revoke_for(&self, serial: &Serial, reason: Option<Reason>) -> Result<Record, AuthorityError> {
        self.bench.issuer_of(serial)?.revoke(serial, reason)
    }

    /// Takes a revocation back (the end of a certificateHold).
    ///
    /// # Errors
    /// As [`Lab::revoke`].
    pub fn reinstate(&self, serial: &Serial) -> Result<Record, AuthorityError> {
        self.bench.issuer_of(serial)?.set_status(serial, Status::Good)
    }

    /// From now on nextUpdate lies so far in the future; whole seconds.
    pub fn set_validity(&self, validity: Duration) {
        self.bench.responder.set_validity(validity);
    }

    /// What was asked so far, in order; the last 100,000 questions.
    #[must_use]
    pub fn requests(&self) -> Vec<LabRequest> {
        self.bench.state.requests()
    }

    /// How often this certificate was asked for.
    #[must_use]
    pub fn requests_for(&self, serial: &Serial) -> usize {
        self.bench.state.with_requests(|all| all.iter().filter(|r| r.serial.as_ref() == Some(serial)).count())
    }

    /// Waits until the questions so far satisfy `enough`, at most `patience`;
    /// whether they did.
    pub fn wait_until(&self, patience: Duration, enough: impl FnMut(&[LabRequest]) -> bool) -> bool {
        self.bench.state.wait_until(patience, enough)
    }

    /// Forgets the questions so far.
    pub fn forget_requests(&self) {
        self.bench.state.forget_requests();
    }
}

impl LabBuilder {
    /// Answers for this authority, which signs itself.
    pub fn authority(mut self, authority: &Authority) -> Self {
        self.responder = self.responder.authority(authority);
        self
    }

    /// Answers for this authority; the delegate signs.
    pub fn delegated(mut self, authority: &Authority, delegate: Signer) -> Self {
        self.responder = self.responder.delegated(authority, delegate);
        self
    }

    /// Listens here; a free port of 127.0.0.1 if not said.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// How long answers are valid; seven days if not said.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.responder = self.responder.validity(validity);
        self
    }

    /// How long before signing thisUpdate lies; not at all if not said.
    pub fn backdate(mut self, backdate: Duration) -> Self {
        self.responder = self.responder.backdate(backdate);
        self
    }

    /// Whether a nonce is echoed.
    pub fn echo_nonce(mut self, echo: bool) -> Self {
        self.responder = self.responder.echo_nonce(echo);
        self
    }

    /// What to say of a serial number that was never issued.
    pub fn unknown_serial(mut self, answer: UnknownSerial) -> Self {
        self.responder = self.responder.unknown_serial(answer);
        self
    }

    /// Whether `/lab/…` on the same port changes faults (see the command
    /// `stapled-ca-lab`). Whoever reaches the port can then use it.
    pub fn control(mut self, control: bool) -> Self {
        self.control = control;
        self
    }

    /// Starts the lab on a thread of its own.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(self) -> io::Result<Lab> {
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let bench = Arc::new(Bench {
            responder: self.responder.build(),
            state: State::default(),
            impostors: Impostors::default(),
            control: self.control,
            address,
        });
        let serving = Arc::clone(&bench);
        let background = Background::start("ocsp lab", 1, move |stop| async move {
            tokio::select! {
                () = serve(serving, listener) => {}
                () = stopped(stop) => {}
            }
        })?;
        Ok(Lab { address, bench, _background: background })
    }
}

impl Bench {
    fn issuer_of(&self, serial: &Serial) -> Result<&Authority, AuthorityError> {
        for authority in self.responder.authorities() {
            if authority.status(serial)?.is_some() {
                return Ok(authority);
            }
        }
        Err(StoreError::NeverIssued { serial: serial.clone() }.into())
    }
}

async fn serve(bench: Arc<Bench>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot listen"),
    };
    // Dropped with this future, and with it all connections, also those that hang.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let bench = Arc::clone(&bench);
                connections.spawn(async move {
                    // An error is the client's doing: it went away.
                    let _ = wire::converse(&bench, stream).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}
