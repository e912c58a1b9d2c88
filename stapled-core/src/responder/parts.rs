//! The parts of a responder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::asked::Asked;
use super::index::Indexes;
use super::key::Key;
use super::limits::Limits;
use super::table::Table;
use super::tally::Tally;
use crate::clock::Clock;
use crate::stapler::Handle;
use crate::task::Subject;

/// The parts of a responder.
pub(super) struct Parts {
    pub(super) clock: Arc<dyn Clock>,
    /// All answers that are ready to be sent.
    pub(super) table: Table,
    /// The staples of the stapler.
    pub(super) held: Mutex<Held>,
    /// The answers of CAs about other certificates.
    pub(super) asked: Asked,
    pub(super) limits: Limits,
    pub(super) indexes: Indexes,
    /// The stapler whose certificates and CAs these are.
    pub(super) watched: watch::Sender<Option<Handle>>,
    pub(super) tally: Arc<Tally>,
}

/// The staples of the stapler: the key of each, and how many certificates have it. Certificates of one issuer under two
/// certificates of its own share a key.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) keys: HashMap<Subject, Key>,
    pub(super) holders: HashMap<Key, usize>,
}

impl Parts {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Parts {
            clock,
            table: Table::new(),
            held: Mutex::default(),
            asked: Asked::default(),
            limits: Limits::new(),
            indexes: Indexes::new(),
            watched: watch::Sender::new(None),
            tally: Arc::default(),
        }
    }
}
