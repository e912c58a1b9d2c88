//! Describes responses, requests and certificates completely, as text, and with the feature `serde` as JSON. Nothing is
//! verified.

mod file;
pub mod object;

pub use object::Object;
