//! Describes a certificate in words. The words are for people; no decision depends on them.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::x509::{Certificate, is_known_here};
use crate::hexadecimal::hex_upper;
use crate::{oid, signature};

/// A certificate in words. The texts come from the certificate unchanged, so they may have control characters in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// The `version` field; 2 is v3.
    pub(crate) version: u32,
    /// The subject's name, such as `C=NL, O=Example, CN=example.org`.
    pub(crate) subject: String,
    /// The issuer's name.
    pub(crate) issuer: String,
    /// The kind and size of the key, such as `RSA, 2048 bits` or `ECDSA, P-256`.
    pub(crate) public_key: String,
    /// The algorithm of the signature, such as `ecdsa-with-SHA256`.
    pub(crate) signature_algorithm: String,
    /// The names of subjectAltName, such as `DNS:example.org`.
    pub(crate) names: Vec<String>,
    /// The names of the bits of keyUsage, such as `digitalSignature`. `None` if the certificate has no such extension.
    pub(crate) key_usage: Option<Vec<&'static str>>,
    /// The purposes of extendedKeyUsage, such as `serverAuth`. `None` if the certificate has no such extension.
    pub(crate) extended_key_usage: Option<Vec<String>>,
    /// The object identifiers of the critical extensions that this crate does not know, in dotted form.
    pub(crate) unknown_critical_extensions: Vec<String>,
}

impl Certificate {
    /// The issuer's whole name, such as `C=NL, O=Example, CN=Example CA`. The text comes from the certificate unchanged,
    /// so it may have control characters in it.
    pub fn issuer_in_full(&self) -> String {
        name_in_full(self.issuer())
    }

    /// Describes the certificate in words.
    pub(crate) fn describe(&self) -> Description {
        let mut description = Description {
            subject: name_in_full(self.subject()),
            issuer: name_in_full(self.issuer()),
            public_key: self.verification_key().in_words(),
            signature_algorithm: signature::name(self.part(&self.signature_algorithm)),
            ..Description::default()
        };
        // The certificate is parsed again, so that the many certificates in service need not keep the description.
        if let Ok((_, parsed)) = X509Certificate::from_der(self.as_der()) {
            description.read(&parsed);
        }
        description
    }
}

impl Description {
    fn read(&mut self, parsed: &X509Certificate<'_>) {
        self.version = parsed.version().0;
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    self.names = names.general_names.iter().map(general_name).collect();
                }
                ParsedExtension::KeyUsage(usage) => {
                    let bits = KEY_USAGE.iter().enumerate().filter(|(bit, _)| usage.flags >> bit & 1 == 1);
                    self.key_usage = Some(bits.map(|(_, name)| *name).collect());
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    let known = [
                        (usage.any, "anyExtendedKeyUsage"),
                        (usage.server_auth, "serverAuth"),
                        (usage.client_auth, "clientAuth"),
                        (usage.code_signing, "codeSigning"),
                        (usage.email_protection, "emailProtection"),
                        (usage.time_stamping, "timeStamping"),
                        (usage.ocsp_signing, "OCSPSigning"),
                    ];
                    let known = known.into_iter().filter(|(allowed, _)| *allowed).map(|(_, name)| name.to_owned());
                    let other = usage.other.iter().map(|purpose| oid::in_words(purpose.as_bytes()));
                    self.extended_key_usage = Some(known.chain(other).collect());
                }
                ParsedExtension::UnsupportedExtension { .. }
                    if extension.critical && !is_known_here(extension.oid.as_bytes()) =>
                {
                    self.unknown_critical_extensions.push(oid::dotted(extension.oid.as_bytes()));
                }
                _ => {}
            }
        }
    }
}

/// The names of the bits of keyUsage (RFC 5280 §4.2.1.3), in their order.
const KEY_USAGE: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

/// The whole name in words, from its DER: `C=NL, O=Example, CN=example.org`. The text comes from the certificate
/// unchanged, so it may have control characters in it.
pub(crate) fn name_in_full(name: &[u8]) -> String {
    match X509Name::from_der(name) {
        Ok((_, name)) if name.iter_rdn().next().is_none() => "(empty)".to_owned(),
        Ok((_, name)) => name.to_string(),
        Err(_) => "a name that cannot be read".to_owned(),
    }
}

/// A GeneralName (RFC 5280 §4.2.1.6) in words, from its DER.
pub(crate) fn general_name_in_words(der: &[u8]) -> String {
    match GeneralName::from_der(der) {
        Ok((_, name)) => general_name(&name),
        Err(_) => "a name that cannot be read".to_owned(),
    }
}

fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::DirectoryName(name) => format!("DirName:{name}"),
        GeneralName::RegisteredID(id) => format!("Registered ID:{}", oid::dotted(id.as_bytes())),
        GeneralName::IPAddress(address) => match (<[u8; 4]>::try_from(*address), <[u8; 16]>::try_from(*address)) {
            (Ok(four), _) => format!("IP Address:{}", std::net::Ipv4Addr::from(four)),
            (_, Ok(sixteen)) => format!("IP Address:{}", std::net::Ipv6Addr::from(sixteen)),
            _ => format!("IP Address:{}", hex_upper(address)),
        },
        GeneralName::OtherName(id, _) => format!("otherName:{}", oid::dotted(id.as_bytes())),
        GeneralName::X400Address(_) => "X400Name".to_owned(),
        GeneralName::EDIPartyName(_) => "EdiPartyName".to_owned(),
        GeneralName::Invalid(tag, bytes) => format!("invalid ({}):{}", tag.0, hex_upper(bytes)),
    }
}
