//! Configurations read by us and by the real HAProxy: what it lists must be what we find.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generated;
mod oracle;
mod source;
mod table;
