//! The directories of authorities, and what is said of their certificates.

use std::io::Write;
use std::path::Path;

use stapled_ca::store;
use stapled_ca::{Authority, Kind, Record, Serial, Status, pem};

use crate::failure::Failure;

/// The root's directory in that of an authority made by `init`.
pub(crate) const ROOT: &str = "root";
/// The socket of operators in an authority's directory.
pub(crate) const CONTROL: &str = "control";
/// The ledger in an authority's directory.
pub(crate) const LEDGER: &str = "ledger";

/// One certificate on a line.
pub(crate) fn write_record(record: &Record, out: &mut impl Write) -> Result<(), Failure> {
    let until = jiff::Timestamp::from_second(record.not_after).unwrap_or_default();
    let kind = match record.kind {
        Kind::EndEntity => "",
        Kind::Authority => " (authority)",
        Kind::Responder => " (OCSP responder)",
    };
    let (serial, status) = (&record.serial, status_text(record));
    writeln!(out, "{serial} {status} until {until} {}{kind}", record.subject)?;
    Ok(())
}

pub(crate) fn open(dir: &Path) -> Result<Authority, Failure> {
    let authority = Authority::open(dir).map_err(|source| {
        // Where there are traces of an authority, another one must not be made over them.
        let traces = [store::CA_KEY, store::CA_CERTIFICATE, store::LEDGER, store::CHAIN];
        let hint = match traces.iter().any(|name| dir.join(name).exists()) {
            true => "; if a file of it was lost or damaged, restore it from a backup",
            false => "; `stapled-ca init` makes an authority",
        };
        Failure::Open { dir: dir.to_owned(), source, hint }
    })?;
    check_ledger(&authority, dir)?;
    Ok(authority)
}

/// Fails where the ledger lacks the certificate of the authority's responder: the ledger was emptied or replaced, so that it knows
/// nothing of revocations.
fn check_ledger(authority: &Authority, dir: &Path) -> Result<(), Failure> {
    let certificate = dir.join(store::RESPONDER_CERTIFICATE);
    let (Some(ledger), Ok(bytes)) = (authority.ledger_file(), store::read(&certificate)) else { return Ok(()) };
    let Some(serial) = pem::certificates(&bytes).first().and_then(|der| Serial::of_certificate(der)) else {
        return Ok(());
    };
    match ledger.entry(&serial)? {
        Some(_) => Ok(()),
        None => Err(Failure::LedgerLost { ledger: dir.join(LEDGER), certificate }),
    }
}

/// The serial number of a certificate in a file, or the number itself.
pub(crate) fn serial_of(which: &str) -> Result<Serial, Failure> {
    let path = Path::new(which);
    if !path.is_file() {
        return which.parse().map_err(|source| Failure::Which { which: which.to_owned(), source });
    }
    let first = pem::certificates(&store::read(path)?).into_iter().next();
    first.and_then(|der| Serial::of_certificate(&der)).ok_or_else(|| Failure::NoCertificate(path.to_owned()))
}

/// The status of a record in words.
pub(crate) fn status_text(record: &Record) -> String {
    match record.status {
        Status::Good => "good".to_owned(),
        Status::Revoked { reason: None, .. } => "revoked".to_owned(),
        Status::Revoked { reason: Some(reason), .. } => format!("revoked ({reason})"),
    }
}
