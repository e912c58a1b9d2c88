//! The authority, certificate and delegate of every run. Their keys are in the source, so that any response can be
//! signed.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{self as aws, UnparsedPublicKey};
use stapled_ca::ocsp::{CertId, HashAlgorithm, IssuerIdentity, ResponseBuilder, Signer};
use stapled_ca::{Authority, Extension, Issued, Key, Profile, Serial, Validity, der};
use stapled_core::bundle::Bundle;
use stapled_core::chain::CertChain;

/// The time of all judgements, in seconds since the Unix epoch: the time of the vectors in
/// `stapled-ocsp/tests/vectors/own`.
pub const AT: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

/// The authority, its certificates and its delegate.
#[derive(Debug)]
pub struct Fixture {
    /// The issuer.
    pub ca: Authority,
    /// The certificate that responses are about.
    pub leaf: Issued,
    /// The signer that the authority delegates to.
    pub delegate: Signer,
    /// The chain of `leaf` first, then chains of other authorities from the committed vectors.
    pub chains: Vec<Arc<CertChain>>,
}

/// Pairs of a certificate and its issuer from the committed vectors: RSA, P-256, P-384, Ed25519, and RSA with 1024
/// bits.
macro_rules! own {
    ($($name:literal),*) => {
        [$((
            include_bytes!(concat!("../../../stapled-ocsp/tests/vectors/own/certs/leaf", $name, ".pem")).as_slice(),
            include_bytes!(concat!("../../../stapled-ocsp/tests/vectors/own/certs/ca", $name, ".pem")).as_slice(),
        )),*]
    };
}
const OWN: &[(&[u8], &[u8])] = &own!["", "-g09-p256", "-g10-p384", "-g15-ed25519", "-g17-rsa1024"];

static WORLD: LazyLock<Fixture> = LazyLock::new(Fixture::new);

impl Fixture {
    /// The fixture of all checks, made once.
    pub fn get() -> &'static Fixture {
        &WORLD
    }

    fn new() -> Self {
        let ca = Authority::root("Fuzzed CA")
            .existing_key(key(1))
            .serial(Serial::from(1))
            .validity(Validity::Between { not_before: AT - 1000 * DAY, not_after: AT + 1000 * DAY })
            .create()
            .unwrap();
        let leaf = Profile::server("fuzzed.test")
            .existing_key(key(2))
            .serial(Serial::from(0x1234_5678))
            .valid_between(AT - 30 * DAY, AT + 60 * DAY)
            .ocsp_url("http://ocsp.test/")
            .ca_issuers_url("http://ocsp.test/ca.der")
            .must_staple(true);
        let leaf = ca.issue(&leaf).unwrap();
        let delegate = Profile::ocsp_responder("Fuzzed Responder")
            .existing_key(key(3))
            .serial(Serial::from(3))
            .valid_between(AT - DAY, AT + 2 * DAY);
        let delegate = Signer::delegate(&ca.issue(&delegate).unwrap());
        let chain = |leaf: &[u8], issuer: &[u8]| {
            let first = |bytes: &[u8]| Arc::new(Bundle::read(bytes).unwrap().certificates.swap_remove(0));
            Arc::new(CertChain::new(first(leaf), first(issuer)).unwrap())
        };
        let own = OWN.iter().map(|(leaf, issuer)| chain(leaf, issuer));
        let chains = std::iter::once(chain(leaf.der(), ca.certificate())).chain(own).collect();
        Fixture { ca, leaf, delegate, chains }
    }

    /// The CertID of `leaf`.
    pub fn cert_id(&self, hash: HashAlgorithm) -> CertId {
        self.ca.cert_id(self.leaf.serial(), hash)
    }

    /// A response with good times and without a SingleResponse.
    pub fn response(&self, signer: Signer) -> ResponseBuilder {
        ResponseBuilder::signed_by(signer).produced_at(AT - 60).this_update(AT - 60).next_update(AT + 7 * DAY)
    }

    /// A response with this tbsResponseData and a right signature: of the authority, or of its delegate with these
    /// certificates embedded.
    pub fn sign(&self, tbs: &[u8], by_delegate: bool, certificates: &[&[u8]]) -> Vec<u8> {
        let key = if by_delegate { self.delegate.key() } else { self.ca.key() };
        let scheme = key.default_scheme();
        let signature = der::bit_string(&key.sign_with(scheme, tbs).unwrap());
        let mut fields = vec![tbs.to_vec(), scheme.algorithm_identifier(), signature];
        if !certificates.is_empty() {
            fields.push(der::explicit(0, &der::sequence(certificates)));
        }
        let basic = der::value(der::OCTET_STRING, &der::sequence(&fields));
        let body = der::explicit(0, &der::sequence(&[der::oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 1]), basic]));
        der::sequence(&[der::value(der::ENUMERATED, &[0]), body])
    }
}

/// A certificate request for these names by an Ed25519 key, DER: the same in every run.
pub fn certificate_request(names: &[&str]) -> Vec<u8> {
    let key = key(6);
    let algorithm = key.default_scheme().algorithm_identifier();
    let names: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match name.parse::<std::net::Ipv4Addr>() {
            // subjectAltName: iPAddress [7], dNSName [2].
            Ok(address) => der::implicit(7, &address.octets()),
            Err(_) => der::implicit(2, name.as_bytes()),
        })
        .collect();
    let alternative = Extension::new(&[2, 5, 29, 17], der::sequence(&names)).to_der();
    let extensions = der::value(0x31, &der::sequence(&[alternative]));
    // extensionRequest (RFC 2985, 5.4.2).
    let attribute = der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 9, 14]), extensions]);
    let nothing: &[&[u8]] = &[];
    let information = der::sequence(&[
        der::unsigned(&[0]),
        der::sequence(nothing),
        der::sequence(&[algorithm.clone(), der::bit_string(key.public_key())]),
        der::value(0xa0, &attribute),
    ]);
    let signature = der::bit_string(&key.sign_with(key.default_scheme(), &information).unwrap());
    der::sequence(&[information, algorithm, signature])
}

/// An Ed25519 key made from a number. Its signatures are the same in every run.
pub fn key(number: u8) -> Arc<Key> {
    // RFC 8410 §7: PrivateKeyInfo, version 0, id-Ed25519, and the key as an OCTET STRING in an OCTET STRING.
    let mut pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    pkcs8.extend([number; 32]);
    Arc::new(Key::from_pkcs8(&pkcs8).unwrap())
}

/// Whether the key of this certificate made `signature` over exactly `message`, by any supported algorithm.
pub fn has_signed(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithms: [&dyn aws::VerificationAlgorithm; 17] = [
        &aws::ED25519,
        &aws::ECDSA_P256_SHA256_ASN1,
        &aws::ECDSA_P384_SHA384_ASN1,
        &aws::ECDSA_P521_SHA512_ASN1,
        &aws::ECDSA_P256_SHA384_ASN1,
        &aws::ECDSA_P384_SHA256_ASN1,
        &aws::ECDSA_P521_SHA256_ASN1,
        &aws::ECDSA_P521_SHA384_ASN1,
        &aws::ECDSA_P256_SHA1_ASN1,
        &aws::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        &aws::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        &aws::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        &aws::RSA_PKCS1_2048_8192_SHA384,
        &aws::RSA_PKCS1_2048_8192_SHA512,
        &aws::RSA_PSS_2048_8192_SHA256,
        &aws::RSA_PSS_2048_8192_SHA384,
        &aws::RSA_PSS_2048_8192_SHA512,
    ];
    let Some(identity) = IssuerIdentity::from_certificate(certificate) else { return false };
    algorithms
        .into_iter()
        .any(|algorithm| UnparsedPublicKey::new(algorithm, &identity.public_key).verify(message, signature).is_ok())
}

/// Whether the key of `issuer` signed this certificate; both are DER.
pub fn has_issued(issuer: &[u8], certificate: &[u8]) -> bool {
    let cut = || {
        let mut outer = der::only(certificate, der::SEQUENCE)?.contents;
        let tbs = der::expect(&mut outer, der::SEQUENCE)?.whole;
        der::expect(&mut outer, der::SEQUENCE)?;
        // The first octet is the count of unused bits: zero.
        let (0, signature) = der::expect(&mut outer, 0x03)?.contents.split_first()? else { return None };
        Some((tbs, signature))
    };
    cut().is_some_and(|(tbs, signature)| has_signed(issuer, tbs, signature))
}
