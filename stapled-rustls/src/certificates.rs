//! A table of certificates by host name.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use stapled_core::clock::SystemClock;

use crate::known::Known;
use crate::stapling::Stapling;

/// The certificates and keys of a server by host name. They may be replaced while the server runs, and a handshake takes no
/// lock.
///
/// ```
/// use std::sync::Arc;
///
/// use rustls::sign::CertifiedKey;
/// use stapled_rustls::Certificates;
///
/// # fn example(key: Arc<CertifiedKey>, renewed: Arc<CertifiedKey>) {
/// let certificates = Arc::new(Certificates::new());
/// certificates.set("www.example.org", key);
/// let stapling = Arc::new(certificates.stapling()); // the resolver for rustls
/// // Later, without a restart:
/// certificates.set("www.example.org", renewed);
/// # }
/// ```
pub struct Certificates {
    table: ArcSwap<Table>,
    known: Arc<Known>,
}

#[derive(Clone, Default)]
struct Table {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Table {
    fn uses(&self, key: &CertifiedKey) -> bool {
        let mut all = self.by_name.values().chain(&self.default);
        key.cert.first().is_some_and(|leaf| all.any(|other| other.cert.first() == Some(leaf)))
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(name).or_else(wildcard)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Certificates { table: ArcSwap::default(), known: Arc::new(Known::new()) }
    }
}

impl Certificates {
    /// A table without certificates.
    pub fn new() -> Self {
        Certificates::default()
    }

    /// The resolver that staples these certificates.
    pub fn stapling(self: &Arc<Self>) -> Stapling {
        Stapling::with_known(Arc::clone(self) as Arc<dyn ResolvesServerCert>, Arc::clone(&self.known))
    }

    /// Sets the certificate of a host, which may begin with a wildcard label: `*.example.org` stands for all names with one
    /// more label. The exact name comes first. Names are compared without regard to case.
    pub fn set(&self, name: &str, key: Arc<CertifiedKey>) {
        let name = name.to_ascii_lowercase();
        self.change(Some(Arc::clone(&key)), |table| table.by_name.insert(name.clone(), Arc::clone(&key)));
    }

    /// Sets the certificate for clients that name no host, or one without a certificate. Without it, their handshakes fail.
    pub fn set_default(&self, key: Arc<CertifiedKey>) {
        self.change(Some(Arc::clone(&key)), |table| table.default.replace(Arc::clone(&key)));
    }

    /// Removes the certificate of a host.
    pub fn remove(&self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.change(None, |table| table.by_name.remove(&name));
    }

    fn change(&self, key: Option<Arc<CertifiedKey>>, work: impl Fn(&mut Table) -> Option<Arc<CertifiedKey>>) {
        if let Some(key) = &key {
            self.known.learn(&key.cert, true, &SystemClock);
        }
        let mut replaced = None;
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            replaced = work(&mut table);
            table
        });
        if let Some(replaced) = replaced
            && !self.table.load().uses(&replaced)
            && let Some(leaf) = replaced.cert.first()
        {
            self.known.forget(leaf);
        }
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.table.load();
        let mut names: Vec<&String> = table.by_name.keys().collect();
        names.sort();
        f.debug_struct("Certificates").field("names", &names).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let named = hello.server_name().and_then(|name| table.find(name));
        named.or(table.default.as_ref()).cloned()
    }
}
