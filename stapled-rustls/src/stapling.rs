//! The resolver that staples.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::source::{CertSource, Scan, SourceError};
use stapled_core::staple::Staple;
use stapled_core::stapler::Group;

use crate::known::{Known, MAX_CERTIFICATES, with_staple};

/// A certificate resolver that staples: it takes keys and certificates from another resolver, and adds their staples.
///
/// It is a source and a sink of a [`Stapler`](stapled_core::Stapler): [`group`](Stapling::group) gives both. A handshake takes
/// no lock; only the first one of a certificate that was not announced wakes the stapler. A staple that is over is not sent, by the wall clock or by the clock that is never set; so a stapler that hangs
/// or has ended does no harm.
pub struct Stapling {
    resolver: Arc<dyn ResolvesServerCert>,
    known: Arc<Known>,
    clock: Arc<dyn Clock>,
}

impl Stapling {
    /// Staples the certificates of this resolver: of a [`Certificates`](crate::Certificates), of rustls'
    /// [`SingleCertAndKey`](rustls::sign::SingleCertAndKey) and
    /// [`ResolvesServerCertUsingSni`](rustls::server::ResolvesServerCertUsingSni), or of your own.
    pub fn new(resolver: Arc<dyn ResolvesServerCert>) -> Self {
        Stapling::with_known(resolver, Arc::new(Known::new()))
    }

    pub(crate) fn with_known(resolver: Arc<dyn ResolvesServerCert>, known: Arc<Known>) -> Self {
        Stapling { resolver, known, clock: Arc::new(SystemClock) }
    }

    /// The same, by another clock. Default: the machine's.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Stapling { clock, ..self }
    }

    /// The source of the server's certificates and the sink for their staples, for
    /// [`StaplerBuilder::group`](stapled_core::stapler::StaplerBuilder::group).
    pub fn group(self: &Arc<Self>) -> Group {
        Group::new().shared_source(self.clone()).shared_sink(self.clone())
    }

    /// Says that the server will use this certificate, so that its first handshake has a staple.
    pub fn announce(&self, key: &CertifiedKey) {
        self.known.learn(&key.cert, true, &*self.clock);
    }

    /// Says that the server does not use this certificate any more: the stapler asks for no further staples, unless another
    /// source has the certificate. Without this call, that happens after a week without a handshake, once the certificate has
    /// expired if it was announced or is must-staple.
    pub fn forget(&self, key: &CertifiedKey) {
        if let Some(leaf) = key.cert.first() {
            self.known.forget(leaf);
        }
    }

    /// Whether a server may begin to use this certificate: it has its staple, or is not must-staple. A certificate that was
    /// neither announced nor in a handshake gets no staple: the answer for a must-staple one stays no.
    pub fn is_ready(&self, key: &CertifiedKey) -> bool {
        let Some(leaf) = key.cert.first() else { return true };
        match self.known.get(leaf) {
            Some(slot) => !slot.must_staple || slot.has_staple(&*self.clock),
            None => stapled_core::certificate::Certificate::from_der(leaf).map_or(true, |leaf| !leaf.must_staple()),
        }
    }

    /// Waits until a server may begin to use this certificate, see [`is_ready`](Stapling::is_ready): a renewed must-staple
    /// certificate replaces the former one without a handshake that clients refuse. May be dropped.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use rustls::sign::CertifiedKey;
    /// # use stapled_rustls::{Certificates, Stapling};
    /// # async fn example(certificates: Certificates, stapling: Stapling, renewed: Arc<CertifiedKey>) {
    /// stapling.announce(&renewed);
    /// stapling.ready(&renewed).await;
    /// certificates.set("www.example.org", renewed);
    /// # }
    /// ```
    pub async fn ready(&self, key: &CertifiedKey) {
        loop {
            let delivered = self.known.delivered.notified();
            tokio::pin!(delivered);
            // From here on, no delivery goes unnoticed.
            delivered.as_mut().enable();
            if self.is_ready(key) {
                return;
            }
            delivered.await;
        }
    }

    /// The names of the known must-staple certificates that have no staple now: clients refuse them. Empty when the server is
    /// ready.
    pub fn missing(&self) -> Vec<String> {
        let is_missing = |slot: &crate::known::Slot| slot.must_staple && !slot.has_staple(&*self.clock);
        self.known.slots().filter(|slot| is_missing(slot)).map(|slot| slot.name.clone()).collect()
    }

    /// The key, with its staple if there is one. For servers that choose certificates without a
    /// [`ResolvesServerCert`], such as by [`Acceptor`](rustls::server::Acceptor).
    pub fn staple(&self, key: Arc<CertifiedKey>) -> Arc<CertifiedKey> {
        let Some(leaf) = key.cert.first() else { return key };
        let stapled = match self.known.get(leaf) {
            Some(slot) => slot.staple(&key, &*self.clock),
            None => {
                self.known.learn(&key.cert, false, &*self.clock);
                None
            }
        };
        match stapled {
            Some(stapled) => stapled,
            // This one was not verified.
            None if key.ocsp.is_some() => Arc::new(with_staple(&key, None)),
            None => key,
        }
    }
}

impl fmt::Debug for Stapling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stapling").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Stapling {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.staple(self.resolver.resolve(hello)?))
    }

    fn only_raw_public_keys(&self) -> bool {
        self.resolver.only_raw_public_keys()
    }
}

#[async_trait]
impl CertSource for Stapling {
    async fn scan(&self) -> Result<Scan, SourceError> {
        Ok(Scan::of(self.known.list(&*self.clock)))
    }

    async fn changed(&self) {
        let news = self.known.news.notified();
        tokio::pin!(news);
        // From here on, no certificate goes unnoticed.
        news.as_mut().enable();
        if !self.known.has_news.load(Ordering::SeqCst) {
            news.await;
        }
    }

    fn name(&self) -> String {
        "rustls".to_owned()
    }
}

#[async_trait]
impl StapleSink for Stapling {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        match self.known.deliver(staple, sites, &*self.clock) {
            true => Ok(Delivered::Confirmed),
            false => {
                let what = format!("{MAX_CERTIFICATES} certificates are stapled already, and no further ones");
                Err(SinkError::unfit(ReasonCode::new("too_many_certificates"), what))
            }
        }
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        self.known.withdraw(chain.end_entity().as_der(), sites, why);
        Ok(Withdrawn::Confirmed)
    }

    fn name(&self) -> String {
        "rustls".to_owned()
    }
}
