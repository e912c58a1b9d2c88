//! Certificates in memory that never change.

use async_trait::async_trait;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};

/// Certificates as PEM, each with the name of its place.
#[derive(Clone, Debug)]
pub struct List(pub Vec<(String, Vec<u8>)>);

#[async_trait]
impl CertSource for List {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let sighting =
            |(name, pem): &(String, Vec<u8>)| Sighting::bytes(name.as_str(), pem.as_slice(), Version::new("1"));
        Ok(Scan::of(self.0.iter().map(sighting)))
    }
}
