//! The directory that a test plays in, and its certificate authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stapled_ca::{Authority, Issued, Key, KeyType, Profile};
use tempfile::TempDir;

use crate::wait::wait_for;

/// A temporary directory with certificates in `certs/`, issued by an authority under a root.
pub struct World {
    folder: TempDir,
    /// The authority that issues the certificates.
    pub ca: Authority,
    key: Arc<Key>,
    hosts: AtomicUsize,
}

/// A certificate with its key and chain in a file.
pub struct Cert {
    /// What was issued.
    pub issued: Issued,
    /// The authority that issued it.
    pub issuer: Authority,
    /// The file.
    pub path: PathBuf,
    /// The name that HAProxy chooses it by.
    pub host: String,
}

impl World {
    /// A new one, without certificates, whose authority is below a root.
    pub fn new() -> Self {
        let root = Authority::root("Test Root").create().expect("a root");
        Self::under(root.intermediate("Test CA").create().expect("an authority"))
    }

    /// A new one, without certificates, with this authority.
    pub fn under(ca: Authority) -> Self {
        let folder = tempfile::Builder::new().prefix("stapled-test-").tempdir().expect("a temporary directory");
        std::fs::create_dir(folder.path().join("certs")).expect("a directory");
        std::fs::write(folder.path().join("empty.conf"), "").expect("a file");
        let key = Arc::new(Key::generate(KeyType::EcdsaP256).expect("a key"));
        World { folder, ca, key, hosts: AtomicUsize::new(0) }
    }

    /// The path of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The directory of the certificates.
    pub fn certs(&self) -> PathBuf {
        self.path("certs")
    }

    /// A certificate with this OCSP URL in `certs/NAME.pem`.
    pub fn cert(&self, name: &str, ocsp_url: &str) -> Cert {
        self.cert_with(name, |profile| profile.ocsp_url(ocsp_url))
    }

    /// A certificate in `certs/NAME.pem`; `adapt` says what it is like.
    pub fn cert_with(&self, name: &str, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        let cert = self.issue(&self.certs().join(name).with_extension("pem"), adapt);
        cert.write();
        cert
    }

    /// A certificate that is in no file yet.
    pub fn issue(&self, path: &Path, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let stem: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
        let stem = if stem.is_empty() { "host" } else { stem.as_str() };
        // A host of its own for each, since HAProxy chooses by it.
        let host = format!("{stem}-{}.example", self.hosts.fetch_add(1, Ordering::Relaxed));
        self.issue_for(path, &host, adapt)
    }

    /// One that replaces `cert`: another certificate for the same host and file, which is in no file yet.
    pub fn renewal_of(&self, cert: &Cert, ocsp_url: &str) -> Cert {
        self.issue_for(&cert.path, &cert.host, |profile| profile.ocsp_url(ocsp_url))
    }

    fn issue_for(&self, path: &Path, host: &str, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        // One key for all unless said otherwise: making keys takes longer than all the rest.
        let profile = adapt(Profile::server(host).existing_key(Arc::clone(&self.key)));
        let issued = self.ca.issue(&profile).expect("a certificate");
        Cert { issued, issuer: self.ca.clone(), path: path.to_owned(), host: host.to_owned() }
    }

    /// A certificate without OCSP URL in this file, with its chain and key.
    pub fn cert_file(&self, file: &str) -> Cert {
        let cert = self.issue(&self.path(file), |profile| profile);
        cert.write();
        cert
    }

    /// A certificate in this file, with its key and without its chain.
    pub fn cert_without_chain(&self, file: &str) -> Cert {
        self.cert_before(file, true, &[])
    }

    /// A certificate in this file, with these certificates, PEM, behind it, and its key; with the extension
    /// authorityKeyIdentifier where `names_key` says so.
    pub fn cert_before(&self, file: &str, names_key: bool, chain: &[&str]) -> Cert {
        let cert = self.issue(&self.path(file), |profile| profile.authority_key_identifier(names_key));
        std::fs::create_dir_all(cert.path.parent().expect("a folder")).expect("a folder");
        let pem = [cert.issued.certificate_pem(), chain.concat(), cert.issued.key_pem()].concat();
        std::fs::write(&cert.path, pem).expect("a file");
        cert
    }

    /// This many certificates in files of one folder, with their chains and keys.
    pub fn many_certs(&self, folder: &str, count: usize) -> Vec<Cert> {
        std::fs::create_dir_all(self.path(folder)).expect("a folder");
        let certs = self.many_unwritten(folder, count);
        certs.iter().for_each(Cert::write);
        certs
    }

    /// This many certificates that are in no file yet.
    pub fn many_unwritten(&self, folder: &str, count: usize) -> Vec<Cert> {
        let path = |number| self.path(folder).join(format!("{number}.pem"));
        (0..count).map(|number| self.issue(&path(number), |profile| profile)).collect()
    }

    /// The names of all files in a folder, in order.
    pub fn listing(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Cert {
    /// Writes certificate, chain and key into its file.
    pub fn write(&self) {
        std::fs::create_dir_all(self.path.parent().expect("a folder")).expect("a folder");
        self.issued.write_bundle(&self.path).expect("a file");
    }

    /// Where its staple is written.
    pub fn staple_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".ocsp");
        path.into()
    }

    /// What is written there.
    pub fn staple_file(&self) -> Option<Vec<u8>> {
        std::fs::read(self.staple_path()).ok()
    }

    /// Waits until its staple is written, and returns what is. After a handshake that comes as soon, or a little later.
    pub fn wait_for_file(&self) -> Vec<u8> {
        wait_for(&format!("{} is written", self.staple_path().display()), || self.staple_file())
    }

    /// Its path as text.
    pub fn name(&self) -> &str {
        self.path.to_str().expect("text")
    }
}
