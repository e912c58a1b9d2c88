//! A file of responses that were signed in advance, for a machine without the key.
//!
//! ```text
//! octets  contents
//! 20      "stapled-responses 1\n"
//! 8       when the file was made, in Unix seconds
//!         blocks, each with one octet of kind, four octets of length, and the contents:
//!             1  the certificate of an authority, DER
//!             2  the certificate revocation list of the authority before it, DER
//!             3  an OCSPResponse about one certificate, DER
//!             0  the end: the SHA-256 hash of all octets before this block
//! ```
//!
//! Numbers have their highest octet first. A file has no private key. The hash finds damage, not a forger: each response has the
//! signature of its issuer, which clients verify.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use bytes::Bytes;
use x509_parser::prelude::FromDer as _;

use crate::clock;
use crate::error::AuthorityError;
use crate::hash::{HashAlgorithm, etag};
use crate::ledger::StoreError;
use crate::ocsp::{CertId, ResponseContents};
use crate::responder::answer::Responder;
use crate::responder::file_names::SameFileName;
use crate::responder::presigned::HASHES;
use crate::store;

const MAGIC: &[u8; 20] = b"stapled-responses 1\n";
/// The most octets of a file, which is held in memory.
const MOST_FILE: u64 = 2 << 30;
/// The most octets of a certificate or a response.
const MOST_BLOCK: usize = 64 << 10;
/// The number of octets before the contents of a block.
const BLOCK_HEAD: usize = 5;
/// The number of octets of the hash at the end.
const HASH: usize = 32;

const END: u8 = 0;
const CERTIFICATE: u8 = 1;
const CRL: u8 = 2;
const RESPONSE: u8 = 3;

/// Why a file of responses cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseFileError {
    /// The ledger cannot be read, or the file cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A response or revocation list cannot be signed.
    #[error("cannot sign for the authority {authority}; is the certificate of its signer still valid?")]
    Signing {
        /// The name of the authority.
        authority: String,
    },
    /// The delegate of an authority cannot be renewed.
    #[error("cannot renew the OCSP responder's certificate of the authority {authority}: {source}")]
    Delegate {
        /// The name of the authority.
        authority: String,
        /// The cause.
        source: AuthorityError,
    },
    /// Two authorities in the file, or one of the file and one of another file, have the same file name.
    #[error("{}: {source}", path.display())]
    Names {
        /// The file.
        path: PathBuf,
        /// The authorities.
        source: SameFileName,
    },
    /// The file is of another kind.
    #[error("{} is not a file of responses; `stapled-ca presign` makes such files", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than the most that is held in memory.
    #[error("{} has more than {MOST_FILE} octets; presign fewer certificates in one file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The hash at the end of the file is wrong.
    #[error("{} is damaged or not complete; copy it again, to another name, and rename it then", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A block of the file cannot be read, though the hash at the end is right.
    #[error("{} has a certificate, list or response at octet {at} that cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The place in the file.
        at: usize,
    },
}

/// The numbers of responses and certificates that [`Responder::write_responses`] wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of responses.
    pub responses: usize,
    /// The number of certificates that they are about.
    pub certificates: usize,
}

impl Responder {
    /// Writes responses about all certificates that have not expired into a file, with CertIDs by SHA-1 and by SHA-256, and with
    /// the certificates of the authorities and their revocation lists, if such are published. An existing file is replaced
    /// atomically. Before, the delegates in the directories of authorities are renewed if it is time.
    ///
    /// # Errors
    /// When a delegate cannot be renewed, a response cannot be signed, the ledger cannot be read, or the file cannot be written.
    pub fn write_responses(&self, path: &Path) -> Result<Written, ResponseFileError> {
        let now = (self.clock)();
        for served in self.served().iter().filter(|served| served.is_renewal_due(now)) {
            let failed = |source| ResponseFileError::Delegate { authority: served.authority.name().to_owned(), source };
            served.renew_signer(now).map_err(failed)?;
        }
        let mut failure = None;
        let mut written = Written::default();
        let outcome = store::replace_with(path, store::READABLE, |file| {
            let mut output = Output { inner: file, hash: digest::Context::new(&digest::SHA256), octets: 0 };
            self.write_blocks(&mut output, &mut written).map_err(|error| match error {
                WriteError::Io(source) => source,
                WriteError::Other(error) => {
                    failure = Some(error);
                    io::Error::other("the responses cannot be made")
                }
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(outcome.map(|()| written)?),
        }
    }

    fn write_blocks(&self, output: &mut Output<'_>, written: &mut Written) -> Result<(), WriteError> {
        let now = (self.clock)();
        output.write(MAGIC)?;
        output.write(&now.to_be_bytes())?;
        for served in self.served() {
            let authority = &served.authority;
            let failed = || ResponseFileError::Signing { authority: authority.name().to_owned() };
            output.block(CERTIFICATE, authority.certificate())?;
            if let Some(validity) = self.policy.crl_validity {
                let this_update = now - clock::seconds(self.policy.backdate);
                let crl = authority.crl_between(this_update, now + clock::seconds(validity)).map_err(|error| {
                    tracing::error!(authority = authority.name(), %error, "cannot make the revocation list");
                    failed()
                })?;
                output.block(CRL, crl.der())?;
            }
            for record in authority.records().map_err(ResponseFileError::from)? {
                if record.not_after < now {
                    continue;
                }
                for hash in HASHES {
                    let cert_id = authority.cert_id(&record.serial, hash);
                    let prepared = self.presign(&cert_id, now).map_err(|_| failed())?;
                    output.block(RESPONSE, &prepared.body)?;
                    written.responses += 1;
                }
                written.certificates += 1;
            }
        }
        let hash = output.hash.clone().finish();
        output.block(END, hash.as_ref())
    }
}

enum WriteError {
    Io(io::Error),
    Other(ResponseFileError),
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

impl From<ResponseFileError> for WriteError {
    fn from(error: ResponseFileError) -> Self {
        Self::Other(error)
    }
}

/// A file that is being written, and the hash of what was written.
struct Output<'a> {
    inner: &'a mut dyn Write,
    hash: digest::Context,
    octets: u64,
}

impl Output<'_> {
    fn write(&mut self, octets: &[u8]) -> Result<(), WriteError> {
        self.hash.update(octets);
        self.octets += octets.len() as u64;
        if self.octets > MOST_FILE {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
        }
        Ok(self.inner.write_all(octets)?)
    }

    fn block(&mut self, kind: u8, contents: &[u8]) -> Result<(), WriteError> {
        let length = u32::try_from(contents.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.write(&[kind])?;
        self.write(&length.to_be_bytes())?;
        self.write(contents)
    }
}

/// The contents of a file of responses.
#[derive(Debug)]
pub(crate) struct ResponseFile {
    /// When the file was made, in Unix seconds.
    pub(crate) made_at: i64,
    pub(crate) authorities: Vec<FileAuthority>,
    responses: HashMap<Key, FileResponse>,
}

/// An authority in a file.
#[derive(Debug)]
pub(crate) struct FileAuthority {
    pub(crate) name: String,
    pub(crate) certificate: Bytes,
    pub(crate) crl: Option<FileCrl>,
}

/// A certificate revocation list in a file.
#[derive(Debug)]
pub(crate) struct FileCrl {
    pub(crate) body: Bytes,
    pub(crate) etag: String,
    pub(crate) this_update: i64,
    pub(crate) next_update: i64,
}

/// A response in a file.
#[derive(Clone, Debug)]
pub(crate) struct FileResponse {
    pub(crate) body: Bytes,
    pub(crate) this_update: i64,
    pub(crate) next_update: i64,
}

/// The SHA-256 hash of what a CertID says, whatever its encoding.
type Key = [u8; HASH];

/// The key of a CertID; `None` when its hash algorithm is not supported.
fn key_of(cert_id: &CertId) -> Option<Key> {
    let parts = [cert_id.issuer_name_hash(), cert_id.issuer_key_hash(), cert_id.serial().as_bytes()];
    let mut octets = cert_id.hash()?.to_string().into_bytes();
    for part in parts {
        octets.extend((part.len() as u64).to_be_bytes());
        octets.extend(part);
    }
    HashAlgorithm::Sha256.digest(&octets).try_into().ok()
}

impl ResponseFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what [`Responder::write_responses`] wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, ResponseFileError> {
        let failed = |source| ResponseFileError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mut octets = Vec::new();
        file.take(MOST_FILE + 1).read_to_end(&mut octets).map_err(failed)?;
        if octets.len() as u64 > MOST_FILE {
            return Err(ResponseFileError::TooLarge { path: path.to_owned() });
        }
        Self::parse(path, octets.into())
    }

    fn parse(path: &Path, octets: Bytes) -> Result<Self, ResponseFileError> {
        if !octets.starts_with(MAGIC) {
            return Err(ResponseFileError::OtherKind { path: path.to_owned() });
        }
        // The hash is checked first: then no damage is mistaken for contents.
        let damaged = || ResponseFileError::Damaged { path: path.to_owned() };
        let end = octets.len().checked_sub(BLOCK_HEAD + HASH).ok_or_else(damaged)?;
        let (before, last) = octets.split_at_checked(end).ok_or_else(damaged)?;
        let expected = [&[END, 0, 0, 0, HASH as u8], HashAlgorithm::Sha256.digest(before).as_slice()].concat();
        let mut rest = before.get(MAGIC.len()..).ok_or_else(damaged)?;
        if last != expected {
            return Err(damaged());
        }
        let (made_at, after) = rest.split_first_chunk().ok_or_else(damaged)?;
        rest = after;
        let mut contents =
            Self { made_at: i64::from_be_bytes(*made_at), authorities: Vec::new(), responses: HashMap::new() };
        while !rest.is_empty() {
            let at = end - rest.len();
            let unreadable = || ResponseFileError::Unreadable { path: path.to_owned(), at };
            let (kind, after) = rest.split_first().ok_or_else(unreadable)?;
            let (length, after) = after.split_first_chunk().ok_or_else(unreadable)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| unreadable())?;
            let (block, after) = after.split_at_checked(length).ok_or_else(unreadable)?;
            contents.add(*kind, octets.slice_ref(block)).ok_or_else(unreadable)?;
            rest = after;
        }
        Ok(contents)
    }

    /// Adds the contents of a block of this kind; `None` when they cannot be read as this kind.
    fn add(&mut self, kind: u8, block: Bytes) -> Option<()> {
        if kind != CRL && block.len() > MOST_BLOCK {
            return None;
        }
        match kind {
            CERTIFICATE => {
                let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(&block).ok()?;
                let common_name = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
                let name = common_name.map_or_else(|| parsed.subject().to_string(), str::to_owned);
                if !rest.is_empty() {
                    return None;
                }
                self.authorities.push(FileAuthority { name, certificate: block, crl: None });
            }
            CRL => {
                let (rest, parsed) = x509_parser::revocation_list::CertificateRevocationList::from_der(&block).ok()?;
                let (this_update, next_update) = (parsed.last_update().timestamp(), parsed.next_update()?.timestamp());
                if !rest.is_empty() {
                    return None;
                }
                let etag = etag(&block);
                self.authorities.last_mut()?.crl = Some(FileCrl { etag, this_update, next_update, body: block });
            }
            RESPONSE => {
                let ResponseContents { cert_id, this_update, next_update } = ResponseContents::read(&block)?;
                let response = FileResponse { body: block, this_update, next_update };
                self.responses.insert(key_of(&cert_id)?, response);
            }
            _ => return None,
        }
        Some(())
    }

    /// The response about this certificate, whether it is valid now or not.
    pub(crate) fn find(&self, cert_id: &CertId) -> Option<&FileResponse> {
        self.responses.get(&key_of(cert_id)?)
    }

    /// The number of responses.
    pub(crate) fn len(&self) -> usize {
        self.responses.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::authority::Authority;
    use crate::profile::Profile;
    use crate::serial::Serial;

    /// A file about one certificate, and its serial number.
    fn file(directory: &Path) -> (PathBuf, Authority, Serial) {
        let ca = Authority::root("CA").create().unwrap();
        let serial = ca.issue(&Profile::server("a.example")).unwrap().serial().clone();
        ca.issue(&Profile::server("old.example").valid_between(0, 100)).unwrap();
        let responder = Responder::builder().authority(&ca).publish_crls(Duration::from_secs(1000)).build();
        let path = directory.join("responses");
        assert_eq!(responder.write_responses(&path).unwrap(), Written { responses: 2, certificates: 1 });
        (path, ca, serial)
    }

    #[test]
    fn reading_undoes_writing_and_no_key_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, ca, serial) = file(directory.path());
        let contents = ResponseFile::read(&path).unwrap();
        for hash in HASHES {
            assert!(contents.find(&ca.cert_id(&serial, hash)).is_some(), "{hash}");
        }
        assert!(contents.find(&ca.cert_id(&99.into(), HASHES[0])).is_none());
        assert_eq!(contents.authorities[0].certificate, ca.certificate());
        assert!(contents.authorities[0].crl.is_some());
        let octets = std::fs::read(&path).unwrap();
        // The private number of the key is at octet 36 of its PKCS#8.
        let secret = &ca.key().to_pkcs8()[36..68];
        assert!(!octets.windows(secret.len()).any(|window| window == secret));
    }

    #[test]
    fn every_change_and_every_other_length_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, ..) = file(directory.path());
        let octets = std::fs::read(&path).unwrap();
        let refused = |octets: Vec<u8>| ResponseFile::parse(&path, octets.into()).is_err();
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 1;
            assert!(refused(changed), "octet {at}");
            assert!(refused(octets[..at].to_vec()), "cut at {at}");
        }
        assert!(refused([octets, vec![0]].concat()));
    }

    #[test]
    fn blocks_that_are_not_what_they_say_are_refused() {
        let hashed = |blocks: &[u8]| {
            let before = [MAGIC.as_slice(), &[0; 8], blocks].concat();
            let hash = HashAlgorithm::Sha256.digest(&before);
            Bytes::from([before, vec![END, 0, 0, 0, 32], hash].concat())
        };
        let path = Path::new("responses");
        assert_eq!(ResponseFile::parse(path, hashed(&[])).unwrap().len(), 0);
        let lists: [&[u8]; 6] = [
            &[3, 0, 0, 0, 1, 0],
            &[1, 0, 0, 0, 1, 0],
            &[2, 0, 0, 0, 1, 0],
            &[9, 0, 0, 0, 0],
            &[3, 0xff, 0xff, 0xff, 0xff],
            &[3, 0],
        ];
        for blocks in lists {
            let outcome = ResponseFile::parse(path, hashed(blocks));
            assert!(matches!(outcome, Err(ResponseFileError::Unreadable { at: 28, .. })), "{blocks:?}: {outcome:?}");
        }
        let other = ResponseFile::parse(path, Bytes::from_static(b"-----BEGIN CERTIFICATE-----"));
        assert!(matches!(other, Err(ResponseFileError::OtherKind { .. })));
    }
}
