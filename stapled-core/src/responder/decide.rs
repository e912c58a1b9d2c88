//! Chooses the answer to a question about one certificate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::allowed::AllowedIssuer;
use super::asked::Answering;
use super::index::{Index, is_complete};
use super::key::Key;
use super::parts::Parts;
use super::prepared::{Prepared, Renewal};
use super::reply::Reply;
use crate::chain::named::NamedCertificate;
use crate::inventory::standing::Standing;
use crate::ocsp::{CertId, CertIdHash};
use crate::renewer::NamedAnswer;
use crate::stapler::Handle;
use crate::task::Subject;

/// How long a client waits for the CA. Apache waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a client waits for a newer answer while the held one is good, and has not been renewed for too long.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(2);
/// When a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// How often is looked whether the stapler has found its certificates.
const CHECK: Duration = Duration::from_millis(50);

impl Parts {
    /// The answer to a question about one certificate.
    pub(super) async fn decide(self: &Arc<Self>, cert_id: &CertId) -> Reply {
        let (Some(key), Some(hash)) = (Key::of(cert_id), cert_id.hash()) else { return Reply::Unauthorized };
        let ready = self.ready(&key);
        // Most questions end here: nothing is copied before.
        if let Some(ready) = ready.as_ref().filter(|ready| ready.renewal.is_none()) {
            return Reply::Staple(Arc::clone(ready));
        }
        let question = Question { parts: Arc::clone(self), key, hash, cert_id: cert_id.clone() };
        let Some(ready) = ready else {
            return tokio::time::timeout(PATIENCE, question.find()).await.unwrap_or(Reply::TryLater);
        };
        ready.use_now(&*self.clock);
        match ready.renewal {
            Some(Renewal { renew_at, stale_at }) if renew_at <= self.clock.now() => {
                let is_stale = stale_at <= self.clock.now();
                question.renew(ready, is_stale).await
            }
            _ => Reply::Staple(ready),
        }
    }

    /// The staple that is ready.
    pub(super) fn ready(&self, key: &Key) -> Option<Arc<Prepared>> {
        self.table.get(key).filter(|prepared| !prepared.is_over(&*self.clock))
    }
}

/// A question about one certificate.
#[derive(Clone)]
struct Question {
    parts: Arc<Parts>,
    key: Key,
    hash: CertIdHash,
    cert_id: CertId,
}

impl Question {
    fn ready(&self) -> Option<Arc<Prepared>> {
        self.parts.ready(&self.key)
    }

    /// Renews a staple that the stapler does not renew. The client waits only if it is stale.
    async fn renew(self, held: Arc<Prepared>, is_stale: bool) -> Reply {
        let renewal = tokio::spawn(async move { self.find().await });
        if !is_stale {
            return Reply::Staple(held);
        }
        match tokio::time::timeout(RENEWAL_PATIENCE, renewal).await {
            Ok(Ok(reply @ (Reply::Staple(_) | Reply::Unauthorized))) => reply,
            // The CA does not answer, and the response is valid.
            _ => Reply::Staple(held),
        }
    }

    /// Finds the answer by what the stapler knows, or by asking the CA.
    async fn find(self) -> Reply {
        let mut watched = self.parts.watched.subscribe();
        loop {
            let handle = watched.borrow_and_update().clone();
            let Some(handle) = handle else { return Reply::TryLater };
            tokio::select! {
                reply = self.find_by(&handle) => return reply,
                // Another stapler has taken over. The old one learns nothing any more.
                Ok(()) = watched.changed() => {}
            }
        }
    }

    /// Finds the answer by what this stapler knows, or by asking the CA.
    async fn find_by(&self, handle: &Handle) -> Reply {
        let index = self.index(handle).await;
        if let Some(subject) = index.known(&self.key)
            && let Some(reply) = self.of_stapler(handle, subject).await
        {
            return reply;
        }
        match index.issuer(&self.key) {
            Some(issuer) => self.ask(handle, issuer).await,
            None => Reply::Unauthorized,
        }
    }

    /// The index, as soon as it has the certificate, or the stapler has found all certificates.
    async fn index(&self, handle: &Handle) -> Arc<Index> {
        loop {
            let is_complete = is_complete(handle);
            let index = self.parts.indexes.current(handle).await;
            if is_complete || index.known(&self.key).is_some() {
                return index;
            }
            tokio::time::sleep(CHECK).await;
        }
    }

    /// The answer about a certificate of the stapler, as soon as its CA was asked. `None`: its staple does not answer this
    /// question, because the CA signed another hash, or the certificate is gone.
    async fn of_stapler(&self, handle: &Handle, subject: &Subject) -> Option<Reply> {
        let inventory = handle.inventory();
        let mut changes = inventory.changes();
        loop {
            changes.mark_unchanged();
            // In one look: a staple that comes or goes between two would seem to be of another hash.
            let (ready, is_delivered) = self.parts.delivered(&self.key, subject);
            match inventory.standing_of(subject) {
                None => return None,
                Some(Standing::Revoked { .. } | Standing::Expired) => return Some(Reply::Unauthorized),
                Some(_) if ready.is_some() => return ready.map(Reply::Staple),
                Some(_) if is_delivered => return None,
                Some(Standing::Failing { .. }) => return Some(Reply::TryLater),
                Some(_) => {}
            }
            if changes.changed().await.is_err() {
                return Some(Reply::TryLater);
            }
        }
    }

    /// Asks the CA, or joins another client's question.
    async fn ask(&self, handle: &Handle, issuer: &AllowedIssuer) -> Reply {
        let (parts, now) = (&self.parts, self.parts.clock.steady());
        if let Some(refused) = parts.asked.refused(&self.key, now) {
            return refused;
        }
        let certificate = NamedCertificate::of(&issuer.certificate, &self.cert_id);
        let Some(certificate) = certificate.filter(|_| !issuer.urls.is_empty()) else { return Reply::Unauthorized };
        let (mut awaited, first) = parts.asked.open(&self.key);
        if let Some(answering) = first {
            let open = Open { question: self.clone(), answering };
            // Another client's question may have ended since this one was looked up.
            if let Some(known) = self.known(now) {
                open.answering.send_replace(Some(known.clone()));
                return known;
            }
            if !parts.asked.has_room(now) {
                return Reply::TryLater;
            }
            let Some(permit) = parts.limits.permit(self.key.issuer(), now) else { return Reply::TryLater };
            parts.tally.asked.fetch_add(1, Ordering::Relaxed);
            let (handle, urls) = (handle.clone(), issuer.urls.clone());
            // The client may go; others may have joined.
            tokio::spawn(async move {
                let answer = handle.ask_named(&certificate, open.question.hash, &urls).await;
                let reply = open.question.learn(&handle, answer.unwrap_or(NamedAnswer::NoAnswer));
                open.answering.send_replace(Some(reply));
                drop(permit);
            });
        }
        let answered = awaited.wait_for(Option::is_some).await;
        answered.ok().and_then(|reply| reply.clone()).unwrap_or(Reply::TryLater)
    }

    /// The answer of the CA, if it was asked a moment ago.
    fn known(&self, now: Duration) -> Option<Reply> {
        let is_new = |ready: &Arc<Prepared>| ready.renewal.is_none_or(|one| one.renew_at > self.parts.clock.now());
        let refused = || self.parts.asked.refused(&self.key, now);
        self.ready().filter(is_new).map(Reply::Staple).or_else(refused)
    }

    /// Remembers what the CA answered.
    fn learn(&self, handle: &Handle, answer: NamedAnswer) -> Reply {
        let (parts, now) = (&self.parts, self.parts.clock.now());
        match answer {
            NamedAnswer::Good { staple, renew_at, asked_at } => {
                let (key, facts) = (&self.key, staple.facts());
                let is_ours = Key::of(&facts.cert_id).as_ref() == Some(key);
                let stale_at = renew_at.max(asked_at + handle.maximum_interval());
                let renewal = Some(Renewal { renew_at, stale_at });
                let prepared = Prepared::new(staple.response(), facts, renewal, &*parts.clock);
                // An answer with another hash is of no use for this client.
                let prepared = prepared.filter(|_| is_ours).map(Arc::new);
                let keep =
                    |prepared: &_| parts.asked.keep(key, prepared, facts.this_update, &parts.table, &*parts.clock);
                prepared.filter(keep).map(Reply::Staple).unwrap_or_else(|| self.refuse(Reply::TryLater))
            }
            NamedAnswer::Revoked { this_update } => {
                parts.asked.revoke(&self.key, this_update, &parts.table);
                self.refuse(Reply::Unauthorized)
            }
            NamedAnswer::NotKnown | NamedAnswer::NoAnswer => {
                if let Some(held) = self.ready().filter(|held| held.renewal.is_some()) {
                    let again = Renewal { renew_at: now + RETRY, stale_at: now + RETRY };
                    parts.asked.put_off(&self.key, &held, &Arc::new(held.renewed(again)), &parts.table);
                }
                self.refuse(Reply::TryLater)
            }
        }
    }

    fn refuse(&self, reply: Reply) -> Reply {
        self.parts.asked.refuse(&self.key, reply.clone(), self.parts.clock.steady());
        reply
    }
}

/// An open question to a CA. Its end makes room for the next one, also after a panic.
struct Open {
    question: Question,
    answering: Answering,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.question.parts.asked.close(&self.question.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::io::memory_sink::MemorySink;
    use crate::io::memory_source::MemorySource;
    use crate::stapler::Stapler;

    #[tokio::test(start_paused = true)]
    async fn a_question_that_waits_for_a_stapler_goes_on_with_the_next_one() {
        let parts = Arc::new(Parts::new(Arc::new(SystemClock)));
        let stapler = || Stapler::builder().source(MemorySource::new()).sink(MemorySink::new()).build().unwrap();
        let (slow, next) = (stapler(), stapler());
        // It does not run, so it never finds its certificates.
        parts.watched.send_replace(Some(slow.handle()));
        let cert_id = CertId::new(CertIdHash::Sha1, b"name", b"key", &[1]);
        let mut question = std::pin::pin!(parts.decide(&cert_id));
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut question).await.is_err());
        parts.watched.send_replace(Some(next.handle()));
        tokio::spawn(next.run(std::future::pending()));
        // It finds no certificate of this issuer.
        let reply = tokio::time::timeout(Duration::from_secs(1), question).await;
        assert!(matches!(reply, Ok(Reply::Unauthorized)), "{reply:?}");
    }
}
