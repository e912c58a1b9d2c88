//! The record of a certificate's delivery to one sink.

use std::sync::Arc;

use super::sites::Sites;
use super::standing::DeliveryState;
use super::ticket::Ticket;
use super::usual::Shared;
use crate::sink::Site;
use crate::staple::Staple;
use crate::time::Timestamp;

/// The number of a sink in its stapler.
pub(crate) type SinkNumber = usize;

/// The state of a certificate's delivery to one sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// The staple that the server is known to serve, and its sites.
    pub(crate) served: Option<(Arc<Staple>, Sites)>,
    /// Deliveries that were begun and whose result is unknown: the server may serve their staples, too. Behind a pointer, since there
    /// are none at rest.
    pub(crate) begun: Option<Box<Begun>>,
    pub(crate) state: Shared<DeliveryState>,
    /// When the next attempt is due.
    pub(crate) again: Option<Timestamp>,
    /// Since when the delivery is in this state. Only the inventory sets this field.
    pub(crate) since: Option<Timestamp>,
    /// When the server last took a staple that it was not known to serve. Only the inventory sets this field.
    pub(crate) delivered: Option<Timestamp>,
    /// The newest request to the CA whose answer the server has followed.
    pub(crate) follows: Ticket,
}

/// Deliveries that may have succeeded although no result was reported.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) sites: Sites,
    /// The earliest end of their staples.
    pub(crate) ends: Timestamp,
}

impl Delivery {
    /// The delivery to a server that is known to serve this staple.
    pub(crate) fn new(served: Option<(Arc<Staple>, Sites)>, state: DeliveryState) -> Self {
        Delivery { served, state: state.into(), ..Delivery::default() }
    }

    /// The same delivery with the next attempt at this time.
    pub(crate) fn again(self, at: Timestamp) -> Self {
        Delivery { again: Some(at), ..self }
    }

    /// The delivery to a server that is not known to serve any staple.
    pub(crate) fn of_nothing(state: DeliveryState) -> Self {
        Delivery { state: state.into(), ..Delivery::default() }
    }

    /// Whether the server is known to serve this staple.
    pub(crate) fn has(&self, staple: Option<&Arc<Staple>>) -> bool {
        self.served.as_ref().is_some_and(|(served, _)| Some(served) == staple)
    }

    /// Whether the server may serve a staple.
    pub(crate) fn may_serve(&self) -> bool {
        self.served.is_some() || self.begun.is_some()
    }

    /// The earliest end of the staples that the server may serve.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        let served = self.served.iter().map(|(staple, _)| staple.expires());
        served.chain(self.begun.iter().map(|begun| begun.ends)).min()
    }

    /// All sites for which the server may serve a staple.
    pub(crate) fn sites(&self) -> Sites {
        let served = self.served.iter().flat_map(|(_, sites)| &**sites);
        union(served.chain(self.begun.iter().flat_map(|begun| &*begun.sites)))
    }

    /// The same delivery, with the served staple no longer certain to be in service.
    pub(crate) fn in_doubt(&self) -> Delivery {
        let begun = match &self.served {
            Some((staple, sites)) => Some(Box::new(self.begin(staple, sites))),
            None => self.begun.clone(),
        };
        Delivery { served: None, begun, ..self.clone() }
    }

    /// The deliveries with an unknown result, once another one has begun.
    pub(crate) fn begin(&self, staple: &Staple, sites: &[Arc<Site>]) -> Begun {
        match &self.begun {
            Some(begun) => {
                Begun { sites: union(begun.sites.iter().chain(sites)), ends: begun.ends.min(staple.expires()) }
            }
            None => Begun { sites: sites.iter().cloned().collect(), ends: staple.expires() },
        }
    }
}

fn union<'a>(sites: impl Iterator<Item = &'a Arc<Site>>) -> Sites {
    let mut all: Vec<Arc<Site>> = Vec::new();
    for site in sites {
        if !all.contains(site) {
            all.push(Arc::clone(site));
        }
    }
    all.into_iter().collect()
}
