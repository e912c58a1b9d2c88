//! The certificates that only the running process serves, beyond its configuration: those loaded at run time, and those
//! whose file was renewed since. Blocks: it resolves paths.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use stapled_core::source::Material;

use crate::configuration::Configuration;
use crate::running::matching::{Cause, Matches};
use crate::running::stamp::Stamp;

/// Removes the certificates that the configuration as a source gives.
pub(crate) fn remove_configured(matches: &mut Matches, configuration: &Configuration) {
    let files: HashMap<&str, &Path> =
        configuration.certificates.iter().map(|served| (served.name.as_str(), served.file.as_path())).collect();
    let clients: HashSet<&str> = configuration.client_certificates.iter().map(String::as_str).collect();
    matches.found.retain(|found| {
        let sighting = &found.sighting;
        let name = sighting.served_as.as_deref().unwrap_or(&sighting.name);
        match (files.get(name), &sighting.material) {
            (Some(file), Material::File(path)) => !is_same(file, path),
            // The process serves this certificate, and its file holds another one.
            (Some(_), _) => true,
            (None, _) => !clients.contains(name),
        }
    });
    // The configuration as a source reports why a configured file cannot be read.
    let is_reported = |name: &str| files.contains_key(name) || clients.contains(name);
    matches.mismatches.retain(|mismatch| !matches!(mismatch.cause, Cause::Unreadable) || !is_reported(&mismatch.name));
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || Stamp::of(one).is_some_and(|stamp| Stamp::of(other).as_ref() == Some(&stamp))
}
