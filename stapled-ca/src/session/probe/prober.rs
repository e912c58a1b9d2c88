//! What tests challenges.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join;

use super::address::AddressRules;
use super::connect::Connector;
use super::error::ProbeError;
use super::names::{Names, SystemNames};
use super::{http_01, tls_alpn_01};
use crate::session::challenge::{Challenge, ChallengeType};

/// Tests challenges.
///
/// ```
/// use stapled_ca::session::{Challenge, ProbeError, Prober};
///
/// /// Believes the names that another program has verified, and tests all others.
/// #[derive(Debug)]
/// struct Verified<P> {
///     names: Vec<String>,
///     others: P,
/// }
///
/// #[async_trait::async_trait]
/// impl<P: Prober> Prober for Verified<P> {
///     async fn prove(&self, challenge: &Challenge) -> Result<(), ProbeError> {
///         match self.names.contains(&challenge.name) {
///             true => Ok(()),
///             false => self.others.prove(challenge).await,
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Prober: Send + Sync + fmt::Debug {
    /// Tests one challenge.
    async fn prove(&self, challenge: &Challenge) -> Result<(), ProbeError>;
}

/// The settings of tests over the network.
#[derive(Debug)]
#[non_exhaustive]
pub struct NetworkProber {
    /// The addresses of names.
    pub names: Box<dyn Names>,
    /// Which addresses are asked.
    pub rules: AddressRules,
    /// The port of http-01.
    pub http_port: u16,
    /// The port of tls-alpn-01.
    pub tls_port: u16,
    /// How long one test may take.
    pub within: Duration,
    /// How long one connection may take within the test. Then the next address of the name is tried.
    pub connect_within: Duration,
    /// A second vantage point: an HTTP proxy, `HOST:PORT`, that forwards connections (CONNECT). Each challenge is tested through
    /// it as well, and both tests must succeed. Who controls the network near the authority alone proves nothing then.
    pub proxy: Option<String>,
}

impl Default for NetworkProber {
    fn default() -> Self {
        let (names, rules) = (Box::new(SystemNames), AddressRules::default());
        let (within, connect_within) = (Duration::from_secs(10), Duration::from_secs(3));
        NetworkProber { names, rules, http_port: 80, tls_port: 443, within, connect_within, proxy: None }
    }
}

#[async_trait]
impl Prober for NetworkProber {
    async fn prove(&self, challenge: &Challenge) -> Result<(), ProbeError> {
        let test = async {
            let Some(proxy) = &self.proxy else { return self.prove_from(None, challenge).await };
            let named = |source| ProbeError::Vantage { proxy: proxy.clone(), source: Box::new(source) };
            let far = async { self.prove_from(Some(proxy), challenge).await.map_err(named) };
            try_join(self.prove_from(None, challenge), far).await.map(|_| ())
        };
        let timed_out = |_| ProbeError::TimedOut { within: self.within };
        tokio::time::timeout(self.within, test).await.map_err(timed_out)?
    }
}

impl NetworkProber {
    /// Tests one challenge from here, or through a proxy.
    async fn prove_from(&self, proxy: Option<&str>, challenge: &Challenge) -> Result<(), ProbeError> {
        let within = self.connect_within;
        let connector = Connector { names: &*self.names, rules: &self.rules, proxy, within };
        match challenge.kind {
            ChallengeType::Http01 => http_01::prove(&connector, self.http_port, challenge).await,
            ChallengeType::TlsAlpn01 => tls_alpn_01::prove(&connector, self.tls_port, challenge).await,
        }
    }
}
