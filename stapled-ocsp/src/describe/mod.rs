//! Describes responses, requests and certificates completely, as values, as lines of text, and with the feature `serde`
//! as JSON. Nothing is verified.

mod file;
pub mod object;
pub mod visible;
mod words;

pub use object::Object;
