//! What one run of a hook is about: events of one group, as variables and as lines of a file.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use serde::Serialize;
use tempfile::TempDir;

use super::debounce::Told;
use super::happening::Happening;
use crate::event::Severity;
use crate::gather::Gathered;
use crate::time::Timestamp;

/// The largest file of events, in bytes. Further events are counted only.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// What one run of a hook is about.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// At least one, the worst first.
    told: Vec<Told>,
    /// How many further events there was no room for.
    left_out: u64,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'t> {
    #[serde(flatten)]
    happening: &'t Happening,
    count: u64,
    since: Timestamp,
}

/// The file of a run, in a directory of its own. Both are removed when it is dropped.
pub(super) struct EventsFile {
    directory: TempDir,
    path: PathBuf,
}

impl Batch {
    /// The events of a group. None without an event.
    pub(super) fn of(gathered: Gathered<Told>) -> Option<Batch> {
        let Gathered { items: mut told, left_out } = gathered;
        // Stable: the first of those that are equally bad stays the first.
        told.sort_by_key(|told| std::cmp::Reverse((told.happening.outage, told.happening.severity)));
        (!told.is_empty()).then_some(Batch { told, left_out })
    }

    /// The event that the variables describe: the worst one, and of these the first.
    pub(super) fn first(&self) -> Option<&Happening> {
        self.told.first().map(|told| &told.happening)
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.first().is_some_and(|first| first.severity >= Severity::Warning)
    }

    /// How many lines of a file it has.
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    /// How many events there were.
    pub(super) fn count(&self) -> u64 {
        self.told.iter().map(|told| told.count).sum::<u64>() + self.left_out
    }

    /// The variables of the hook's environment.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let since = self.told.iter().map(|told| told.since).min();
        let certificates = self.told.iter().map(|told| told.happening.subject()).collect::<HashSet<_>>().len() as u64;
        let first = self.first().map(Happening::variables).into_iter().flatten();
        first
            .chain([
                ("STAPLED_COUNT", self.count().to_string()),
                ("STAPLED_SINCE", since.map(|since| since.to_string()).unwrap_or_default()),
                ("STAPLED_CERTIFICATES", (certificates + self.left_out).to_string()),
            ])
            .collect()
    }

    /// Writes one line of JSON for each event into a new file that only this user can read.
    pub(super) fn write_file(&self) -> io::Result<EventsFile> {
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("stapled-hook-").permissions(private).tempdir()?;
        let path = directory.path().join("events.jsonl");
        let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?);
        let mut size = 0;
        for Told { happening, count, since } in &self.told {
            let mut line = serde_json::to_vec(&Line { happening, count: *count, since: *since })?;
            line.push(b'\n');
            size += line.len();
            if size > MAX_FILE {
                break;
            }
            file.write_all(&line)?;
        }
        file.flush()?;
        Ok(EventsFile { directory, path })
    }
}

impl EventsFile {
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Removes the file and its directory.
    pub(super) fn remove(self) -> io::Result<()> {
        self.directory.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::super::happening::tests::failed;
    use super::*;

    fn told(name: &str, must_staple: bool, at: u64) -> Told {
        let mut event = failed(name, "0a");
        if !must_staple {
            std::sync::Arc::make_mut(event.certificate.as_mut().unwrap()).must_staple = false;
        }
        event.at = Timestamp::from_unix(0) + Duration::from_secs(at);
        Told { since: event.at, happening: Happening::of(&event).unwrap(), count: 2 }
    }

    #[test]
    fn the_variables_describe_the_worst_and_the_file_has_all() {
        let hostile = "b\"\n\0$(reboot)`x`;\u{1b}[0m";
        let batch =
            Batch::of(Gathered { items: vec![told("a", false, 5), told(hostile, true, 7)], left_out: 3 }).unwrap();
        let variables: HashMap<_, _> = batch.variables().into_iter().collect();
        for (name, value) in [
            ("STAPLED_CERTIFICATE", "b\"\\n\\u{0}$(reboot)`x`;\\u{1b}[0m"),
            ("STAPLED_OUTAGE", "yes"),
            ("STAPLED_COUNT", "7"),
            ("STAPLED_CERTIFICATES", "5"),
            ("STAPLED_SINCE", "1970-01-01T00:00:05Z"),
        ] {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
        let file = batch.write_file().unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        // Every variable of an event is a field of its line.
        let of_run = ["COUNT", "SINCE", "CERTIFICATES"];
        for name in
            variables.keys().map(|name| name.trim_start_matches("STAPLED_")).filter(|name| !of_run.contains(name))
        {
            assert!(lines.iter().all(|line| line.get(name.to_lowercase()).is_some()), "{name}: {text}");
        }
        let field = |line: usize, name: &str| lines.get(line).and_then(|line| line.get(name)).cloned().unwrap();
        assert_eq!((field(0, "outage"), field(1, "outage")), (true.into(), false.into()));
        assert_eq!((field(0, "count"), field(0, "since")), (2.into(), "1970-01-01T00:00:07Z".into()));
        assert_eq!((field(0, "kind"), field(0, "severity")), ("failed".into(), "error".into()));
        assert_eq!(field(0, "certificate"), variables.get("STAPLED_CERTIFICATE").unwrap().as_str());
        let (path, directory) = (file.path().to_owned(), file.path().parent().unwrap().to_owned());
        file.remove().unwrap();
        assert!(!path.exists() && !directory.exists());
    }

    #[test]
    fn the_file_is_bounded() {
        let name = "x".repeat(4000);
        let items: Vec<Told> = (0..6000).map(|number| told(&format!("{number}{name}"), false, 0)).collect();
        let file = Batch::of(Gathered { items, left_out: 0 }).unwrap().write_file().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.len() <= MAX_FILE && text.len() > MAX_FILE / 2 && text.ends_with("}\n"), "{}", text.len());
    }
}
