//! The outcomes of deliveries to files, with what to do.

use std::io;
use std::path::Path;

use super::fault::WriteFault;
use super::{codes, swap};
use crate::lookup::IssuerPlace;
use crate::sink::{Delivered, SinkError, Site};

/// The result of the deliveries to all sites: a failure counts most, then a delivery.
pub(super) fn in_all(deliveries: Vec<Result<Delivered, SinkError>>) -> Result<Delivered, SinkError> {
    let mut all = None;
    for delivery in deliveries {
        match delivery? {
            Delivered::Confirmed => all = Some(Delivered::Confirmed),
            other => all = all.or(Some(other)),
        }
    }
    Ok(all.unwrap_or_else(|| no_file("the certificate has no place")))
}

pub(super) fn mistaken(site: &Site, certificate: &Path) -> String {
    let file = certificate.display();
    match &site.issuer {
        IssuerPlace::Mistaken { chains: Some(directory) } => format!(
            "{file}: a server that loads it takes a certificate in {0} for its issuer that only has the issuer's name, so that \
             no staple fits; remove that one from {0}, or append the issuer's certificate to {file}",
            directory.display()
        ),
        _ => format!(
            "{file}: a server that loads it takes the first certificate of the issuer's name in it for the issuer, and that is \
             not the one that signed, so that no staple fits; put the right one before it, or remove the other"
        ),
    }
}

pub(super) fn issuer_not_found(certificate: &Path) -> Delivered {
    Delivered::NotWanted {
        code: codes::ISSUER_NOT_FOUND_BY_SERVER,
        what: format!(
            "{0}: not written beside it, because a server that loads it would not find its issuer, or would find another \
             first, and some servers do not start then; append the issuer's certificate to {0}, put it alone into \
             {0}.issuer, or choose a staple directory",
            certificate.display()
        ),
    }
}

pub(super) fn no_file(name: &str) -> Delivered {
    Delivered::NotWanted {
        code: codes::NO_FILE,
        what: format!("{name}: not a file, so that there is no place for a staple beside it"),
    }
}

pub(super) fn describe(path: &Path, done: &str, error: &io::Error) -> SinkError {
    let path = &swap::shown(path);
    let parent = path.parent().unwrap_or(path).display();
    let fault = WriteFault::of(error);
    let remedy = match fault {
        WriteFault::DiskFull => format!("make room in {parent}"),
        WriteFault::ReadOnly => format!("make {parent} writable, or choose another directory"),
        WriteFault::NoPermission => format!("let this user write to {parent}"),
        WriteFault::DirectoryMissing => format!("create {parent}"),
        WriteFault::TooManyOpenFiles => {
            "raise the limit of open files (LimitNOFILE= of a systemd unit, ulimit -n)".to_owned()
        }
        WriteFault::Other => format!("see to {parent}"),
    };
    let code = fault.code();
    SinkError::Unreachable { code, what: format!("{} cannot be {done}: {error}; {remedy}", path.display()) }
}
