//! An answer to a client: objects, one per line, written within a deadline.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;

use super::protocol::Notice;
use crate::overview::{Row, Totals};

/// How long a client may take to read a part of an answer.
const READING: Duration = Duration::from_secs(10);

/// An answer, with the totals of the rows that were sent.
pub(super) struct Answer {
    pub(super) writer: OwnedWriteHalf,
    pub(super) totals: Totals,
}

impl Answer {
    /// Sends one object.
    pub(super) async fn send(&mut self, object: &impl Serialize) -> io::Result<()> {
        self.send_each([object]).await
    }

    /// Sends rows, and counts them.
    pub(super) async fn send_rows(&mut self, rows: &[Row]) -> io::Result<()> {
        rows.iter().for_each(|row| self.totals.count(row));
        self.send_each(rows).await
    }

    /// Sends the only object of an answer that is refused.
    pub(super) async fn refuse(&mut self, why: &str) -> io::Result<()> {
        self.send(&Notice::Error(why.to_owned())).await
    }

    /// Sends objects, in one part.
    pub(super) async fn send_each(&mut self, objects: impl IntoIterator<Item: Serialize>) -> io::Result<()> {
        let mut lines = Vec::new();
        for object in objects {
            serde_json::to_writer(&mut lines, &object)?;
            lines.push(b'\n');
        }
        in_time(READING, self.writer.write_all(&lines)).await
    }
}

/// The result of `work`, or an error after `patience`.
pub(super) async fn in_time<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The result of `work`, away from the threads that renew and deliver.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
