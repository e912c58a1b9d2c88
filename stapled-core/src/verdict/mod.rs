//! What a response is worth for one certificate, in facts that can be shown.
//!
//! `stapled verify` and `stapled fetch` show a [`Verdict`]; a program that embeds the library may do the same. A
//! [`Question`] makes one of the contents of files, whatever bytes these are.

mod question;
#[cfg(feature = "serde")]
mod serialize;
mod value;

pub use question::{Question, end_entity};
pub use value::{Status, Verdict};
