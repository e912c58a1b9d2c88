//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use stapled_ca::responder::UnknownSerial;
use stapled_ca::{KeyType, Reason, Serial};

use crate::presign::{Presign, Respond};

/// A small certificate authority with an OCSP responder
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a root authority in a new directory
    Init(Init),
    /// Make an authority under another one
    Intermediate(Intermediate),
    /// Issue a delegated OCSP responder's certificate, for `serve --delegate`
    Responder(Delegate),
    /// Issue a certificate and write it with its chain and key
    Issue(Issue),
    /// Revoke a certificate; a running `serve` answers with it from the next question on
    Revoke(Revoke),
    /// Show the issued certificates
    List(List),
    /// Answer OCSP requests over HTTP until interrupted
    Serve(Serve),
    /// Write responses about all certificates into a file, for `respond`
    Presign(Presign),
    /// Answer OCSP requests from files of `presign`, without a key, until interrupted
    Respond(Respond),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The directory of the new authority
    pub(crate) dir: PathBuf,
    /// The common name
    #[arg(long, default_value = "stapled-ca Root")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    /// The validity of the certificate in days
    #[arg(long, default_value_t = 3650)]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Intermediate {
    /// The directory of the new authority
    pub(crate) dir: PathBuf,
    /// The directory of the authority that issues it
    #[arg(long, value_name = "DIR")]
    pub(crate) parent: PathBuf,
    /// The common name
    #[arg(long, default_value = "stapled-ca Intermediate")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    /// The validity of the certificate in days
    #[arg(long, default_value_t = 1825)]
    pub(crate) days: u32,
    /// OCSP URL in the authority's own certificate (may be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) ocsp_url: Vec<String>,
    /// caIssuers URL in the authority's own certificate (may be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) ca_issuers_url: Vec<String>,
    /// URL of the parent's revocation list in the authority's own certificate (may be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) crl_url: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Delegate {
    /// The authority's directory
    pub(crate) dir: PathBuf,
    /// The responder's common name
    #[arg(long, default_value = "stapled-ca OCSP Responder")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    /// The validity of the certificate in days
    #[arg(long, default_value_t = 30)]
    pub(crate) days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The authority's directory
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The file for certificate, chain and key; its mode is 0600
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// DNS name or IP address (may be repeated); the first is the common name
    #[arg(long, required = true, value_name = "NAME")]
    pub(crate) san: Vec<String>,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    /// OCSP URL (may be repeated); without it the certificate names no responder
    #[arg(long, value_name = "URL")]
    pub(crate) ocsp_url: Vec<String>,
    /// caIssuers URL (may be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) ca_issuers_url: Vec<String>,
    /// URL of the authority's revocation list (may be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) crl_url: Vec<String>,
    /// Make the certificate must-staple (RFC 7633)
    #[arg(long)]
    pub(crate) must_staple: bool,
    /// The purpose of the certificate (may be repeated)
    #[arg(long, value_name = "PURPOSE", value_enum, default_values_t = [Purpose::Server])]
    pub(crate) purpose: Vec<Purpose>,
    /// Serial number in hexadecimal [default: random]
    #[arg(long)]
    pub(crate) serial: Option<Serial>,
    /// The validity of the certificate in days
    #[arg(long, default_value_t = 90)]
    pub(crate) days: u32,
    /// First second of the validity, Unix (with --not-after, instead of --days)
    #[arg(
        long,
        requires = "not_after",
        conflicts_with = "days",
        allow_negative_numbers = true,
        value_name = "SECONDS"
    )]
    pub(crate) not_before: Option<i64>,
    /// Last second of the validity, Unix
    #[arg(long, requires = "not_before", allow_negative_numbers = true, value_name = "SECONDS")]
    pub(crate) not_after: Option<i64>,
    /// Write FILE without the issuers' certificates
    #[arg(long)]
    pub(crate) no_chain: bool,
    /// Write the key to FILE.key instead of into FILE
    #[arg(long)]
    pub(crate) separate_key: bool,
    /// Replace FILE if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The authority's directory
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Serial number in hexadecimal, or a PEM file with the certificate
    #[arg(value_name = "SERIAL|FILE")]
    pub(crate) which: String,
    /// The reason: keyCompromise, superseded, certificateHold ...
    #[arg(long)]
    pub(crate) reason: Option<Reason>,
    /// Undo the revocation (the end of a certificateHold)
    #[arg(long, conflicts_with = "reason")]
    pub(crate) undo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The authority's directory
    pub(crate) dir: PathBuf,
    /// Print one JSON object for each certificate, one to a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// An authority's directory (may be repeated: one responder for all)
    #[arg(long, required = true)]
    pub(crate) dir: Vec<PathBuf>,
    /// Address and port; port 0 chooses a free port and prints it
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// The validity of a response in seconds
    #[arg(long, default_value_t = 345_600, value_name = "SECONDS")]
    pub(crate) validity: u64,
    /// The time from the beginning of the validity to the signature, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) backdate: u64,
    /// The most responses that are signed in advance, two for each certificate; 0 signs when asked
    #[arg(long, default_value_t = 200_000, value_name = "NUMBER")]
    pub(crate) presign: usize,
    /// The validity of a revocation list in seconds
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS")]
    pub(crate) crl_validity: u64,
    /// Let the delegates of `stapled-ca responder` sign, instead of the authorities
    #[arg(long)]
    pub(crate) delegate: bool,
    /// Echo nonces; then each request needs a signature
    #[arg(long)]
    pub(crate) nonce: bool,
    /// The answer for serial numbers that were never issued: unknown or unauthorized
    #[arg(long, default_value = "unknown", value_name = "ANSWER")]
    pub(crate) unknown_serial: UnknownSerial,
    /// The number of threads that answer
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgument {
    /// The key type: p256, p384, p521, ed25519, rsa2048, rsa3072, rsa4096
    #[arg(long, default_value = "p256", value_name = "TYPE")]
    pub(crate) key: KeyType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// TLS servers (serverAuth)
    Server,
    /// TLS clients (clientAuth)
    Client,
    /// No extendedKeyUsage at all
    None,
}

const EXAMPLES: &str = "\
Examples:
  A root, an authority under it, and its OCSP responder:
    stapled-ca init root --name 'Lab Root'
    stapled-ca intermediate ca --parent root --name 'Lab CA'
    stapled-ca responder ca
    stapled-ca serve --dir ca --dir root --listen 127.0.0.1:8888

  A certificate for HAProxy (certificate, chain and key in one file):
    stapled-ca issue --dir ca --out www.pem --san www.example.org \\
        --ocsp-url http://127.0.0.1:8888/ --must-staple

  Revoking it, and asking the responder:
    stapled-ca revoke --dir ca www.pem --reason keyCompromise
    openssl ocsp -issuer ca/ca.crt -cert www.pem -url http://127.0.0.1:8888/ \\
        -CAfile root/ca.crt

Exit status: 0 success, 1 failure, 2 wrong arguments.";
