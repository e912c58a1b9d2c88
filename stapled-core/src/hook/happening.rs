//! The facts of an event that a hook gets.

use serde::Serialize;

use super::kind::Kind;
use crate::describe::visible::Visible;
use crate::event::{Event, EventKind, Severity};
use crate::sink::Withdrawal;
use crate::time::Timestamp;

/// The longest value of a variable, in bytes: the size of an environment is limited.
const MAX_VALUE: usize = 4096;
/// The most files of one certificate that are named.
const MAX_FILES: usize = 100;

/// The facts of an event that a hook gets. All text is without control characters, and not too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Happening {
    pub(super) event: &'static str,
    #[serde(serialize_with = "kind_as_word")]
    pub(super) kind: Kind,
    #[serde(serialize_with = "severity_as_word")]
    pub(super) severity: Severity,
    pub(super) at: Timestamp,
    certificate: String,
    serial: String,
    files: Vec<String>,
    must_staple: bool,
    pub(super) outage: bool,
    pub(super) code: String,
    pub(super) what: String,
    server: String,
    responder: String,
    next_try: Option<Timestamp>,
    staple_until: Option<Timestamp>,
}

/// What two events of the same problem have in common: name, certificate, server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(&'static str, String, String);

/// What the events of one fault have in common, whatever the certificate: name, reason code, server and responder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupKey(&'static str, String, String, String);

impl Happening {
    /// The facts of an event. None: a hook does not run for it.
    pub(super) fn of(event: &Event) -> Option<Happening> {
        is_news(&event.kind).then(|| Happening::of_any(event))
    }

    /// The facts of any event.
    pub(super) fn of_any(event: &Event) -> Happening {
        let about = event.certificate.as_deref();
        let server = match &event.kind {
            EventKind::IssuerFetchFailed { url, .. } => url,
            _ => event.sink().unwrap_or_default(),
        };
        Happening {
            event: event.kind.name(),
            kind: Kind::of(&event.kind),
            severity: event.severity(),
            at: event.at,
            certificate: about.map(|about| tame(&about.name)).unwrap_or_default(),
            serial: about.map(|about| tame(&about.serial)).unwrap_or_default(),
            files: event.places().iter().take(MAX_FILES).map(|place| tame(place)).collect(),
            must_staple: about.is_some_and(|about| about.must_staple),
            outage: event.is_outage(),
            code: event.kind.code().map(|code| code.to_string()).unwrap_or_default(),
            what: tame(&event.kind.to_string()),
            server: tame(server),
            responder: tame(&event.responder().unwrap_or_default()),
            next_try: event.next_try(),
            staple_until: event.staple_until(),
        }
    }

    /// The facts of an event that follows from another one, such as the begin of an outage.
    pub(super) fn derived(event: &Event, kind: Kind, severity: Severity, what: &str) -> Happening {
        let outage = kind == Kind::Outage;
        Happening { event: kind.as_str(), kind, severity, outage, what: tame(what), ..Happening::of_any(event) }
    }

    /// Whether it says that the CA gave a new staple for a certificate in a file.
    pub(super) fn is_renewal_of_a_file(&self) -> bool {
        self.kind == Kind::Renewed && self.files.iter().any(|file| file.starts_with('/'))
    }

    pub(super) fn key(&self) -> Key {
        Key(self.event, self.subject(), self.server.clone())
    }

    /// The certificate by its serial number and name; without one, the files.
    pub(super) fn subject(&self) -> String {
        match self.serial.is_empty() {
            true => self.files.join(":"),
            false => format!("{} {}", self.serial, self.certificate),
        }
    }

    pub(super) fn group(&self) -> GroupKey {
        // The end of an outage may have many reasons, and is one event all the same.
        let code = if self.kind == Kind::Recovered { String::new() } else { self.code.clone() };
        GroupKey(self.event, code, self.server.clone(), self.responder.clone())
    }

    /// The variables of the hook's environment.
    pub(super) fn variables(&self) -> [(&'static str, String); 15] {
        let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
        [
            ("STAPLED_EVENT", self.event.to_owned()),
            ("STAPLED_KIND", self.kind.as_str().to_owned()),
            ("STAPLED_SEVERITY", severity_word(self.severity).to_owned()),
            ("STAPLED_AT", self.at.to_string()),
            ("STAPLED_CERTIFICATE", self.certificate.clone()),
            ("STAPLED_SERIAL", self.serial.clone()),
            ("STAPLED_FILES", cut(self.files.join(":"))),
            ("STAPLED_MUST_STAPLE", yes(self.must_staple)),
            ("STAPLED_OUTAGE", yes(self.outage)),
            ("STAPLED_CODE", self.code.clone()),
            ("STAPLED_WHAT", self.what.clone()),
            ("STAPLED_SERVER", self.server.clone()),
            ("STAPLED_RESPONDER", self.responder.clone()),
            ("STAPLED_NEXT_TRY", moment(self.next_try)),
            ("STAPLED_STAPLE_UNTIL", moment(self.staple_until)),
        ]
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn severity_as_word<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity_word(*severity))
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn kind_as_word<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// Whether a hook runs for events of this kind.
fn is_news(kind: &EventKind) -> bool {
    match kind {
        // The same staple once more, or a certificate that was removed on purpose.
        EventKind::Renewed { changed: false, recovered: false, .. }
        | EventKind::Withdrawn { why: Withdrawal::Retired, .. } => false,
        EventKind::Renewed { .. }
        | EventKind::RenewalFailed { .. }
        | EventKind::Revoked { .. }
        | EventKind::Delivered { .. }
        | EventKind::DeliveryFailed { .. }
        | EventKind::Withdrawn { .. }
        | EventKind::ShortLived { .. }
        | EventKind::PlaceProblem { .. }
        | EventKind::SourceProblem { .. }
        | EventKind::IssuerFetchFailed { .. }
        | EventKind::MustStapleWithoutUrl
        | EventKind::CertificateExpired { .. }
        | EventKind::Internal { .. } => true,
        EventKind::Reported { report, .. } => report.severity >= Severity::Warning,
        _ => false,
    }
}

/// Text as the value of a variable: without control characters, and not too long.
fn tame(text: &str) -> String {
    cut(Visible::new(text).to_string())
}

fn cut(mut text: String) -> String {
    let mut end = text.len().min(MAX_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use crate::event::About;
    use crate::ocsp::CertStatus;
    use crate::reason::ReasonCode;
    use crate::report::Report;

    use super::*;

    pub(in super::super) fn failed(name: &str, serial: &str) -> Event {
        let mut about = About::new(name, serial);
        about.places = vec!["/etc/a.pem".into(), "/etc/b.pem".into()];
        about.must_staple = true;
        let kind = EventKind::RenewalFailed {
            responder: "ocsp.test:80".into(),
            code: ReasonCode::new("timed_out"),
            what: "no answer".to_owned(),
            attempts: 3,
            again: Timestamp::from_unix(60),
            held_until: None,
        };
        Event::new(Timestamp::from_unix(0), Some(Arc::new(about)), kind)
    }

    #[test]
    fn names_with_control_characters_are_escaped_and_cut() {
        let name = format!("evil\n\0$(reboot)\u{1b}[0m{}", "ä".repeat(5000));
        let happening = Happening::of(&failed(&name, "0a")).unwrap();
        for (variable, value) in happening.variables() {
            assert!(!value.contains(['\n', '\0', '\u{1b}']) && value.len() <= MAX_VALUE, "{variable}={value}");
        }
        let variables: std::collections::HashMap<_, _> = happening.variables().into_iter().collect();
        for (variable, value) in [
            ("STAPLED_EVENT", "renewal_failed"),
            ("STAPLED_SEVERITY", "error"),
            ("STAPLED_CODE", "timed_out"),
            ("STAPLED_OUTAGE", "yes"),
            ("STAPLED_FILES", "/etc/a.pem:/etc/b.pem"),
            ("STAPLED_NEXT_TRY", "1970-01-01T00:01:00Z"),
            ("STAPLED_STAPLE_UNTIL", ""),
            ("STAPLED_KIND", "failed"),
            ("STAPLED_RESPONDER", "ocsp.test:80"),
        ] {
            assert_eq!(variables.get(variable).map(String::as_str), Some(value), "{variable}");
        }
        assert!(variables.get("STAPLED_CERTIFICATE").unwrap().starts_with("evil\\n\\u{0}$(reboot)"));
    }

    #[test]
    fn a_hook_runs_for_reports_from_warnings_on() {
        let mut event = failed("a", "0a");
        let mut of = |severity, code: Option<&'static str>| {
            let report = Report::new(ReasonCode::new("withdrawn_again"), severity, "another client");
            let report = code.into_iter().fold(report, |report, code| report.code(ReasonCode::new(code)));
            event.kind = EventKind::Reported { from: "/run/admin.sock".into(), report };
            Happening::of(&event)
        };
        assert_eq!((of(Severity::Debug, None), of(Severity::Info, None)), (None, None));
        for (code, told_code) in [(Some("x"), "x"), (None, "withdrawn_again")] {
            let told = of(Severity::Warning, code).unwrap();
            assert_eq!((told.event, &*told.code, &*told.server), ("withdrawn_again", told_code, "/run/admin.sock"));
            assert_eq!((&*told.certificate, told.severity), ("a", Severity::Warning));
        }
    }

    #[test]
    fn revocations_and_withdrawals_have_reason_codes() {
        let mut event = failed("a", "0a");
        let mut code = |kind| {
            event.kind = kind;
            Happening::of(&event).unwrap().code
        };
        let revoked = CertStatus::Revoked { at: Timestamp::from_unix(0), reason: None };
        assert_eq!(code(EventKind::Revoked { status: revoked, again: Timestamp::from_unix(60) }), "revoked");
        let withdrawn = |why, short_lived: Option<&str>| EventKind::Withdrawn {
            sink: "/s".into(),
            why,
            confirmed: true,
            failing: None,
            short_lived: short_lived.map(str::to_owned),
        };
        assert_eq!(code(withdrawn(Withdrawal::Revoked, None)), "revoked");
        assert_eq!(code(withdrawn(Withdrawal::Expiring, Some("60 s"))), "expires_too_soon");
        assert_eq!(code(withdrawn(Withdrawal::Expiring, None)), "expires_too_soon");
    }

    #[test]
    fn a_hook_does_not_run_for_ordinary_events() {
        let mut event = failed("a", "0a");
        for kind in [EventKind::Accepted, EventKind::Retired, EventKind::NotApplicable] {
            event.kind = kind;
            assert_eq!(Happening::of(&event), None);
        }
        event.kind = EventKind::Withdrawn {
            sink: "/s".into(),
            why: Withdrawal::Retired,
            confirmed: true,
            failing: None,
            short_lived: None,
        };
        assert_eq!(Happening::of(&event), None);
        event.kind = EventKind::Withdrawn {
            sink: "/s".into(),
            why: Withdrawal::Expiring,
            confirmed: true,
            failing: None,
            short_lived: None,
        };
        assert!(Happening::of(&event).unwrap().outage);
    }
}
