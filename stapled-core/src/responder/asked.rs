//! Certificates that no source has, and about which the CA was asked: the answers, and the open questions. All are limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::key::Key;
use super::prepared::Prepared;
use super::reply::Reply;
use super::table::Table;
use crate::clock::Clock;
use crate::time::Timestamp;

/// How many staples are kept, and how many bytes they may have together.
const STAPLES: usize = 10_000;
const BYTES: usize = 64 * 1024 * 1024;
/// How many certificates without a staple are remembered, and for how long.
const REFUSALS: usize = 10_000;
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How many revocations are remembered.
const REVOCATIONS: usize = 10_000;

/// The receiver of the answer to an open question.
pub(super) type Awaited = watch::Receiver<Option<Reply>>;
/// The sender of the answer.
pub(super) type Answering = watch::Sender<Option<Reply>>;

/// The known facts about such certificates.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    open: HashMap<Key, Awaited>,
    staples: HashMap<Key, Arc<Prepared>>,
    bytes: usize,
    /// Certificates without a staple, each with the answer and the end of its memory by the steady clock.
    refused: HashMap<Key, (Reply, Duration)>,
    /// The thisUpdate of the answers that said `revoked`: an older `good` is not believed.
    revoked: HashMap<Key, Timestamp>,
}

impl Asked {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the open question about this certificate, or opens one, whose answer is to be sent.
    pub(super) fn open(&self, key: &Key) -> (Awaited, Option<Answering>) {
        let mut memory = self.memory();
        if let Some(awaited) = memory.open.get(key) {
            return (awaited.clone(), None);
        }
        let (answering, awaited) = watch::channel(None);
        memory.open.insert(key.clone(), awaited.clone());
        (awaited, Some(answering))
    }

    /// Ends the open question about this certificate.
    pub(super) fn close(&self, key: &Key) {
        self.memory().open.remove(key);
    }

    /// The answer about a certificate that has no staple and is not asked about again yet.
    pub(super) fn refused(&self, key: &Key, now: Duration) -> Option<Reply> {
        self.memory().refused.get(key).filter(|(_, until)| now < *until).map(|(reply, _)| reply.clone())
    }

    /// Whether the responder may ask about one more certificate: the memory of refusals has room.
    pub(super) fn has_room(&self, now: Duration) -> bool {
        let mut memory = self.memory();
        if memory.refused.len() >= REFUSALS {
            memory.refused.retain(|_, (_, until)| now < *until);
        }
        memory.refused.len() < REFUSALS
    }

    /// Remembers for a while that a certificate has no staple.
    pub(super) fn refuse(&self, key: &Key, reply: Reply, now: Duration) {
        self.memory().refused.insert(key.clone(), (reply, now + REFUSED_FOR));
    }

    /// Remembers that a certificate was revoked, by an answer of this thisUpdate, and takes its staple out of the table.
    pub(super) fn revoke(&self, key: &Key, this_update: Timestamp, table: &Table) {
        let mut memory = self.memory();
        if memory.revoked.len() >= REVOCATIONS && !memory.revoked.contains_key(key) {
            let oldest = memory.revoked.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| memory.revoked.remove(&oldest));
        }
        let known = memory.revoked.entry(key.clone()).or_insert(this_update);
        *known = this_update.max(*known);
        memory.forget(key);
        table.remove(key);
    }

    /// Forgets what was found out about a certificate, since the stapler has a staple of it.
    pub(super) fn forget(&self, key: &Key) {
        let mut memory = self.memory();
        memory.forget(key);
        memory.refused.remove(key);
        memory.revoked.remove(key);
    }

    /// Keeps a staple of this thisUpdate and puts it into the table. If there are too many, those that were not sent for the longest
    /// time go. Returns false, and keeps nothing, if an answer that is not older said `revoked`.
    pub(super) fn keep(
        &self,
        key: &Key,
        prepared: &Arc<Prepared>,
        this_update: Timestamp,
        table: &Table,
        clock: &dyn Clock,
    ) -> bool {
        let mut memory = self.memory();
        if memory.revoked.get(key).is_some_and(|revoked| this_update <= *revoked) {
            return false;
        }
        memory.refused.remove(key);
        memory.revoked.remove(key);
        memory.forget(key);
        while memory.staples.len() >= STAPLES || memory.bytes + prepared.size() > BYTES {
            let oldest = memory.staples.iter().min_by_key(|(_, known)| known.used()).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            if let Some(gone) = memory.forget(&oldest) {
                table.replace(&oldest, &gone, None);
            }
        }
        memory.bytes += prepared.size();
        memory.staples.insert(key.clone(), Arc::clone(prepared));
        table.put_asked(key, prepared, clock);
        true
    }

    /// Replaces a staple by the same one with another time of renewal.
    pub(super) fn put_off(&self, key: &Key, before: &Arc<Prepared>, after: &Arc<Prepared>, table: &Table) {
        let mut memory = self.memory();
        if let Some(known) = memory.staples.get_mut(key)
            && Arc::ptr_eq(known, before)
        {
            *known = Arc::clone(after);
            table.replace(key, before, Some(after));
        }
    }
}

impl Memory {
    fn forget(&mut self, key: &Key) -> Option<Arc<Prepared>> {
        let gone = self.staples.remove(key)?;
        self.bytes -= gone.size();
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::ocsp::{CertId, CertIdHash};

    fn key() -> Key {
        Key::of(&CertId::new(CertIdHash::Sha1, b"name", b"key", &[1])).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn is_ready(table: &Table, prepared: &Arc<Prepared>) -> bool {
        table.get(&key()).is_some_and(|known| Arc::ptr_eq(&known, prepared))
    }

    #[test]
    fn only_a_newer_good_answer_undoes_a_revocation() {
        let (asked, table) = (Asked::default(), Table::new());
        let good = Arc::new(Prepared::example(true));
        let keep = |this_update| asked.keep(&key(), &good, at(this_update), &table, &SystemClock);
        asked.revoke(&key(), at(10), &table);
        assert!(!keep(10));
        assert!(table.get(&key()).is_none());
        assert!(keep(11));
        assert!(is_ready(&table, &good));
        asked.revoke(&key(), at(12), &table);
        assert!(table.get(&key()).is_none());
        assert!(!keep(12), "the older revocation was forgotten, and the newer one is known");
    }

    /// The CA was asked about a certificate that the stapler found meanwhile.
    #[test]
    fn the_stapler_s_own_staple_is_not_replaced() {
        let (asked, table) = (Asked::default(), Table::new());
        let (own, other) = (Arc::new(Prepared::example(false)), Arc::new(Prepared::example(true)));
        table.put(&key(), &own);
        assert!(asked.keep(&key(), &other, at(10), &table, &SystemClock));
        assert!(is_ready(&table, &own));
        table.remove(&key());
        assert!(asked.keep(&key(), &other, at(10), &table, &SystemClock));
        assert!(is_ready(&table, &other));
    }
}
