//! The verdict on a response for one certificate, as facts to show.
//!
//! `stapled verify` and `stapled fetch` show a [`Verdict`]; a program that embeds the library may do the same. A
//! [`Question`] makes a verdict from the contents of files, which may be any bytes.

pub mod list;
mod question;
#[cfg(feature = "serde")]
mod serialize;
mod value;
mod words;

pub use question::Question;
pub use value::Verdict;
