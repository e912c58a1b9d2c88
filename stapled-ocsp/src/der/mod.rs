//! A strict slicer of DER (X.690): it cuts bytes into elements and copies nothing.
//!
//! Clients get the bytes of a staple as they came, so what is not exactly one DER value is not a staple: indefinite and
//! non-minimal lengths, high tag numbers, constructed strings and trailing bytes are refused.

mod error;
mod reader;
mod tags;

pub use error::DerError;
pub(crate) use error::{at, item};
pub(crate) use reader::{
    Numbers, Reader, check_framing, check_shortest, element, hex_upper, integer_hex, shortest_integer, version,
    whole_bytes,
};
pub(crate) use tags::{
    BIT_STRING, BOOLEAN, ENUMERATED, Element, GENERALIZED_TIME, IA5_STRING, INTEGER, NULL, NUMERIC_STRING,
    OCTET_STRING, OID, PRINTABLE_STRING, SEQUENCE, SET, UTC_TIME, UTF8_STRING, context,
};
