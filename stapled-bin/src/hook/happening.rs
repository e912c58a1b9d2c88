//! What a hook is told of an event.

use stapled_core::event::{Event, EventKind, Severity};
use stapled_core::sink::Withdrawal;
use stapled_core::time::Timestamp;

/// No value is longer, in bytes: an environment has an end.
const MAX_VALUE: usize = 4096;

/// An event, as far as a hook cares.
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

/// What makes two events the same trouble: its name, whom it befell, and at which server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(&'static str, String, String);

impl Happening {
    /// None of what is only for whoever watches closely.
    pub(super) fn of(event: &Event) -> Option<Happening> {
        let mut happening = Happening::plain(event);
        match &event.kind {
            // The same staple once more is no news.
            EventKind::Renewed { changed: false, recovered: false, .. } => return None,
            EventKind::Renewed { expires, renew, .. } => {
                (happening.staple_until, happening.next_try) = (Some(*expires), Some(*renew));
            }
            EventKind::RenewalFailed { again, held_until, .. } => {
                (happening.staple_until, happening.next_try) = (*held_until, Some(*again));
            }
            EventKind::Revoked { again, .. } => happening.next_try = Some(*again),
            EventKind::DeliveryFailed { sink, again, served_until, .. } => {
                happening.server = tame(sink);
                (happening.staple_until, happening.next_try) = (*served_until, Some(*again));
            }
            // Gone from its place, as somebody wanted.
            EventKind::Withdrawn { why: Withdrawal::Retired, .. } => return None,
            EventKind::Withdrawn { sink, .. } | EventKind::ShortLived { sink, .. } => happening.server = tame(sink),
            EventKind::PlaceProblem { place, again, .. } => {
                happening.files = tame(place);
                happening.next_try = *again;
            }
            EventKind::SourceProblem { place, .. } => happening.files = tame(place),
            EventKind::Reported { report, .. } if report.severity < Severity::Warning => return None,
            EventKind::Reported { from, .. } => happening.server = tame(from),
            EventKind::IssuerFetchFailed { url, again, .. } => {
                happening.server = tame(url);
                happening.next_try = Some(*again);
            }
            EventKind::MustStapleWithoutUrl | EventKind::CertificateExpired { .. } | EventKind::Internal { .. } => {}
            _ => return None,
        }
        Some(happening)
    }

    fn plain(event: &Event) -> Happening {
        let about = event.certificate.as_deref();
        let files = about.map(|about| about.places.join(":")).unwrap_or_default();
        Happening {
            event: event.kind.name(),
            severity: event.severity(),
            at: event.at,
            certificate: about.map(|about| tame(&about.name)).unwrap_or_default(),
            serial: about.map(|about| tame(&about.serial)).unwrap_or_default(),
            files: tame(&files),
            must_staple: about.is_some_and(|about| about.must_staple),
            outage: event.is_outage(),
            code: event.kind.code().map(|code| code.to_string()).unwrap_or_default(),
            what: tame(&event.kind.to_string()),
            server: String::new(),
            next_try: None,
            staple_until: None,
        }
    }

    pub(super) fn key(&self) -> Key {
        let whom = if self.serial.is_empty() { &self.files } else { &self.serial };
        Key(self.event, format!("{whom} {}", self.certificate), self.server.clone())
    }

    /// Its part of the hook's environment.
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

/// A stranger's text as a value: no line breaks, nothing that moves a cursor, no end within, and not too long.
fn tame(text: &str) -> String {
    let mut tame = crate::text::visible(text);
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

    use stapled_core::event::About;
    use stapled_core::reason::ReasonCode;
    use stapled_core::report::Report;

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
    fn strangers_names_are_tamed() {
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
    fn what_a_server_reports_is_told_from_warnings_on() {
        let mut event = failed("a", "0a");
        let mut of = |severity| {
            let report =
                Report::new(ReasonCode::new("withdrawn_again"), severity, "another client").code(ReasonCode::new("x"));
            event.kind = EventKind::Reported { from: "/run/admin.sock".into(), report };
            Happening::of(&event)
        };
        assert_eq!((of(Severity::Debug), of(Severity::Info)), (None, None));
        let told = of(Severity::Warning).unwrap();
        assert_eq!((told.event, &*told.code, &*told.server), ("withdrawn_again", "x", "/run/admin.sock"));
        assert_eq!((&*told.certificate, told.severity), ("a", Severity::Warning));
    }

    #[test]
    fn the_ordinary_course_is_no_news() {
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
