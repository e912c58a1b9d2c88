//! The command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use stapled_ca::session::NameSuffix;
use stapled_ca::{KeyType, Reason, Serial};

use crate::client::{Challenges, Fetch, Ready, Submit, Thanks};
use crate::operate::{LedgerCommand, RecoverCommand, SessionsCommand, StatusCommand};
use crate::presign::{Presign, Respond};
use crate::serve::Serve;
use crate::work::WorkArguments;

/// A small certificate authority with an OCSP responder
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an authority in a new directory: a root, an intermediate under it, and an OCSP responder
    Init(Init),
    /// Make a root authority alone
    Root(Root),
    /// Make an authority under another one
    Intermediate(Intermediate),
    /// Issue a delegated OCSP responder's certificate; its key signs for `serve` and `presign` from their next start on
    Responder(Delegate),
    /// Issue a certificate and write it with its chain and key
    Issue(Issue),
    /// Revoke a certificate; a running `serve` answers with it from the next question on
    Revoke(Revoke),
    /// List or show the issued certificates
    Ledger(LedgerCommand),
    /// Answer OCSP requests until interrupted; with --intake, take certificate requests as well
    Serve(Box<Serve>),
    /// Write responses about all certificates into a file, for `respond`
    Presign(Presign),
    /// Answer OCSP requests from files of `presign`, without a key, until interrupted
    Respond(Respond),
    /// Work on the sessions of some states until interrupted: one process of many, which share a Redis
    Work(Box<WorkArguments>),
    /// Submit a certificate request; with --webroot, wait for the certificate
    Submit(Submit),
    /// Show a session and its challenges to its client
    Challenges(Challenges),
    /// Say that challenges are ready to be tested
    Ready(Ready),
    /// Fetch the certificate of a session
    Fetch(Fetch),
    /// Say that the certificate arrived
    Thanks(Thanks),
    /// List, show, retry and kill sessions
    Sessions(SessionsCommand),
    /// Put the missing tasks of sessions, after the store lost writes or was changed by hand
    Recover(RecoverCommand),
    /// Show the numbers of sessions, by state and by queue
    Status(StatusCommand),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true))]
pub(crate) struct Init {
    /// The directory of the new authority; its root goes into DIR/root
    #[arg(group = "where")]
    dir: Option<PathBuf>,
    /// The same as DIR
    #[arg(long = "dir", value_name = "DIR", group = "where")]
    named_dir: Option<PathBuf>,
    /// The common name of the intermediate; the root and the responder are named after it
    #[arg(long, default_value = "stapled-ca")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    /// Where clients reach the OCSP responder, for the intermediate's own certificate: http://HOST[:PORT]
    #[arg(long, value_name = "URL", value_parser = crate::session_arguments::url)]
    pub(crate) public_url: Option<String>,
}

impl Init {
    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_deref().or(self.named_dir.as_deref()).unwrap_or(Path::new("."))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Root {
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
    #[arg(long, required = true, value_name = "NAME", value_parser = san)]
    pub(crate) san: Vec<String>,
    #[command(flatten)]
    pub(crate) key: KeyArgument,
    /// OCSP URL (may be repeated); without it the certificate names no responder
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub(crate) ocsp_url: Vec<String>,
    /// caIssuers URL (may be repeated)
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub(crate) ca_issuers_url: Vec<String>,
    /// URL of the authority's revocation list (may be repeated)
    #[arg(long, value_name = "URL", value_parser = http_url)]
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
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_525))]
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

/// A host name, with `*.` before it or not, or an IP address.
fn san(text: &str) -> Result<String, String> {
    let is_name = text.strip_prefix("*.").unwrap_or(text).parse::<NameSuffix>().is_ok();
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("neither a host name, such as www.example.org or *.example.org, nor an IP address".to_owned())
}

/// A URL that clients of certificates follow.
fn http_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') && !text.contains(char::is_whitespace) => {
            Ok(text.to_owned())
        }
        _ => Err("not a URL such as http://ocsp.example.org/".to_owned()),
    }
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
    /// End a certificateHold
    #[arg(long, conflicts_with = "reason")]
    pub(crate) undo: bool,
    /// Undo any revocation, or replace keyCompromise by another reason
    #[arg(long)]
    pub(crate) force: bool,
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
  An authority (root, intermediate, OCSP responder), and everything it does in one
  process:
    stapled-ca init ca --name 'Lab CA'
    stapled-ca serve --dir ca --listen 127.0.0.1:8888 --intake 127.0.0.1:8880

  A certificate for a request, proved by files of a web server (http-01):
    stapled-ca submit --server http://127.0.0.1:8880 www.csr \\
        --webroot /var/www/html -o www.crt

  A certificate for HAProxy (certificate, chain and key in one file), without proof:
    stapled-ca issue --dir ca --out www.pem --san www.example.org \\
        --ocsp-url http://127.0.0.1:8888/ --must-staple

  Revoking it, and asking the responder:
    stapled-ca revoke --dir ca www.pem --reason keyCompromise
    openssl ocsp -issuer ca/ca.crt -cert www.pem -url http://127.0.0.1:8888/ \\
        -CAfile ca/root/ca.crt

Exit status: 0 success, 1 failure, 2 wrong arguments, 3 there is no certificate yet.";
