//! Sources find certificates.

pub mod issuer;
mod version;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::hash::Sha256;
use crate::reason::ReasonCode;
use crate::report::Reporter;
use issuer::{IssuerChains, IssuerLookup};
pub use version::Version;

/// Finds certificates, and notices changes.
///
/// A source names files or gives bytes; the stapler reads and parses them. Two sightings with the same name in two scans
/// are the same place. The stapler parses a place again when its version differs.
///
/// ```
/// use stapled_core::source::{CertSource, Scan, Sighting, SourceError};
///
/// /// The chains that a program has loaded, by name: the certificate first, then its issuer, each DER.
/// struct Loaded(Vec<(String, Vec<Vec<u8>>)>);
///
/// #[async_trait::async_trait]
/// impl CertSource for Loaded {
///     async fn scan(&self) -> Result<Scan, SourceError> {
///         Ok(Scan::of(self.0.iter().map(|(name, chain)| Sighting::chain(name.as_str(), chain))))
///     }
/// }
/// ```
#[async_trait]
pub trait CertSource: Send + Sync {
    /// Scans everything that the source has now. A part that cannot be read is a problem of the scan and hides nothing
    /// else.
    ///
    /// A scan may be dropped before it is ready. The caller then knows nothing of it: the next scan returns everything,
    /// and [`changed`](CertSource::changed) returns as if there had been no scan.
    ///
    /// # Errors
    ///
    /// The source cannot list its certificates at all.
    async fn scan(&self) -> Result<Scan, SourceError>;

    /// Scans like [`scan`](CertSource::scan). A source with many certificates calls `found` now and then with those that it has found
    /// since the last call, as they are in the result, which has all of them. So a stapler delivers the first staples before
    /// its first scan ends; it uses this method for that scan alone. By default, `found` is not called.
    ///
    /// # Errors
    ///
    /// Those of [`scan`](CertSource::scan).
    async fn scan_and_tell(&self, found: Arc<dyn Fn(Vec<Sighting>) + Send + Sync>) -> Result<Scan, SourceError> {
        let _ = found;
        self.scan().await
    }

    /// Returns when a scan may find something new. This is a hint: the stapler scans at its regular interval, too. A
    /// source that cannot notice changes, or no longer can, never returns; a source that returns at once each time is
    /// scanned without a pause.
    ///
    /// A call may be dropped before it is ready, and is dropped at every regular scan. The next call returns for a change
    /// that no scan has seen.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// Takes a reporter. Through it, the source sends facts to a stapler's observer that an operator must know and that no
    /// scan returns. A stapler calls this method when it begins to run. A source of several staplers, or one that outlives
    /// its stapler, gets several reporters: [`Reporters`](crate::report::Reporters) keeps them.
    fn report_to(&self, reporter: Reporter) {
        let _ = reporter;
    }

    /// The file or directory that the source scans, if it is one. What a server loads from there, under whatever file name,
    /// is wanted like what the source gives.
    fn root(&self) -> Option<PathBuf> {
        None
    }

    /// The name of the source in messages, such as `/etc/haproxy/certs`. Sources of one stapler may have equal names.
    fn name(&self) -> String {
        "source".to_owned()
    }
}

#[async_trait]
impl<S: CertSource + ?Sized> CertSource for Arc<S> {
    async fn scan(&self) -> Result<Scan, SourceError> {
        (**self).scan().await
    }

    async fn scan_and_tell(&self, found: Arc<dyn Fn(Vec<Sighting>) + Send + Sync>) -> Result<Scan, SourceError> {
        (**self).scan_and_tell(found).await
    }

    async fn changed(&self) {
        (**self).changed().await;
    }

    fn report_to(&self, reporter: Reporter) {
        (**self).report_to(reporter);
    }

    fn root(&self) -> Option<PathBuf> {
        (**self).root()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// Everything that a source has now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Scan {
    /// The places that may hold a certificate.
    pub sightings: Vec<Sighting>,
    /// The parts that could not be read.
    pub problems: Vec<SourceProblem>,
}

impl Scan {
    /// A scan that found these places and no problem.
    pub fn of(sightings: impl IntoIterator<Item = Sighting>) -> Self {
        Scan { sightings: sightings.into_iter().collect(), problems: Vec::new() }
    }

    /// The same, with further parts that could not be read.
    pub fn problems(mut self, problems: impl IntoIterator<Item = SourceProblem>) -> Self {
        self.problems.extend(problems);
        self
    }
}

/// A place that may hold a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sighting {
    /// The name of the place, unique in its source; for a file, its path.
    pub name: Arc<str>,
    /// What the place holds.
    pub material: Material,
    /// Differs when the contents may have changed.
    pub version: Version,
    /// Whether the source listed a directory and found this file in it. Such a file may be of another kind, such as that of a private
    /// key: it then needs no staple, and nothing is told. A place that was named must hold a certificate.
    pub is_listed: bool,
    /// Whether a server is known to present the certificate of the place, so that it is one of a server even if it says that it is
    /// a CA's.
    pub is_presented: bool,
    /// The file in which servers look for this certificate's staple, if that is not the file's name plus `.ocsp`.
    pub staple_file: Option<Arc<Path>>,
    /// Whether servers need that file to start, since their configuration names it. It is then emptied instead of removed.
    pub staple_file_needed: bool,
    /// Where servers look for this certificate's issuer, besides the certificate's own file.
    pub issuer_lookup: IssuerLookup,
    /// Where servers look for the chain of a certificate whose file has none.
    pub issuer_chains: Option<Arc<IssuerChains>>,
    /// The name by which servers know the certificate, if that is not the name of the place.
    pub served_as: Option<Arc<str>>,
}

impl Sighting {
    /// A file, known by its path.
    pub fn file(path: impl Into<PathBuf>, version: Version) -> Self {
        let path = path.into();
        Sighting::new(path.to_string_lossy().into(), Material::File(path.into()), version)
    }

    /// Certificates in memory, PEM or DER.
    pub fn bytes(name: impl Into<Arc<str>>, bytes: impl Into<Arc<[u8]>>, version: Version) -> Self {
        Sighting::new(name.into(), Material::Bytes(bytes.into()), version)
    }

    /// A chain in memory as TLS sends it: the end-entity certificate first, then its issuer and further ones, each DER. What
    /// is no certificate becomes a problem of the place.
    ///
    /// ```
    /// use stapled_core::source::Sighting;
    ///
    /// # fn example(end_entity: &[u8], issuer: &[u8]) {
    /// let sighting = Sighting::chain("www.example.org", [end_entity, issuer]);
    /// # }
    /// ```
    pub fn chain(name: impl Into<Arc<str>>, certs: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let pem: String = certs.into_iter().map(|der| Certificate::pem_of(der.as_ref())).collect();
        let version = Version::new(Sha256::of(pem.as_bytes()));
        Sighting::bytes(name, pem.into_bytes(), version)
    }

    fn new(name: Arc<str>, material: Material, version: Version) -> Self {
        Sighting {
            name,
            material,
            version,
            is_listed: false,
            is_presented: false,
            staple_file: None,
            staple_file_needed: false,
            issuer_lookup: IssuerLookup::Beside,
            issuer_chains: None,
            served_as: None,
        }
    }

    /// The certificate of a server among those of the place.
    pub fn end_entity<'b>(&self, bundle: &'b Bundle) -> Option<&'b Certificate> {
        if self.is_presented { bundle.presented() } else { bundle.end_entity() }
    }

    /// The same, under this name, which is unique in its source.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        Sighting { name: name.into(), ..self }
    }

    /// The same, for servers that look for the staple in this file.
    pub fn staple_file(self, path: impl Into<PathBuf>) -> Self {
        Sighting { staple_file: Some(path.into().into()), ..self }
    }

    /// The same, for servers that look for the staple in this file and do not start without it.
    pub fn needed_staple_file(self, path: impl Into<PathBuf>) -> Self {
        Sighting { staple_file_needed: true, ..self.staple_file(path) }
    }

    /// The same, for servers that look for the issuer there.
    pub fn issuer_lookup(self, issuer_lookup: IssuerLookup) -> Self {
        Sighting { issuer_lookup, ..self }
    }

    /// The same, for servers that look for a missing chain there.
    pub fn issuer_chains(self, chains: impl Into<Arc<IssuerChains>>) -> Self {
        Sighting { issuer_chains: Some(chains.into()), ..self }
    }

    /// The same, for servers that know the certificate by this name.
    pub fn served_as(self, name: impl Into<Arc<str>>) -> Self {
        Sighting { served_as: Some(name.into()), ..self }
    }
}

/// What a place holds.
#[derive(Clone)]
#[non_exhaustive]
pub enum Material {
    /// A file, which the stapler reads.
    File(Arc<Path>),
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

/// A part of a source that could not be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceProblem {
    /// The part: a path, or another name.
    pub place: String,
    /// Whether the scan could not see anything below that path, so that the places there stay known. Otherwise only the
    /// place with that name stays known.
    pub hides_below: bool,
    /// The reason, and what to do.
    pub error: SourceError,
}

impl SourceProblem {
    /// A place that cannot be read. The scan saw all other places.
    pub fn at(place: impl Into<String>, error: SourceError) -> Self {
        SourceProblem { place: place.into(), hides_below: false, error }
    }

    /// A directory that cannot be read, with everything below it.
    pub fn below(place: impl Into<String>, error: SourceError) -> Self {
        SourceProblem { place: place.into(), hides_below: true, error }
    }
}

/// Why a source, or a part of it, could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
#[non_exhaustive]
pub struct SourceError {
    /// The reason code.
    pub code: ReasonCode,
    /// What is wrong, where, and what to do.
    pub what: String,
}

impl SourceError {
    /// An error with this code and these words.
    pub fn new(code: ReasonCode, what: impl Into<String>) -> Self {
        SourceError { code, what: what.into() }
    }
}
