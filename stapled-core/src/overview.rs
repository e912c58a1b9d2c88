//! The state of everything in rows: one for each certificate, and one for each place without a usable certificate.
//!
//! A [`Row`] says what an operator wants to know: the state, the reason, since when, when it is tried again, and what each
//! server has. Its [`Verdict`] says whether an operator must act, and [`Totals`] count rows by state. With the feature
//! `serde`, rows and totals are written and read as JSON objects whose names are stable. A [`Summary`] has both, and each
//! problem in words; a [`listing`] has the rows of a large inventory part by part. Rows become text as a table
//! ([`columns`]), with all that is known ([`details`]), or as the line of a check ([`nagios`]). A [`responder`] has rows of its
//! own. The [`headline`] is one line about everything, and [`progress`] one about work that takes long.

pub mod columns;
pub mod details;
pub mod headline;
#[cfg(feature = "serde")]
pub mod json;
mod layout;
pub mod listing;
pub mod nagios;
pub(crate) mod pace;
mod pattern;
pub mod progress;
mod relative;
pub mod responder;
mod risk;
pub mod row;
mod summary;
mod totals;

pub use row::{Row, Verdict};
pub use summary::Summary;
pub use totals::Totals;
