//! TLS to responders: the client's configuration, and the sources of its parts.
//!
//! This library enables no provider of cryptography in rustls. Features are global to a program: with two providers
//! compiled in, `ServerConfig::builder()` of a program that embeds this library would panic.

use std::io;
use std::sync::Arc;

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use tokio::sync::OnceCell;

use super::connect::{Body, Connector, POOL_PER_HOST, client};

/// The source of the client's configuration.
#[derive(Clone, Debug, Default)]
pub(super) enum TlsChoice {
    /// The provider that the program has installed, and the system's root certificates.
    #[default]
    Installed,
    /// This provider, and the system's root certificates.
    Provider(Arc<CryptoProvider>),
    /// A configuration that the program has made.
    Config(Arc<ClientConfig>),
}

/// Why https URLs cannot be asked.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    #[error(
        "this program has no TLS provider: set HttpFetcherBuilder::crypto_provider or tls_config, or install one with \
         rustls::crypto::CryptoProvider::install_default"
    )]
    NoProvider,
    #[error("the TLS provider supports no usable version of TLS: {0}")]
    Versions(#[from] rustls::Error),
    #[error("the system's root certificates cannot be loaded: {0}")]
    Roots(io::Error),
}

/// The client for https URLs. It is made at the first https URL: almost all responders use plain http, and a system
/// without root certificates must still be able to ask those.
#[derive(Debug)]
pub(super) struct TlsClient {
    choice: TlsChoice,
    made: OnceCell<(ClientConfig, Client<HttpsConnector<Connector>, Body>)>,
}

impl TlsClient {
    pub(super) fn new(choice: TlsChoice) -> Self {
        TlsClient { choice, made: OnceCell::new() }
    }

    /// The client with its connection pool.
    ///
    /// # Errors
    ///
    /// There is no provider, or the system's root certificates cannot be loaded.
    pub(super) async fn pooled(&self, connector: &Connector) -> io::Result<&Client<HttpsConnector<Connector>, Body>> {
        Ok(&self.made(connector).await?.1)
    }

    /// A client without a pool whose connections use this connector.
    ///
    /// # Errors
    ///
    /// As for [`pooled`](Self::pooled).
    pub(super) async fn alone(&self, connector: Connector) -> io::Result<Client<HttpsConnector<Connector>, Body>> {
        let config = self.made(&connector).await?.0.clone();
        Ok(client(secured(config, connector), 0))
    }

    async fn made(
        &self,
        connector: &Connector,
    ) -> io::Result<&(ClientConfig, Client<HttpsConnector<Connector>, Body>)> {
        let make = || async {
            let choice = self.choice.clone();
            // Loading roots reads a few hundred files on some systems, so it runs on the pool for blocking work.
            let made = tokio::task::spawn_blocking(move || choice.config());
            let config = made.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
            let client = client(secured(config.clone(), connector.clone()), POOL_PER_HOST);
            Ok((config, client))
        };
        self.made.get_or_try_init(make).await
    }
}

impl TlsChoice {
    fn config(self) -> Result<ClientConfig, TlsError> {
        let provider = match self {
            TlsChoice::Config(config) => {
                let mut config = Arc::unwrap_or_clone(config);
                // The connector sets the ALPN protocols, and panics if they are set already.
                config.alpn_protocols.clear();
                return Ok(config);
            }
            TlsChoice::Provider(provider) => provider,
            TlsChoice::Installed => Arc::clone(CryptoProvider::get_default().ok_or(TlsError::NoProvider)?),
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.with_native_roots().map_err(TlsError::Roots)?.with_no_client_auth())
    }
}

fn secured(config: ClientConfig, connector: Connector) -> HttpsConnector<Connector> {
    HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(connector)
}
