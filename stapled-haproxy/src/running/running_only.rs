//! What a running HAProxy serves beyond its configuration: what was loaded at run time, and what was loaded before its
//! file was renewed. It blocks: it looks where paths lead.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use stapled_core::source::{Material, Scan};

use crate::codes;
use crate::configuration::Configuration;
use crate::running::files::Stamp;

/// Leaves out what the configuration gives by itself.
pub(crate) fn leave_out(scan: &mut Scan, configuration: &Configuration) {
    let files: HashMap<&str, &Path> =
        configuration.certificates.iter().map(|served| (served.name.as_str(), served.file.as_path())).collect();
    let clients: HashSet<&str> = configuration.client_certificates.iter().map(String::as_str).collect();
    scan.sightings.retain(|sighting| {
        let name = sighting.served_as.as_deref().unwrap_or(&sighting.name);
        match (files.get(name), &sighting.material) {
            (Some(file), Material::File(path)) => !is_same(file, path),
            // It is served, and its file holds another one.
            (Some(_), _) => true,
            (None, _) => !clients.contains(name),
        }
    });
    // Whoever reads the file of a certificate that is configured tells why that cannot be done.
    let is_told = |name: &str| files.contains_key(name) || clients.contains(name);
    scan.problems.retain(|problem| problem.error.code != codes::UNREADABLE_CERTIFICATE || !is_told(&problem.place));
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || Stamp::of(one).is_some_and(|stamp| Stamp::of(other).as_ref() == Some(&stamp))
}
