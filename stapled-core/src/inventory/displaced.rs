//! A certificate that leaves a place.

use std::sync::Arc;

use super::sink_set::SinkSet;
use super::standing::Standing;
use super::state::{Inventory, Known};
use crate::event::About;
use crate::task::Subject;
use crate::time::Timestamp;

/// A certificate that has lost a place.
#[derive(Clone, Debug)]
pub(crate) struct Displaced {
    pub(crate) subject: Subject,
    pub(crate) generation: u64,
    pub(crate) about: Arc<About>,
    pub(crate) sinks: SinkSet,
    /// Whether that was its last place.
    pub(crate) retired: bool,
}

impl Inventory {
    /// Removes a certificate from a place.
    pub(super) fn displace(
        &self,
        known: &mut Known,
        location: &Subject,
        subject: &Subject,
        now: Timestamp,
    ) -> Option<Displaced> {
        let entry = known.certificates.get_mut(subject)?;
        let sinks = self.sinks_of_entry(entry);
        let (about, retired) = entry.leave(location);
        if retired {
            entry.set_standing(Standing::Retired, now);
        }
        Some(Displaced { subject: subject.clone(), generation: entry.generation, about, sinks, retired })
    }
}
