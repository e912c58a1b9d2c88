//! The staples of the stapler, which the responder gets as a sink.

use std::sync::{Arc, PoisonError};

use super::index::keys_of;
use super::key::Key;
use super::parts::{Held, Parts};
use super::prepared::Prepared;
use crate::chain::CertChain;
use crate::sink::Withdrawal;
use crate::staple::Staple;
use crate::stapler::Handle;
use crate::task::Subject;

impl Parts {
    /// Takes a staple into service. Returns false if no question can name the certificate.
    pub(super) fn take(&self, staple: &Staple) -> bool {
        let Some(key) = Key::of(&staple.facts().cert_id) else { return false };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = staple.chain().subject();
        if held.keys.get(subject) != Some(&key) {
            self.release(&mut held, subject);
            held.keys.insert(subject.clone(), key.clone());
            *held.holders.entry(key.clone()).or_default() += 1;
        }
        // A staple that has ended is withdrawn next; until then, it is not sent.
        if let Some(prepared) = Prepared::new(staple.response(), staple.facts(), None, &*self.clock) {
            self.asked.forget(&key);
            self.table.put(&key, &Arc::new(prepared));
        }
        true
    }

    /// Takes the staple of a certificate out of service.
    pub(super) fn withdraw(&self, chain: &CertChain, why: Withdrawal) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.release(&mut held, chain.subject());
        if why == Withdrawal::Revoked {
            // The answers to questions with other hashes are of no use either.
            let now = self.clock.now();
            for key in keys_of(chain) {
                self.asked.revoke(&key, now, &self.table);
            }
        }
    }

    /// Forgets the staples of certificates that a new stapler does not find any more: none withdraws them. Never ends.
    pub(super) async fn forget_departed(&self) {
        let mut watched = self.watched.subscribe();
        loop {
            let stapler = watched.borrow_and_update().clone();
            let found = async {
                match &stapler {
                    Some(stapler) => stapler.ready().await.is_ok(),
                    None => false,
                }
            };
            tokio::select! {
                is_ready = found => {
                    if let (true, Some(stapler)) = (is_ready, &stapler) {
                        self.forget_unknown(stapler);
                    }
                }
                _ = watched.changed() => {
                    watched.mark_changed();
                }
            }
            // The sender lives as long as the responder.
            let _ = watched.changed().await;
        }
    }

    fn forget_unknown(&self, stapler: &Handle) {
        let inventory = stapler.inventory();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let departed = held.keys.keys().filter(|subject| inventory.standing_of(subject).is_none());
        for subject in departed.cloned().collect::<Vec<_>>() {
            self.release(&mut held, &subject);
        }
    }

    /// The stapler's staple for a question with this key, and whether there is one of this certificate, for a question with any hash.
    pub(super) fn delivered(&self, key: &Key, subject: &Subject) -> (Option<Arc<Prepared>>, bool) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = self.ready(key).filter(|ready| ready.renewal.is_none());
        (ready, held.keys.contains_key(subject))
    }

    /// Removes the staple of a certificate, unless another one shares it.
    fn release(&self, held: &mut Held, subject: &Subject) {
        let Some(key) = held.keys.remove(subject) else { return };
        let left = held.holders.get_mut(&key).map_or(0, |holders| {
            *holders = holders.saturating_sub(1);
            *holders
        });
        if left == 0 {
            held.holders.remove(&key);
            self.table.remove(&key);
        }
    }
}
