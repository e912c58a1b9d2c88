//! The times that the stapler before this one recorded, so that they survive a reload: since when a certificate and its
//! deliveries are in their state, and when each server last took a staple.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::sync::Arc;

use super::delivery::Delivery;
use super::standing::{DeliveryState, Standing};
use crate::staple::Staple;
use crate::time::Timestamp;

/// What the stapler before this one recorded about a certificate.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// The last standing, and its begin. None: the CA has answered since then.
    standing: Option<(Standing, Timestamp)>,
    /// The deliveries, by the names of their sinks.
    deliveries: BTreeMap<Arc<str>, PastDelivery>,
}

/// What the stapler before this one recorded about a delivery.
#[derive(Clone, Debug)]
pub(super) struct PastDelivery {
    state: DeliveryState,
    since: Option<Timestamp>,
    /// The staple in service, and when the server took it.
    served: Option<Arc<Staple>>,
    delivered: Option<Timestamp>,
}

impl Past {
    /// The past of a certificate that had this standing since then, with its deliveries by the names of their sinks.
    pub(super) fn new(standing: (Standing, Timestamp), deliveries: BTreeMap<Arc<str>, PastDelivery>) -> Self {
        Past { standing: Some(standing), deliveries }
    }

    /// Since when the certificate has this standing, if it had the same one before. A staple that is used again says nothing
    /// about a renewal that failed before.
    pub(super) fn since_of(&mut self, standing: &Standing) -> Option<Timestamp> {
        if matches!(standing, Standing::Waiting | Standing::Good) {
            return None;
        }
        let (was, since) = self.standing.take()?;
        (discriminant(&was) == discriminant(standing)).then_some(since)
    }

    /// Ends the last standing: the CA has said that the certificate is good.
    pub(super) fn is_over(&mut self) {
        self.standing = None;
    }

    /// Completes the first record of a delivery with the times of the same delivery before. A server that serves the same
    /// staple as before took it then.
    pub(super) fn complete(&mut self, sink: &str, delivery: &mut Delivery) {
        let Some(past) = self.deliveries.remove(sink) else { return };
        if discriminant(&past.state) == discriminant(&*delivery.state) {
            delivery.since = past.since.or(delivery.since);
        }
        if delivery.served.is_none() || delivery.has(past.served.as_ref()) {
            delivery.delivered = past.delivered.or(delivery.delivered);
        }
    }
}

impl PastDelivery {
    pub(super) fn of(delivery: &Delivery) -> Self {
        PastDelivery {
            state: DeliveryState::clone(&delivery.state),
            since: delivery.since,
            served: delivery.served.as_ref().map(|(staple, _)| Arc::clone(staple)),
            delivered: delivery.delivered,
        }
    }
}
