//! Describes responses, requests and certificates completely, as text, and with the feature `serde` as JSON. Nothing is
//! verified.

mod file;
mod object;

pub use file::objects;
pub use object::{Basic, Certificate, Embedded, Extension, Id, Object, Question, Request, Responder, Response, Single};
