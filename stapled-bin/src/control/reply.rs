//! Lines of an answer, written within a deadline.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;

use super::protocol::Refusal;

/// How long a client may take to read a part of an answer.
const READING: Duration = Duration::from_secs(10);
/// How many rows one part of an answer has.
pub(super) const PART: usize = 128;

/// A part of an answer: objects, one per line.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    pub(super) fn add(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, object)?;
        self.0.push(b'\n');
        Ok(())
    }

    pub(super) async fn send(self, writer: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
        in_time(READING, writer.write_all(&self.0)).await
    }
}

/// Sends one object.
pub(super) async fn send(writer: &mut (impl AsyncWriteExt + Unpin), object: &impl Serialize) -> io::Result<()> {
    let mut lines = Lines::default();
    lines.add(object)?;
    lines.send(writer).await
}

/// Refuses a question.
pub(super) async fn refuse(writer: &mut (impl AsyncWriteExt + Unpin), why: &str) -> io::Result<()> {
    send(writer, &Refusal { error: why.to_owned() }).await
}

/// The result of `work`, or an error after `patience`.
pub(super) async fn in_time<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The result of `work`, away from the threads that renew and deliver.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
