//! Tests that drop the futures of trait methods half-way, as time-outs, `select!` and the end of a program do. The
//! documented behaviour must hold at every point of the drop.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod fetcher;
mod sink;
mod sources;

use std::future::Future;
use std::time::Duration;

/// Waits for a future that must be ready soon.
pub(crate) async fn soon<F: Future>(future: F, what: &str) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what}: it never happens"))
}
