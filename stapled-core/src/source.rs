//! Where certificates come from: the trait of sources.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::reason::ReasonCode;
use crate::report::Reporter;

/// Says which certificates there are, and when that may have changed.
///
/// A source names files or gives bytes; reading and parsing them is the parser's work. Two sightings with the same name
/// in two scans are the same place; it is parsed again when the version differs.
#[async_trait]
pub trait CertSource: Send + Sync {
    /// Looks at everything there is now. What cannot be looked at is a problem of the scan, and hides nothing else; the
    /// whole scan fails only when nothing at all can be said.
    ///
    /// It may be dropped before it is ready. Nobody has heard then of what it saw: the next scan gives it all, and
    /// [`changed`](CertSource::changed) returns for it as if there had been no scan.
    async fn scan(&self) -> Result<Scan, SourceError>;

    /// Returns when a scan may find something new. A hint: the finder scans at its regular interval all the same. A
    /// source that cannot tell, or not any more, never returns: one that returned at once each time would be scanned
    /// without a pause.
    ///
    /// It may be dropped before it is ready, and is, at every regular scan: a change that no scan has seen is hinted at by
    /// the next call.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// Takes a reporter: what an operator must know and no scan returns goes to the observer of a stapler through it. A
    /// stapler hands one over when it begins to run. A source of several staplers, or one that outlives its stapler,
    /// gets several: [`Reporters`](crate::report::Reporters) keeps them.
    fn report_to(&self, reporter: Reporter) {
        let _ = reporter;
    }

    /// A name for messages, such as `/etc/haproxy/certs`. Sources of one stapler are told apart even when their names
    /// are equal.
    fn name(&self) -> String {
        "source".to_owned()
    }
}

#[async_trait]
impl<S: CertSource + ?Sized> CertSource for Arc<S> {
    async fn scan(&self) -> Result<Scan, SourceError> {
        (**self).scan().await
    }

    async fn changed(&self) {
        (**self).changed().await;
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// All that a source knows now.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The places where there is something.
    pub sightings: Vec<Sighting>,
    /// What could not be looked at.
    pub problems: Vec<SourceProblem>,
}

/// A place with, perhaps, a certificate in it.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The name of the place, unique in its source; for a file, its path.
    pub name: Arc<str>,
    /// What is there.
    pub material: Material,
    /// Changes when what is there may have changed.
    pub version: Version,
    /// Where servers look for this certificate's staple, when that is not the file's name plus `.ocsp`.
    pub staple_file: Option<PathBuf>,
    /// Whether servers do not start without that file, since their configuration names it: then it is emptied where it
    /// would be removed.
    pub staple_file_needed: bool,
    /// Where servers look for this certificate's issuer, besides the certificate's own file.
    pub issuer_lookup: IssuerLookup,
    /// Where servers look for the chain of a certificate whose file has none.
    pub issuer_chains: Option<IssuerChains>,
    /// The name under which servers know the certificate, when that is not the name of the place.
    pub served_as: Option<Arc<str>>,
}

impl Sighting {
    /// A file, known by its path.
    pub fn file(path: impl Into<PathBuf>, version: Version) -> Self {
        let path = path.into();
        Sighting {
            name: path.to_string_lossy().into(),
            material: Material::File(path),
            version,
            staple_file: None,
            staple_file_needed: false,
            issuer_lookup: IssuerLookup::Beside,
            issuer_chains: None,
            served_as: None,
        }
    }

    /// Certificates in memory, PEM or DER.
    pub fn bytes(name: impl Into<Arc<str>>, bytes: impl Into<Arc<[u8]>>, version: Version) -> Self {
        Sighting {
            name: name.into(),
            material: Material::Bytes(bytes.into()),
            version,
            staple_file: None,
            staple_file_needed: false,
            issuer_lookup: IssuerLookup::Beside,
            issuer_chains: None,
            served_as: None,
        }
    }
}

/// Where servers look for a certificate's issuer, besides the certificate's own file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerLookup {
    /// In the file of the certificate's name plus `.issuer`.
    #[default]
    Beside,
    /// In this file.
    In(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// A directory of chains for certificates that come without. Each file begins with the certificate of the issuer, which a
/// server knows by its key identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerChains {
    /// The directory; files in directories in it do not count.
    pub directory: PathBuf,
    /// Changes when one of its files may have changed.
    pub version: Version,
}

/// What a place holds.
#[derive(Clone)]
#[non_exhaustive]
pub enum Material {
    /// A file, to be read by the parser.
    File(PathBuf),
    /// The bytes of a PEM bundle or a DER certificate.
    Bytes(Arc<[u8]>),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::File(path) => f.debug_tuple("File").field(path).finish(),
            // The bytes may hold a private key.
            Material::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
        }
    }
}

/// Stands for the contents of a place: equal as long as these are, as far as the source can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Vec<u8>);

impl Version {
    /// Takes anything that changes with the contents: a hash, a row's version, a file's inode and times.
    pub fn new(version: impl Into<Vec<u8>>) -> Self {
        Version(version.into())
    }

    /// What it was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A part of a source that could not be looked at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceProblem {
    /// What: a path, or another name.
    pub place: String,
    /// Whether everything below that path is out of sight: what was known there stays known. Otherwise only the place
    /// of that name does.
    pub hides_below: bool,
    /// Why, and what to do.
    pub error: SourceError,
}

impl SourceProblem {
    /// A place that cannot be looked at. Other places of the source are in sight.
    pub fn at(place: impl Into<String>, error: SourceError) -> Self {
        SourceProblem { place: place.into(), hides_below: false, error }
    }

    /// A directory that cannot be looked at, with everything below it.
    pub fn below(place: impl Into<String>, error: SourceError) -> Self {
        SourceProblem { place: place.into(), hides_below: true, error }
    }
}

/// Why a source, or a part of it, could not be looked at.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
#[non_exhaustive]
pub struct SourceError {
    /// The stable word for it.
    pub code: ReasonCode,
    /// What is wrong, where, and what to do.
    pub what: String,
}

impl SourceError {
    /// A problem of that kind.
    pub fn new(code: ReasonCode, what: impl Into<String>) -> Self {
        SourceError { code, what: what.into() }
    }
}
