//! Configurations read by this crate and by the real HAProxy: both must find the same certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generated;
mod oracle;
mod source;
mod table;
