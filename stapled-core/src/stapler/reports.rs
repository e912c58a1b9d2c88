//! The stapler's end of the reporters that it hands to its sinks and sources.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::chain::CertChain;
use crate::event::{EventKind, Journal};
use crate::inventory::Inventory;
use crate::report::{Receiver, Report, Reporter};

/// Makes an event of each report of one sink or source.
struct Reports {
    /// The name of the sink or source.
    from: Arc<str>,
    journal: Journal,
    inventory: Arc<Inventory>,
    ended: CancellationToken,
}

/// A reporter for the sink or source of this name.
pub(super) fn reporter(
    from: Arc<str>,
    journal: &Journal,
    inventory: &Arc<Inventory>,
    ended: &CancellationToken,
) -> Reporter {
    let (journal, inventory, ended) = (journal.clone(), Arc::clone(inventory), ended.clone());
    Reporter::new(Reports { from, journal, inventory, ended })
}

impl Receiver for Reports {
    fn receive(&self, about: Option<&CertChain>, report: Report) {
        let kind = EventKind::Reported { from: Arc::clone(&self.from), report };
        match about {
            Some(chain) => self.journal.tell_of(&self.inventory.about(chain), kind),
            None => self.journal.tell(kind),
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    fn stapler(&self) -> usize {
        // Each stapler has an inventory of its own, which this keeps alive.
        Arc::as_ptr(&self.inventory).addr()
    }
}
