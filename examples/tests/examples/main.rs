//! Tests of the examples: each runs as its users run it, with real servers and clients.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod axum;
mod database;
mod embed;
mod haproxy;
mod lighttpd;
mod nginx;
mod proxy;
mod rustls;
mod support;
