//! The inventory: every place, every certificate, and its state. The only state that the stages share.
//!
//! An [`Inventory`] returns copies of its contents. Their types are in [`standing`].

// The records come first: `few`, `place`, `certificate_record` and `delivery`, with what they contain. `state` holds them behind
// one lock. Each stage has a file of methods: `places` for the finder, `settled` for the parser, `renewals` for the renewer,
// `deliveries` for the adder, `questions` for handles, `views`, `count` and `replaced` for users.

mod certificate_record;
mod count;
mod deliveries;
mod delivery;
mod departed;
mod disowned;
mod displaced;
mod few;
mod inherited;
mod issuers;
mod known_issuers;
mod past;
mod place;
mod places;
mod questions;
mod renewal_memory;
mod renewals;
mod replaced;
#[cfg(feature = "responder")]
mod served;
mod settled;
mod sink_set;
mod sites;
pub mod standing;
mod state;
mod succession;
mod ticket;
mod usual;
mod views;

pub(crate) use count::Count;
pub(crate) use deliveries::DeliveryView;
pub(crate) use delivery::{Delivery, SinkNumber};
pub(crate) use displaced::Displaced;
pub(crate) use place::{SourceNumber, source_of};
pub(crate) use questions::{Foreign, Progress, Selected};
pub(crate) use renewal_memory::{LastAnswer, RenewalMemory, Validator};
pub(crate) use renewals::{CertificateView, Kept, Recheck};
pub(crate) use replaced::Replaced;
pub(crate) use settled::Settled;
pub(crate) use sink_set::SinkSet;
pub use state::Inventory;
pub(crate) use ticket::Ticket;
