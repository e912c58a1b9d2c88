//! Problems of the file that HAProxy reads a certificate's staple from when it starts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use stapled_core::event::faults::PlaceFault;
use stapled_core::io::file::WriteFault;
use stapled_core::reason::ReasonCode;
use stapled_core::time::Timestamp;

use super::severity::Severity;
use crate::codes;
use crate::configuration::ZeroWarning;

/// A problem of the file that HAProxy reads a certificate's staple from when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapleFileProblem {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: String,
    },
    /// By the file, the certificate is revoked.
    Revoked {
        /// The file.
        file: PathBuf,
        /// When the CA revoked it.
        at: Timestamp,
    },
    /// What the file holds is no staple for this certificate now.
    Unusable {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
        /// Whether the stapler writes this certificate's staples to files.
        is_replaced: bool,
        /// By what HAProxy does not start while the file is there.
        stops: Option<ZeroWarning>,
        /// Whether `stapled clean` removes it.
        is_cleaned: bool,
    },
    /// The file holds a staple of a certificate that names no OCSP responder, so nothing renews it.
    Unrenewed {
        /// The file.
        file: PathBuf,
        /// When it ends.
        until: Timestamp,
    },
    /// The CA's responses live so short that HAProxy sends none of them.
    ExpiresTooSoon {
        /// How long they live.
        life: Duration,
        /// HAProxy sends none in this time before its end.
        margin: Duration,
    },
    /// HAProxy does not start without the file, which its configuration names, and there is none.
    Missing {
        /// The file.
        file: PathBuf,
        /// Whether the stapler writes it with the first staple.
        is_written: bool,
    },
    /// No file can be made in the directory of the file.
    Unwritable {
        /// The directory.
        directory: PathBuf,
        /// The stable word for why.
        code: ReasonCode,
        /// What the system says.
        error: String,
        /// Whether staples go to a running HAProxy as well.
        has_socket: bool,
    },
    /// This user may write in the directory of the file, but the service may not: its unit of systemd forbids it.
    Forbidden {
        /// The directory.
        directory: PathBuf,
        /// The unit.
        unit: String,
        /// Whether staples go to a running HAProxy as well.
        has_socket: bool,
    },
    /// No file can be made in a directory for staples: that of a server, or the one for those that cannot lie beside their
    /// certificates.
    DirectoryUnwritable {
        /// The option or key that names this directory, such as `--staple-dir`.
        of: String,
        /// The directory.
        directory: PathBuf,
        /// The stable word for why.
        code: ReasonCode,
        /// What the system says.
        error: String,
    },
}

impl StapleFileProblem {
    /// Whether it needs the operator.
    pub fn severity(&self) -> Severity {
        match self {
            StapleFileProblem::Unusable { is_replaced: true, stops: None, .. }
            | StapleFileProblem::Unrenewed { .. }
            | StapleFileProblem::Missing { is_written: true, .. } => Severity::Note,
            _ => Severity::Problem,
        }
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            StapleFileProblem::Unreadable { .. } => PlaceFault::Unreadable.code(),
            StapleFileProblem::Revoked { .. } => codes::REVOKED,
            StapleFileProblem::Unusable { .. } => codes::STAPLE_FILE_UNUSABLE,
            StapleFileProblem::Unrenewed { .. } => codes::STAPLE_NOT_RENEWED,
            StapleFileProblem::ExpiresTooSoon { .. } => codes::EXPIRES_TOO_SOON,
            StapleFileProblem::Missing { .. } => codes::STAPLE_FILE_MISSING,
            StapleFileProblem::Unwritable { code, .. } | StapleFileProblem::DirectoryUnwritable { code, .. } => *code,
            // As the service reports it.
            StapleFileProblem::Forbidden { .. } => WriteFault::ReadOnly.code(),
        }
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            StapleFileProblem::Unreadable { .. } => "let this user read it, or remove it".to_owned(),
            StapleFileProblem::Revoked { .. } => "replace the certificate".to_owned(),
            StapleFileProblem::Unusable { stops: Some(_), is_cleaned: true, file, .. } => format!(
                "remove {}, as `stapled clean` does, and have that run before HAProxy starts and reloads \
                 (stapled-clean.service)",
                file.display()
            ),
            StapleFileProblem::Unusable { is_replaced: true, stops: None, .. } => return None,
            StapleFileProblem::Unrenewed { file, .. } => {
                format!("remove {} before it ends, or name a responder with --default-responder", file.display())
            }
            StapleFileProblem::Unusable { file, .. } => format!("remove {}", file.display()),
            StapleFileProblem::ExpiresTooSoon { .. } => "ask the CA for responses that live longer".to_owned(),
            StapleFileProblem::Missing { file, .. } => {
                format!("make an empty one, if HAProxy is to start now: touch {}", file.display())
            }
            StapleFileProblem::Unwritable { .. } => "let this user write there, or give --no-staple-files".to_owned(),
            StapleFileProblem::Forbidden { directory, unit, .. } => {
                let directory = directory.display();
                format!(
                    "`systemctl edit {unit}`, and write: [Service] ReadWritePaths={directory}; or give --no-staple-files"
                )
            }
            StapleFileProblem::DirectoryUnwritable { .. } => {
                "make the directory, and let this user write there".to_owned()
            }
        })
    }
}

impl fmt::Display for StapleFileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StapleFileProblem::Unreadable { file, error } => {
                write!(f, "{}: cannot be read: {error}", file.display())
            }
            StapleFileProblem::Revoked { file, at } => {
                write!(f, "by {} its CA revoked it at {at}", file.display())
            }
            StapleFileProblem::Unusable { file, why, stops: Some(by), .. } => {
                write!(f, "{}: {why}: HAProxy refuses to start and to reload with it ({by})", file.display())
            }
            StapleFileProblem::Unrenewed { file, until } => {
                write!(
                    f,
                    "{} is a staple until {until}, and the certificate names no responder to renew it",
                    file.display()
                )
            }
            StapleFileProblem::Unusable { file, why, is_replaced, .. } => {
                write!(f, "{} is no staple for this certificate now: {why}", file.display())?;
                f.write_str(match is_replaced {
                    true => "; stapled will replace it",
                    false => ", and stapled will not replace it",
                })
            }
            StapleFileProblem::ExpiresTooSoon { life, margin } => {
                let (life, margin) = (life.as_secs(), margin.as_secs());
                write!(
                    f,
                    "its CA's responses live {life} s, and HAProxy sends none in its last {margin} s: clients get no staple"
                )
            }
            StapleFileProblem::Missing { file, is_written } => {
                let file = file.display();
                write!(f, "HAProxy does not start without {file}, which its configuration names, and there is none")?;
                f.write_str(if *is_written { "; stapled writes it with the first staple" } else { "" })
            }
            StapleFileProblem::Unwritable { directory, error, has_socket, .. } => {
                write!(f, "{}: {error}: no staple can be written there", directory.display())?;
                f.write_str(match has_socket {
                    true => ", so HAProxy starts without one and gets it over the socket",
                    false => "",
                })
            }
            StapleFileProblem::Forbidden { directory, unit, has_socket } => {
                write!(f, "{}: {unit} may not write there (ReadWritePaths, ProtectHome)", directory.display())?;
                f.write_str(match has_socket {
                    true => ", so HAProxy starts without a staple and gets it over the socket",
                    false => "",
                })
            }
            StapleFileProblem::DirectoryUnwritable { of, directory, error, .. } => {
                write!(f, "{of} {}: {error}", directory.display())
            }
        }
    }
}
