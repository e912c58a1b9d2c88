//! The addresses of a responder: resolved, checked, and in the order of the attempts.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tokio::time::Instant;
use tower_service::Service;

use super::address::{AddressPolicy, Denied};

/// Why a name could not be resolved, or a connection could not be made.
pub(super) type AnyError = Box<dyn StdError + Send + Sync>;

/// How long an address comes last that gave no answer when another address of the same name did.
const PENALTY: Duration = Duration::from_secs(600);
/// The largest number of such addresses that are remembered.
const MAX_PENALTIES: usize = 1024;

/// Resolves host names to addresses.
///
/// ```
/// use std::io;
/// use std::net::IpAddr;
///
/// use stapled_core::io::http::Resolver;
///
/// /// One address for all hosts: that of a proxy which forwards by the Host header.
/// #[derive(Debug)]
/// struct Fixed(IpAddr);
///
/// #[async_trait::async_trait]
/// impl Resolver for Fixed {
///     async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
///         Ok(vec![self.0])
///     }
/// }
/// ```
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// Returns the addresses of a host, in the order of the attempts. The fetcher limits the time.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver: files, DNS, and the order of RFC 6724.
#[derive(Debug, Default)]
pub(super) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name: Name = host.parse().map_err(io::Error::other)?;
        let found = GaiResolver::new().call(name).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Chooses and orders the addresses of a host.
#[derive(Clone, Debug)]
pub(super) struct Addresses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: AddressPolicy,
    prefer_ipv4: bool,
    resolver: Arc<dyn Resolver>,
    /// Silent addresses, with the instant until which each comes last.
    silent: Mutex<HashMap<IpAddr, Instant>>,
}

impl Addresses {
    pub(super) fn new(policy: AddressPolicy, prefer_ipv4: bool, resolver: Arc<dyn Resolver>) -> Self {
        Addresses(Arc::new(Inner { policy, prefer_ipv4, resolver, silent: Mutex::default() }))
    }

    /// The addresses of a host that may be asked, without duplicates.
    pub(super) async fn of(&self, host: &str) -> Result<Vec<IpAddr>, AnyError> {
        let all = self.0.resolver.resolve(host).await?;
        let mut allowed: Vec<IpAddr> = Vec::with_capacity(all.len());
        for address in &all {
            if self.0.policy.check(*address).is_ok() && !allowed.contains(address) {
                allowed.push(*address);
            }
        }
        if allowed.is_empty() && !all.is_empty() {
            return Err(Denied::host(host).into());
        }
        let now = Instant::now();
        let silent = self.0.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |address: &IpAddr| silent.get(address).is_some_and(|until| *until > now);
        // The sort is stable, so the resolver's order is kept otherwise.
        allowed.sort_by_key(|address| (is_silent(address), self.0.prefer_ipv4 && address.is_ipv6()));
        Ok(allowed)
    }

    /// Puts an address last that gave no answer when another one did.
    pub(super) fn put_last(&self, address: IpAddr) {
        let now = Instant::now();
        let mut silent = self.0.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.len() >= MAX_PENALTIES {
            silent.retain(|_, until| *until > now);
        }
        if silent.len() < MAX_PENALTIES {
            silent.insert(address, now + PENALTY);
        }
    }
}

/// Resolves names for connections. Each connection goes to a checked address, even if the name resolves to another one
/// a moment later.
#[derive(Clone, Debug)]
pub(super) struct Names {
    addresses: Addresses,
    /// The only address to connect to, for any name.
    only: Option<IpAddr>,
}

impl Names {
    pub(super) fn new(addresses: Addresses, only: Option<IpAddr>) -> Self {
        Names { addresses, only }
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Names { addresses, only } = self.clone();
        Box::pin(async move {
            let found = match only {
                Some(only) => vec![only],
                None => addresses.of(name.as_str()).await?,
            };
            // The connector sets the port of the URL.
            let found: Vec<SocketAddr> = found.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Vec<IpAddr>);

    #[async_trait]
    impl Resolver for Fixed {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn of(texts: &[&str], deny_private: bool, prefer_ipv4: bool) -> Addresses {
        Addresses::new(AddressPolicy { deny_private }, prefer_ipv4, Arc::new(Fixed(addresses(texts))))
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_is_the_resolvers_unless_ipv4_is_preferred_or_an_address_was_silent() {
        let mixed = ["2606:4700::1", "1.1.1.1", "2606:4700::2", "1.0.0.1", "1.1.1.1"];
        assert_eq!(of(&mixed, false, false).of("x").await.unwrap(), addresses(&mixed[..4]));
        let preferring = of(&mixed, true, true);
        let expected = ["1.1.1.1", "1.0.0.1", "2606:4700::1", "2606:4700::2"];
        assert_eq!(preferring.of("x").await.unwrap(), addresses(&expected));
        preferring.put_last("1.1.1.1".parse().unwrap());
        let expected = ["1.0.0.1", "2606:4700::1", "2606:4700::2", "1.1.1.1"];
        assert_eq!(preferring.of("x").await.unwrap(), addresses(&expected));
        tokio::time::sleep(PENALTY).await;
        assert_eq!(preferring.of("x").await.unwrap().first(), Some(&"1.1.1.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn addresses_that_may_not_be_asked_are_left_out_one_by_one() {
        let public = of(&["10.0.0.1", "1.1.1.1", "::1"], true, false);
        assert_eq!(public.of("x").await.unwrap(), addresses(&["1.1.1.1"]));
        assert!(of(&["10.0.0.1"], true, false).of("x").await.unwrap_err().is::<Denied>());
        assert!(of(&[], true, false).of("x").await.unwrap().is_empty());
    }
}
