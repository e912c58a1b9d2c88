//! The record of a certificate that wants a staple.

use std::sync::Arc;

use super::delivery::{Delivery, SinkNumber};
use super::disowned::Disowned;
use super::few::Few;
use super::inherited::Inherited;
use super::past::{Past, PastDelivery};
use super::place::SourceNumber;
use super::renewal_memory::RenewalMemory;
use super::standing::Standing;
use super::ticket::Questions;
use super::usual::Shared;
use crate::chain::CertChain;
use crate::event::About;
use crate::sink::Site;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// The places of a certificate: the source and the site of each, by its location.
pub(super) type Places = Few<Subject, (SourceNumber, Arc<Site>)>;

/// What is known about a certificate.
#[derive(Debug)]
pub(super) struct CertificateRecord {
    pub(super) chain: Arc<CertChain>,
    pub(super) generation: u64,
    pub(super) places: Places,
    pub(super) first_seen: Timestamp,
    pub(super) staple: Option<Arc<Staple>>,
    pub(super) standing: Shared<Standing>,
    pub(super) since: Timestamp,
    /// When the CA last said that the certificate is good.
    pub(super) renewed: Option<Timestamp>,
    pub(super) next: Option<Timestamp>,
    pub(super) memory: RenewalMemory,
    pub(super) disowned: Option<Disowned>,
    /// Whether another client took the certificate's staple out of service since the CA's last answer.
    pub(super) unconfirmed: bool,
    /// How many times the renewal was put off since the last request, each time because the clock was set.
    pub(super) put_off: u8,
    /// The requests about it; none for most certificates.
    questions: Option<Box<Questions>>,
    pub(super) deliveries: Few<SinkNumber, Delivery>,
    /// The sinks with a running delivery or withdrawal.
    pub(super) in_hand: Few<SinkNumber, ()>,
    /// What the stapler before this one recorded, until this one has records of its own.
    pub(super) past: Option<Box<Past>>,
}

impl CertificateRecord {
    /// The record of a certificate that no place holds yet, with what was known about it before.
    pub(super) fn new(
        chain: Arc<CertChain>,
        generation: u64,
        inherited: Option<&Inherited>,
        disowned: Option<Disowned>,
        now: Timestamp,
    ) -> Self {
        CertificateRecord {
            chain,
            generation,
            places: Places::default(),
            first_seen: inherited.map_or(now, |inherited| inherited.first_seen),
            staple: None,
            standing: Shared::from(match (disowned, inherited) {
                (Some(disowned), _) => disowned.standing().unwrap_or(Standing::Waiting),
                (None, Some(inherited)) => inherited.standing(),
                (None, None) => Standing::Waiting,
            }),
            since: inherited.map_or(now, |inherited| inherited.since),
            renewed: inherited.and_then(|inherited| inherited.renewed),
            next: None,
            memory: RenewalMemory::default(),
            disowned: disowned.or(inherited.and_then(|inherited| inherited.disowned)),
            unconfirmed: inherited.is_some_and(|inherited| inherited.unconfirmed),
            put_off: 0,
            questions: None,
            deliveries: Few::default(),
            in_hand: Few::default(),
            past: inherited.map(|inherited| Box::new(inherited.past())),
        }
    }

    /// Adds a place, or replaces its site. Returns whether no place held the certificate before.
    pub(super) fn enter(&mut self, location: &Subject, source: SourceNumber, site: Site) -> bool {
        let was_retired = self.places.is_empty();
        self.places.insert(location.clone(), (source, Arc::new(site)));
        was_retired
    }

    /// The requests about it.
    pub(super) fn questions(&self) -> Questions {
        self.questions.as_deref().copied().unwrap_or_default()
    }

    /// Changes what is recorded of the requests about it.
    pub(super) fn change_questions(&mut self, change: impl FnOnce(&mut Questions)) {
        let before = self.questions();
        let mut questions = before;
        change(&mut questions);
        if questions != before {
            self.questions = Some(Box::new(questions));
        }
    }

    /// Removes a place. Returns the description from before, and whether that was the last place.
    pub(super) fn leave(&mut self, location: &Subject) -> (Arc<About>, bool) {
        let about = self.about();
        self.places.remove(location);
        (about, self.places.is_empty())
    }

    /// The description of the certificate in its places. It is made for each use: kept, it would be a tenth of the record.
    pub(super) fn about(&self) -> Arc<About> {
        Arc::new(about(&self.chain, &self.places))
    }

    /// The standing of a certificate that has returned to a place, or whose validity has not ended after all.
    pub(super) fn standing_within_validity(&self, now: Timestamp) -> Standing {
        let is_good = self.staple.as_ref().is_some_and(|staple| staple.expires() > now);
        let standing = if is_good { Standing::Good } else { Standing::Waiting };
        // A revocation outlives the absence of the certificate: its staple stays withdrawn until the CA answers
        // otherwise.
        self.disowned.and_then(Disowned::standing).unwrap_or(standing)
    }

    pub(super) fn set_standing(&mut self, standing: Standing, now: Timestamp) {
        // An answer that arrives after the certificate left its last place does not change its standing.
        let standing = if self.places.is_empty() { Standing::Retired } else { standing };
        if std::mem::discriminant(&*self.standing) != std::mem::discriminant(&standing) {
            self.since = self.past.as_mut().and_then(|past| past.since_of(&standing)).unwrap_or(now);
        }
        self.standing = standing.into();
    }

    /// The state to hand to another inventory, with this standing. `sink_name` names the sinks, whose numbers differ there.
    pub(super) fn inherited_as(&self, was: Standing, sink_name: impl Fn(SinkNumber) -> Arc<str>) -> Inherited {
        let deliveries = self.deliveries.iter().map(|(sink, delivery)| (sink_name(*sink), PastDelivery::of(delivery)));
        Inherited {
            renewed: self.renewed,
            deliveries: deliveries.collect(),
            first_seen: self.first_seen,
            staple: self.staple.clone(),
            memory: self.memory.clone(),
            next: self.next,
            unconfirmed: self.unconfirmed,
            disowned: self.disowned,
            since: self.since,
            was,
        }
    }

    /// The state to remember of a certificate that leaves the inventory, if it has a staple.
    pub(super) fn departed(&self, sink_name: impl Fn(SinkNumber) -> Arc<str>) -> Option<Inherited> {
        self.staple.is_some().then(|| self.inherited_as(Standing::Good, sink_name))
    }
}

/// The description of a certificate in these places.
pub(super) fn about(chain: &CertChain, places: &Places) -> About {
    let certificate = chain.end_entity();
    About {
        subject: Some(chain.subject().clone()),
        name: certificate.name().to_owned(),
        serial: certificate.serial_hex(),
        places: places.values().map(|(_, site)| Arc::clone(&site.served_as)).collect(),
        must_staple: certificate.must_staple(),
        not_after: Some(certificate.not_after()),
    }
}
