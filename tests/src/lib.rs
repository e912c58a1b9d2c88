//! What whole-system tests stand on: the real `stapled`, the real HAProxy, a TLS client that looks at what is stapled,
//! and certificates from `stapled-ca`, everything in one temporary directory and on 127.0.0.1.
//!
//! [`World`] is that directory with its authority; [`Haproxy`] and [`Stapled`] are processes in it, ended when they
//! are dropped. When a test fails, both print the end of what they logged. [`wait_for`] waits for a condition, with a
//! deadline; nothing here sleeps in the hope that something has happened meanwhile.
//!
//! Tests of every crate use [`skip`], for what this machine has not got, and [`polled`], which drops a future half-way.

// A harness fails by panicking, and tells the rest on standard error, which the test runner captures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod cancel;
mod haproxy;
mod openssl;
mod privacy;
mod skip;
mod stapled;
mod tls;
mod wait;
mod world;

pub use cancel::polled;
pub use haproxy::{Haproxy, HaproxyBuilder, has_stores, with_each_haproxy};
pub use openssl::{OpensslResponder, check_with_openssl, free_port};
pub use privacy::Private;
pub use skip::skip;
pub use stapled::{Finished, Stapled, StapledCommand};
pub use tls::{Handshake, handshake};
pub use wait::{LONG, PATIENCE, wait_for, wait_for_within, wait_until, wait_until_within};
pub use world::{Cert, World};
