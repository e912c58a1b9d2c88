//! tls-alpn-01 (RFC 8737): a certificate that the host makes for the test.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::connect::Connector;
use super::error::ProbeError;
use crate::der;
use crate::hash::HashAlgorithm;
use crate::session::challenge::Challenge;

/// The protocol of the test.
const PROTOCOL: &[u8] = b"acme-tls/1";
/// id-pe-acmeIdentifier.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// Connects with the protocol of the test, and judges the certificate.
pub(super) async fn prove(connector: &Connector<'_>, own_port: u16, challenge: &Challenge) -> Result<(), ProbeError> {
    let failed = |error: &dyn std::error::Error| ProbeError::Exchange(format!("{}: {error}", challenge.name));
    let stream = connector.connect(&challenge.name, own_port).await?;
    let config = client().map_err(|error| failed(&error))?;
    let name = ServerName::try_from(server_name(&challenge.name)).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| failed(&error))?;
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() != Some(PROTOCOL) {
        return Err(ProbeError::Answer("the server does not speak acme-tls/1".to_owned()));
    }
    let certificate = connection.peer_certificates().and_then(|all| all.first());
    let certificate = certificate.ok_or_else(|| ProbeError::Answer("the server has no certificate".to_owned()))?;
    judge(certificate, challenge).map_err(|problem| ProbeError::Answer(problem.to_owned()))
}

/// The server name of the handshake. An IP address has none, so its name in the reverse zone stands for it (RFC 8738, 6).
fn server_name(name: &str) -> String {
    match name.parse() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let digits = format!("{:032x}", u128::from(address));
            digits.chars().rev().map(|digit| format!("{digit}.")).collect::<String>() + "ip6.arpa"
        }
        Err(_) => name.to_owned(),
    }
}

/// The certificate must be for exactly this name, and have the digest of the key authorization in a critical extension.
fn judge(certificate: &[u8], challenge: &Challenge) -> Result<(), &'static str> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| "the certificate is malformed")?;
    let names = certificate.subject_alternative_name().ok().flatten().ok_or("the certificate has no names")?;
    let is_right = match (names.value.general_names.as_slice(), challenge.name.parse::<IpAddr>()) {
        ([GeneralName::DNSName(name)], Err(_)) => name.eq_ignore_ascii_case(&challenge.name),
        ([GeneralName::IPAddress(octets)], Ok(IpAddr::V4(address))) => *octets == address.octets(),
        ([GeneralName::IPAddress(octets)], Ok(IpAddr::V6(address))) => *octets == address.octets(),
        _ => false,
    };
    if !is_right {
        return Err("the certificate is not for this name alone");
    }
    let digest = HashAlgorithm::Sha256.digest(challenge.authorization.as_bytes());
    let expected = der::value(der::OCTET_STRING, &digest);
    let mut found = certificate.extensions().iter().filter(|one| one.oid.to_id_string() == ACME_IDENTIFIER);
    match (found.next(), found.next()) {
        (Some(one), None) if one.critical && one.value == expected => Ok(()),
        _ => Err("the certificate does not have the digest of the key authorization"),
    }
}

fn client() -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = AnyCertificate { algorithms: provider.signature_verification_algorithms };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// Accepts the certificate of the test, which nobody issued: it is judged after the handshake.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // rustls verifies no signature of TLS 1.2 by a certificate with an unknown critical extension, and this one has one. The
    // signature would show nothing more: who knows the key authorization makes such a certificate with any key.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_by_the_reverse_zone() {
        assert_eq!(server_name("a.example"), "a.example");
        assert_eq!(server_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let reversed = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(server_name("2001:db8::1"), reversed);
    }
}
