//! The state that all connections of a lab share.

use std::net::SocketAddr;

use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::lab::state::State;
use crate::lab::wrong::WrongSigners;
use crate::responder::Responder;
use crate::serial::Serial;
use crate::store::StoreError;

/// The state that all connections of a lab share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) responder: Responder,
    pub(crate) state: State,
    pub(crate) wrong_signers: WrongSigners,
    /// Whether requests to `/lab/` change faults.
    pub(crate) control: bool,
    pub(crate) address: SocketAddr,
}

impl Shared {
    /// The authority that issued a certificate.
    pub(crate) fn issuer_of(&self, serial: &Serial) -> Result<&Authority, AuthorityError> {
        for authority in self.responder.authorities() {
            if authority.status(serial)?.is_some() {
                return Ok(authority);
            }
        }
        Err(StoreError::NeverIssued { serial: serial.clone() }.into())
    }
}
