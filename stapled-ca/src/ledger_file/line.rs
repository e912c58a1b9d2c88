//! The lines of a ledger file: their form and their checksums.

use serde::{Deserialize, Serialize};

use crate::hash::HashAlgorithm;
use crate::hex;
use crate::ledger::{Record, Status};
use crate::serial::Serial;

/// The version of the format, and the space after it.
const VERSION: &str = "1 ";
/// The number of octets of a checksum.
const CHECKSUM: usize = 16;

/// An entry of the ledger.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Issued {
        #[serde(flatten)]
        record: Record,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// DER in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<String>,
    },
    Status {
        serial: Serial,
        #[serde(flatten)]
        status: Status,
    },
    Seen {
        serial: Serial,
        at: i64,
    },
    /// The number of a certificate revocation list and its thisUpdate.
    Crl {
        number: u64,
        at: i64,
    },
}

/// A line with its end, and its checksum.
pub(super) fn encode(line: &Line, previous: &[u8]) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
    let json = serde_json::to_vec(line)?;
    let checksum = checksum(previous, &json);
    let mut bytes = format!("{VERSION}{} ", hex::lower(&checksum)).into_bytes();
    bytes.extend(json);
    bytes.push(b'\n');
    Ok((bytes, checksum))
}

/// The entry of a line and its checksum; `None` for a damaged one.
pub(super) fn decode(line: &[u8], previous: &[u8]) -> Option<(Line, Vec<u8>)> {
    let json = json_of(line)?;
    let checksum = checksum(previous, json);
    let named = format!("{VERSION}{} ", hex::lower(&checksum));
    if !line.starts_with(named.as_bytes()) {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, checksum))
}

/// The part of a line after version and checksum.
pub(super) fn json_of(line: &[u8]) -> Option<&[u8]> {
    line.get(VERSION.len() + 2 * CHECKSUM + 1..)?.strip_suffix(b"\n")
}

/// Whether a whole line follows the damaged or unfinished line at the beginning of these octets. Zeros are octets that were not
/// written.
pub(super) fn has_later_line(rest: &[u8]) -> bool {
    rest.split_inclusive(|octet| *octet == b'\n').enumerate().any(|(number, line)| {
        let is_finished = line.last() == Some(&b'\n');
        is_finished
            && match line.iter().rposition(|octet| *octet == 0) {
                None => number > 0,
                // The zeros may have replaced the end of the line before.
                Some(zero) => line.get(zero + 1..).is_some_and(is_entry),
            }
    })
}

/// Whether a line is an entry, whatever its checksum.
fn is_entry(line: &[u8]) -> bool {
    line.starts_with(VERSION.as_bytes())
        && json_of(line).is_some_and(|json| serde_json::from_slice::<Line>(json).is_ok())
}

fn checksum(previous: &[u8], json: &[u8]) -> Vec<u8> {
    let mut digest = HashAlgorithm::Sha256.digest(&[previous, json].concat());
    digest.truncate(CHECKSUM);
    digest
}
