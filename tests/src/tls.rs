//! A TLS client that shows the staple.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::wait::PATIENCE;

/// The result of a handshake with a TLS server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The server's certificate, in DER.
    pub certificate: Vec<u8>,
    /// The staple, byte for byte; `None` if the server sends none.
    pub staple: Option<Vec<u8>>,
}

/// The certificates that the client accepts.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Every certificate.
    Any,
    /// Certificates for the host that this root, in DER, or an authority below it issued.
    Root(&'a [u8]),
}

/// Makes a handshake with the server at `socket`, for `host`, and accepts every certificate.
///
/// # Errors
/// No server listens there, or the handshake fails.
pub fn handshake(socket: &Path, host: &str) -> std::io::Result<Handshake> {
    Ok(connect(socket, host)?.1)
}

/// Makes a handshake as [`handshake`] does, and also returns the connection, which stays open until its drop.
///
/// # Errors
/// No server listens there, or the handshake fails.
pub fn connect(socket: &Path, host: &str) -> std::io::Result<(UnixStream, Handshake)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let handshake = handshake_over(&mut stream, host, Trust::Any)?;
    Ok((stream, handshake))
}

/// Makes a handshake over a connection.
///
/// # Errors
/// The handshake fails, for example because the certificate is not trusted.
pub fn handshake_over(stream: &mut (impl Read + Write), host: &str, trust: Trust<'_>) -> std::io::Result<Handshake> {
    let (config, seen) = client(trust);
    let host = ServerName::try_from(host.to_owned()).expect("a host name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), host).expect("a TLS client");
    while client.is_handshaking() {
        client.complete_io(stream)?;
    }
    Ok(seen())
}

/// A TLS client, and what its last handshake showed.
pub fn client(trust: Trust<'_>) -> (rustls::ClientConfig, impl Fn() -> Handshake) {
    let recorder = Arc::new(Recorder { verifier: verifier(trust), seen: Mutex::default() });
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    (config, move || recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

fn verifier(trust: Trust<'_>) -> Option<Arc<WebPkiServerVerifier>> {
    let Trust::Root(root) = trust else { return None };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    Some(verifier.expect("a verifier"))
}

/// Records the server's certificate and staple, and then verifies the certificate if there is a verifier.
#[derive(Debug)]
struct Recorder {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    seen: Mutex<Handshake>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Handshake {
            certificate: end_entity.to_vec(),
            staple: (!ocsp_response.is_empty()).then(|| ocsp_response.to_vec()),
        };
        self.verifier.as_ref().map_or_else(
            || Ok(ServerCertVerified::assertion()),
            |verifier| verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.as_ref().map_or_else(
            || Ok(HandshakeSignatureValid::assertion()),
            |verifier| verifier.verify_tls12_signature(message, certificate, signature),
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.as_ref().map_or_else(
            || Ok(HandshakeSignatureValid::assertion()),
            |verifier| verifier.verify_tls13_signature(message, certificate, signature),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
