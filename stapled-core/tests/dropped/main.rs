//! Futures of traits' methods that are dropped half-way, as time-outs, `select!` and the end of a program do: what their
//! documentation promises for that holds wherever they are dropped.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod fetcher;
mod sink;
mod sources;

use std::future::Future;
use std::time::Duration;

/// What must happen, soon.
pub(crate) async fn soon<F: Future>(future: F, what: &str) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what}: it never happens"))
}
