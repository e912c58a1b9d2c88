//! A proxy between a worker and Redis that cuts all connections at one command.

#![allow(clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Where the connections are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never gets this command.
    Before(usize),
    /// The server carries this command out, and its reply is lost.
    After(usize),
}

/// The proxy. The worker behind it never reaches Redis again after the cut.
pub struct CuttingProxy {
    directory: tempfile::TempDir,
    count: Arc<AtomicUsize>,
    cut: CancellationToken,
}

impl CuttingProxy {
    /// Starts a proxy to this socket that cuts its connections there.
    pub fn start(server: PathBuf, at: Cut) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let (count, cut) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let proxy = CuttingProxy { directory, count: Arc::clone(&count), cut: cut.clone() };
        tokio::spawn(cut.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                tokio::spawn(cut.clone().run_until_cancelled_owned(relay(
                    client,
                    server,
                    at,
                    count.clone(),
                    cut.clone(),
                )));
            }
        }));
        proxy
    }

    /// Its address, as clients of Redis write it.
    pub fn address(&self) -> String {
        format!("redis+unix://{}", self.directory.path().join("socket").display())
    }

    /// How many commands were sent.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether the connections are cut.
    pub fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

/// Relays one connection: each command separately, and the replies as they come.
async fn relay(client: UnixStream, server: UnixStream, at: Cut, count: Arc<AtomicUsize>, cut: CancellationToken) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let awaits_last = CancellationToken::new();
    let replies = async {
        let mut buffer = vec![0; 65_536];
        loop {
            match from_server.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) if awaits_last.is_cancelled() => {
                    cut.cancel();
                    return;
                }
                Ok(length) => drop(to_client.write_all(&buffer[..length]).await),
            }
        }
    };
    let commands = async {
        let mut received = Vec::new();
        loop {
            while let Some(length) = command_length(&received) {
                let command: Vec<u8> = received.drain(..length).collect();
                // Waiting for wake-ups changes nothing, and happens at any time.
                if !command.windows(5).any(|part| part == b"BLPOP") {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    if at == Cut::Before(number) {
                        cut.cancel();
                        return;
                    }
                    if at == Cut::After(number) {
                        awaits_last.cancel();
                    }
                }
                let _ = to_server.write_all(&command).await;
            }
            let mut buffer = [0; 65_536];
            match from_client.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => received.extend_from_slice(&buffer[..length]),
            }
        }
    };
    tokio::join!(replies, commands);
}

/// The length of the first command in `bytes`, if it is complete: an array of strings.
fn command_length(bytes: &[u8]) -> Option<usize> {
    let (count, mut position) = header(bytes, b'*')?;
    for _ in 0..count {
        let (length, start) = header(bytes.get(position..)?, b'$')?;
        position += start + length + 2;
        if position > bytes.len() {
            return None;
        }
    }
    Some(position)
}

/// The number in a header such as `*3\r\n`, and the length of the header.
fn header(bytes: &[u8], kind: u8) -> Option<(usize, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(bytes[0], kind, "not a command");
    Some((std::str::from_utf8(&bytes[1..end]).unwrap().parse().unwrap(), end + 2))
}
