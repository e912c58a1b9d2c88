//! Certificates, keys, and the resolvers that are compared.

use std::error::Error;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCert, ResolvesServerCertUsingSni};
use rustls::sign::CertifiedKey;
use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Profile};
use stapled_core::Stapler;
use stapled_rustls::Stapling;

/// A stapler, or rustls alone, that the benchmark compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// rustls without staples.
    Bare,
    /// This project.
    Stapled,
    /// The crate `ocsp-stapler`.
    OcspStapler,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Peer::Stapled, Peer::OcspStapler].into_iter().find(|peer| peer.name() == text).ok_or_else(|| text.to_owned())
    }
}

impl Peer {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Bare => "rustls alone",
            Peer::Stapled => "stapled-rustls",
            Peer::OcspStapler => "ocsp-stapler",
        }
    }
}

/// A CA with its responder.
pub struct World {
    ca: Authority,
    lab: Lab,
}

impl World {
    /// A new CA, whose responses are valid for a day. They name the signer, since the Python program does not find it by the hash of
    /// its key.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let ca = Authority::root("Bench CA").create()?;
        let lab =
            Lab::builder().authority(&ca).validity(Duration::from_secs(86_400)).responder_by_name(true).start()?;
        Ok(World { ca, lab })
    }

    /// The CA's responder.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The CA's certificate as PEM.
    pub fn root_pem(&self) -> String {
        self.ca.certificate_pem()
    }

    /// The chain and the key of a new certificate as PEM.
    pub fn issue(&self, number: usize) -> Result<String, Box<dyn Error>> {
        let issued = self.ca.issue(&Profile::server(&host(number)).ocsp_url(self.lab.url()))?;
        Ok(issued.certificate_pem() + &self.ca.certificate_pem() + &issued.key_pem())
    }

    /// The same for rustls.
    pub fn key(&self, number: usize) -> Result<Arc<CertifiedKey>, Box<dyn Error>> {
        key_of(self.issue(number)?.as_bytes())
    }
}

/// The host name of a certificate.
pub fn host(number: usize) -> String {
    format!("host-{number}.example")
}

/// The chain and the key in a PEM text.
pub fn key_of(pem: &[u8]) -> Result<Arc<CertifiedKey>, Box<dyn Error>> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(pem)?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &default_provider())?))
}

/// The keys in a folder.
pub fn read_keys(folder: &Path, count: usize) -> Result<Vec<Arc<CertifiedKey>>, Box<dyn Error>> {
    (0..count).map(|number| key_of(&std::fs::read(folder.join(number.to_string()))?)).collect()
}

/// A resolver by host name, without staples.
pub fn by_name(keys: &[Arc<CertifiedKey>]) -> Result<Arc<dyn ResolvesServerCert>, Box<dyn Error>> {
    let mut resolver = ResolvesServerCertUsingSni::new();
    for (number, key) in keys.iter().enumerate() {
        resolver.add(&host(number), CertifiedKey::clone(key))?;
    }
    Ok(Arc::new(resolver))
}

/// A stapler that works.
pub enum Staples {
    /// This project.
    Stapled(Arc<Stapling>),
    /// The other one.
    OcspStapler(Arc<ocsp_stapler::Stapler>),
}

impl Staples {
    /// Starts a stapler around a resolver. To be called inside of a runtime.
    pub fn start(peer: Peer, inner: Arc<dyn ResolvesServerCert>) -> Result<Self, Box<dyn Error>> {
        if peer == Peer::OcspStapler {
            return Ok(Staples::OcspStapler(Arc::new(ocsp_stapler::Stapler::new(inner))));
        }
        let stapling = Arc::new(Stapling::new(inner));
        let stapler = Stapler::builder().group(stapling.group()).build()?;
        tokio::spawn(stapler.run(std::future::pending()));
        Ok(Staples::Stapled(stapling))
    }

    /// The resolver for rustls.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        match self {
            Staples::Stapled(stapling) => Arc::clone(stapling) as _,
            Staples::OcspStapler(stapler) => Arc::clone(stapler) as _,
        }
    }

    /// Adds certificates, and returns once all have their staples. The other crate drops what its queue of 1,024 cannot take, so it
    /// gets 1,000 at once.
    pub async fn add(&self, keys: &[Arc<CertifiedKey>], within: Duration) -> Result<Duration, Box<dyn Error>> {
        let begin = Instant::now();
        let at_once = if matches!(self, Staples::Stapled(_)) { keys.len() } else { 1_000 };
        for part in keys.chunks(at_once) {
            for key in part {
                match self {
                    Staples::Stapled(stapling) => stapling.announce(key),
                    Staples::OcspStapler(stapler) => stapler.preload(Arc::clone(key)),
                }
            }
            let mut missing: Vec<&Arc<CertifiedKey>> = part.iter().collect();
            while !missing.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                missing.retain(|key| !self.is_stapled(key));
                if begin.elapsed() > within {
                    return Err(format!("{} certificates have no staple after {within:?}", missing.len()).into());
                }
            }
        }
        Ok(begin.elapsed())
    }

    fn is_stapled(&self, key: &Arc<CertifiedKey>) -> bool {
        match self {
            Staples::Stapled(stapling) => stapling.staple(Arc::clone(key)).ocsp.is_some(),
            Staples::OcspStapler(stapler) => stapler
                .status(Arc::clone(key))
                .is_some_and(|status| !matches!(status, rasn_ocsp::CertStatus::Unknown(()))),
        }
    }
}

/// The time that a thread or this process has computed so far.
pub struct Cpu(rustix::time::ClockId, Duration);

impl Cpu {
    /// That of this thread.
    pub fn of_thread() -> Self {
        Cpu::now(rustix::time::ClockId::ThreadCPUTime)
    }

    /// That of all threads of this process.
    pub fn of_process() -> Self {
        Cpu::now(rustix::time::ClockId::ProcessCPUTime)
    }

    fn now(clock: rustix::time::ClockId) -> Self {
        let time = rustix::time::clock_gettime(clock);
        Cpu(clock, Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default()))
    }

    /// The computing time since then.
    pub fn elapsed(&self) -> Duration {
        Cpu::now(self.0).1 - self.1
    }
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
