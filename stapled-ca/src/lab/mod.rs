//! A lab: an OCSP responder that fails on command, for tests.
//!
//! Only this module makes wrong answers. For right answers, a lab contains a [`crate::Responder`], which does not
//! depend on it.

mod control;
mod fault;
mod message;
mod shared;
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
use crate::lab::shared::Shared;
use crate::lab::state::State;
use crate::lab::wrong::WrongSigners;
use crate::ledger::{Reason, Record, Status};
use crate::ocsp::Signer;
use crate::responder::{Responder, ResponderBuilder, UnknownSerial};
use crate::serial::Serial;

/// A running lab. Dropping it stops the server.
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
    shared: Arc<Shared>,
    _background: Background,
}

/// Builds a lab.
#[must_use]
pub struct LabBuilder {
    responder: ResponderBuilder,
    address: SocketAddr,
    control: bool,
}

impl Lab {
    /// Starts a lab for these authorities on a free port of 127.0.0.1. The authorities sign the responses themselves.
    /// Certificates that they issue later are included.
    ///
    /// # Errors
    /// When the server cannot listen.
    pub fn start<A: Borrow<Authority>>(authorities: impl IntoIterator<Item = A>) -> io::Result<Self> {
        let lab = authorities.into_iter().fold(Self::builder(), |lab, authority| lab.authority(authority.borrow()));
        lab.start()
    }

    /// Builds a lab with further settings.
    pub fn builder() -> LabBuilder {
        LabBuilder {
            // Each response is signed for its question, so that each is newer than the previous one.
            responder: Responder::builder().prepare(false),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            control: false,
        }
    }

    /// The OCSP URL, with a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies a fault to every question about this certificate, until it is cleared.
    pub fn fault(&self, serial: &Serial, fault: Fault) {
        self.shared.state.set(Some(serial), fault, None);
    }

    /// Applies a fault to the next `times` questions about this certificate.
    pub fn fault_times(&self, serial: &Serial, fault: Fault, times: u32) {
        self.shared.state.set(Some(serial), fault, Some(times));
    }

    /// Applies a fault to every question about certificates without a fault of their own.
    pub fn fault_all(&self, fault: Fault) {
        self.shared.state.set(None, fault, None);
    }

    /// Applies a fault to the next `times` questions about certificates without a fault of their own.
    pub fn fault_all_times(&self, fault: Fault, times: u32) {
        self.shared.state.set(None, fault, Some(times));
    }

    /// Clears the fault of this certificate. A fault for all certificates stays.
    pub fn clear(&self, serial: &Serial) {
        self.shared.state.clear(serial);
    }

    /// Clears all faults.
    pub fn clear_all(&self) {
        self.shared.state.clear_all();
    }

    /// Revokes a certificate now.
    ///
    /// # Errors
    /// When no authority of this lab issued the certificate, or the ledger fails.
    pub fn revoke(&self, serial: &Serial) -> Result<Record, AuthorityError> {
        self.revoke_for(serial, None)
    }

    /// Revokes a certificate now, with a reason.
    ///
    /// # Errors
    /// The same as those of [`Lab::revoke`].
    pub fn revoke_for(&self, serial: &Serial, reason: Option<Reason>) -> Result<Record, AuthorityError> {
        self.shared.issuer_of(serial)?.revoke(serial, reason)
    }

    /// Undoes a revocation: the end of a certificateHold.
    ///
    /// # Errors
    /// The same as those of [`Lab::revoke`].
    pub fn reinstate(&self, serial: &Serial) -> Result<Record, AuthorityError> {
        self.shared.issuer_of(serial)?.set_status(serial, Status::Good)
    }

    /// Changes the time from signing to nextUpdate, in whole seconds.
    pub fn set_validity(&self, validity: Duration) {
        self.shared.responder.set_validity(validity);
    }

    /// The questions so far, in order; the last 100,000 at most.
    #[must_use]
    pub fn requests(&self) -> Vec<LabRequest> {
        self.shared.state.requests()
    }

    /// The number of questions about this certificate.
    #[must_use]
    pub fn requests_for(&self, serial: &Serial) -> usize {
        self.shared.state.with_requests(|all| all.iter().filter(|r| r.serial.as_ref() == Some(serial)).count())
    }

    /// Waits until the questions so far satisfy `enough`. `false` when `patience` is over before.
    pub fn wait_until(&self, patience: Duration, enough: impl FnMut(&[LabRequest]) -> bool) -> bool {
        self.shared.state.wait_until(patience, enough)
    }

    /// Forgets the questions so far.
    pub fn forget_requests(&self) {
        self.shared.state.forget_requests();
    }
}

impl LabBuilder {
    /// Answers for this authority, which signs the responses itself.
    pub fn authority(mut self, authority: &Authority) -> Self {
        self.responder = self.responder.authority(authority);
        self
    }

    /// Answers for this authority. The delegate signs the responses.
    pub fn delegated(mut self, authority: &Authority, delegate: Signer) -> Self {
        self.responder = self.responder.delegated(authority, delegate);
        self
    }

    /// Listens on this address. Default: a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// The time from signing to nextUpdate. Default: seven days.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.responder = self.responder.validity(validity);
        self
    }

    /// The time from thisUpdate to signing. Default: zero.
    pub fn backdate(mut self, backdate: Duration) -> Self {
        self.responder = self.responder.backdate(backdate);
        self
    }

    /// Whether a nonce is echoed. Default: false.
    pub fn echo_nonce(mut self, echo: bool) -> Self {
        self.responder = self.responder.echo_nonce(echo);
        self
    }

    /// Whether responses name their signer by its name instead of the hash of its key. Default: false.
    pub fn responder_by_name(mut self, by_name: bool) -> Self {
        self.responder = self.responder.responder_by_name(by_name);
        self
    }

    /// The answer for a serial number that was never issued. Default: `unknown`.
    pub fn unknown_serial(mut self, answer: UnknownSerial) -> Self {
        self.responder = self.responder.unknown_serial(answer);
        self
    }

    /// Whether requests to `/lab/…` on the same port change faults, as the command `stapled-ca-lab` documents. Then
    /// all clients that reach the port can use them. Default: false.
    pub fn control(mut self, control: bool) -> Self {
        self.control = control;
        self
    }

    /// Starts the lab on a thread of its own.
    ///
    /// # Errors
    /// When the server cannot listen.
    pub fn start(self) -> io::Result<Lab> {
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            responder: self.responder.build(),
            state: State::default(),
            wrong_signers: WrongSigners::default(),
            control: self.control,
            address,
        });
        let serving = Arc::clone(&shared);
        let background = Background::start("ocsp lab", 1, move |stop| async move {
            tokio::select! {
                () = serve(serving, listener) => {}
                () = stopped(stop) => {}
            }
        })?;
        Ok(Lab { address, shared, _background: background })
    }
}

/// Accepts connections.
async fn serve(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot listen"),
    };
    // Dropping this future drops all connections, including those that hang.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // An error means that the client closed the connection.
                    let _ = wire::serve(&shared, stream).await;
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
