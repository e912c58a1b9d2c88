//! A table of certificates by host name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use stapled_core::clock::SystemClock;

use crate::known::{Id, Known, id_of};
use crate::shards::Shards;
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
    by_name: Shards<Arc<str>, Arc<CertifiedKey>>,
    default: ArcSwapOption<CertifiedKey>,
    /// How many names have each certificate. A change holds it, so that changes come one after the other; handshakes do not.
    uses: Mutex<HashMap<Id, usize>>,
    known: Arc<Known>,
}

impl Default for Certificates {
    fn default() -> Self {
        Certificates {
            by_name: Shards::new(),
            default: ArcSwapOption::empty(),
            uses: Mutex::default(),
            known: Arc::new(Known::new()),
        }
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
    ///
    /// Handshakes have the certificate at once, and its staple as soon as the CA has answered. A must-staple certificate that
    /// replaces another one is announced first, and set when it is [ready](Stapling::ready).
    pub fn set(&self, name: &str, key: Arc<CertifiedKey>) {
        self.change(Some(&key), || self.by_name.insert(name.to_ascii_lowercase().into(), &key));
    }

    /// Sets the certificate for clients that name no host, or one without a certificate. Without it, their handshakes fail.
    pub fn set_default(&self, key: Arc<CertifiedKey>) {
        self.change(Some(&key), || self.default.swap(Some(Arc::clone(&key))));
    }

    /// Removes the certificate of a host.
    pub fn remove(&self, name: &str) {
        self.change(None, || self.by_name.remove_if(name.to_ascii_lowercase().as_str(), |_| true));
    }

    /// Makes a change that brings this key and returns the key that it replaced.
    fn change(&self, key: Option<&CertifiedKey>, work: impl FnOnce() -> Option<Arc<CertifiedKey>>) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = key
            && let Some(leaf) = key.cert.first()
        {
            *uses.entry(id_of(leaf)).or_default() += 1;
            self.known.learn(&key.cert, true, &SystemClock);
        }
        if let Some(replaced) = work()
            && let Some(leaf) = replaced.cert.first()
            && let Entry::Occupied(mut entry) = uses.entry(id_of(leaf))
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
                self.known.forget(leaf);
            }
        }
    }

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let wildcard = || self.by_name.get(format!("*.{}", name.split_once('.')?.1).as_str());
        self.by_name.get(name).or_else(wildcard)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<Arc<str>> = self.by_name.entries().map(|(name, _)| name).collect();
        names.sort();
        f.debug_struct("Certificates").field("names", &names).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.find(name)).or_else(|| self.default.load_full())
    }
}
