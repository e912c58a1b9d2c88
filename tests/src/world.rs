//! The directory of a test, and its certificate authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stapled_ca::{Authority, Issued, Key, KeyType, Profile};
use tempfile::TempDir;

use crate::wait::wait_for;

/// A temporary directory with certificates in `certs/`. An authority below a root issues them.
pub struct World {
    folder: TempDir,
    /// The authority that issues the certificates.
    pub ca: Authority,
    key: Arc<Key>,
    hosts: AtomicUsize,
}

/// A certificate with its key and chain in a file.
pub struct Cert {
    /// The issued certificate with its key.
    pub issued: Issued,
    /// The authority that issued it.
    pub issuer: Authority,
    /// The path of the file.
    pub path: PathBuf,
    /// The host name by which HAProxy chooses the certificate.
    pub host: String,
}

impl World {
    /// A new world without certificates, whose authority is below a root.
    pub fn new() -> Self {
        let root = Authority::root("Test Root").create().expect("a root");
        Self::under(root.intermediate("Test CA").create().expect("an authority"))
    }

    /// A new world without certificates, with this authority.
    pub fn under(ca: Authority) -> Self {
        let folder = tempfile::Builder::new().prefix("stapled-test-").tempdir().expect("a temporary directory");
        std::fs::create_dir(folder.path().join("certs")).expect("a directory");
        std::fs::write(folder.path().join("empty.conf"), "").expect("a file");
        let key = Arc::new(Key::generate(KeyType::EcdsaP256).expect("a key"));
        World { folder, ca, key, hosts: AtomicUsize::new(0) }
    }

    /// The path of `name` in the directory.
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

    /// A certificate in `certs/NAME.pem`, with a profile that `adapt` changes.
    pub fn cert_with(&self, name: &str, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        let cert = self.issue(&self.certs().join(name).with_extension("pem"), adapt);
        cert.write();
        cert
    }

    /// A certificate that is not in a file yet.
    pub fn issue(&self, path: &Path, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let stem: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
        let stem = if stem.is_empty() { "host" } else { stem.as_str() };
        // Each certificate has a host of its own, since HAProxy chooses by it.
        let host = format!("{stem}-{}.example", self.hosts.fetch_add(1, Ordering::Relaxed));
        self.issue_for(path, &host, adapt)
    }

    /// A certificate that replaces `cert`: another certificate for the same host and file, which is not in a file yet.
    pub fn renewal_of(&self, cert: &Cert, ocsp_url: &str) -> Cert {
        self.issue_for(&cert.path, &cert.host, |profile| profile.ocsp_url(ocsp_url))
    }

    fn issue_for(&self, path: &Path, host: &str, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        // All certificates share one key unless the profile has another: making keys takes longer than everything else.
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

    /// A certificate in this file, followed by these PEM certificates and its key. `names_key` adds the extension
    /// authorityKeyIdentifier.
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

    /// This many certificates that are not in files yet.
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
    /// Writes the certificate, its chain and its key into its file.
    pub fn write(&self) {
        std::fs::create_dir_all(self.path.parent().expect("a folder")).expect("a folder");
        self.issued.write_bundle(&self.path).expect("a file");
    }

    /// The path of its staple file.
    pub fn staple_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".ocsp");
        path.into()
    }

    /// The contents of its staple file; `None` if there is none.
    pub fn staple_file(&self) -> Option<Vec<u8>> {
        std::fs::read(self.staple_path()).ok()
    }

    /// Waits until its staple file is written, and returns the contents. After a handshake with the staple, the file
    /// comes at the same time or a little later.
    pub fn wait_for_file(&self) -> Vec<u8> {
        wait_for(&format!("{} is written", self.staple_path().display()), || self.staple_file())
    }

    /// Its path as text.
    pub fn name(&self) -> &str {
        self.path.to_str().expect("text")
    }
}
