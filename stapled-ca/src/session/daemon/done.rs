//! Moves certificates into the ledger.

use async_trait::async_trait;
use stapled_core::task::Queue;

use super::work::{Daemon, Failure, Work};
use crate::clock;
use crate::issue;
use crate::ledger::{Kind, Record as LedgerRecord, Status};
use crate::ledger_file::{Entered, LedgerFile};
use crate::pem;
use crate::serial::Serial;
use crate::session::blocking::with_ledger;
use crate::session::contents::Session;
use crate::session::fields::Damaged;
use crate::session::intake::{Sessions, expecting, expiry};
use crate::session::state::State;

/// Enters the certificate of a session into the ledger, and takes the session from the active ones. The session's record stays
/// for a while, and the certificate stays in the ledger.
#[derive(Debug)]
pub struct Done {
    sessions: Sessions,
}

impl Done {
    /// The daemon of these sessions.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Done { sessions }
    }
}

#[async_trait]
impl Daemon for Done {
    fn queue(&self) -> Queue {
        Queue::from(State::Done.as_str())
    }

    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure> {
        if session.state != State::Done || session.entered_at.is_some() {
            return Ok(None);
        }
        let ledger = self.sessions.ledger.as_ref().ok_or(Failure::NoLedger)?;
        let entering = session.clone();
        let before = with_ledger(ledger, move |ledger| enter(ledger, &entering)).await?;
        let serial = session.serial.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::info!(session = session.id.as_str(), serial, names = session.names.join(" "), "issued");
        let mut record = expecting(session, State::Done).field("entered", clock::now().to_string()).settled();
        if let Some((serial, der)) = before {
            // After the store lost writes, the session was worked on again. The certificate in the ledger counts.
            record = record.field("serial", serial.to_string()).field("cert", pem::certificate(&der));
        }
        Ok(Some(Work::new(record).put(expiry(&session.id, self.sessions.limits.keep))))
    }
}

/// Enters the certificate. If the ledger had one of this session before, returns its serial number and its DER.
fn enter(ledger: &LedgerFile, session: &Session) -> Result<Option<(Serial, Vec<u8>)>, Failure> {
    let missing = |field| Damaged::new(field, "missing");
    let certificate = session.certificate.as_deref().ok_or_else(|| missing("cert"))?;
    let der = pem::certificates(certificate.as_bytes()).into_iter().next();
    let der = der.ok_or_else(|| Damaged::new("cert", "no certificate"))?;
    let (not_before, not_after) = issue::validity(&der).ok_or_else(|| Damaged::new("cert", "no certificate"))?;
    let record = LedgerRecord {
        serial: session.serial.clone().ok_or_else(|| missing("serial"))?,
        kind: Kind::EndEntity,
        subject: session.names.first().map(|name| format!("CN={name}")).unwrap_or_default(),
        names: session.names.clone(),
        not_before,
        not_after,
        issued_at: session.ordered_at.ok_or_else(|| missing("ordered"))?,
        status: Status::Good,
    };
    let Entered::Before(serial) = ledger.enter(record, session.id.as_str(), &der)? else { return Ok(None) };
    let certificate = ledger.entry(&serial)?.and_then(|entry| entry.certificate);
    Ok(certificate.map(|der| (serial, der)))
}
