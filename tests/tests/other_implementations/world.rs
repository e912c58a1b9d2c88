//! Chains: an issuer, its certificate, and all rightful and wrongful signers for it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stapled_ca::ocsp::{IssuerIdentity, Signer};
use stapled_ca::{
    Authority, ExtendedKeyUsage, Extension, Issued, Key, KeyType, KeyUsage, NameAttribute, Profile, Serial,
};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;

use crate::tlv::Node;

const DAY: i64 = 86_400;

/// A chain and its signers.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) root: Authority,
    pub(crate) issuer: Authority,
    pub(crate) leaf: Issued,
    pub(crate) chain: Arc<CertChain>,
    pub(crate) signers: Vec<Candidate>,
    /// Authorities whose CertIDs are nearly right: another key, another name.
    pub(crate) nearly: Vec<Authority>,
}

/// A signer of responses.
pub(crate) struct Candidate {
    pub(crate) who: &'static str,
    pub(crate) signer: Signer,
    /// Whether responses of this signer must be accepted.
    pub(crate) by_right: bool,
    /// The embedded certificates beside the signer's.
    pub(crate) beside: Vec<Vec<u8>>,
    /// Whether the signer's own certificate is embedded.
    pub(crate) embedded: bool,
    /// A correct delegate's certificate for the signer's key and name.
    pub(crate) proper: Vec<u8>,
}

/// All worlds of the test.
pub(crate) fn worlds(now: i64) -> Vec<World> {
    use KeyType::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa1024, Rsa2048};
    // The issuer's key, whether it is below a root, and the magnitude of the serial number (`None`: random).
    let plans: [(KeyType, bool, Option<&[u8]>); 9] = [
        (EcdsaP256, false, None),
        (EcdsaP256, true, Some(&[0xff; 20])),
        (Rsa2048, false, Some(&[0x80, 0, 0, 0])),
        (Rsa2048, true, None),
        (EcdsaP384, true, None),
        (EcdsaP521, false, None),
        (Ed25519, false, None),
        (Ed25519, true, Some(&[1])),
        (Rsa1024, false, None),
    ];
    let world = |(key, under_root, serial): (KeyType, bool, Option<&[u8]>)| {
        World::new(format!("{key}{}", if under_root { "-under-root" } else { "" }), key, under_root, serial, now)
    };
    plans.into_iter().map(world).collect()
}

impl World {
    fn new(name: String, key: KeyType, under_root: bool, serial: Option<&[u8]>, now: i64) -> Self {
        let issuer_name = "Judged CA";
        let (root, issuer) = if under_root {
            let root = Authority::root("Judged Root").create().unwrap();
            let issuer = root.intermediate(issuer_name).key(key).create().unwrap();
            (root, issuer)
        } else {
            let issuer = Authority::root(issuer_name).key(key).create().unwrap();
            (issuer.clone(), issuer)
        };
        let mut profile = Profile::server("judged.example").ocsp_url("http://ocsp.example/");
        if let Some(serial) = serial {
            profile = profile.serial(Serial::from_bytes(serial));
        }
        let leaf = issuer.issue(&profile).unwrap();
        let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
        let chain = Arc::new(CertChain::new(certificate(leaf.der()), certificate(issuer.certificate())).unwrap());
        let namesake = Authority::root(issuer_name).create().unwrap();
        let renamed = Authority::root("Other Name").existing_key(Arc::clone(issuer.key())).create().unwrap();
        let mut signers = candidates(&root, &issuer, &leaf, &namesake, &renamed, now);
        for candidate in &mut signers {
            let (key, name) = (candidate.signer.key(), common_name(&candidate.signer.identity().name));
            let profile = Profile::ocsp_responder(&name).existing_key(Arc::clone(key));
            candidate.proper = issuer.issue(&profile).unwrap().der().to_vec();
        }
        World { name, root, issuer, leaf, chain, signers, nearly: vec![namesake, renamed] }
    }

    /// The end-entity certificate, the issuer and the root, in the form that the judges' program reads.
    pub(crate) fn in_base64(&self) -> String {
        [self.leaf.der(), self.issuer.certificate(), self.root_der()].map(|der| STANDARD.encode(der)).join(" ")
    }

    pub(crate) fn root_der(&self) -> &[u8] {
        self.root.certificate()
    }
}

/// The common name in a DER name without other attributes.
fn common_name(name: &[u8]) -> String {
    let name = Node::read(name).unwrap();
    String::from_utf8(name.at(&[0, 0, 1]).unwrap().contents()).unwrap()
}

fn candidates(
    root: &Authority,
    issuer: &Authority,
    leaf: &Issued,
    namesake: &Authority,
    renamed: &Authority,
    now: i64,
) -> Vec<Candidate> {
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let responder = || Profile::ocsp_responder("Responder").existing_key(Arc::clone(&key));
    let by = |authority: &Authority, profile: Profile| Signer::delegate(&authority.issue(&profile).unwrap());
    let delegate = |profile: Profile| by(issuer, profile);
    let unknown = Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    let reissued = {
        let common = Authority::root(issuer.name()).existing_key(Arc::clone(issuer.key()));
        common.create().unwrap()
    };
    let middle = issuer.intermediate("Middle").create().unwrap();
    let implementation = Authority::root("Implementation").create().unwrap();
    let named_as_issuer = responder().subject([(NameAttribute::CommonName, issuer.name().to_owned())]);
    // The same name by RFC 5280's rules, but not byte for byte.
    let shouted = {
        let name = responder().subject([(NameAttribute::CommonName, "RESPONDER".to_owned())]);
        let issued = issuer.issue(&name).unwrap();
        let lower = issuer.issue(&responder()).unwrap().identity().name.clone();
        let identity = IssuerIdentity { name: lower, public_key: issued.identity().public_key.clone() };
        Signer::new(Arc::clone(issued.key()), identity, Some(issued.der().to_vec()))
    };
    let purposes = |purposes: &[ExtendedKeyUsage]| delegate(responder().extended_key_usages(purposes.to_vec()));
    let both = [ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::OcspSigning];
    let right =
        |who, signer| Candidate { who, signer, by_right: true, beside: Vec::new(), embedded: true, proper: Vec::new() };
    let wrong = |who, signer| Candidate { by_right: false, ..right(who, signer) };
    vec![
        right("issuer", issuer.signer()),
        right("delegate", delegate(responder())),
        right("delegate-rsa", delegate(Profile::ocsp_responder("Responder RSA").key(KeyType::Rsa2048))),
        right("delegate-p384", delegate(Profile::ocsp_responder("Responder P-384").key(KeyType::EcdsaP384))),
        right("delegate-ed25519", delegate(Profile::ocsp_responder("Responder Ed25519").key(KeyType::Ed25519))),
        right("delegate-of-reissued", by(&reissued, responder())),
        right("delegate-with-server-auth", purposes(&both)),
        right("delegate-without-key-usage", delegate(responder().key_usages([]))),
        right("delegate-without-nocheck", delegate(responder().ocsp_no_check(false))),
        right("delegate-named-as-issuer", delegate(named_as_issuer)),
        right("delegate-other-case", shouted),
        Candidate { beside: vec![issuer.certificate().to_vec()], ..right("issuer-embedded", issuer.signer()) },
        Candidate { beside: vec![reissued.certificate().to_vec()], ..right("reissued-embedded", issuer.signer()) },
        Candidate {
            beside: vec![leaf.der().to_vec(), issuer.certificate().to_vec()],
            ..right("delegate-and-others", delegate(responder()))
        },
        Candidate { beside: vec![b"\x30\x03\x02\x01\x00".to_vec()], ..right("beside-junk", delegate(responder())) },
        Candidate { embedded: false, ..wrong("delegate-not-embedded", delegate(responder())) },
        wrong("delegate-weak", delegate(Profile::ocsp_responder("Responder weak").key(KeyType::Rsa1024))),
        wrong("delegate-without-purpose", purposes(&[])),
        wrong("delegate-any-purpose", purposes(&[ExtendedKeyUsage::Any])),
        wrong("delegate-server-auth", purposes(&[ExtendedKeyUsage::ServerAuth])),
        wrong("delegate-key-encipherment", delegate(responder().key_usages([KeyUsage::KeyEncipherment]))),
        wrong("delegate-expired", delegate(responder().valid_between(now - 9 * DAY, now - DAY))),
        wrong("delegate-of-tomorrow", delegate(responder().valid_between(now + DAY, now + 9 * DAY))),
        wrong("delegate-critical-extension", delegate(responder().extension(unknown))),
        wrong("leaf-itself", Signer::delegate(leaf)),
        wrong("sibling", delegate(Profile::server("sibling.example"))),
        wrong("root-itself-or-issuer", root.signer()),
        wrong("delegate-of-root-or-issuer", by(root, responder())),
        Candidate {
            beside: vec![middle.certificate().to_vec()],
            ..wrong("delegate-of-delegate", by(&middle, responder()))
        },
        wrong("implementation", implementation.signer()),
        wrong("delegate-of-implementation", by(&implementation, responder())),
        wrong("namesake", namesake.signer()),
        wrong("delegate-of-namesake", by(namesake, responder())),
        wrong("delegate-of-renamed", by(renamed, responder())),
        // A delegate's key under the issuer's name.
        wrong("impostor", Signer::new(Arc::clone(&key), issuer.identity().clone(), None)),
    ]
}
