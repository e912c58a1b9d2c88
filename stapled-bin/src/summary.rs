//! How everything stands: rows, totals and the exit code, out of the inventory. What one pass came to, and what a
//! running program is asked for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};
use stapled_core::event::{About, PlaceFault};
use stapled_core::inventory::{
    CertificateStatus, DeliveryState, DeliveryStatus, Inventory, PlaceState, PlaceStatus, ProblemStatus, Standing,
};
use stapled_core::ocsp::CertStatus;
use stapled_core::time::Timestamp;

use crate::text::visible;

/// Terminals with fewer columns get no table that is fitted to them.
const NARROW: u16 = 80;

/// Everything, at one time.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: Vec<Row>,
    pub(crate) totals: Totals,
}

/// One certificate, or one place without a certificate that could be made out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) certificate: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) files: Vec<String>,
    pub(crate) must_staple: bool,
    /// Whether clients refuse it now: it is must-staple and has no staple, altogether or at one of its servers.
    pub(crate) outage: bool,
    pub(crate) state: State,
    /// The outcome of a question that was asked for by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// Why, as a stable word.
    #[serde(rename = "reason")]
    pub(crate) code: Option<Cow<'static, str>>,
    /// Why, and what to do.
    pub(crate) what: Option<String>,
    /// Since when it stands so.
    pub(crate) since: String,
    /// When its CA is asked next, or the place is looked at again.
    pub(crate) next_try: Option<String>,
    pub(crate) staple_until: Option<String>,
    pub(crate) servers: Vec<Server>,
}

/// How a certificate or place stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It has a verified staple.
    Good,
    /// Its CA was asked in vain; a staple from before may be held.
    Failed,
    /// Its CA has revoked it.
    Revoked,
    /// Its validity is over.
    Expired,
    /// It has no OCSP URL and needs no staple.
    NotApplicable,
    /// It has no OCSP URL, and clients will refuse it without a staple.
    MustStapleWithoutUrl,
    /// No certificate could be made out there, or it gets no staple as it is.
    Problem,
    /// A file without a certificate, such as a private key's.
    NoCertificate,
    /// A path that could not be looked at.
    Unreadable,
    /// It was not got round to.
    Waiting,
}

/// The outcome of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It is asked, and nobody waits.
    Asked,
    /// The time was up before it was answered, or before every server had the answer.
    Pending,
    NewStaple,
    SameStaple,
    Revoked,
    Failed,
    Expired,
    Gone,
}

/// What a server, or the files, have of a certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) server: String,
    pub(crate) state: ServerState,
    #[serde(rename = "reason")]
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) what: Option<String>,
    pub(crate) since: String,
    pub(crate) next_try: Option<String>,
    /// Until when the staple lasts that it serves, where it is known to serve one.
    pub(crate) served_until: Option<String>,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerState {
    Confirmed,
    NotWanted,
    Failed,
    Withdrawn,
    Pending,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Certificates, and places where none could be made out.
    pub(crate) total: usize,
    pub(crate) good: usize,
    pub(crate) failed: usize,
    pub(crate) revoked: usize,
    pub(crate) expired: usize,
    pub(crate) not_applicable: usize,
    pub(crate) must_staple_without_url: usize,
    pub(crate) problem: usize,
    pub(crate) no_certificate: usize,
    pub(crate) unreadable: usize,
    pub(crate) waiting: usize,
    /// Deliveries that a server, or the files, did not confirm.
    pub(crate) undelivered: usize,
    /// Must-staple certificates that clients refuse for want of a staple.
    pub(crate) outages: usize,
    pub(crate) exit_code: u8,
}

impl Summary {
    /// Of all that is known.
    pub(crate) fn of(inventory: &Inventory) -> Self {
        let certificates = inventory.certificates();
        let rows = certificates.iter().filter_map(Row::of_certificate).chain(Row::of_places(inventory)).collect();
        Summary::with(rows)
    }

    /// Of these rows; what cannot wait comes first.
    pub(crate) fn with(mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(|row| !row.outage);
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.count(row));
        Summary { rows, totals }
    }

    /// How many rows are not as they should be, and may be by and by.
    pub(crate) fn what_may_come(&self) -> usize {
        let may = |row: &&Row| row.verdict() == Verdict::Failed && row.state != State::MustStapleWithoutUrl;
        self.rows.iter().filter(may).count()
    }

    /// One JSON object a line: every row, then the totals.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Last<'a> {
            totals: &'a Totals,
        }
        for row in &self.rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        writeln!(out, "{}", serde_json::to_string(&Last { totals: &self.totals })?)
    }

    /// A table, what is wrong in words, and the totals.
    pub(crate) fn write_table(&self, out: &mut dyn Write, on_terminal: bool) -> io::Result<()> {
        if !self.rows.is_empty() {
            writeln!(out, "{}", self.table(on_terminal, Columns::Few))?;
        }
        self.write_problems(out)
    }

    /// The same with more columns, for who looks at a running program.
    pub(crate) fn write_status(&self, out: &mut dyn Write, on_terminal: bool) -> io::Result<()> {
        if !self.rows.is_empty() {
            writeln!(out, "{}", self.table(on_terminal, Columns::Moments))?;
        }
        self.write_problems(out)
    }

    /// The same with the outcome of each question.
    pub(crate) fn write_renewals(&self, out: &mut dyn Write, on_terminal: bool) -> io::Result<()> {
        if !self.rows.is_empty() {
            writeln!(out, "{}", self.table(on_terminal, Columns::Outcome))?;
        }
        self.write_problems(out)
    }

    /// What is wrong in words, and the totals.
    pub(crate) fn write_problems(&self, out: &mut dyn Write) -> io::Result<()> {
        for (what, names) in self.problems() {
            let what = visible(&what);
            match names.as_slice() {
                [name] if what.starts_with(&visible(name)) => writeln!(out, "{what}")?,
                [name] => writeln!(out, "{}: {what}", visible(name))?,
                [one, two] => writeln!(out, "{}, {}: {what}", visible(one), visible(two))?,
                [one, two, more @ ..] => {
                    writeln!(out, "{}, {} and {} more: {what}", visible(one), visible(two), more.len())?;
                }
                [] => {}
            }
        }
        writeln!(out, "{}", self.totals)
    }

    /// Everything that went wrong, told once, with the names of all that it befell.
    fn problems(&self) -> Vec<(String, Vec<&str>)> {
        let mut problems: Vec<(String, Vec<&str>)> = Vec::new();
        let mut by_what: HashMap<String, usize> = HashMap::new();
        let mut add = |what: String, name| {
            let index = *by_what.entry(what.clone()).or_insert_with(|| {
                problems.push((what, Vec::new()));
                problems.len() - 1
            });
            if let Some((_, names)) = problems.get_mut(index) {
                names.push(name);
            }
        };
        for row in &self.rows {
            let name = row.certificate.as_deref().or(row.files.first().map(String::as_str)).unwrap_or_default();
            let urgent = if row.must_staple && row.verdict() != Verdict::Fine { "MUST-STAPLE: " } else { "" };
            if let Some(what) = &row.what
                && row.state != State::NoCertificate
            {
                add(format!("{urgent}{what}"), name);
            }
            for server in row.servers.iter().filter(|server| server.state != ServerState::Confirmed) {
                let Some(what) = &server.what else { continue };
                let who = if what.starts_with(&server.server) { "" } else { &format!("{}: ", server.server) };
                add(format!("{urgent}{who}{what}"), name);
            }
        }
        problems
    }

    fn table(&self, on_terminal: bool, columns: Columns) -> Table {
        let mut table = Table::new();
        table.load_preset(if on_terminal { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
        // A terminal too narrow for columns breaks the lines itself, more legibly.
        let fits = on_terminal && table.width().is_some_and(|width| width >= NARROW);
        table.set_content_arrangement(match fits {
            true => ContentArrangement::Dynamic,
            false => ContentArrangement::Disabled,
        });
        let with_moments = columns == Columns::Moments;
        let with_outcome = columns == Columns::Outcome;
        let moments = ["SINCE", "NEXT TRY"].into_iter().filter(|_| with_moments);
        let outcome = ["RESULT"].into_iter().filter(|_| with_outcome);
        table.set_header(
            ["CERTIFICATE", "FILE", "STATE"]
                .into_iter()
                .chain(moments)
                .chain(outcome)
                .chain(["STAPLE UNTIL", "SERVERS"]),
        );
        for row in &self.rows {
            let urgent = if row.outage { "OUTAGE: " } else { "" };
            let state = match &row.code {
                Some(code) => format!("{urgent}{} ({code})", row.state),
                None => format!("{urgent}{}", row.state),
            };
            let or_dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), visible);
            let who =
                [or_dash(&row.certificate), row.files.iter().map(|file| visible(file)).collect::<Vec<_>>().join(", ")];
            let moments = [visible(&row.since), or_dash(&row.next_try)].into_iter().filter(|_| with_moments);
            let servers = [or_dash(&row.staple_until), servers_in_words(&row.servers)];
            let outcome = [row.outcome.map_or("-".to_owned(), |outcome| outcome.to_string())];
            let outcome = outcome.into_iter().filter(|_| with_outcome);
            table.add_row(who.into_iter().chain([state]).chain(moments).chain(outcome).chain(servers));
        }
        table
    }
}

/// Which columns a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Columns {
    Few,
    /// Also since when, and when next.
    Moments,
    /// Also the outcome of a question.
    Outcome,
}

/// `3 of 3`, or which not.
fn servers_in_words(servers: &[Server]) -> String {
    let wanted: Vec<&Server> = servers.iter().filter(|server| server.state != ServerState::NotWanted).collect();
    if wanted.is_empty() {
        return "-".to_owned();
    }
    let confirmed = wanted.iter().filter(|server| server.state == ServerState::Confirmed).count();
    let mut words = format!("{confirmed} of {}", wanted.len());
    for server in wanted.iter().filter(|server| server.state != ServerState::Confirmed) {
        let code = server.code.as_deref().unwrap_or(match server.state {
            ServerState::Withdrawn => "withdrawn",
            _ => "pending",
        });
        words.push_str(&format!("; {}: {code}", visible(&server.server)));
    }
    words
}

/// What a row means for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Fine,
    Failed,
    Revoked,
}

impl Row {
    /// Of a certificate that wants a staple; none of one that is gone.
    pub(crate) fn of_certificate(status: &CertificateStatus) -> Option<Row> {
        let (state, code, what) = match &status.standing {
            Standing::Retired => return None,
            Standing::Good => (State::Good, None, None),
            Standing::Failing { code, what, .. } => (State::Failed, Some(code.as_str()), Some(what.clone())),
            Standing::Revoked { status } => (State::Revoked, Some("revoked"), Some(revocation(status))),
            Standing::Expired => (State::Expired, None, Some("the certificate has expired: replace it".to_owned())),
            _ => (State::Waiting, None, None),
        };
        let wants = |server: &&DeliveryStatus| !matches!(server.state, DeliveryState::NotWanted { .. });
        let mut wanted = status.deliveries.iter().filter(wants);
        let is_missed = status.staple.is_none() || wanted.any(|server| server.served_until.is_none());
        Some(Row {
            certificate: Some(status.about.name.clone()),
            serial: Some(status.about.serial.clone()),
            files: status.about.places.iter().map(|place| place.to_string()).collect(),
            must_staple: status.about.must_staple,
            outage: status.about.must_staple && state != State::Expired && is_missed,
            state,
            outcome: None,
            code: code.map(Cow::Borrowed),
            what,
            since: status.since.to_string(),
            next_try: status.next.map(|next| next.to_string()),
            staple_until: status.staple.as_ref().map(|staple| staple.expires().to_string()),
            servers: status.deliveries.iter().map(of_delivery).collect(),
        })
    }

    /// Of a certificate that is gone from all its places.
    pub(crate) fn of_gone(about: &About, now: Timestamp) -> Row {
        Row {
            certificate: Some(about.name.clone()),
            serial: Some(about.serial.clone()),
            files: about.places.iter().map(|place| place.to_string()).collect(),
            must_staple: about.must_staple,
            outage: false,
            state: State::NoCertificate,
            outcome: Some(Outcome::Gone),
            code: None,
            what: Some("it is gone from all its places".to_owned()),
            since: now.to_string(),
            next_try: None,
            staple_until: None,
            servers: Vec::new(),
        }
    }

    /// The same, with this outcome.
    pub(crate) fn outcome(self, outcome: Outcome) -> Row {
        Row { outcome: Some(outcome), ..self }
    }

    /// The names by which it is asked for.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.certificate.iter().chain(&self.serial).chain(&self.files)
    }

    /// Of the places without a certificate that wants a staple, and of what could not be looked at.
    pub(crate) fn of_places(inventory: &Inventory) -> Vec<Row> {
        let (places, problems) = (inventory.places(), inventory.source_problems());
        places.iter().filter_map(of_place).chain(problems.iter().map(of_problem)).collect()
    }

    fn verdict(&self) -> Verdict {
        match self.state {
            State::Revoked => Verdict::Revoked,
            _ if self.outcome == Some(Outcome::Pending) => Verdict::Failed,
            State::Expired | State::NotApplicable | State::NoCertificate => Verdict::Fine,
            State::Good if self.undelivered() == 0 => Verdict::Fine,
            _ => Verdict::Failed,
        }
    }

    fn undelivered(&self) -> usize {
        let is_done = |server: &&Server| matches!(server.state, ServerState::Confirmed | ServerState::NotWanted);
        let counts = matches!(self.state, State::Good | State::Failed);
        self.servers.iter().filter(|server| counts && !is_done(server)).count()
    }
}

impl Totals {
    /// Takes one more row into account.
    pub(crate) fn count(&mut self, row: &Row) {
        self.total += 1;
        let count = match row.state {
            State::Good => &mut self.good,
            State::Failed => &mut self.failed,
            State::Revoked => &mut self.revoked,
            State::Expired => &mut self.expired,
            State::NotApplicable => &mut self.not_applicable,
            State::MustStapleWithoutUrl => &mut self.must_staple_without_url,
            State::Problem => &mut self.problem,
            State::NoCertificate => &mut self.no_certificate,
            State::Unreadable => &mut self.unreadable,
            State::Waiting => &mut self.waiting,
        };
        *count += 1;
        self.undelivered += row.undelivered();
        self.outages += usize::from(row.outage);
        let code = match row.verdict() {
            Verdict::Fine => 0,
            Verdict::Failed => 1,
            Verdict::Revoked => 3,
        };
        self.exit_code = self.exit_code.max(code);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return f.write_str("no certificates");
        }
        if self.outages > 0 {
            write!(f, "OUTAGE: {} must-staple without a staple; ", self.outages)?;
        }
        write!(f, "{} in all", self.total)?;
        for (count, words) in [
            (self.good, "good"),
            (self.failed, "failed"),
            (self.revoked, "REVOKED"),
            (self.expired, "expired"),
            (self.not_applicable, "without OCSP URL"),
            (self.must_staple_without_url, "must-staple without OCSP URL"),
            (self.problem, "with problems"),
            (self.no_certificate, "without a certificate"),
            (self.unreadable, "unreadable"),
            (self.waiting, "not got round to"),
        ] {
            if count > 0 {
                write!(f, ", {count} {words}")?;
            }
        }
        if self.undelivered > 0 {
            write!(f, "; {} deliveries missing", self.undelivered)?;
        }
        Ok(())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Good => "good",
            State::Failed => "failed",
            State::Revoked => "REVOKED",
            State::Expired => "expired",
            State::NotApplicable => "no OCSP URL",
            State::MustStapleWithoutUrl => "must-staple without OCSP URL",
            State::Problem => "problem",
            State::NoCertificate => "no certificate",
            State::Unreadable => "unreadable",
            State::Waiting => "waiting",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Asked => "asked",
            Outcome::Pending => "no answer yet",
            Outcome::NewStaple => "new staple",
            Outcome::SameStaple => "same staple",
            Outcome::Revoked => "REVOKED",
            Outcome::Failed => "failed",
            Outcome::Expired => "expired",
            Outcome::Gone => "gone",
        })
    }
}

fn revocation(status: &CertStatus) -> String {
    match status {
        CertStatus::Revoked { at, reason: Some(reason) } => {
            format!("its CA revoked it at {at} (reason {reason}): replace it")
        }
        CertStatus::Revoked { at, .. } => format!("its CA revoked it at {at}: replace it"),
        _ => "its CA has revoked it: replace it".to_owned(),
    }
}

fn of_delivery(status: &DeliveryStatus) -> Server {
    let (state, reason) = match &status.state {
        DeliveryState::Confirmed => (ServerState::Confirmed, None),
        DeliveryState::NotWanted { code, what } => (ServerState::NotWanted, Some((code, what))),
        DeliveryState::Failed { code, what, .. } => (ServerState::Failed, Some((code, what))),
        DeliveryState::Withdrawn => (ServerState::Withdrawn, None),
        _ => (ServerState::Pending, None),
    };
    Server {
        server: status.sink.to_string(),
        state,
        code: reason.map(|(code, _)| Cow::Borrowed(code.as_str())),
        what: reason.map(|(_, what)| what.clone()),
        since: status.since.to_string(),
        next_try: status.again.map(|again| again.to_string()),
        served_until: status.served_until.map(|until| until.to_string()),
    }
}

fn of_place(place: &PlaceStatus) -> Option<Row> {
    const EXPIRED: &str = "the certificate has expired: replace it";
    let (about, state, fault, what) = match &place.state {
        PlaceState::OnlyCaCertificates | PlaceState::Holds(_) => return None,
        PlaceState::NotApplicable(about) => (Some(about), State::NotApplicable, None, None),
        PlaceState::MustStapleWithoutUrl(about) => {
            let what = "clients will refuse it: have it issued again with an OCSP URL, or without must-staple";
            (Some(about), State::MustStapleWithoutUrl, None, Some(what.to_owned()))
        }
        PlaceState::Expired(about) => (Some(about), State::Expired, None, Some(EXPIRED.to_owned())),
        PlaceState::Problem { about: None, fault: PlaceFault::NoCertificate, what } => {
            (None, State::NoCertificate, None, Some(what.clone()))
        }
        PlaceState::Problem { about, fault, what } => {
            (about.as_ref(), State::Problem, Some(*fault), Some(what.clone()))
        }
        _ => (None, State::Waiting, None, None),
    };
    let must_staple = about.is_some_and(|about| about.must_staple);
    let is_early = fault == Some(PlaceFault::NotYetValid);
    Some(Row {
        certificate: about.map(|about| about.name.clone()),
        serial: about.map(|about| about.serial.clone()),
        files: vec![place.name.to_string()],
        must_staple,
        outage: must_staple && !is_early && matches!(state, State::MustStapleWithoutUrl | State::Problem),
        state,
        outcome: None,
        code: fault.map(|fault| Cow::Borrowed(fault.code().as_str())),
        what,
        since: place.since.to_string(),
        next_try: place.again.map(|again| again.to_string()),
        staple_until: None,
        servers: Vec::new(),
    })
}

fn of_problem(status: &ProblemStatus) -> Row {
    let problem = &status.problem;
    Row {
        certificate: None,
        serial: None,
        files: vec![problem.place.clone()],
        must_staple: false,
        outage: false,
        state: State::Unreadable,
        outcome: None,
        code: Some(Cow::Borrowed(problem.error.code.as_str())),
        what: Some(problem.error.what.clone()),
        since: status.since.to_string(),
        next_try: None,
        staple_until: None,
        servers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, servers: &[ServerState]) -> Row {
        let server = |state: &ServerState| Server {
            server: "/s".to_owned(),
            state: *state,
            code: None,
            what: None,
            since: String::new(),
            next_try: None,
            served_until: None,
        };
        Row {
            certificate: Some("example.org".to_owned()),
            serial: Some("0a".to_owned()),
            files: vec!["/etc/a.pem".to_owned()],
            must_staple: false,
            outage: false,
            state,
            outcome: None,
            code: None,
            what: None,
            since: String::new(),
            next_try: None,
            staple_until: None,
            servers: servers.iter().map(server).collect(),
        }
    }

    #[test]
    fn exit_codes() {
        use State::*;
        for (rows, expected) in [
            (vec![], 0),
            (vec![row(Good, &[])], 0),
            (vec![row(Good, &[ServerState::Confirmed, ServerState::NotWanted])], 0),
            (vec![row(Expired, &[]), row(NotApplicable, &[]), row(NoCertificate, &[])], 0),
            (vec![row(Good, &[ServerState::Confirmed, ServerState::Failed])], 1),
            (vec![row(Good, &[ServerState::Pending])], 1),
            (vec![row(Good, &[ServerState::Withdrawn])], 1),
            (vec![row(Failed, &[ServerState::Confirmed])], 1),
            (vec![row(Good, &[ServerState::Confirmed]), row(Problem, &[])], 1),
            (vec![row(Unreadable, &[])], 1),
            (vec![row(Waiting, &[])], 1),
            (vec![row(MustStapleWithoutUrl, &[])], 1),
            (vec![row(Revoked, &[ServerState::Withdrawn]), row(Good, &[ServerState::Confirmed])], 3),
            (vec![row(Revoked, &[]), row(Problem, &[])], 3),
        ] {
            let count = rows.len();
            let Summary { rows, totals } = Summary::with(rows);
            assert_eq!(totals.exit_code, expected, "{rows:?}");
            assert_eq!(totals.total, count);
        }
    }

    #[test]
    fn the_table_is_one_line_a_row_outside_of_terminals() {
        let mut bad = row(State::Good, &[ServerState::Confirmed, ServerState::Failed]);
        bad.certificate = Some("a\nb".to_owned());
        bad.servers.last_mut().unwrap().what = Some("/s: does not exist".to_owned());
        let mut out = Vec::new();
        Summary::with(vec![bad]).write_table(&mut out, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines.get(1).unwrap().starts_with("a\\nb") && lines.get(1).unwrap().contains("1 of 2; /s: pending"),
            "{text}"
        );
        assert_eq!(lines.get(3), Some(&"1 in all, 1 good; 1 deliveries missing"));
    }

    #[test]
    fn json_ends_with_the_totals() {
        let mut out = Vec::new();
        Summary::with(vec![row(State::Revoked, &[])]).write_json(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects.first().unwrap().get("state").unwrap(), "revoked");
        assert_eq!(objects.last().unwrap().pointer("/totals/exit_code").unwrap(), 3);
    }
}
