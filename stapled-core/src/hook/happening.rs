//! The facts of an event that a hook gets.

use crate::describe::visible::Visible;
use crate::event::{Event, EventKind, Severity};
use crate::sink::Withdrawal;
use crate::time::Timestamp;

/// The longest value of a variable, in bytes: the size of an environment is limited.
const MAX_VALUE: usize = 4096;

/// The facts of an event that a hook gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) event: &'static str,
    pub(super) severity: Severity,
    pub(super) at: Timestamp,
    certificate: String,
    serial: String,
    files: String,
    must_staple: bool,
    outage: bool,
    code: String,
    what: String,
    server: String,
    next_try: Option<Timestamp>,
    staple_until: Option<Timestamp>,
}

/// What two events of the same problem have in common: name, certificate, server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(&'static str, String, String);

impl Happening {
    /// The facts of an event. None: a hook does not run for it.
    pub(super) fn of(event: &Event) -> Option<Happening> {
        if !is_news(&event.kind) {
            return None;
        }
        let about = event.certificate.as_deref();
        let server = match &event.kind {
            EventKind::IssuerFetchFailed { url, .. } => url,
            _ => event.sink().unwrap_or_default(),
        };
        Some(Happening {
            event: event.kind.name(),
            severity: event.severity(),
            at: event.at,
            certificate: about.map(|about| tame(&about.name)).unwrap_or_default(),
            serial: about.map(|about| tame(&about.serial)).unwrap_or_default(),
            files: tame(&event.places().join(":")),
            must_staple: about.is_some_and(|about| about.must_staple),
            outage: event.is_outage(),
            code: event.kind.code().map(|code| code.to_string()).unwrap_or_default(),
            what: tame(&event.kind.to_string()),
            server: tame(server),
            next_try: event.next_try(),
            staple_until: event.staple_until(),
        })
    }

    pub(super) fn key(&self) -> Key {
        let subject = if self.serial.is_empty() { &self.files } else { &self.serial };
        Key(self.event, format!("{subject} {}", self.certificate), self.server.clone())
    }

    /// The variables of the hook's environment.
    pub(super) fn variables(&self) -> [(&'static str, String); 13] {
        let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
        let severity = match self.severity {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        [
            ("STAPLED_EVENT", self.event.to_owned()),
            ("STAPLED_SEVERITY", severity.to_owned()),
            ("STAPLED_AT", self.at.to_string()),
            ("STAPLED_CERTIFICATE", self.certificate.clone()),
            ("STAPLED_SERIAL", self.serial.clone()),
            ("STAPLED_FILES", self.files.clone()),
            ("STAPLED_MUST_STAPLE", yes(self.must_staple)),
            ("STAPLED_OUTAGE", yes(self.outage)),
            ("STAPLED_CODE", self.code.clone()),
            ("STAPLED_WHAT", self.what.clone()),
            ("STAPLED_SERVER", self.server.clone()),
            ("STAPLED_NEXT_TRY", moment(self.next_try)),
            ("STAPLED_STAPLE_UNTIL", moment(self.staple_until)),
        ]
    }
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
    let mut tame = Visible::new(text).to_string();
    let mut end = tame.len().min(MAX_VALUE);
    while !tame.is_char_boundary(end) {
        end -= 1;
    }
    tame.truncate(end);
    tame
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
