//! A CA, a stapler, and a responder with the stapler's staples.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use stapled_ca::lab::Lab;
use stapled_ca::ocsp::HashAlgorithm;
use stapled_ca::responder::UnknownSerial;
use stapled_ca::{Authority, Issued, Profile};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::io::memory_source::MemorySource;
use stapled_core::ocsp::{CertId, CertIdHash};
use stapled_core::refresh::RefreshPolicy;
use stapled_core::responder::Responder;
use stapled_core::source::Sighting;
use stapled_core::stapler::Handle;
use stapled_core::web::Web;
use stapled_core::web::address::WebAddress;
use stapled_core::{HttpFetcher, Stapler};
use stapled_tests::chain;
use tokio::runtime::Runtime;

/// A CA, a stapler, and a responder.
pub(crate) struct World {
    pub(crate) ca: Authority,
    /// The CA's responder. `None`: it is dead.
    pub(crate) lab: Option<Lab>,
    url: String,
    pub(crate) source: MemorySource,
    pub(crate) responder: Responder,
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) runtime: Runtime,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(RefreshPolicy::default())
    }

    pub(crate) fn with(refresh: RefreshPolicy) -> Self {
        let ca = Authority::root("Served CA").create().unwrap();
        let lab = Lab::builder().authority(&ca).unknown_serial(UnknownSerial::Unauthorized).start().unwrap();
        let url = lab.url();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (source, responder) = (MemorySource::new(), Responder::new());
        let (handle, address) = runtime.block_on(async {
            let stapler = Stapler::builder()
                .source(source.clone())
                .sink(responder.clone())
                .fetcher(HttpFetcher::default())
                .refresh_policy(refresh)
                .build()
                .unwrap();
            let handle = stapler.handle();
            responder.watch(handle.clone());
            let web = Web::listen(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
            let WebAddress::Loopback(address) = *web.address() else { panic!("{:?}", web.address()) };
            let serving = responder.clone();
            tokio::spawn(async move { serving.serve(web).await });
            tokio::spawn(stapler.run(std::future::pending()));
            (handle, address)
        });
        World { ca, lab: Some(lab), url, source, responder, address, handle, runtime }
    }

    pub(crate) fn lab(&self) -> &Lab {
        self.lab.as_ref().unwrap()
    }

    /// Runs another stapler in place of the first one, with these certificates alone.
    pub(crate) fn replace(&self, certificates: &[(&str, &Issued)]) {
        let source = MemorySource::new();
        for (name, issued) in certificates {
            source.put(Sighting::chain(*name, [issued.der().to_vec(), self.ca.certificate().to_vec()]));
        }
        self.runtime.block_on(async {
            let stapler = Stapler::builder().source(source).sink(self.responder.clone()).build().unwrap();
            stapler.inherit(&self.handle.inventory());
            self.responder.watch(stapler.handle());
            tokio::spawn(stapler.run(std::future::pending()));
        });
    }

    /// A certificate that no source has.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.ca.issue(&Profile::server(name).ocsp_url(self.url.clone())).unwrap()
    }

    /// A certificate that the stapler has.
    pub(crate) fn known(&self, name: &str) -> Issued {
        let issued = self.issue(name);
        self.add(name, &issued);
        issued
    }

    pub(crate) fn add(&self, name: &str, issued: &Issued) {
        self.source.put(Sighting::chain(name, [issued.der().to_vec(), self.ca.certificate().to_vec()]));
    }

    /// A certificate that the stapler has, with its staple delivered.
    pub(crate) fn stapled(&self, name: &str) -> Issued {
        let issued = self.known(name);
        self.settle();
        issued
    }

    /// Waits until the stapler has seen everything that the sources have.
    pub(crate) fn scan(&self) {
        self.runtime.block_on(self.handle.rescan()).unwrap();
    }

    /// Waits until everything that the sources have was tried once.
    pub(crate) fn settle(&self) {
        self.scan();
        self.runtime.block_on(self.handle.ready()).unwrap();
    }

    pub(crate) fn chain(&self, issued: &Issued) -> Arc<CertChain> {
        chain(issued, &self.ca)
    }

    pub(crate) fn id(&self, issued: &Issued) -> CertId {
        self.chain(issued).cert_id(CertIdHash::Sha1)
    }

    /// The CertID of the certificate with this serial number, of the issuer of another one.
    pub(crate) fn id_of(&self, serial: &[u8], other: &Issued) -> CertId {
        let chain = self.chain(other);
        CertId::new(CertIdHash::Sha1, chain.end_entity().issuer(), chain.issuer().public_key(), serial)
    }

    /// How often the CA was asked about a certificate with CertIDs of this hash.
    pub(crate) fn asked(&self, issued: &Issued, hash: HashAlgorithm) -> usize {
        let about = |serial: Option<&stapled_ca::Serial>| serial == Some(issued.serial());
        let requests = self.lab().requests();
        requests.iter().filter(|request| about(request.serial.as_ref()) && request.hash == Some(hash)).count()
    }

    pub(crate) fn issuer(&self) -> Certificate {
        Certificate::from_der(self.ca.certificate()).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn kill_ca(&mut self) {
        self.lab = None;
    }

    /// How many questions had this result.
    pub(crate) fn count(&self, result: &str) -> u64 {
        self.responder.questions()[result]
    }

    /// Listens on a unix socket, too.
    pub(crate) fn listen_at(&self, path: &Path) {
        let address = path.to_str().unwrap().parse().unwrap();
        let web = self.runtime.block_on(Web::listen(&address)).unwrap();
        let responder = self.responder.clone();
        self.runtime.spawn(async move { responder.serve(web).await });
    }
}
