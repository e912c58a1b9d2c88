//! Tests of the whole program. Each runs it in a directory of its own, with a certificate authority on 127.0.0.1.

// Tests fail by panicking, and print what they skip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod arguments;
mod chains;
mod convert_config;
mod documents;
mod fetch;
mod file;
mod files;
mod get;
mod hanging;
mod haproxy;
mod hook;
mod inspect;
mod leftovers;
mod limits;
mod log;
mod manager;
mod metrics;
mod monitoring;
mod off;
mod one_off;
mod page;
mod probe;
mod progress;
mod question;
#[cfg(feature = "redis")]
mod redis;
mod reload;
mod reload_command;
mod renew;
mod running;
mod serve;
mod shared_cache;
mod status;
mod vectors;
mod verify;
mod verify_list;
mod wait;
mod why;
mod world;
