//! The conditions at any moment, and those after a long time without faults.

use super::*;

impl Watch {
    /// Checks the conditions that hold whenever no work is under way.
    pub(crate) fn check(&self, world: &World, inventory: &Inventory) {
        self.check_tasks(world, inventory);
        self.check_revocations(world);
        for server in &world.servers {
            self.check_served(world, server);
        }
        for directory in &world.directories {
            self.check_fresh(world, directory);
        }
    }

    /// Every certificate is scheduled, and none is overdue.
    fn check_tasks(&self, world: &World, inventory: &Inventory) {
        if world.tasks.is_in_a_loop() {
            self.violated(world, "tasks are put and taken without an end".to_owned());
        }
        // A certificate that is being parsed is being scheduled.
        let parses = world.tasks.works_on("parse");
        for certificate in inventory.certificates() {
            let subject = certificate.chain.subject().as_str();
            let number = world.pool.by_der(certificate.chain.end_entity().as_der());
            if certificate.standing == Standing::Retired || parses {
                continue;
            }
            if !world.tasks.has("renew/", subject) {
                self.violated(world, format!("c{number} is never asked for again: {:?}", certificate.standing));
            }
            for DeliveryStatus { sink, state, .. } in &certificate.deliveries {
                let queue = format!("add/{}", queue_number(sink));
                let waits = matches!(state, DeliveryState::Confirmed | DeliveryState::Failed { .. });
                let is_wanted =
                    |staple: &std::sync::Arc<Staple>| staple.expires() > world.machine_now() + MAX_MARGIN + LEAD;
                let wanted = certificate.staple.as_ref().is_some_and(is_wanted);
                if wanted && waits && !world.tasks.has(&queue, subject) {
                    self.violated(world, format!("c{number} is never looked at again at {sink}: {state:?}"));
                }
            }
            let first = world.pool.certificates[number].responders[0];
            if let Some(next) = certificate.next
                && world.clock_is_right()
                && !world.jumped_since(world.elapsed().saturating_sub(PROMPT))
                && world.responder_is_calm(first, CAP)
                && world.machine_now() > next + PROMPT + MINUTE
            {
                self.violated(world, format!("c{number} should have been asked for at {next}"));
            }
        }
        for place in inventory.places() {
            let waits =
                matches!(place.state, PlaceState::Problem { .. } | PlaceState::Expired(_) | PlaceState::Pending);
            let directory = directory_in(world, &place.name).number;
            if waits && !world.tasks.has("parse", &format!("{directory}:{}", place.name)) {
                self.violated(world, format!("{} waits for its file to change: {:?}", place.name, place.state));
            }
        }
    }

    /// An answered revocation was reported at once.
    fn check_revocations(&self, world: &World) {
        let inner = self.inner.lock().unwrap();
        let late = inner
            .certificates
            .iter()
            .position(|of| of.to_be_told && of.revoked_answer.is_some_and(|(_, at)| world.elapsed() > at + 2 * SECOND));
        drop(inner);
        if let Some(certificate) = late {
            self.violated(world, format!("the revocation of c{certificate} was answered, and is not told"));
        }
    }

    /// No server serves a staple that it must not serve, if the server can be reached.
    fn check_served(&self, world: &World, server: &server::Server) {
        let can_be_told = server.can_withdraw && server.is_calm(world, CAP);
        if !can_be_told || !world.clock_is_right() || world.jumped_since(world.elapsed().saturating_sub(RIGHTED)) {
            return;
        }
        let serves = server.serves.lock().unwrap().clone();
        for ((place, certificate), served) in serves {
            if served.made.ends < world.truth() {
                let what =
                    format!("s{} serves c{certificate} at {place} after its end {}", server.number, served.made.ends);
                self.violated(world, what);
            }
            let disowned = self.inner.lock().unwrap().certificates[certificate].disowned;
            if let Some((disowned, at)) = disowned
                && served.made.this_update <= disowned
                && world.elapsed() > at + MINUTE + 10 * SECOND
            {
                self.violated(world, format!("s{} serves c{certificate} although it is revoked", server.number));
            }
            let directory = directory_in(world, &place);
            if directory.is_calm(world, PROMPT) && directory.is_surely_gone(world, &place, certificate) {
                self.violated(
                    world,
                    format!("s{} serves c{certificate} at {place}, where it is no more", server.number),
                );
            }
        }
    }

    /// The staples of the servers without trouble, which they must serve again soon after a clock that is about to be
    /// set is right.
    pub(crate) fn in_service(&self, world: &World) -> Vec<InService> {
        let mut all = Vec::new();
        if !world.clock_is_calm() {
            return all;
        }
        for server in world.servers.iter().filter(|server| server.is_calm(world, CAP)) {
            for ((place, certificate), served) in server.serves.lock().unwrap().clone() {
                let directory = directory_in(world, &place);
                let files = directory.files.lock().unwrap();
                let is_long_there = files.get(&place).is_some_and(|file| {
                    file.contents == Contents::Certificate(certificate) && world.was_calm(Some(file.since), PROMPT)
                });
                if is_long_there && directory.is_calm(world, PROMPT) {
                    all.push(InService { server: server.number, place, certificate, ends: served.made.ends });
                }
            }
        }
        all
    }

    /// Checks a clock that has been right again for a few seconds: each staple that was in service before is in
    /// service, unless it has ended, and no ended staple is in service.
    pub(crate) fn check_righted(&self, world: &World, before: &[InService]) {
        for server in &world.servers {
            self.check_served(world, server);
        }
        for InService { server, place, certificate, ends } in before {
            let known = &world.pool.certificates[*certificate];
            let margin = world.servers[*server].requirements.margin.max(LEAD);
            let is_over = *ends <= world.truth() + margin + MINUTE || known.not_after <= world.truth() + MINUTE;
            let disowned = self.inner.lock().unwrap().certificates[*certificate].disowned.is_some();
            if is_over || disowned || world.responders.is_revoked(*certificate) {
                continue;
            }
            let served = world.servers[*server].served(place, *certificate);
            if served.as_ref().is_none_or(|served| served.made.ends <= world.truth() + margin) {
                let what = format!("c{certificate} at {place} is not back at s{server}, though the clock is right");
                self.violated(world, format!("{what}: good until {ends}, serves {served:?}"));
            }
        }
    }

    /// A certificate without trouble for long enough has a fresh staple, whatever trouble others have.
    fn check_fresh(&self, world: &World, directory: &Directory) {
        if !world.clock_is_calm() || !directory.is_calm(world, PROMPT) {
            return;
        }
        let files = directory.files.lock().unwrap();
        for (place, file) in files.iter() {
            let Contents::Certificate(certificate) = file.contents else { continue };
            let known = &world.pool.certificates[certificate];
            let since = world.elapsed().saturating_sub(PROMPT);
            let is_long_there = file.since < since && known.not_before + PROMPT < world.truth();
            let (answered, issuer) = world.is_answered(certificate);
            if !is_long_there || known.not_after < world.truth() || !answered || !issuer {
                continue;
            }
            let revoked = world.responders.revoked.lock().unwrap().get(&certificate).copied();
            let held = self.inner.lock().unwrap().certificates[certificate].held;
            if let Some((revoked, changed)) = revoked
                && (revoked || held.is_none_or(|(from, _)| from <= changed))
            {
                continue;
            }
            for &number in world.sinks_of(directory.number) {
                let server = &world.servers[number];
                if !server.is_calm(world, CAP) {
                    continue;
                }
                let served = server.served(place, certificate);
                let margin = server.requirements.margin;
                if served.as_ref().is_none_or(|served| served.made.ends <= world.truth() + margin) {
                    let what = format!("c{certificate} at {place} is not fresh at s{number}: {served:?}");
                    self.violated(world, what);
                }
            }
        }
    }

    /// Every panic was reported, and nothing else was reported as a panic.
    pub(crate) fn check_panics(&self, world: &World) {
        let (panics, internals) = {
            let inner = self.inner.lock().unwrap();
            (inner.panics, inner.internals)
        };
        if panics != internals {
            self.violated(world, format!("{panics} panics, of which {internals} were told"));
        }
    }
}
