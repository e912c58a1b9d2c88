//! Why a command fails.

use std::io;
use std::path::PathBuf;

use stapled_ca::responder::SameFileName;
use stapled_ca::session::{BadKeysError, ClientError, SessionError};
use stapled_ca::store::StoreError;
use stapled_ca::{AuthorityError, Serial, SerialError};

use stapled_core::io::own_socket::OwnSocketError;

use crate::presign::PresignFailure;
use crate::store_arguments::NoStore;

/// The exit code when there is no certificate yet.
const NOT_YET: u8 = 3;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Presign(#[from] PresignFailure),
    #[error(transparent)]
    Names(#[from] SameFileName),
    #[error("cannot open the authority in {}: {source}{hint}", dir.display())]
    Open { dir: PathBuf, source: AuthorityError, hint: &'static str },
    #[error(
        "{} lacks the certificate in {}: it is not the ledger of this authority, or has lost entries. Restore it from a backup: \
         without it, revocations are unknown", ledger.display(), certificate.display()
    )]
    LedgerLost { ledger: PathBuf, certificate: PathBuf },
    #[error("{serial} was not issued by this authority")]
    NotIssued { serial: Serial },
    #[error("there is no ledger {}; name the authority's directory with --dir", path.display())]
    NoLedger { path: PathBuf },
    #[error("cannot find a certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    #[error("{which} is neither a file nor a serial number: {source}")]
    Which { which: String, source: SerialError },
    #[error("{} exists; choose another --out, or replace the file with --force", .0.display())]
    OutExists(PathBuf),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    #[error(transparent)]
    Socket(#[from] OwnSocketError),
    #[error("cannot make the directory {}: {source}", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    #[error("issue and done sign and write the ledger: name the authority's directory with --dir")]
    DirNeeded,
    #[error("certificates name their OCSP responder: say with --public-url where clients reach it")]
    UrlNeeded,
    #[error(transparent)]
    Sessions(#[from] NoStore),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    BadKeys(#[from] BadKeysError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("session {session} is {state}: {reason}")]
    Dead { session: String, state: String, reason: String },
    #[error("session {session} has expired: {reason}; submit the request again")]
    Expired { session: String, reason: String },
    #[error("cannot get random numbers from the system")]
    Randomness,
    #[error("session {session} has no certificate yet; `stapled-ca fetch` gets it later")]
    Late { session: String },
    #[error("cannot write {}: {source}; --webroot names the directory of the web server's files", path.display())]
    Webroot { path: PathBuf, source: io::Error },
    #[error("there is no directory {}; --webroot names the directory of the web server's files", path.display())]
    NoWebroot { path: PathBuf },
    #[error("cannot write {}: {what}", path.display())]
    Out { path: PathBuf, what: &'static str },
    #[error(
        "{serial} is revoked because of keyCompromise. Another reason, or none, would let clients trust what was signed with the \
         key before; --force changes it nevertheless"
    )]
    Compromised { serial: Serial },
    #[error(
        "{serial} is not on hold: the revocation of a certificate is final, and clients keep it in mind. Issue another \
         certificate, or undo it nevertheless with --force"
    )]
    Final { serial: Serial },
    #[error("the server gave a token that is none: it is no authority of this kind")]
    Token,
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        if matches!(self, Failure::Late { .. }) { NOT_YET } else { 1 }
    }
}
