//! Splits DER (X.690) into elements, strictly and without copies.
//!
//! Clients get the received bytes of a staple, so a response must be exactly one DER value. Indefinite and non-minimal
//! lengths, high tag numbers, constructed strings and trailing bytes are errors.

mod error;
mod reader;
mod tags;
mod writer;

pub use error::DerError;
pub(crate) use error::{at, item};
pub(crate) use reader::{
    Numbers, Reader, check_framing, check_shortest, integer_hex, shortest_integer, version, whole_bytes,
};
pub(crate) use tags::{
    BIT_STRING, BOOLEAN, ENUMERATED, Element, GENERALIZED_TIME, IA5_STRING, INTEGER, NULL, NUMERIC_STRING,
    OCTET_STRING, OID, PRINTABLE_STRING, SEQUENCE, SET, UTC_TIME, UTF8_STRING, context,
};
pub(crate) use writer::{Header, element, push_element};
