//! The test harness of all crates: one HAProxy, one TLS client, one certificate authority with its certificates, and one
//! of each responder, everything in one temporary directory and on 127.0.0.1.
//!
//! [`World`] is that directory with its authority and certificates. [`Haproxy`] and [`Stapled`] are processes in it;
//! their drop ends them. When a test fails, both print the end of their logs. [`wait_for`] waits for a condition, with
//! a deadline; the harness never sleeps a fixed time for an event.
//!
//! | Need | Module |
//! |---|---|
//! | waiting with a deadline | `wait` |
//! | a directory, an authority, certificates in files | `world` |
//! | responses and staples for these certificates | `staples` |
//! | a TLS client | `tls` |
//! | the real HAProxy | `haproxy` |
//! | OpenSSL as responder and as judge | `openssl` |
//! | a port that nobody else gets | `port` |
//! | an HTTP server whose answers a test writes | `http_server` |
//! | a copy of what a responder sends | `recording_proxy` |
//! | the real redis-server, and its clock | `redis` |
//! | a replica with sentinels, a Cluster | `redis_sentinels`, `redis_cluster` |
//! | a client of Redis that is cut off at a command | `cutting_proxy` |
//! | the real `stapled` | `stapled` |
//! | a process, its output and its end | `process` |
//! | file systems that only one program sees | `mounts` |
//! | a file system that hangs | `hanging` |
//! | futures that are dropped half-way | `polled` |
//! | missing tools of this machine, and the extent of a proof | `skip` |

// A harness fails by panicking, and prints the rest on standard error, which the test runner captures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod cutting_proxy;
mod hanging;
mod haproxy;
mod http_server;
mod mounts;
mod openssl;
mod polled;
mod port;
mod process;
mod recording_proxy;
mod redis;
mod redis_cluster;
mod redis_sentinels;
mod skip;
mod stapled;
mod staples;
mod tls;
mod wait;
mod world;

pub use cutting_proxy::{Cut, CuttingProxy};
pub use hanging::{Hanging, HangingFile};
pub use haproxy::{Haproxy, HaproxyBuilder, ask, binaries, has_stores, version, with_each_haproxy};
pub use http_server::{HttpServer, Received, ok, read_request, stays_open};
pub use mounts::Private;
pub use openssl::{OpensslResponder, check_with_openssl};
pub use polled::polled;
pub use port::free_port;
pub use process::{Ended, Running, cpu_time, signal_to};
pub use recording_proxy::RecordingProxy;
pub use redis::{Redis, redis_server};
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use skip::{how_many, is_full_proof, skip};
pub use stapled::{Stapled, StapledCommand, built_program, program};
pub use staples::{Example, chain, now};
pub use tls::{Handshake, Trust, client, connect, handshake, handshake_over};
pub use wait::{LONG, PATIENCE, until, wait_for, wait_for_within, wait_until, wait_until_within};
pub use world::{Cert, World};
