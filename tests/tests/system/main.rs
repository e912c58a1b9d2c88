//! Tests of the whole system: the real `stapled` between a certificate authority and the real HAProxy.
//!
//! Each test runs with every HAProxy that the variable `HAPROXY` names.

// A test fails by panicking, and a proof prints its figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod addresses;
mod certificates;
mod chains;
mod chaos;
mod check;
mod clients;
mod clock;
mod configurations;
mod differences;
mod faults;
mod first_staples;
mod fleet;
mod lifetime;
mod many_certificates;
mod once;
mod operations;
mod outages;
mod process;
mod restarts;
mod running;
mod soak;
mod sockets;
mod storage;
mod table;
mod wrong_answers;
mod zero_warning;
