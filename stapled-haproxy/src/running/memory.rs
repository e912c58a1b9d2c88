//! The memory of a source between scans.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::source::{Material, Scan, Sighting, Version};
use tokio::time::Instant;

use crate::cli::process::Process;
use crate::running::files::Files;
use crate::running::matching::{Cause, Found, Matches, Mismatch};
use crate::running::stamp::Stamps;

/// How long the place of a file's certificate is kept after HAProxy serves it: until then a stapler has taken over the
/// certificate's other place.
const LINGER: Duration = Duration::from_secs(60);

/// The memory of a source between scans.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) files: Files,
    /// The process and the generation of its certificates at the last scan.
    pub(crate) scanned: Option<(Process, u64)>,
    pub(crate) scanned_at: Option<Instant>,
    /// The certificates that were in files while HAProxy served others, by the names of their places, and when that was
    /// seen last.
    ahead: HashMap<Arc<str>, (Sighting, Instant)>,
    /// The files that the last scan looked at.
    pub(crate) stamps: Stamps,
    /// The time of the next look at them.
    pub(crate) stat_at: Option<Instant>,
    /// The last scan, for a source that only adds to a configuration.
    pub(crate) last: Scan,
    /// The names under which HAProxy has another certificate than their files hold, and since when.
    differing: HashMap<String, Instant>,
}

impl Memory {
    /// Removes differences that may end in a moment: those younger than `grace`.
    pub(crate) fn remove_young_differences(&mut self, matches: &mut Matches, grace: Duration) {
        let now = Instant::now();
        let is_difference = |mismatch: &Mismatch| matches!(mismatch.cause, Cause::Differs { .. });
        let differing = matches.mismatches.iter().filter(|mismatch| is_difference(mismatch));
        let differing: HashSet<String> = differing.map(|mismatch| mismatch.name.to_string()).collect();
        self.differing.retain(|name, _| differing.contains(name));
        for name in differing {
            self.differing.entry(name).or_insert(now);
        }
        let is_old = |name: &str| self.differing.get(name).is_none_or(|since| now - *since >= grace);
        matches.mismatches.retain(|mismatch| !is_difference(mismatch) || is_old(&mismatch.name));
    }

    /// Whether a difference that the last scan left out is older than `grace` now.
    pub(crate) fn has_new_old_difference(&self, grace: Duration) -> bool {
        let scanned = self.scanned_at;
        let became_old = |since: &Instant| {
            let at = *since + grace;
            at <= Instant::now() && scanned.is_some_and(|scanned| scanned < at)
        };
        self.differing.values().any(became_old)
    }

    /// Keeps the place of a file's certificate for a while after HAProxy serves it, so that the certificate is not given up
    /// in one place before it is known in the other.
    pub(crate) fn linger(&mut self, matches: &mut Matches) {
        let sightings = || matches.found.iter().map(|found| &found.sighting);
        let present: HashSet<Arc<str>> = sightings().map(|sighting| Arc::clone(&sighting.name)).collect();
        for found in matches.found.iter().filter(|found| found.is_ahead) {
            let sighting = &found.sighting;
            self.ahead.insert(Arc::clone(&sighting.name), (sighting.clone(), Instant::now()));
        }
        self.ahead.retain(|_, (sighting, seen)| {
            seen.elapsed() < LINGER && sighting.served_as.as_ref().is_some_and(|name| present.contains(name))
        });
        // Only as long as the file holds it.
        let place = |one: &Sighting| Some((file_of(one)?.to_owned(), one.served_as.clone()));
        let versions: HashMap<_, Version> =
            sightings().filter_map(|one| Some((place(one)?, one.version.clone()))).collect();
        self.ahead.retain(|_, (sighting, _)| {
            let now = place(sighting).and_then(|place| versions.get(&place).cloned());
            now.is_none_or(|now| now == sighting.version)
        });
        let lingering = self.ahead.iter().filter(|(name, _)| !present.contains(*name));
        let lingering = lingering.map(|(_, (sighting, _))| Found { sighting: sighting.clone(), is_ahead: true });
        matches.found.extend(lingering);
    }
}

fn file_of(sighting: &Sighting) -> Option<&Path> {
    match &sighting.material {
        Material::File(path) => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that was renewed once more before HAProxy served it is in no file any more.
    #[tokio::test]
    async fn a_lingering_certificate_is_the_one_in_the_file() {
        let found = |name: &str, version: &str| {
            let sighting = Sighting::file("/a.pem", Version::new(version)).name(name).served_as("/a.pem");
            Found { sighting, is_ahead: name != "/a.pem" }
        };
        let lingering = |scans: &[&[(&str, &str)]]| {
            let mut memory = Memory::default();
            let mut names = Vec::new();
            for sightings in scans {
                let found = sightings.iter().map(|(name, version)| found(name, version)).collect();
                let mut matches = Matches { found, ..Matches::default() };
                memory.linger(&mut matches);
                names = matches.found.iter().map(|found| found.sighting.name.to_string()).collect();
            }
            names
        };
        let ahead = [("/a.pem (in its file)", "1"), ("/a.pem", "1")];
        assert_eq!(lingering(&[&ahead, &[("/a.pem", "1")]]), ["/a.pem", "/a.pem (in its file)"]);
        assert_eq!(lingering(&[&ahead, &[("/a.pem", "2")]]), ["/a.pem"]);
    }
}
