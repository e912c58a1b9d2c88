//! The rows: one for each certificate, and one for each place without a usable certificate.

use std::borrow::Cow;
use std::fmt;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::event::About;
use crate::event::faults::PlaceFault;
use crate::inventory::standing::{
    CertificateStatus, DeliveryState, DeliveryStatus, PlaceState, PlaceStatus, ProblemStatus, Standing,
};
use crate::inventory::{Inventory, Replaced};
use crate::ocsp::CertStatus;
use crate::stapler::handle::{Outcome, Renewed};
use crate::time::Timestamp;

/// One certificate, or one place without a usable certificate. Times are RFC 3339.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct Row {
    /// The name of the certificate for people.
    pub certificate: Option<String>,
    /// The serial number in hexadecimal.
    pub serial: Option<String>,
    /// The places that hold the certificate; for files, their paths.
    pub files: Vec<String>,
    /// Whether clients refuse the certificate without a staple.
    pub must_staple: bool,
    /// Whether clients refuse the certificate now: it is must-staple, and it or one of its servers has no staple. A file that
    /// only the next start of a server needs does not count.
    pub outage: bool,
    /// The state of the certificate or place.
    pub state: State,
    /// The state of a renewal on demand.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub outcome: Option<RenewalState>,
    /// The reason for the state, as a stable word.
    #[cfg_attr(feature = "serde", serde(rename = "reason"))]
    pub code: Option<Cow<'static, str>>,
    /// The reason in words, and what to do.
    pub what: Option<String>,
    /// The time since which the state holds.
    pub since: String,
    /// The time of the next request to the CA, or of the next look at the place.
    pub next_try: Option<String>,
    /// The time at which the CA last said that the certificate is good. Of a staple from an earlier process, its thisUpdate.
    #[cfg_attr(feature = "serde", serde(default))]
    pub last_renewal: Option<String>,
    /// The end of the validity of the staple.
    pub staple_until: Option<String>,
    /// The end of the validity of the certificate.
    #[cfg_attr(feature = "serde", serde(default))]
    pub certificate_until: Option<String>,
    /// The delivery of the staple to each server, and to the files.
    pub servers: Vec<Server>,
}

/// The state of a certificate or place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum State {
    /// The certificate has a verified staple.
    Good,
    /// The last renewal failed. An older staple may be held.
    Failed,
    /// The CA has revoked the certificate.
    Revoked,
    /// The validity of the certificate is over.
    Expired,
    /// The certificate has no OCSP URL and needs no staple.
    NotApplicable,
    /// The stapling of the certificate is turned off.
    Off,
    /// The certificate has no OCSP URL, and clients refuse it without a staple.
    MustStapleWithoutUrl,
    /// The place has no usable certificate.
    Problem,
    /// The file, one of a directory, has no certificate.
    NoCertificate,
    /// The path cannot be read.
    Unreadable,
    /// The certificate or place was not processed yet.
    #[default]
    Waiting,
}

/// The state of a renewal on demand. In JSON, it is one word; of a renewal that is done, it is the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RenewalState {
    /// The request was made; the client does not wait for the answer.
    Asked,
    /// The time was up before the answer came, or before every server had it.
    Pending,
    /// The renewal has this outcome.
    #[cfg_attr(feature = "serde", serde(untagged))]
    Done(Outcome),
}

/// The delivery of one certificate's staple to one server, or to the files. Times are RFC 3339.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct Server {
    /// The name of the sink.
    pub server: String,
    /// The state of the delivery.
    pub state: ServerState,
    /// The reason for the state, as a stable word.
    #[cfg_attr(feature = "serde", serde(rename = "reason"))]
    pub code: Option<Cow<'static, str>>,
    /// The reason in words, and what to do.
    pub what: Option<String>,
    /// The time since which the state holds.
    pub since: String,
    /// The time of the next delivery, after one that failed.
    pub next_try: Option<String>,
    /// The end of the validity of the staple in service. None: no staple is known to be in service.
    pub served_until: Option<String>,
    /// The time at which the server last took a staple that it was not known to serve.
    #[cfg_attr(feature = "serde", serde(default))]
    pub last_delivery: Option<String>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ServerState {
    /// The server has confirmed the staple.
    Confirmed,
    /// The server does not use the certificate.
    NotWanted,
    /// The last delivery or withdrawal failed.
    Failed,
    /// The staple was taken out of service.
    Withdrawn,
    /// Nothing was delivered yet.
    #[default]
    Pending,
}

/// Whether an operator must act because of a row. The variants are in the order of urgency; the most urgent is the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub enum Verdict {
    /// Nothing is missing.
    #[default]
    Fine,
    /// A staple is missing, or could not be renewed or delivered; or a place cannot be used.
    Failed,
    /// The CA has revoked the certificate.
    Revoked,
}

impl Row {
    /// The fields of the JSON object and their meaning, as text for a manual.
    pub const FIELDS: &str = "\
certificate, serial, files, must_staple, outage (it is must-staple and lacks a staple, so that clients refuse it), state,
  reason (a stable word), what (the reason in words, and what to do), since, next_try, last_renewal (when the CA last gave a good
  answer), staple_until, certificate_until (the end of the certificate's validity), and servers: a list of server, state, reason,
  what, since, next_try, served_until, last_delivery (when the server last took a staple that it did not have). Times are
  RFC 3339.";

    /// The rows of everything in an inventory: the certificates, then the places without one.
    pub fn all(inventory: &Inventory) -> Vec<Row> {
        let (certificates, replaced) = (inventory.certificates(), inventory.replaced());
        let rows = certificates.iter().filter_map(|status| Row::beside(status, &replaced));
        rows.chain(Row::of_places(inventory)).collect()
    }

    /// The row of a certificate. None: no place holds it any more.
    pub fn of_certificate(status: &CertificateStatus) -> Option<Row> {
        let (state, code, what) = match &status.standing {
            Standing::Retired => return None,
            Standing::Waiting => (State::Waiting, None, None),
            Standing::Good => (State::Good, None, None),
            Standing::Failing { code, what, .. } => (State::Failed, Some(code.as_str()), Some(what.clone())),
            Standing::Revoked { status } => (State::Revoked, Some("revoked"), Some(revocation(status))),
            Standing::Expired => (State::Expired, None, Some(EXPIRED.to_owned())),
        };
        let wants = |server: &&DeliveryStatus| !matches!(server.state, DeliveryState::NotWanted { .. });
        let mut wanted = status.deliveries.iter().filter(wants);
        let lacks = |server: &DeliveryStatus| server.is_felt && server.served_until.is_none();
        let is_missed = status.staple.is_none() || wanted.any(lacks);
        Some(Row {
            outage: status.about.must_staple && state != State::Expired && is_missed,
            state,
            code: code.map(Cow::Borrowed),
            what,
            since: status.since.to_string(),
            next_try: status.next.map(|next| next.to_string()),
            last_renewal: status.renewed.map(|renewed| renewed.to_string()),
            staple_until: status.staple.as_ref().map(|staple| staple.expires().to_string()),
            servers: status.deliveries.iter().map(Server::of).collect(),
            ..Row::about(&status.about)
        })
    }

    /// The row of a certificate, unless nothing is the matter with it but that its server has not loaded its successor yet, whose
    /// row tells that.
    pub(super) fn beside(status: &CertificateStatus, replaced: &Replaced) -> Option<Row> {
        let is_replaced = status.about.subject.as_ref().is_some_and(|subject| replaced.certificates.contains(subject));
        Row::of_certificate(status).filter(|row| !is_replaced || row.verdict() != Verdict::Fine)
    }

    /// The row of a certificate that was renewed on demand, at the time `now`.
    pub fn of_renewed(renewed: &Renewed, now: Timestamp) -> Row {
        match renewed.status.as_ref().and_then(Row::of_certificate) {
            Some(row) => row.outcome(renewed.outcome.into()),
            None => Row::of_gone(&renewed.about, now),
        }
    }

    /// The row of a certificate that no place holds any more, at the time `now`.
    fn of_gone(about: &About, now: Timestamp) -> Row {
        Row {
            state: State::NoCertificate,
            outcome: Some(Outcome::Gone.into()),
            what: Some("it is gone from all its places".to_owned()),
            since: now.to_string(),
            ..Row::about(about)
        }
    }

    /// The rows of the places without a certificate that wants a staple, and of the paths that cannot be read.
    pub fn of_places(inventory: &Inventory) -> Vec<Row> {
        let (places, mut problems) = (inventory.places(), inventory.source_problems());
        let replaced = inventory.replaced();
        // The row of the certificate that is to be loaded has the same remedy.
        problems.retain(|status| !replaced.names.contains(status.problem.place.as_str()));
        places.iter().filter_map(Row::of_place).chain(problems.iter().map(Row::of_problem)).collect()
    }

    /// The row of a place. None: the place needs no row, or its certificate has one.
    fn of_place(place: &PlaceStatus) -> Option<Row> {
        let (about, state, fault, what) = match &place.state {
            PlaceState::OnlyCaCertificates | PlaceState::OtherKind | PlaceState::Holds(_) => return None,
            PlaceState::Pending => (None, State::Waiting, None, None),
            PlaceState::NotApplicable(about) => (Some(about), State::NotApplicable, None, None),
            PlaceState::Off(about) => (Some(about), State::Off, None, None),
            PlaceState::MustStapleWithoutUrl(about) => {
                let what = "clients will refuse it: have it issued again with an OCSP URL, or without must-staple";
                (Some(about), State::MustStapleWithoutUrl, None, Some(what.to_owned()))
            }
            PlaceState::Expired(about) => (Some(about), State::Expired, None, Some(EXPIRED.to_owned())),
            // A directory may have other files. A place that was named must hold a certificate.
            PlaceState::Problem { about: None, fault: PlaceFault::NoCertificate, what } if place.is_listed => {
                (None, State::NoCertificate, None, Some(what.clone()))
            }
            PlaceState::Problem { about, fault, what } => {
                (about.as_ref(), State::Problem, Some(*fault), Some(what.clone()))
            }
        };
        let must_staple = about.is_some_and(|about| about.must_staple);
        let is_early = fault == Some(PlaceFault::NotYetValid);
        Some(Row {
            files: vec![place.name.to_string()],
            outage: must_staple && !is_early && matches!(state, State::MustStapleWithoutUrl | State::Problem),
            state,
            code: fault.map(|fault| Cow::Borrowed(fault.code().as_str())),
            what,
            since: place.since.to_string(),
            next_try: place.again.map(|again| again.to_string()),
            ..about.map(|about| Row::about(about)).unwrap_or_default()
        })
    }

    /// The row of a path that cannot be read.
    fn of_problem(status: &ProblemStatus) -> Row {
        let problem = &status.problem;
        Row {
            files: vec![problem.place.clone()],
            state: State::Unreadable,
            code: Some(Cow::Borrowed(problem.error.code.as_str())),
            what: Some(problem.error.what.clone()),
            since: status.since.to_string(),
            ..Row::default()
        }
    }

    /// A row that names a certificate.
    fn about(about: &About) -> Row {
        Row {
            certificate: Some(about.name.clone()),
            serial: Some(about.serial.clone()),
            files: about.places.iter().map(|place| place.to_string()).collect(),
            must_staple: about.must_staple,
            certificate_until: about.not_after.map(|end| end.to_string()),
            ..Row::default()
        }
    }

    /// The same row, with the state of a renewal on demand.
    pub fn outcome(self, outcome: RenewalState) -> Row {
        Row { outcome: Some(outcome), ..self }
    }

    /// The name, the serial number and the places of the certificate: the words by which users ask for it.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.certificate.iter().chain(&self.serial).chain(&self.files)
    }

    /// When a server last took a staple.
    pub fn last_delivery(&self) -> Option<&str> {
        self.servers.iter().filter_map(|server| server.last_delivery.as_deref()).max()
    }

    /// Whether an operator must act because of the row.
    pub fn verdict(&self) -> Verdict {
        match self.state {
            State::Revoked => Verdict::Revoked,
            _ if self.outcome == Some(RenewalState::Pending) => Verdict::Failed,
            State::Expired | State::NotApplicable | State::Off | State::NoCertificate => Verdict::Fine,
            State::Good if self.undelivered() == 0 => Verdict::Fine,
            _ => Verdict::Failed,
        }
    }

    /// Whether it is not in order: something is missing that an operator must know of.
    pub fn needs_operator(&self) -> bool {
        self.verdict() != Verdict::Fine
    }

    /// Whether a staple is missing that a later attempt may still bring, without an action of an operator.
    pub fn may_recover(&self) -> bool {
        self.verdict() == Verdict::Failed && self.state != State::MustStapleWithoutUrl
    }

    /// How many servers lack a staple for a reason of their own: they did not take the one that there is.
    pub(super) fn undelivered(&self) -> usize {
        self.servers.iter().filter(|server| self.misses(server)).count()
    }

    /// Whether this server of the row did not take the staple that there is.
    pub(crate) fn misses(&self, server: &Server) -> bool {
        match (self.state, server.state) {
            (_, ServerState::Confirmed | ServerState::NotWanted) => false,
            (State::Good, _) | (State::Failed, ServerState::Failed) => true,
            (State::Failed, _) => !self.lacks_answer(),
            _ => false,
        }
    }

    /// Whether there is no staple because the CA gave none, or none in time.
    pub(super) fn lacks_answer(&self) -> bool {
        let is_withdrawn = |server: &Server| server.state == ServerState::Withdrawn;
        self.state == State::Failed && (self.staple_until.is_none() || self.servers.iter().any(is_withdrawn))
    }
}

impl Server {
    /// The state with its reason code: `failed (connect_failed)`.
    pub fn state_in_words(&self) -> String {
        let state = match self.state {
            ServerState::Confirmed => "confirmed",
            ServerState::NotWanted => "not wanted",
            ServerState::Failed => "failed",
            ServerState::Withdrawn => "withdrawn",
            ServerState::Pending => "pending",
        };
        match &self.code {
            Some(code) => format!("{state} ({code})"),
            None => state.to_owned(),
        }
    }

    fn of(status: &DeliveryStatus) -> Server {
        let (state, reason) = match &status.state {
            DeliveryState::Pending => (ServerState::Pending, None),
            DeliveryState::Confirmed => (ServerState::Confirmed, None),
            DeliveryState::NotWanted { code, what } => (ServerState::NotWanted, Some((code, what))),
            DeliveryState::Failed { code, what, .. } => (ServerState::Failed, Some((code, what))),
            DeliveryState::Withdrawn => (ServerState::Withdrawn, None),
        };
        Server {
            server: status.sink.to_string(),
            state,
            code: reason.map(|(code, _)| Cow::Borrowed(code.as_str())),
            what: reason.map(|(_, what)| what.clone()),
            since: status.since.to_string(),
            next_try: status.again.map(|again| again.to_string()),
            served_until: status.served_until.map(|until| until.to_string()),
            last_delivery: status.delivered.map(|delivered| delivered.to_string()),
        }
    }
}

impl From<Outcome> for RenewalState {
    fn from(outcome: Outcome) -> Self {
        RenewalState::Done(outcome)
    }
}

/// A word or two for people.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Good => "good",
            State::Failed => "failed",
            State::Revoked => "REVOKED",
            State::Expired => "expired",
            State::NotApplicable => "no OCSP URL",
            State::Off => "off",
            State::MustStapleWithoutUrl => "must-staple without OCSP URL",
            State::Problem => "problem",
            State::NoCertificate => "no certificate",
            State::Unreadable => "unreadable",
            State::Waiting => "waiting",
        })
    }
}

/// A word or two for people.
impl fmt::Display for RenewalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RenewalState::Asked => "asked",
            RenewalState::Pending => "no answer yet",
            RenewalState::Done(Outcome::NewStaple) => "new staple",
            RenewalState::Done(Outcome::SameStaple) => "same staple",
            RenewalState::Done(Outcome::Revoked) => "REVOKED",
            RenewalState::Done(Outcome::Failed) => "failed",
            RenewalState::Done(Outcome::Expired) => "expired",
            RenewalState::Done(Outcome::Gone) => "gone",
        })
    }
}

const EXPIRED: &str = "the certificate has expired: replace it";

fn revocation(status: &CertStatus) -> String {
    match status {
        CertStatus::Revoked { at, reason: Some(reason) } => {
            format!("its CA revoked it at {at} (reason {reason}): replace it")
        }
        CertStatus::Revoked { at, .. } => format!("its CA revoked it at {at}: replace it"),
        _ => "its CA has revoked it: replace it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, servers: &[ServerState]) -> Row {
        let server = |state: &ServerState| Server { state: *state, ..Server::default() };
        Row { state, servers: servers.iter().map(server).collect(), ..Row::default() }
    }

    #[test]
    fn the_verdict_follows_from_state_and_deliveries() {
        use ServerState as S;
        use Verdict::*;
        for (state, servers, expected) in [
            (State::Good, &[][..], Fine),
            (State::Good, &[S::Confirmed, S::NotWanted], Fine),
            (State::Good, &[S::Confirmed, S::Failed], Failed),
            (State::Good, &[S::Pending], Failed),
            (State::Good, &[S::Withdrawn], Failed),
            (State::Failed, &[S::Confirmed], Failed),
            (State::Expired, &[], Fine),
            (State::NotApplicable, &[], Fine),
            (State::Off, &[], Fine),
            (State::NoCertificate, &[], Fine),
            (State::Problem, &[], Failed),
            (State::Unreadable, &[], Failed),
            (State::Waiting, &[], Failed),
            (State::MustStapleWithoutUrl, &[], Failed),
            (State::Revoked, &[S::Withdrawn], Revoked),
        ] {
            assert_eq!(row(state, servers).verdict(), expected, "{state:?} {servers:?}");
        }
        assert_eq!(row(State::Good, &[]).outcome(RenewalState::Pending).verdict(), Failed);
        assert_eq!(row(State::Revoked, &[]).outcome(RenewalState::Pending).verdict(), Revoked);
        assert!(!row(State::MustStapleWithoutUrl, &[]).may_recover() && row(State::Problem, &[]).may_recover());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn the_state_of_a_renewal_is_one_word_in_json() {
        for (state, word) in [
            (RenewalState::Asked, "asked"),
            (RenewalState::Pending, "pending"),
            (Outcome::NewStaple.into(), "new_staple"),
            (Outcome::SameStaple.into(), "same_staple"),
            (Outcome::Revoked.into(), "revoked"),
            (Outcome::Failed.into(), "failed"),
            (Outcome::Expired.into(), "expired"),
            (Outcome::Gone.into(), "gone"),
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), word);
            assert_eq!(serde_json::from_value::<RenewalState>(word.into()).unwrap(), state);
        }
    }
}
