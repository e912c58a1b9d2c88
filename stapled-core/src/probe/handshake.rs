//! The handshake: everything that the server sends is recorded, whatever it is.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::report::Trust;
use crate::certificate::Certificate;

/// What a server sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Hello {
    /// As the server sent them, in DER.
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) staple: Option<Bytes>,
    pub(super) trust: Trust,
    /// Such as `TLSv1.3`.
    pub(super) protocol: Option<String>,
    pub(super) cipher: Option<String>,
    /// Why the handshake did not end, although certificates came: the server may want a certificate of the client.
    pub(super) error: Option<String>,
}

/// Makes a handshake over this stream for this name.
pub(super) fn with(
    stream: &mut (impl Read + Write),
    name: &str,
    provider: Arc<CryptoProvider>,
    is_tls12_only: bool,
    roots: Option<&[Arc<Certificate>]>,
) -> Result<Hello, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let server_name =
        ServerName::try_from(name.to_owned()).map_err(|_| format!("{name} is no host name or address"))?;
    let recorder = Arc::new(Recorder::new(&provider, roots).map_err(|error| text(&error))?);
    let versions: &[&rustls::SupportedProtocolVersion] = match is_tls12_only {
        true => &[&rustls::version::TLS12],
        false => rustls::DEFAULT_VERSIONS,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| text(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), server_name).map_err(|error| text(&error))?;
    let mut failed = None;
    while client.is_handshaking() && failed.is_none() {
        failed = client.complete_io(stream).err().map(|error| error.to_string());
    }
    if failed.is_none() {
        client.send_close_notify();
        // The server may have closed already.
        let _ = client.complete_io(stream);
    }
    let seen = recorder.seen();
    match failed {
        // A server that wants a certificate of the client, for example, has sent its own before it refuses.
        Some(error) if seen.certificates.is_empty() => Err(format!("the handshake failed: {error}")),
        error => Ok(Hello {
            protocol: client.protocol_version().and_then(|version| Some(version.as_str()?.replace('_', "."))),
            cipher: client.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
            error,
            ..seen
        }),
    }
}

/// Records what the server sends, and lets every handshake continue.
#[derive(Debug)]
struct Recorder {
    provider: Arc<CryptoProvider>,
    verifier: Option<Arc<WebPkiServerVerifier>>,
    seen: Mutex<Hello>,
}

impl Recorder {
    fn new(provider: &Arc<CryptoProvider>, roots: Option<&[Arc<Certificate>]>) -> Result<Self, String> {
        let verifier = roots.map(|roots| {
            let mut store = RootCertStore::empty();
            for root in roots {
                let added = store.add(CertificateDer::from(root.as_der().to_vec()));
                added.map_err(|error| format!("{} cannot be a root: {error}", root.name()))?;
            }
            let builder = WebPkiServerVerifier::builder_with_provider(store.into(), Arc::clone(provider));
            builder.build().map_err(|error| error.to_string())
        });
        Ok(Recorder { provider: Arc::clone(provider), verifier: verifier.transpose()?, seen: Mutex::default() })
    }

    fn seen(&self) -> Hello {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records whether the server has proved that it has the key, and continues in any case.
    fn note_signature(&self, verified: Result<HandshakeSignatureValid, rustls::Error>) -> HandshakeSignatureValid {
        if let Err(error) = verified {
            let what = format!("the server's signature of the handshake is wrong: {error}");
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).trust = Trust::Refused(what);
        }
        HandshakeSignatureValid::assertion()
    }
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
        let trust = match &self.verifier {
            None => Trust::NotChecked,
            Some(verifier) => {
                match verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                    Ok(_) => Trust::Trusted,
                    Err(error) => Trust::Refused(error.to_string()),
                }
            }
        };
        let certificates = std::iter::once(end_entity).chain(intermediates).map(|one| one.to_vec()).collect();
        let staple = (!ocsp_response.is_empty()).then(|| Bytes::copy_from_slice(ocsp_response));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Hello { certificates, staple, trust, ..Hello::default() };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.note_signature(verify_tls12_signature(message, certificate, signature, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.note_signature(verify_tls13_signature(message, certificate, signature, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
