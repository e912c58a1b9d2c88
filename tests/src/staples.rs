//! Responses and staples for the certificates of a [`World`].

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Extension, Issued};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::sink::Site;
use stapled_core::staple::{Judge, Staple};
use stapled_core::time::Timestamp;

use crate::world::{Cert, World};

/// The time of the machine's clock, in seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs().try_into().expect("a time")
}

/// The chain of a certificate and the authority that issued it.
pub fn chain(issued: &Issued, authority: &Authority) -> Arc<CertChain> {
    let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).expect("a certificate"));
    let chain = CertChain::new(certificate(issued.der()), certificate(authority.certificate()));
    Arc::new(chain.expect("a chain"))
}

impl Cert {
    /// The site of the certificate's file.
    pub fn site(&self) -> Site {
        Site::file(&self.path)
    }

    /// The site of the certificate's file, for a server that knows the certificate by another name.
    pub fn site_as(&self, name: &str) -> Site {
        self.site().served_as(name)
    }

    /// The certificate and its issuer.
    pub fn chain(&self) -> Arc<CertChain> {
        chain(&self.issued, &self.issuer)
    }
}

impl World {
    /// A staple that lasts this many seconds from now.
    pub fn staple(&self, cert: &Cert, seconds: i64) -> Staple {
        self.padded_staple(cert, seconds, 0)
    }

    /// A staple whose response is longer by this many bytes.
    pub fn padded_staple(&self, cert: &Cert, seconds: i64, bytes: usize) -> Staple {
        let now = now();
        let mut builder = self.answer(cert, now - 60, now + seconds);
        if bytes > 0 {
            let mut value = vec![4, 0x82];
            value.extend(u16::try_from(bytes).expect("a size").to_be_bytes());
            value.extend(vec![0; bytes]);
            builder = builder.response_extension(&Extension::new(&[1, 3, 6, 1, 4, 1, 55555, 1], value));
        }
        let response = Bytes::from(builder.build().expect("a response"));
        let at = Timestamp::from_unix(now);
        let judgement = Judge::new(&cert.chain()).at(at).judge(response);
        judgement.expect("a good response").into_staple().expect("a staple")
    }

    /// A response with this thisUpdate that lasts this many seconds from now.
    pub fn response(&self, cert: &Cert, this_update: i64, seconds: i64) -> Vec<u8> {
        self.answer(cert, this_update, now() + seconds).build().expect("a response")
    }

    /// The same response with these certificates beside the signature.
    pub fn longer_response(&self, cert: &Cert, this_update: i64, seconds: i64, certificates: &[&[u8]]) -> Vec<u8> {
        let answer = self.answer(cert, this_update, now() + seconds);
        answer.certificates(certificates).build().expect("a response")
    }

    fn answer(&self, cert: &Cert, this_update: i64, next_update: i64) -> ResponseBuilder {
        let cert_id = self.ca.cert_id(cert.issued.serial(), HashAlgorithm::Sha1);
        ResponseBuilder::new(&self.ca).this_update(this_update).next_update(next_update).good(&cert_id)
    }
}

/// A certificate without a file, with staples of different lifetimes.
#[derive(Debug)]
pub struct Example {
    /// The certificate and its issuer.
    pub chain: Arc<CertChain>,
    /// One staple for each requested lifetime.
    pub staples: Vec<Staple>,
}

impl Example {
    /// An example with one staple for each of these lifetimes, in hours.
    pub fn new(hours: &[i64]) -> Self {
        let world = World::under(Authority::root("Example CA").create().expect("an authority"));
        let cert = world.issue(&world.path("example.pem"), |profile| profile);
        let staples = hours.iter().map(|hours| world.staple(&cert, hours * 3600)).collect();
        Example { chain: cert.chain(), staples }
    }
}
