//! Tests of the resolver: with a real responder, and with rustls, OpenSSL and GnuTLS as clients.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod clients;
mod handshakes;
mod memory;
mod support;
