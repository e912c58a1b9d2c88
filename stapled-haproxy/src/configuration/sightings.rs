//! The certificates of a configuration as places for a stapler. Blocks: it looks at files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::hash::Sha256;
use stapled_core::io::files::Look;
use stapled_core::source::issuer::{IssuerChains, IssuerLookup};
use stapled_core::source::{Sighting, Version};

use super::found::Served;

/// The places of these certificates, with the versions of their files.
pub(super) fn sightings<'a>(certificates: impl Iterator<Item = &'a Served>, look: &mut Look<'_>) -> Vec<Sighting> {
    let mut chains: HashMap<&Path, Arc<IssuerChains>> = HashMap::new();
    let mut names: HashSet<String> = HashSet::new();
    // A file with several names is a place for each; the one whose name is the path comes first.
    let is_plain = |served: &&Served| served.file.to_str() == Some(served.name.as_str());
    let (plain, odd): (Vec<&Served>, Vec<&Served>) = certificates.partition(is_plain);
    let mut sightings = Vec::with_capacity(plain.len() + odd.len());
    for served in plain.into_iter().chain(odd) {
        look.name(&served.file);
        if let Some(issuer) = &served.issuer {
            look.name(issuer);
        }
        let chains = served.chains.as_deref().map(|directory| {
            let look_at = || Arc::new(IssuerChains::new(directory, look.version_of_directory(directory)));
            Arc::clone(chains.entry(directory).or_insert_with(look_at))
        });
        let files = look.version([&served.file].into_iter().chain(&served.issuer));
        let file = served.file.to_string_lossy();
        let name = if names.insert(file.to_string()) { file.to_string() } else { format!("{file} ({})", served.name) };
        // A server has a key with its certificate only.
        let has_key = served.is_key_named || has_key_beside(&served.file);
        let mut sighting = Sighting::file(&served.file, version(&files, served, has_key, chains.as_deref()));
        sighting.name = name.into();
        sighting.is_presented = has_key;
        sighting.served_as = Some(served.name.as_str().into());
        sighting.staple_file = served.staple.as_deref().map(Arc::from);
        sighting.staple_file_needed = served.is_staple_named;
        sighting.issuer_lookup = match &served.issuer {
            Some(issuer) => IssuerLookup::In(issuer.as_path().into()),
            None => IssuerLookup::Nowhere,
        };
        sighting.issuer_chains = chains;
        sightings.push(sighting);
    }
    sightings
}

/// Whether there is a file in which HAProxy looks for the key of a certificate: `x.crt.key`, or `x.key` for `x.crt`.
fn has_key_beside(file: &Path) -> bool {
    with_key(file).is_file() || file.extension().is_some_and(|end| end == "crt") && file.with_extension("key").is_file()
}

fn with_key(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

/// A version that changes with the files and with their lines in the configuration.
fn version(files: &Version, served: &Served, has_key: bool, chains: Option<&IssuerChains>) -> Version {
    use std::os::unix::ffi::OsStrExt;
    let path =
        |path: &Option<PathBuf>| path.as_ref().map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default();
    let chains = chains.map(|chains| (path(&Some(chains.directory.clone())), chains.version.as_bytes().to_vec()));
    let (directory, chains) = chains.unwrap_or_default();
    let is_named: &[u8] = &[u8::from(served.is_staple_named), u8::from(has_key)];
    let (staple, issuer) = (path(&served.staple), path(&served.issuer));
    let parts = [files.as_bytes(), served.name.as_bytes(), &staple, is_named, &issuer, &directory, &chains];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    // Half of the hash distinguishes versions well enough.
    Version::new(hash.finish().get(..16).unwrap_or_default())
}
