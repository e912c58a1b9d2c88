//! TLS: its files, and the provider that the program has installed.

use redis::{Client, ConnectionInfo, ErrorKind, RedisError, RedisResult};

use crate::address::TlsFiles;

/// A client with the certificates in these files. They are read for each connection, so that renewed ones are used.
#[cfg(feature = "tls")]
pub(super) async fn client(info: ConnectionInfo, files: &TlsFiles) -> RedisResult<Client> {
    Client::build_with_tls(info, certificates(files).await?)
}

/// No address has TLS without the feature.
#[cfg(not(feature = "tls"))]
pub(super) async fn client(_: ConnectionInfo, _: &TlsFiles) -> RedisResult<Client> {
    Err(wrong("this program is built without the feature `tls` of stapled-redis".to_owned()))
}

/// The client of a Cluster with the certificates in these files. They are read once for all connections to the nodes.
#[cfg(all(feature = "tls", feature = "cluster"))]
pub(super) async fn for_cluster(
    client: redis::cluster::ClusterClientBuilder,
    files: &TlsFiles,
) -> RedisResult<redis::cluster::ClusterClientBuilder> {
    Ok(client.certs(certificates(files).await?))
}

/// No address has TLS without the feature.
#[cfg(all(not(feature = "tls"), feature = "cluster"))]
pub(super) async fn for_cluster(
    _: redis::cluster::ClusterClientBuilder,
    _: &TlsFiles,
) -> RedisResult<redis::cluster::ClusterClientBuilder> {
    Err(wrong("this program is built without the feature `tls` of stapled-redis".to_owned()))
}

/// The contents of the files.
///
/// # Errors
///
/// A file cannot be read or has no certificate, or the program has no TLS provider: the client would panic without one.
#[cfg(feature = "tls")]
async fn certificates(files: &TlsFiles) -> RedisResult<redis::TlsCertificates> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let words =
            "this program has no TLS provider: install one with rustls::crypto::CryptoProvider::install_default";
        return Err(wrong(words.to_owned()));
    }
    let root_cert = match &files.ca {
        Some(file) => Some(read(file).await?),
        None => None,
    };
    let has_roots = |pem: &Vec<u8>| CertificateDer::pem_slice_iter(pem).any(|certificate| certificate.is_ok());
    if let Some(file) = files.ca.as_ref().filter(|_| !root_cert.as_ref().is_some_and(has_roots)) {
        return Err(wrong(format!("{} has no certificate in PEM", file.display())));
    }
    let client_tls = match &files.client {
        Some((certificate, key)) => {
            Some(redis::ClientTlsConfig { client_cert: read(certificate).await?, client_key: read(key).await? })
        }
        None => None,
    };
    Ok(redis::TlsCertificates { client_tls, root_cert })
}

#[cfg(feature = "tls")]
async fn read(file: &std::path::Path) -> RedisResult<Vec<u8>> {
    let contents = tokio::fs::read(file).await;
    contents.map_err(|error| wrong(format!("cannot read {}: {error}", file.display())))
}

fn wrong(words: String) -> RedisError {
    (ErrorKind::InvalidClientConfig, "TLS", words).into()
}
