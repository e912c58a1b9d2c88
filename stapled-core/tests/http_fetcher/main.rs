//! Tests of the fetcher over HTTP, against servers that send arbitrary answers.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod addresses;
mod answers;
mod bounds;
mod connections;
mod tls;
mod urls;
mod world;
