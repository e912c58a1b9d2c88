//! What responses, requests and certificates say, in full and as text: to be shown, and with the feature `serde` as JSON.
//! Nothing is vouched for.

mod file;
mod object;

pub use file::objects;
pub use object::{Basic, Certificate, Embedded, Extension, Id, Object, Question, Request, Responder, Response, Single};
