//! Problems of a certificate's issuer: where its certificate lies, and which certificate HAProxy takes for the issuer.

use std::fmt;
use std::path::{Path, PathBuf};

use stapled_core::chain::ChainError;
use stapled_core::event::faults::PlaceFault;
use stapled_core::io::file::codes as files;
use stapled_core::reason::ReasonCode;

use super::severity::Severity;
use crate::codes;

/// A problem of a certificate's issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerProblem {
    /// There is a file with a staple, and HAProxy does not find the issuer: it does not start.
    StapleWithoutIssuer {
        /// The file with the staple.
        staple: PathBuf,
        /// The certificate's file, or its name.
        certificate: String,
        /// Whether a configuration was read, which says where HAProxy looks for chains.
        is_configured: bool,
    },
    /// The issuer's signatures cannot be checked.
    Unsupported {
        /// With which algorithm.
        error: ChainError,
    },
    /// The certificate of the issuer lies nowhere.
    Missing {
        /// The issuer's name.
        issuer: String,
        /// The certificate's file, or its name.
        certificate: String,
        /// The file for the issuer where it was looked for, too.
        beside: Option<PathBuf>,
        /// The directory of chains where it was looked for, too.
        chains: Option<PathBuf>,
        /// The directory of fetched issuers where it was looked for, too.
        fetched: PathBuf,
        /// The serial number of another certificate of that name in the file, which hides those behind it.
        other: Option<String>,
        /// The URL that it will be fetched from; without one, nothing can be asked.
        url: Option<String>,
    },
    /// HAProxy takes another certificate for the issuer when it loads the file.
    MistakenInFile {
        /// The certificate's file.
        file: PathBuf,
        /// The file, or directory, that holds the issuer.
        found_in: PathBuf,
        /// The directory of chains that holds the other certificate; otherwise the file does.
        chains: Option<PathBuf>,
    },
    /// The file is right, and a running HAProxy has loaded another certificate for the issuer.
    MistakenByProcess {
        /// The name under which HAProxy lists the certificate.
        name: String,
    },
    /// The issuer is known, and HAProxy would not find it.
    Hidden {
        /// The certificate's file.
        file: PathBuf,
        /// The file, or directory, that holds the issuer.
        found_in: PathBuf,
        /// The directory for staples that cannot lie beside their certificates.
        staple_dir: Option<PathBuf>,
        /// Whether staples go to a running HAProxy, which gets the issuer with the first one.
        has_socket: bool,
    },
    /// The file for the issuer does not hold the issuer.
    WrongIssuerFile {
        /// That file.
        file: PathBuf,
        /// The first certificate in it; `None` where it does not begin with a certificate in PEM.
        first: Option<OtherIssuer>,
        /// Whether HAProxy finds the issuer all the same, in the chain of the certificate's own file.
        is_harmless: bool,
    },
}

/// A certificate that is not the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherIssuer {
    /// One with the issuer's name, such as the CA's certificate with its former key.
    SameName(String),
    /// One with another name.
    OtherName(String),
}

impl IssuerProblem {
    /// Whether it needs the operator.
    pub fn severity(&self) -> Severity {
        match self {
            IssuerProblem::Missing { url: Some(_), .. }
            | IssuerProblem::Hidden { has_socket: true, .. }
            | IssuerProblem::WrongIssuerFile { is_harmless: true, .. } => Severity::Note,
            _ => Severity::Problem,
        }
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            IssuerProblem::StapleWithoutIssuer { .. } => codes::STAPLE_WITHOUT_ISSUER,
            IssuerProblem::Unsupported { error } => error.code(),
            IssuerProblem::Missing { url: Some(_), .. } => codes::ISSUER_TO_BE_FETCHED,
            IssuerProblem::Missing { .. } => PlaceFault::IssuerMissing.code(),
            IssuerProblem::MistakenInFile { .. } | IssuerProblem::MistakenByProcess { .. } => files::WRONG_ISSUER_FIRST,
            IssuerProblem::Hidden { .. } => files::ISSUER_NOT_FOUND_BY_SERVER,
            IssuerProblem::WrongIssuerFile { .. } => codes::WRONG_ISSUER_FILE,
        }
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            IssuerProblem::StapleWithoutIssuer { staple, certificate, is_configured } => {
                let remedy =
                    format!("remove {}, or append the issuer's certificate to {certificate}", staple.display());
                let more = "; where `issuers-chain-path` has it, name HAProxy's configuration with --haproxy-config";
                if *is_configured { remedy } else { remedy + more }
            }
            IssuerProblem::Unsupported { .. } => {
                "leave the files as they are, and have it issued by a CA that signs with \
                 RSA, ECDSA (P-256, P-384, P-521) or Ed25519, if it shall be stapled"
                    .to_owned()
            }
            IssuerProblem::Missing { certificate, other, url, .. } => {
                missing_remedy(certificate, other.as_deref(), url.as_deref())
            }
            IssuerProblem::MistakenInFile { file, found_in, chains } => {
                format!("{}; then reload HAProxy", mistaken_remedy(file, found_in, chains.as_deref()))
            }
            IssuerProblem::MistakenByProcess { .. } => "reload HAProxy; the file is right".to_owned(),
            IssuerProblem::Hidden { file, has_socket, .. } => {
                let file = file.display();
                let remedy = format!("append the issuer's certificate to {file}, or write it to {file}.issuer");
                if *has_socket { remedy + ", if HAProxy shall have a staple from its start on" } else { remedy }
            }
            IssuerProblem::WrongIssuerFile { .. } => "put the issuer's certificate into it, or remove it".to_owned(),
        })
    }
}

fn missing_remedy(certificate: &str, other: Option<&str>, url: Option<&str>) -> String {
    let append = match other {
        // What lies behind that one in the file is never looked at.
        Some(serial) => format!(
            "put it in the place of the other certificate of that name in {certificate} (serial number {serial})"
        ),
        None => format!("append it to {certificate}"),
    };
    match (url, other) {
        (Some(_), _) => format!("{append}, if HAProxy shall have a staple from its start on"),
        (None, Some(_)) => append,
        (None, None) => format!("{append}, or write it to {certificate}.issuer"),
    }
}

fn mistaken_remedy(file: &Path, found_in: &Path, chains: Option<&Path>) -> String {
    let found = found_in.display();
    match chains {
        Some(_) => format!(
            "append the issuer's certificate (from {found}) to {}, or remove the other one there",
            file.display()
        ),
        None if found_in == file => {
            "put the issuer's certificate before the other one of that name, or remove the other one".to_owned()
        }
        None => format!("put the issuer's certificate (from {found}) in the place of the other one of that name"),
    }
}

impl fmt::Display for IssuerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuerProblem::StapleWithoutIssuer { staple, certificate, .. } => {
                let staple = staple.display();
                write!(f, "{staple} is there, and HAProxy does not find the issuer of {certificate}: it will not start")
            }
            IssuerProblem::Unsupported { error } => {
                write!(f, "{error}: nothing is asked, since no answer could be checked")
            }
            IssuerProblem::Missing { issuer, certificate, beside, chains, fetched, url, .. } => {
                write!(f, "the certificate of its issuer \"{issuer}\" is not in {certificate}")?;
                for place in [beside, chains].into_iter().flatten() {
                    write!(f, ", not in {}", place.display())?;
                }
                write!(f, ", not among the other certificates here, and not in {}", fetched.display())?;
                match url {
                    Some(url) => write!(f, "; stapled will fetch it from {url}, where the certificate says it is"),
                    None => f.write_str(": without it nothing can be asked"),
                }
            }
            IssuerProblem::MistakenInFile { file, found_in, chains } => {
                f.write_str("HAProxy ")?;
                match chains {
                    Some(directory) => write!(f, "takes a certificate in {} for its issuer", directory.display()),
                    None if found_in == file => {
                        f.write_str("takes the first certificate of its issuer's name in it for the issuer")
                    }
                    None => f.write_str("takes a certificate in it for the issuer"),
                }?;
                f.write_str(
                    ", which has the issuer's name and did not sign it (as after a CA was renewed with another key): no \
                     staple fits, neither in a file nor over a socket",
                )
            }
            IssuerProblem::MistakenByProcess { name } => write!(
                f,
                "HAProxy has loaded {name} with another certificate of its issuer's name before the issuer: no staple fits"
            ),
            IssuerProblem::Hidden { found_in, staple_dir, has_socket, .. } => {
                let found = found_in.display();
                write!(f, "HAProxy does not find its issuer, which stapled has from {found}: stapled ")?;
                match staple_dir {
                    Some(directory) => write!(f, "writes its staple to {} only", directory.display()),
                    None => f.write_str("writes no .ocsp file beside it"),
                }?;
                f.write_str(", since HAProxy would not start")?;
                f.write_str(match has_socket {
                    true => ", and brings the issuer with the first staple over the socket",
                    false => "; and there is no socket, so HAProxy never gets one",
                })
            }
            IssuerProblem::WrongIssuerFile { file, first, .. } => wrong_file(f, file, first.as_ref()),
        }
    }
}

fn wrong_file(f: &mut fmt::Formatter<'_>, file: &Path, first: Option<&OtherIssuer>) -> fmt::Result {
    let file = file.display();
    match first {
        Some(OtherIssuer::SameName(name)) => write!(
            f,
            "{file} holds {name}, which has its issuer's name and did not issue it; where no chain in its own file says \
             otherwise, HAProxy takes it for the issuer, and no staple in a file fits"
        ),
        Some(OtherIssuer::OtherName(name)) => write!(
            f,
            "{file} holds {name}, which did not issue it; HAProxy does not start with that and a staple, whatever the chain \
             says"
        ),
        None => write!(
            f,
            "{file} does not begin with a certificate in PEM; HAProxy does not start with that and a staple, whatever the \
             chain says"
        ),
    }
}
