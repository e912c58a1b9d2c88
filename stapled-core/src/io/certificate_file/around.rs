//! The files around a certificate's file, where servers that load it look for its issuer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::names::issuer_file_of;
use super::read::read_file;
use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;
use crate::lookup::search::Surroundings;
use crate::source::Sighting;
use crate::source::issuer::{IssuerChains, IssuerLookup};

/// The largest number of files that are read of a directory with chains.
const MAX_CHAINS: usize = 10_000;

/// The files around a certificate's file.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Around {
    /// The file that servers read the issuer from, if it exists.
    pub issuer_file: Option<IssuerFile>,
    /// Certificates beside it: those of the issuer file, or those of a file that servers do not read.
    pub beside: Vec<Arc<Certificate>>,
    /// The file that `beside` was read from.
    pub beside_path: Option<PathBuf>,
    /// The directory of chains, and the first certificate of each of its files.
    pub chains: Option<(PathBuf, Firsts)>,
}

/// The file that servers read the issuer from.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuerFile {
    /// Its path.
    pub path: PathBuf,
    /// The certificate that servers take as the issuer: the first one, in PEM.
    pub first: Option<Arc<Certificate>>,
}

/// The first certificates of chains.
type Firsts = Arc<Vec<Arc<Certificate>>>;

impl Around {
    /// Reads the files around the file at `path`. A file that cannot be read counts as one without certificates, since
    /// another file may have the issuer. `shared` may keep one copy of a certificate that is in many files.
    pub fn read(
        path: &Path,
        sighting: &Sighting,
        chains: &ChainReader,
        shared: impl Fn(Certificate) -> Arc<Certificate>,
    ) -> Self {
        let (file, is_looked_in) = match &sighting.issuer_lookup {
            IssuerLookup::Beside => (issuer_file_of(path), true),
            IssuerLookup::In(file) => (file.to_path_buf(), true),
            IssuerLookup::Nowhere => (issuer_file_of(path), false),
        };
        // Most certificates have no such file: one look is enough for them. A link that leads nowhere is there, too.
        let exists = std::fs::symlink_metadata(&file).is_ok();
        let bytes = if exists { read_file(&file).ok() } else { None };
        let bundle = bytes.as_ref().and_then(|bytes| Bundle::read(bytes).ok());
        let is_pem = bytes.is_some_and(|bytes| Bundle::is_pem(&bytes));
        let is_whole = bundle.as_ref().is_some_and(|bundle| bundle.broken.iter().all(|(number, _)| *number != 1));
        let beside: Vec<_> = bundle.into_iter().flat_map(|bundle| bundle.certificates).map(&shared).collect();
        let first = beside.first().filter(|_| is_pem && is_whole).cloned();
        let is_there = is_looked_in && exists;
        let wanted = sighting.issuer_chains.as_ref();
        Around {
            issuer_file: is_there.then(|| IssuerFile { path: file.clone(), first }),
            beside,
            beside_path: Some(file),
            chains: wanted.map(|wanted| (wanted.directory.clone(), chains.read(wanted, shared))),
        }
    }

    /// The first certificates of the chains.
    pub fn firsts(&self) -> &[Arc<Certificate>] {
        self.chains.as_ref().map(|(_, firsts)| firsts.as_slice()).unwrap_or_default()
    }

    /// The places where a server looks for the issuer of a certificate whose file holds `own`.
    pub fn surroundings<'a>(&'a self, own: &'a [Arc<Certificate>]) -> Surroundings<'a> {
        let mut surroundings = Surroundings::of(own);
        surroundings.issuer_file = self.issuer_file.as_ref().map(|file| (file.path.as_path(), file.first.as_deref()));
        surroundings.chains = self.chains.as_ref().map(|(directory, firsts)| (directory.as_path(), firsts.as_slice()));
        surroundings
    }
}

/// How many CA certificates are kept to read further files faster.
const RECENT: usize = 32;

/// Reads what is alike for many certificates once: directories of chains, each until it changes, and CA certificates.
#[derive(Debug, Default)]
pub struct ChainReader {
    last: Mutex<Option<(IssuerChains, Firsts)>>,
    /// CA certificates of files that were read, the latest last.
    recent: Mutex<Firsts>,
}

impl ChainReader {
    /// The certificates in the bytes of a file. CA certificates that were in other files lately are not parsed again.
    pub(crate) fn read_bundle(&self, bytes: &[u8]) -> Result<Bundle, BundleError> {
        let recent = Arc::clone(&self.recent());
        let bundle = Bundle::read_knowing(bytes, &recent)?;
        let knows = |recent: &Firsts, one: &Certificate| recent.iter().any(|known| **known == *one);
        for new in bundle.certificates.iter().filter(|one| one.is_ca() && !knows(&recent, one)) {
            let mut recent = self.recent();
            if !knows(&recent, new) {
                let surplus = (recent.len() + 1).saturating_sub(RECENT);
                *recent = Arc::new(recent.iter().skip(surplus).cloned().chain([Arc::new(new.clone())]).collect());
            }
        }
        Ok(bundle)
    }

    fn recent(&self) -> MutexGuard<'_, Firsts> {
        // Every change is one step.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, wanted: &IssuerChains, shared: impl Fn(Certificate) -> Arc<Certificate>) -> Firsts {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, chains)) if known == wanted => Arc::clone(chains),
            _ => {
                let chains = Arc::new(firsts(&wanted.directory, shared));
                *last = Some((wanted.clone(), Arc::clone(&chains)));
                chains
            }
        }
    }
}

/// The first certificate of each file in a directory.
fn firsts(directory: &Path, shared: impl Fn(Certificate) -> Arc<Certificate>) -> Vec<Arc<Certificate>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let bundles = entries.flatten().take(MAX_CHAINS).filter_map(|entry| {
        let bytes = read_file(&entry.path()).ok()?;
        Bundle::read(&bytes).ok().filter(|bundle| bundle.broken.is_empty())
    });
    bundles.filter_map(|bundle| bundle.certificates.into_iter().next()).map(shared).collect()
}

#[cfg(test)]
mod tests {
    use stapled_ca::{Authority, KeyType, Profile};
    use tempfile::TempDir;

    use super::*;
    use crate::chain::CertChain;
    use crate::lookup::IssuerPlace;
    use crate::source::Version;

    /// A directory with certificates, and how a server finds the issuer of `a.pem`.
    struct World {
        folder: TempDir,
        issuer: Authority,
        stranger: Authority,
        certificate: String,
        chain: CertChain,
    }

    impl World {
        fn new() -> Self {
            let issuer = Authority::root("Issuer").create().unwrap();
            let stranger = Authority::root("Stranger").create().unwrap();
            let issued = issuer.issue(&Profile::server("a.example")).unwrap();
            let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
            let chain = CertChain::new(certificate(issued.der()), certificate(issuer.certificate())).unwrap();
            let folder = TempDir::new().unwrap();
            World { folder, certificate: issued.certificate_pem(), issuer, stranger, chain }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
            std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            std::fs::write(self.path(name), contents).unwrap();
            self
        }

        /// The issuer's place with these contents in `a.pem`, and a sighting changed by `adapt`.
        fn place(&self, contents: &str, adapt: impl FnOnce(&mut Sighting)) -> IssuerPlace {
            self.write("a.pem", contents);
            let mut sighting = Sighting::file(self.path("a.pem"), Version::new([]));
            adapt(&mut sighting);
            let own: Vec<_> =
                Bundle::read(contents.as_bytes()).unwrap().certificates.into_iter().map(Arc::new).collect();
            let around = Around::read(&self.path("a.pem"), &sighting, &ChainReader::default(), Arc::new);
            around.surroundings(&own).issuer_place(self.chain.end_entity(), self.chain.issuer())
        }

        fn plainly(&self, contents: &str) -> IssuerPlace {
            self.place(contents, |_| {})
        }
    }

    #[test]
    fn the_chain_or_the_file_beside_it() {
        let world = World::new();
        let (issuer, stranger) = (world.issuer.certificate_pem(), world.stranger.certificate_pem());
        let bundle = format!("{}{issuer}", world.certificate);
        assert_eq!(world.plainly(&bundle), IssuerPlace::SameFile);
        assert_eq!(world.plainly(&world.certificate), IssuerPlace::Elsewhere);
        assert_eq!(world.plainly(&format!("{}{stranger}", world.certificate)), IssuerPlace::Elsewhere);
        world.write("a.pem.issuer", &issuer);
        assert_eq!(world.plainly(&world.certificate), IssuerPlace::IssuerFile(world.path("a.pem.issuer")));
        assert_eq!(world.plainly(&bundle), IssuerPlace::IssuerFile(world.path("a.pem.issuer")));
        // Only the first certificate counts.
        world.write("a.pem.issuer", format!("{issuer}{stranger}"));
        assert_eq!(world.plainly(&world.certificate), IssuerPlace::IssuerFile(world.path("a.pem.issuer")));
    }

    #[test]
    fn whatever_is_beside_it_overrules_the_chain() {
        let world = World::new();
        let issuer = world.issuer.certificate_pem();
        let bundle = format!("{}{issuer}", world.certificate);
        let stranger = world.stranger.certificate_pem();
        let contents: [&[u8]; 5] = [
            stranger.as_bytes(),
            &[stranger.as_bytes(), issuer.as_bytes()].concat(),
            b"rubbish",
            b"",
            // Servers expect PEM in this file, so DER does not count.
            world.issuer.certificate(),
        ];
        for beside in contents {
            world.write("a.pem.issuer", beside);
            assert_eq!(world.plainly(&bundle), IssuerPlace::Elsewhere, "{}", String::from_utf8_lossy(beside));
        }
        std::fs::remove_file(world.path("a.pem.issuer")).unwrap();
        world.write("a.pem.issuer/a-directory", "");
        assert_eq!(world.plainly(&bundle), IssuerPlace::Elsewhere);
    }

    #[test]
    fn where_the_server_is_told_to_look() {
        let world = World::new();
        let issuer = world.issuer.certificate_pem();
        let bundle = format!("{}{issuer}", world.certificate);
        let elsewhere = world.path("there/ca.pem");
        world.write("a.pem.issuer", &issuer);
        let told = |sighting: &mut Sighting| sighting.issuer_lookup = IssuerLookup::In(elsewhere.as_path().into());
        assert_eq!(world.place(&world.certificate, told), IssuerPlace::Elsewhere);
        assert_eq!(world.place(&bundle, told), IssuerPlace::SameFile);
        world.write("there/ca.pem", &issuer);
        assert_eq!(world.place(&world.certificate, told), IssuerPlace::IssuerFile(elsewhere.clone()));
        world.write("there/ca.pem", world.stranger.certificate_pem());
        assert_eq!(world.place(&bundle, told), IssuerPlace::Elsewhere);

        let nowhere = |sighting: &mut Sighting| sighting.issuer_lookup = IssuerLookup::Nowhere;
        assert_eq!(world.place(&world.certificate, nowhere), IssuerPlace::Elsewhere);
        assert_eq!(world.place(&bundle, nowhere), IssuerPlace::SameFile);
    }

    #[test]
    fn chains_complete_what_has_none() {
        let world = World::new();
        let (issuer, stranger) = (world.issuer.certificate_pem(), world.stranger.certificate_pem());
        let directory = world.path("chains");
        let chains = |sighting: &mut Sighting| {
            sighting.issuer_chains = Some(IssuerChains::new(&directory, Version::new([])).into());
        };
        assert_eq!(world.place(&world.certificate, chains), IssuerPlace::Elsewhere, "no such directory");
        world
            .write("chains/below/ca.pem", &issuer)
            .write("chains/x", "rubbish")
            .write("chains/y", format!("{stranger}{issuer}"));
        assert_eq!(world.place(&world.certificate, chains), IssuerPlace::Elsewhere, "no chain begins with it");
        world.write("chains/.z", format!("{issuer}{stranger}"));
        assert_eq!(world.place(&world.certificate, chains), IssuerPlace::Chains(directory.clone()));
        let with_another = format!("{}{stranger}", world.certificate);
        assert_eq!(world.place(&with_another, chains), IssuerPlace::Elsewhere, "it has a chain, of whatever kind");
        world.write("a.pem.issuer", &stranger);
        assert_eq!(world.place(&world.certificate, chains), IssuerPlace::Elsewhere, "the file beside it comes first");
    }

    #[test]
    fn a_few_ca_certificates_are_remembered_each_once() {
        let reader = ChainReader::default();
        let issuers: Vec<String> = (0..RECENT + 3)
            .map(|number| Authority::root(&format!("CA {number}")).key(KeyType::EcdsaP256).create().unwrap())
            .map(|issuer| issuer.certificate_pem())
            .collect();
        for pem in issuers.iter().chain(&issuers) {
            assert_eq!(reader.read_bundle(pem.as_bytes()), Bundle::read(pem.as_bytes()));
            assert_eq!(reader.read_bundle(pem.as_bytes()), Bundle::read(pem.as_bytes()));
        }
        let recent = reader.recent();
        let last = issuers.iter().skip(3).map(|pem| Bundle::read(pem.as_bytes()).unwrap().certificates.remove(0));
        assert_eq!(recent.iter().map(|one| (**one).clone()).collect::<Vec<_>>(), last.collect::<Vec<_>>());
    }

    #[test]
    fn a_directory_of_chains_is_read_once_until_it_changes() {
        let world = World::new();
        let reader = ChainReader::default();
        let chains = |version: u8| IssuerChains::new(world.path("chains"), Version::new([version]));
        assert!(reader.read(&chains(1), Arc::new).is_empty());
        world.write("chains/ca.pem", world.issuer.certificate_pem());
        assert!(reader.read(&chains(1), Arc::new).is_empty());
        assert_eq!(reader.read(&chains(2), Arc::new).len(), 1);
    }
}
