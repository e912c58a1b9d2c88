//! The times since which nothing outside the stapler has gone wrong.

use super::*;

impl World {
    pub(crate) fn was_calm(&self, last: Option<Duration>, window: Duration) -> bool {
        last.is_none_or(|last| self.elapsed() >= last + window)
    }

    pub(crate) fn responder_is_calm(&self, responder: usize, window: Duration) -> bool {
        let is_good = *self.responders.all[responder].mood.lock().unwrap() == responder::Mood::Good;
        is_good && self.was_calm(self.last_responder_fault.lock().unwrap()[responder], window)
    }

    /// Whether one of a certificate's responders has been good for long, and whether its issuer can be found.
    pub(super) fn is_answered(&self, certificate: usize) -> (bool, bool) {
        let known = &self.pool.certificates[certificate];
        // An odd answer is accepted, so the good responder is not asked.
        let is_odd = |responder: usize| {
            let now = self.responders.all[responder].mood.lock().unwrap().is_odd();
            now || !self.was_calm(self.last_odd.lock().unwrap()[responder], CAP)
        };
        let answered = self.pool.is_asked_at(certificate, |responder| self.responder_is_calm(responder, CAP))
            && !self.pool.is_asked_at(certificate, is_odd);
        let mood = self.responders.issuer_moods.lock().unwrap()[known.authority];
        let last = self.last_issuer_fault.lock().unwrap()[known.authority];
        let issuer = !known.lacks_issuer || mood == IssuerMood::Good && self.was_calm(last, CAP);
        (answered, issuer)
    }

    /// Whether the machine's clock has been right, and the machine awake, for long.
    pub(super) fn clock_is_calm(&self) -> bool {
        self.clock_is_right()
            && self.was_calm(*self.last_jump.lock().unwrap(), CAP)
            && self.was_calm(*self.last_sleep.lock().unwrap(), PROMPT)
    }

    pub(crate) fn jumped_since(&self, since: Duration) -> bool {
        let later = |last: &Mutex<Option<Duration>>| last.lock().unwrap().is_some_and(|last| last >= since);
        later(&self.last_jump) || later(&self.last_sleep)
    }
}

impl server::Server {
    pub(super) fn is_calm(&self, world: &World, window: Duration) -> bool {
        let is_well = *self.mood.lock().unwrap() == server::Mood::Well;
        let remembers = !matches!(*self.memory.lock().unwrap(), server::Memory::Hangs | server::Memory::Panics);
        is_well
            && remembers
            && !*self.losing_panics.lock().unwrap()
            && world.was_calm(*self.last_fault.lock().unwrap(), window)
            && world.was_calm(*self.last_loss.lock().unwrap(), PROMPT)
    }

    pub(super) fn faulty_since(&self, since: Duration) -> bool {
        let is_well = *self.mood.lock().unwrap() == server::Mood::Well;
        !is_well || self.last_fault.lock().unwrap().is_some_and(|last| last >= since)
    }
}

impl Directory {
    pub(super) fn is_calm(&self, world: &World, window: Duration) -> bool {
        let is_fine = *self.mood.lock().unwrap() == source::Mood::Fine;
        is_fine && world.was_calm(*self.last_fault.lock().unwrap(), window)
    }

    /// Whether a certificate has been gone from a place for long enough that all parts have noticed.
    pub(super) fn is_surely_gone(&self, world: &World, place: &str, certificate: usize) -> bool {
        let files = self.files.lock().unwrap();
        let Some(file) = files.get(place) else {
            return !self.was_absent_since(place, certificate, world.elapsed().saturating_sub(PROMPT));
        };
        let is_made_out = match file.contents {
            Contents::OnlyCa(_) => true,
            Contents::Certificate(other) => {
                let other_known = &world.pool.certificates[other];
                other != certificate && !other_known.lacks_issuer && other_known.not_before + PROMPT < world.truth()
            }
            _ => false,
        };
        is_made_out && world.was_calm(Some(file.since), PROMPT)
    }
}
