//! Names of object identifiers: for messages, never for a decision.

use std::fmt::Write;

use crate::hexadecimal::hex_upper;

/// The longest object identifier that is shown, in bytes. Peers choose them, and they go into messages. Registered ones
/// have up to about twenty bytes.
const LONGEST: usize = 64;

/// The name of an object identifier that OCSP uses, as the RFCs write it, by its contents bytes.
pub(crate) fn name(oid: &[u8]) -> Option<&'static str> {
    let dotted = dotted(oid);
    NAMES.iter().find(|(known, _)| *known == dotted).map(|(_, name)| *name)
}

/// The dotted form of an object identifier, such as `1.3.6.1.5.5.7.48.1.2`, by its contents bytes. Invalid bytes and
/// numbers of more than 128 bits are shown in hexadecimal: `(2B80)`. An object identifier that is longer than any in
/// use is shown by its length only.
pub(crate) fn dotted(oid: &[u8]) -> String {
    if oid.len() > LONGEST {
        return format!("(an identifier of {} bytes)", oid.len());
    }
    arcs(oid).unwrap_or_else(|| format!("({})", hex_upper(oid)))
}

/// The name of an object identifier, or else its dotted form.
pub(crate) fn in_words(oid: &[u8]) -> String {
    name(oid).map_or_else(|| dotted(oid), str::to_owned)
}

fn arcs(oid: &[u8]) -> Option<String> {
    let mut dotted = String::new();
    let mut number: u128 = 0;
    let mut begun = false;
    for byte in oid {
        // X.690 §8.19.2: no arc begins with a zero byte.
        if !begun && *byte == 0x80 || number >> 121 != 0 {
            return None;
        }
        begun = byte & 0x80 != 0;
        number = number << 7 | u128::from(byte & 0x7f);
        if begun {
            continue;
        }
        // X.690 §8.19.4: one number has the first two arcs.
        let _ = match (dotted.is_empty(), number) {
            (true, 0..80) => write!(dotted, "{}.{}", number / 40, number % 40),
            (true, _) => write!(dotted, "2.{}", number - 80),
            (false, _) => write!(dotted, ".{number}"),
        }; // writing to a String cannot fail
        number = 0;
    }
    (!begun && !dotted.is_empty()).then_some(dotted)
}

static NAMES: &[(&str, &str)] = &[
    // Extensions of requests and responses: RFC 6960 §4.4, RFC 9654, RFC 6962.
    ("1.3.6.1.5.5.7.48.1.1", "id-pkix-ocsp-basic"),
    ("1.3.6.1.5.5.7.48.1.2", "nonce"),
    ("1.3.6.1.5.5.7.48.1.3", "crlReferences"),
    ("1.3.6.1.5.5.7.48.1.4", "acceptableResponses"),
    ("1.3.6.1.5.5.7.48.1.5", "ocspNoCheck"),
    ("1.3.6.1.5.5.7.48.1.6", "archiveCutoff"),
    ("1.3.6.1.5.5.7.48.1.7", "serviceLocator"),
    ("1.3.6.1.5.5.7.48.1.8", "preferredSignatureAlgorithms"),
    ("1.3.6.1.5.5.7.48.1.9", "extendedRevoke"),
    ("1.3.6.1.4.1.11129.2.4.5", "signedCertificateTimestamps"),
    // Extensions of CRL entries, which SingleResponses may have too, and of certificates: RFC 5280, RFC 7633, RFC 6962.
    ("2.5.29.21", "cRLReason"),
    ("2.5.29.24", "invalidityDate"),
    ("2.5.29.29", "certificateIssuer"),
    ("2.5.29.14", "subjectKeyIdentifier"),
    ("2.5.29.15", "keyUsage"),
    ("2.5.29.16", "privateKeyUsagePeriod"),
    ("2.5.29.17", "subjectAltName"),
    ("2.5.29.18", "issuerAltName"),
    ("2.5.29.19", "basicConstraints"),
    ("2.5.29.30", "nameConstraints"),
    ("2.5.29.31", "cRLDistributionPoints"),
    ("2.5.29.32", "certificatePolicies"),
    ("2.5.29.33", "policyMappings"),
    ("2.5.29.35", "authorityKeyIdentifier"),
    ("2.5.29.36", "policyConstraints"),
    ("2.5.29.37", "extKeyUsage"),
    ("2.5.29.46", "freshestCRL"),
    ("2.5.29.54", "inhibitAnyPolicy"),
    ("1.3.6.1.5.5.7.1.1", "authorityInfoAccess"),
    ("1.3.6.1.5.5.7.1.11", "subjectInfoAccess"),
    ("1.3.6.1.5.5.7.1.24", "tlsFeature"),
    ("1.3.6.1.4.1.11129.2.4.2", "signedCertificateTimestampList"),
    ("1.3.6.1.4.1.11129.2.4.3", "precertificatePoison"),
    // Purposes of extendedKeyUsage.
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
    // Hashes.
    ("1.2.840.113549.2.5", "MD5"),
    ("1.3.14.3.2.26", "SHA-1"),
    ("2.16.840.1.101.3.4.2.4", "SHA-224"),
    ("2.16.840.1.101.3.4.2.1", "SHA-256"),
    ("2.16.840.1.101.3.4.2.2", "SHA-384"),
    ("2.16.840.1.101.3.4.2.3", "SHA-512"),
    ("2.16.840.1.101.3.4.2.8", "SHA3-256"),
    ("2.16.840.1.101.3.4.2.9", "SHA3-384"),
    ("2.16.840.1.101.3.4.2.10", "SHA3-512"),
    // Keys and signatures.
    ("1.2.840.113549.1.1.1", "rsaEncryption"),
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.3.14.3.2.29", "sha1WithRSASignature"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.10040.4.1", "id-dsa"),
    ("1.2.840.10040.4.3", "dsa-with-SHA1"),
    ("2.16.840.1.101.3.4.3.1", "dsa-with-SHA224"),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-SHA256"),
    ("1.2.840.10045.2.1", "id-ecPublicKey"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    // Curves.
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.132.0.33", "P-224"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_forms() {
        for (oid, expected) in [
            (&b"\x2b\x06\x01\x05\x05\x07\x30\x01\x02"[..], "1.3.6.1.5.5.7.48.1.2"),
            (b"\x2a\x86\x48\x86\xf7\x0d", "1.2.840.113549"),
            (b"\x88\x37\x03", "2.999.3"),
            (b"\x55\x1d\x25\x00", "2.5.29.37.0"),
            (b"\x00", "0.0"),
            (b"\x4f", "1.39"),
            (b"\x50", "2.0"),
            (b"", "()"),
            (b"\x2b\x80", "(2B80)"),
            (b"\x2b\x80\x01", "(2B8001)"),
            (b"\x81", "(81)"),
            (b"\x2b\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "1.3.9223372036854775807"),
        ] {
            assert_eq!(dotted(oid), expected, "{oid:02x?}");
        }
        let long = [&[0x2b][..], &[0xff; 40], &[0x7f]].concat();
        assert!(dotted(&long).starts_with("(2BFFFF"));
        assert_eq!(name(b"\x2b\x06\x01\x05\x05\x07\x30\x01\x02"), Some("nonce"));
        assert_eq!(name(b"\x2b\x06\x01\x05\x05\x07\x30\x01\x7f"), None);
    }

    #[test]
    fn each_object_identifier_is_named_once() {
        let mut known: Vec<&str> = NAMES.iter().map(|(dotted, _)| *dotted).collect();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), NAMES.len());
    }
}
