//! The settings of a hook.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kind::Kind;

/// The names of events that a hook may run for, besides the words of [`Kind`].
const NAMES: [&str; 17] = [
    "renewal_failed",
    "delivery_failed",
    "withdrawn",
    "short_lived",
    "certificate_expired",
    "must_staple_without_url",
    "place_problem",
    "source_problem",
    "issuer_fetch_failed",
    "internal",
    "withdrawn_again",
    "foreign_change_committed",
    "certificate_mixed_up",
    "configuration_advice",
    "configuration_differs",
    "shared_cache_failed",
    "reload_failed",
];

/// Which program runs for events, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookSettings {
    /// The program, which gets no arguments.
    pub program: PathBuf,
    /// How long one run may take. A run that takes longer is killed.
    pub timeout: Duration,
    /// How long further events of the same kind are held back after a run.
    pub debounce: Duration,
    /// The events that it runs for, by their name or their kind. Empty: all.
    pub events: Vec<String>,
    /// How long before the end of a staple that cannot be renewed it runs for `expiring`: this long, or a quarter of what was left
    /// of the staple when its renewal failed first, if that is less.
    pub expiring: Duration,
    /// The name of the sink for which `renewed` waits, ten seconds at most: the sink that writes files, since a hook may read the
    /// file. `None`: it comes at once, before the delivery.
    pub renewed_after: Option<String>,
}

impl HookSettings {
    /// The variables of a hook and their meaning, as text for a manual.
    pub const HELP: &str = "\
  The hook is a program that runs without arguments for events. STAPLED_KIND is the kind of the event: renewed,
  delivered, failed, revoked, outage, recovered, expiring or issuer_missing; STAPLED_EVENT is the exact name, such as
  renewal_failed, delivery_failed, withdrawn, short_lived, certificate_expired, must_staple_without_url, place_problem,
  source_problem. hook-events chooses among both. The first event runs the hook at once. Later events of the same kind
  about the same certificate are held back for hook-debounce, and then told as one, with their number (STAPLED_COUNT) and
  the time of the first (STAPLED_SINCE). Events of many certificates with the same fault come together:
  STAPLED_EVENTS_FILE has one line of JSON for each, STAPLED_CERTIFICATES is their number, and the variables describe the
  worst one. All of these variables are set, and empty where they do not apply: STAPLED_SEVERITY (info, warning, error),
  STAPLED_AT, STAPLED_CERTIFICATE, STAPLED_SERIAL, STAPLED_FILES (joined by colons), STAPLED_MUST_STAPLE and
  STAPLED_OUTAGE (yes or no; an outage is a must-staple certificate without a staple), STAPLED_CODE, STAPLED_WHAT,
  STAPLED_SERVER, STAPLED_RESPONDER, STAPLED_NEXT_TRY, STAPLED_STAPLE_UNTIL, and STAPLED_DROPPED: the number of events that
  were dropped because the hook was too slow.";

    /// Settings for a program, which must be an executable file. A run may take 30 s; events are held back for 300 s; a staple
    /// is `expiring` a day before its end. It runs for all events.
    ///
    /// # Errors
    ///
    /// The file does not exist or cannot be run.
    pub fn new(program: &Path) -> io::Result<Self> {
        let refused = |kind, what: String| {
            let what = format!("{}: {what}; name one program, without arguments", program.display());
            Err(io::Error::new(kind, what))
        };
        match std::fs::metadata(program) {
            Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {}
            Ok(_) => return refused(ErrorKind::PermissionDenied, "cannot be run: not an executable file".to_owned()),
            Err(error) => return refused(error.kind(), error.to_string()),
        }
        let (timeout, debounce) = (Duration::from_secs(30), Duration::from_secs(300));
        let (events, expiring) = (Vec::new(), Duration::from_secs(86_400));
        Ok(HookSettings { program: program.to_owned(), timeout, debounce, events, expiring, renewed_after: None })
    }

    /// The same, with this limit for one run.
    pub fn timeout(self, timeout: Duration) -> Self {
        HookSettings { timeout, ..self }
    }

    /// The same, holding back further events of the same kind for this time after a run.
    pub fn debounce(self, debounce: Duration) -> Self {
        HookSettings { debounce, ..self }
    }

    /// The same, running only for the events of these names or kinds; commas may join several.
    ///
    /// # Errors
    ///
    /// A hook runs for no event of such a name. The error lists the names.
    pub fn events(self, events: Vec<String>) -> io::Result<Self> {
        let events: Vec<_> =
            events.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
        let known = || Kind::ALL.map(Kind::as_str).into_iter().chain(NAMES);
        if let Some(unknown) = events.iter().find(|event| !known().any(|known| known == **event)) {
            let what =
                format!("there is no event {unknown:?}; the events are {}", known().collect::<Vec<_>>().join(", "));
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        Ok(HookSettings { events, ..self })
    }
}
