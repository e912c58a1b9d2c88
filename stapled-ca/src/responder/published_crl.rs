//! The certificate revocation list that a responder serves.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::authority::Authority;
use crate::clock::seconds;
use crate::crl::Crl;
use crate::error::AuthorityError;
use crate::hash::etag;
use crate::ledger::{Record, Status};

/// The longest time for which caches may keep a list, in seconds: a revocation has to become known.
pub(crate) const LONGEST_AGE: i64 = 3600;
/// The time after a failure until the next attempt, in seconds.
const RETRY: i64 = 10;

/// The certificate revocation list of an authority as it is served; none until the first one is signed.
#[derive(Debug, Default)]
pub(crate) struct PublishedCrl {
    current: RwLock<Option<Arc<CrlBody>>>,
}

/// A list with the values of its HTTP headers.
#[derive(Debug)]
pub(crate) struct CrlBody {
    pub(crate) body: Bytes,
    pub(crate) etag: String,
    pub(crate) crl: Crl,
    renew_at: i64,
}

impl CrlBody {
    fn new(crl: Crl, now: i64) -> Self {
        let body = Bytes::copy_from_slice(crl.der());
        let renew_at = now + ((crl.next_update() - now) / 2).max(1);
        Self { etag: etag(&body), body, crl, renew_at }
    }

    /// The number of seconds for which caches may keep the list.
    pub(crate) fn max_age(&self, now: i64) -> i64 {
        (self.renew_at - now).clamp(0, LONGEST_AGE)
    }
}

impl PublishedCrl {
    /// The list at `now`; `None` when there is none, or it has expired.
    pub(crate) fn at(&self, now: i64) -> Option<Arc<CrlBody>> {
        self.read().filter(|list| now < list.crl.next_update())
    }

    fn read(&self) -> Option<Arc<CrlBody>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, list: CrlBody) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(list));
    }
}

/// Signs the list of an authority anew when a revocation changes, and at half of the list's validity.
#[derive(Debug, Default)]
pub(crate) struct CrlUpkeep {
    is_outdated: bool,
    /// After a failure, the time of the next attempt.
    not_before: i64,
}

impl CrlUpkeep {
    /// Compares a record that was added or changed with the list. If they differ, [`CrlUpkeep::renew`] signs a new list.
    pub(crate) fn changed(&mut self, published: &PublishedCrl, record: &Record) {
        let revoked = Some(record.status).filter(|status| *status != Status::Good);
        let named = published.read().and_then(|list| list.crl.status(&record.serial));
        self.is_outdated |= revoked != named;
    }

    /// Signs the list anew if it is time.
    ///
    /// # Errors
    /// The same as those of [`Authority::crl`]. The list stays as it was.
    pub(crate) fn renew(
        &mut self,
        published: &PublishedCrl,
        authority: &Authority,
        validity: Duration,
        backdate: Duration,
        now: i64,
    ) -> Result<(), AuthorityError> {
        // A list whose thisUpdate is in the future was signed while the clock was ahead.
        let is_old = |list: Arc<CrlBody>| list.renew_at <= now || now < list.crl.this_update();
        let is_due = self.is_outdated || published.read().is_none_or(is_old);
        if !is_due || (now + 1..=now + RETRY).contains(&self.not_before) {
            return Ok(());
        }
        self.not_before = now + RETRY;
        let crl = authority.crl_between(now - seconds(backdate), now + seconds(validity))?;
        published.replace(CrlBody::new(crl, now));
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Reason;
    use crate::profile::Profile;

    #[test]
    fn a_list_is_signed_after_a_change_and_at_half_of_its_validity() {
        let ca = Authority::root("CA").create().unwrap();
        let issued = ca.issue(&Profile::server("a.example")).unwrap();
        let (published, mut upkeep) = (PublishedCrl::default(), CrlUpkeep::default());
        let start = crate::clock::now();
        let mut number_at = |after: i64, record: Option<&Record>| {
            if let Some(record) = record {
                upkeep.changed(&published, record);
            }
            let day = Duration::from_secs(1000);
            upkeep.renew(&published, &ca, day, Duration::ZERO, start + after).unwrap();
            // The numbers begin with the time of the first list.
            published.at(start + after).unwrap().crl.number() - start.unsigned_abs()
        };
        assert_eq!([number_at(0, None), number_at(499, None), number_at(500, None)], [0, 0, 500]);
        assert_eq!(number_at(501, Some(&ca.records().unwrap()[0])), 500, "issued, not revoked");
        let record = ca.revoke(issued.serial(), Some(Reason::CertificateHold)).unwrap();
        assert_eq!([number_at(502, Some(&record)), number_at(503, Some(&record))], [502, 502]);
        let record = ca.revoke(issued.serial(), Some(Reason::KeyCompromise)).unwrap();
        assert_eq!(number_at(504, Some(&record)), 504, "another reason");
        let record = ca.set_status(issued.serial(), Status::Good).unwrap();
        assert_eq!(number_at(505, Some(&record)), 505);
    }

    #[test]
    fn an_expired_list_is_not_served() {
        let ca = Authority::root("CA").create().unwrap();
        let published = PublishedCrl::default();
        let now = crate::clock::now();
        assert!(published.at(now).is_none());
        let second = Duration::from_secs(10);
        CrlUpkeep::default().renew(&published, &ca, second, Duration::ZERO, now).unwrap();
        assert_eq!(published.at(now + 9).unwrap().max_age(now), 5);
        assert!(published.at(now + 10).is_none());
    }
}
