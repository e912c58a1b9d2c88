//! The background thread of a responder: it prepares answers before they are asked for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::background::Repeating;
use crate::ledger::{Record, StoreError};
use crate::responder::answer::Responder;
use crate::responder::presigned::{HASHES, Schedule};
use crate::responder::published_crl::CrlUpkeep;
use crate::responder::served::Served;

/// The time between two rounds. A change by another process is noticed in the next round.
const PAUSE: Duration = Duration::from_millis(200);

/// The time after a failure until the next attempt, in seconds: an error that lasts is not reported in every round.
const RETRY: i64 = 10;
/// A clock that is set back by more than this, in seconds, was wrong before.
const SLEW: i64 = 5;
/// The number of changed records that are read at once.
const CHANGES: usize = 1000;
/// The most certificates whose responses are signed in one round. Signing them takes a fraction of a second, so the next round
/// notices changes soon.
const BATCH: usize = 64;

/// The background thread of a responder. It signs responses and certificate revocation lists in advance, renews delegates, and
/// writes first questions into the ledger. Dropping this value ends the thread after its present round, and writes the first
/// questions since then.
#[derive(Debug)]
pub struct Upkeep {
    repeating: Option<Repeating>,
    responder: Arc<Responder>,
}

impl Responder {
    /// Starts the background thread. [`crate::responder::ResponderBuilder::start`] starts it as well.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn upkeep(self: &Arc<Self>) -> io::Result<Upkeep> {
        let mut rounds = Rounds::new(Arc::clone(self));
        let round = move || Some(if rounds.next() { Duration::ZERO } else { PAUSE });
        let repeating = Some(Repeating::start("ocsp upkeep", round)?);
        Ok(Upkeep { repeating, responder: Arc::clone(self) })
    }
}

/// The state of the background thread between two rounds.
struct Rounds {
    responder: Arc<Responder>,
    authorities: Vec<Progress>,
    schedule: Schedule,
    /// How often the responses were dropped when the schedule was made.
    dropped: u64,
    /// The time of the last round, in Unix seconds.
    last: i64,
}

/// The state of one authority.
#[derive(Default)]
struct Progress {
    /// The changes of the ledger up to this position are done.
    position: usize,
    crl: CrlUpkeep,
    /// After a failure, the time of the next attempt to use the ledger.
    ledger_not_before: i64,
    /// After a failure, the time of the next attempt to renew the signer.
    signer_not_before: i64,
}

impl Rounds {
    fn new(responder: Arc<Responder>) -> Self {
        let authorities = responder.served().iter().map(|_| Progress::default()).collect();
        let schedule = Schedule::new(responder.policy.presign / HASHES.len());
        let (dropped, last) = (responder.presigned.dropped(), (responder.clock)());
        Self { dropped, responder, authorities, schedule, last }
    }

    /// Runs one round. Returns whether more responses are due now.
    fn next(&mut self) -> bool {
        let now = (self.responder.clock)();
        // After the clock was set back, the schedule is wrong: its times are those of the clock before, and certificates are missing
        // that had expired by that clock.
        let is_set_back = now + SLEW < self.last;
        if is_set_back || self.dropped != self.responder.presigned.dropped() {
            *self = Self::new(Arc::clone(&self.responder));
        }
        self.last = now;
        let policy = &self.responder.policy;
        for (place, (served, progress)) in self.responder.served().iter().zip(&mut self.authorities).enumerate() {
            progress.renew_signer(served, now);
            let changed = |record: &Record| self.schedule.changed(place, record, now);
            if !is_paused(progress.ledger_not_before, now)
                && let Err(error) = progress.read_changes(served, changed).and_then(|()| write_first_questions(served))
            {
                tracing::error!(authority = served.authority.name(), %error, "cannot use the ledger");
                progress.ledger_not_before = now + RETRY;
            }
            if let Some(validity) = policy.crl_validity
                && let Err(error) = progress.crl.renew(&served.crl, &served.authority, validity, policy.backdate, now)
            {
                tracing::error!(authority = served.authority.name(), %error, "cannot renew the revocation list");
            }
        }
        self.presign(now);
        self.schedule.is_due(now)
    }

    /// Signs the responses that are due, about [`BATCH`] certificates at most.
    fn presign(&mut self, now: i64) {
        let mut signed = Vec::new();
        for _ in 0..BATCH {
            let Some((certificate, not_after)) = self.schedule.next(now) else { break };
            let Some(served) = self.responder.served().get(certificate.0) else { continue };
            let cert_ids = HASHES.map(|hash| served.authority.cert_id(&certificate.1, hash));
            if not_after < now {
                cert_ids.iter().for_each(|cert_id| self.responder.presigned.remove(cert_id.as_der()));
                continue;
            }
            let mut renew_at = None;
            for cert_id in cert_ids {
                if let Ok(prepared) = self.responder.presign(&cert_id, now) {
                    renew_at = Some(prepared.renew_at);
                    signed.push((cert_id.as_der().to_vec(), Arc::new(prepared)));
                }
            }
            match renew_at {
                Some(renew_at) => self.schedule.signed(certificate, renew_at, not_after),
                None => self.schedule.failed(certificate, now, not_after),
            }
        }
        if !signed.is_empty() {
            self.responder.presigned.insert(signed);
        }
    }
}

impl Progress {
    /// Renews the delegate if it is due.
    fn renew_signer(&mut self, served: &Served, now: i64) {
        if !served.is_renewal_due(now) || is_paused(self.signer_not_before, now) {
            return;
        }
        self.signer_not_before = now + RETRY;
        if let Err(error) = served.renew_signer(now) {
            tracing::error!(authority = served.authority.name(), %error, "cannot renew the OCSP responder's certificate");
        }
    }

    /// Reads the records that changed since the last round.
    fn read_changes(&mut self, served: &Served, mut changed: impl FnMut(&Record)) -> Result<(), StoreError> {
        loop {
            let changes = served.authority.changes(self.position, CHANGES)?;
            if changes.position == self.position {
                return Ok(());
            }
            for record in &changes.records {
                self.crl.changed(&served.crl, record);
                changed(record);
            }
            self.position = changes.position;
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        drop(self.repeating.take());
        // Questions since the last round.
        for served in self.responder.served() {
            if let Err(error) = write_first_questions(served) {
                tracing::error!(authority = served.authority.name(), %error, "cannot record first questions");
            }
        }
    }
}

/// Whether the pause after a failure lasts at `now`. `until` is its end. A clock that was set back does not prolong the pause.
fn is_paused(until: i64, now: i64) -> bool {
    (now + 1..=now + RETRY).contains(&until)
}

/// Writes the questions that were noted into the ledger, if it is a file.
fn write_first_questions(served: &Served) -> Result<(), StoreError> {
    served.authority.ledger_file().map_or(Ok(()), |ledger| served.first_questions.write(ledger))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::authority::Authority;
    use crate::clock::{self, DAY};
    use crate::hash::HashAlgorithm;
    use crate::ledger::{Reason, Status};
    use crate::ocsp::OcspRequest;
    use crate::profile::Profile;
    use crate::responder::access::Outcome;
    use crate::responder::answer::Reply;
    use crate::responder::prepared::Prepared;
    use crate::serial::Serial;

    /// The validity of the responses, in seconds.
    const VALIDITY: i64 = 8000;

    /// An authority with certificates, and a responder with a clock that the test sets.
    struct World {
        ca: Authority,
        serials: Vec<Serial>,
        responder: Arc<Responder>,
        now: Arc<AtomicI64>,
    }

    impl World {
        fn new(certificates: usize, presign: usize) -> Self {
            let ca = Authority::root("CA").create().unwrap();
            let key = Arc::clone(ca.key());
            let profile = Profile::server("a.example").existing_key(key);
            let serials = (0..certificates).map(|_| ca.issue(&profile).unwrap().serial().clone()).collect();
            let now = Arc::new(AtomicI64::new(clock::now()));
            let clock = Arc::clone(&now);
            let responder = Responder::builder()
                .authority(&ca)
                .validity(Duration::from_secs(VALIDITY.unsigned_abs()))
                .presign(presign)
                .clock(Arc::new(move || clock.load(Ordering::SeqCst)))
                .build();
            Self { ca, serials, responder: Arc::new(responder), now }
        }

        fn now(&self) -> i64 {
            self.now.load(Ordering::SeqCst)
        }

        /// The answer to a question, and whether it was signed in advance.
        fn ask(&self, serial: &Serial, hash: HashAlgorithm) -> (Arc<Prepared>, bool) {
            let request = OcspRequest::for_certificate(self.ca.cert_id(serial, hash));
            match self.responder.reply(&request, self.now()) {
                Reply::Signed(prepared, outcome) => (prepared, outcome == Outcome::Prepared),
                Reply::Refused(status) => panic!("{status:?}"),
            }
        }

        fn all_are_presigned(&self) -> bool {
            let is_presigned = |serial| HASHES.iter().all(|hash| self.ask(serial, *hash).1);
            self.serials.iter().all(is_presigned)
        }
    }

    fn finish(rounds: &mut Rounds) {
        while rounds.next() {}
    }

    #[test]
    fn all_responses_are_signed_in_advance_and_renewed_in_time() {
        let world = World::new(100, 1000);
        let mut rounds = Rounds::new(Arc::clone(&world.responder));
        finish(&mut rounds);
        assert_eq!(world.responder.presigned.len(), 200);
        let mut before: Vec<_> = world.serials.iter().map(|serial| world.ask(serial, HASHES[1]).0).collect();
        let mut most_renewed = 0;
        for _ in 0..VALIDITY / 50 {
            world.now.fetch_add(50, Ordering::SeqCst);
            finish(&mut rounds);
            assert!(world.all_are_presigned());
            let after: Vec<_> = world.serials.iter().map(|serial| world.ask(serial, HASHES[1]).0).collect();
            let is_renewed = |(old, new): &(&Arc<Prepared>, &Arc<Prepared>)| !Arc::ptr_eq(old, new);
            most_renewed = most_renewed.max(before.iter().zip(&after).filter(is_renewed).count());
            assert!(after.iter().all(|response| response.next_update - world.now() >= VALIDITY / 2 - 50));
            before = after;
        }
        assert!((2..40).contains(&most_renewed), "{most_renewed} at once");
    }

    #[test]
    fn a_revocation_is_signed_at_once_and_before_all_others() {
        let world = World::new(3 * BATCH, 1000);
        let serial = world.serials.last().unwrap();
        world.ca.revoke(serial, Some(Reason::KeyCompromise)).unwrap();
        let mut rounds = Rounds::new(Arc::clone(&world.responder));
        assert!(rounds.next(), "one round signs a part");
        let (response, is_presigned) = world.ask(serial, HASHES[0]);
        assert!(is_presigned && matches!(response.status, Some(Status::Revoked { .. })));
        finish(&mut rounds);
        world.ca.set_status(serial, Status::Good).unwrap();
        assert_eq!(world.ask(serial, HASHES[0]).0.status, Some(Status::Good), "also before the next round");
        rounds.next();
        let (response, is_presigned) = world.ask(serial, HASHES[1]);
        assert!(is_presigned && response.status == Some(Status::Good));
    }

    #[test]
    fn the_memory_is_bounded_and_expired_certificates_are_dropped() {
        let world = World::new(30, 20);
        let mut rounds = Rounds::new(Arc::clone(&world.responder));
        finish(&mut rounds);
        assert_eq!(world.responder.presigned.len(), 20);
        assert!(world.serials.iter().all(|serial| world.ask(serial, HASHES[0]).0.status == Some(Status::Good)));
        world.now.fetch_add(91 * DAY, Ordering::SeqCst);
        finish(&mut rounds);
        assert_eq!(world.responder.presigned.len(), 0);
    }

    #[test]
    fn responses_of_a_clock_that_was_ahead_are_signed_anew() {
        let world = World::new(3, 1000);
        let mut rounds = Rounds::new(Arc::clone(&world.responder));
        // After 91 days, the certificates have expired.
        for ahead in [VALIDITY, 10 * DAY, 91 * DAY] {
            world.now.fetch_add(ahead, Ordering::SeqCst);
            finish(&mut rounds);
            world.now.fetch_sub(ahead, Ordering::SeqCst);
            finish(&mut rounds);
            assert!(world.all_are_presigned(), "ahead by {ahead}");
            world.responder.forget();
            finish(&mut rounds);
        }
    }

    #[test]
    fn a_delegate_of_a_clock_that_was_ahead_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let ca = Authority::root("CA").create_in(directory.path()).unwrap();
        let start = clock::now();
        ca.install_delegate(&Profile::ocsp_responder("OCSP")).unwrap();
        let now = Arc::new(AtomicI64::new(start + 25 * DAY));
        let clock = Arc::clone(&now);
        let builder = Responder::builder().installed_delegate(&ca).unwrap();
        let responder = Arc::new(builder.clock(Arc::new(move || clock.load(Ordering::SeqCst))).build());
        let mut rounds = Rounds::new(Arc::clone(&responder));
        let not_before = |time: i64, rounds: &mut Rounds| {
            now.store(time, Ordering::SeqCst);
            finish(rounds);
            let signer = responder.served()[0].signer();
            assert_eq!(signer.certificate(), ca.installed_delegate().unwrap().certificate());
            crate::issue::validity(signer.certificate().unwrap()).unwrap().0
        };
        assert_eq!(not_before(start + 25 * DAY, &mut rounds), start + 25 * DAY - 60);
        assert_eq!(not_before(start, &mut rounds), start - 60);
    }

    #[test]
    fn certificates_that_are_issued_later_are_signed_too() {
        let world = World::new(1, 1000);
        let mut rounds = Rounds::new(Arc::clone(&world.responder));
        finish(&mut rounds);
        let later = world.ca.issue(&Profile::server("b.example")).unwrap();
        finish(&mut rounds);
        assert!(world.ask(later.serial(), HASHES[1]).1);
        world.responder.set_validity(Duration::from_secs(100));
        finish(&mut rounds);
        let (response, is_presigned) = world.ask(later.serial(), HASHES[1]);
        assert!(is_presigned && response.next_update == world.now() + 100);
    }

    #[test]
    fn a_delegate_is_renewed_and_no_response_outlives_the_certificate_of_its_signer() {
        let directory = tempfile::tempdir().unwrap();
        let ca = Authority::root("CA").create_in(directory.path()).unwrap();
        let start = clock::now();
        ca.install_delegate(&Profile::ocsp_responder("OCSP").valid_between(start, start + 900)).unwrap();
        let serial = ca.issue(&Profile::server("a.example")).unwrap().serial().clone();
        let now = Arc::new(AtomicI64::new(start));
        let clock = Arc::clone(&now);
        let builder = Responder::builder().installed_delegate(&ca).unwrap().validity(Duration::from_secs(500));
        let builder = builder.presign(100).clock(Arc::new(move || clock.load(Ordering::SeqCst)));
        let responder = Arc::new(builder.build());
        let mut rounds = Rounds::new(Arc::clone(&responder));
        let request = OcspRequest::for_certificate(ca.cert_id(&serial, HASHES[1]));
        let mut signers = Vec::new();
        for _ in 0..60 {
            finish(&mut rounds);
            let time = now.load(Ordering::SeqCst);
            let Reply::Signed(response, Outcome::Prepared) = responder.reply(&request, time) else { panic!() };
            let has = |certificate: &Vec<u8>| response.body.windows(certificate.len()).any(|part| part == certificate);
            let installed = ca.installed_delegate().unwrap().certificate().unwrap().to_vec();
            if !signers.contains(&installed) {
                signers.push(installed);
            }
            let signer = signers.iter().find(|signer| has(signer)).expect("a signer");
            let (not_before, not_after) = crate::issue::validity(signer).unwrap();
            assert!(response.next_update <= not_after && time < response.next_update && not_before <= time);
            now.fetch_add(50, Ordering::SeqCst);
        }
        assert!((4..=6).contains(&signers.len()), "{} delegates in 3000 seconds", signers.len());
    }
}
