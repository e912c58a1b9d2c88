//! Staples that a sink has since before this process: their delivery is recorded without a task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Adder, Wanted, one_by_one};
use crate::event::EventKind;
use crate::inventory::standing::DeliveryState;
use crate::inventory::{Delivery, DeliveryView};
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// A staple that a sink says it has since before.
pub(crate) struct Claim {
    view: DeliveryView,
    staple: Arc<Staple>,
}

impl Adder {
    /// Asks the sink whether it has the certificate's staple in service since before this process. The caller puts the task for the
    /// end of the staple, and then settles the claim.
    pub(crate) fn claim(&self, subject: &Subject) -> Option<Claim> {
        let view = self.inventory.delivery(subject, self.number)?;
        // The adder has begun to deliver, or has something to withdraw.
        if view.delivery.may_serve() || view.delivery.since.is_some() {
            return None;
        }
        let Wanted::Staple(staple) = self.wanted(&view, self.journal.clock.now()) else { return None };
        let sites = one_by_one(&view.sites);
        let Ok(has_it) = catch_unwind(AssertUnwindSafe(|| self.sink.has_recalled(&staple, &sites))) else {
            self.journal.tell(EventKind::Internal { what: format!("{}: comparing its staple panicked", self.name) });
            return None;
        };
        has_it.then_some(Claim { view, staple })
    }

    /// When the staple of a claim is to be withdrawn.
    pub(crate) fn end_of(&self, claim: &Claim) -> Timestamp {
        self.last_moment(claim.staple.expires())
    }

    /// Records the delivery of a claim, once the task *add* for its end is put. Returns false, and records nothing, if the certificate
    /// is to be delivered after all. Whoever puts *add* changes the inventory before, so no task that this one replaced is missed.
    pub(crate) fn settle(&self, subject: &Subject, Claim { view, staple }: Claim) -> bool {
        let expires = staple.expires();
        let delivery = Delivery::new(Some((staple, view.sites.clone())), DeliveryState::Confirmed);
        let delivery = Delivery { follows: view.answered, ..delivery };
        let is_settled =
            self.inventory.set_first_delivery(subject, self.number, view.losses, delivery, self.journal.clock.now());
        if is_settled {
            self.tell_delivered(&view, expires);
        }
        is_settled
    }
}
