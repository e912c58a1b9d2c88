//! A proxy in front of a responder.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// A proxy between clients and a responder. It records the responder's answers, and can hold requests back.
pub struct RecordingProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The bytes that were sent, by connection.
    sent: Mutex<Vec<Vec<u8>>>,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Default)]
struct Gate {
    held: bool,
    ended: bool,
}

impl RecordingProxy {
    /// Starts a proxy in front of this responder.
    pub fn start(responder: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = RecordingProxy { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = proxy.shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.gate.lock().unwrap().ended {
                    return;
                }
                let (client, shared) = (client.unwrap(), shared.clone());
                thread::spawn(move || shared.pass_on(client, responder));
            }
        });
        proxy
    }

    /// The URL of the proxy.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Holds requests back, or lets them pass again.
    pub fn hold(&self, held: bool) {
        self.shared.gate.lock().unwrap().held = held;
        self.shared.moved.notify_all();
    }

    /// The OCSP responses that passed through.
    pub fn responses(&self) -> Vec<Vec<u8>> {
        self.shared.sent.lock().unwrap().iter().flat_map(|sent| bodies(sent)).collect()
    }
}

impl Drop for RecordingProxy {
    fn drop(&mut self) {
        self.shared.gate.lock().unwrap().ended = true;
        self.shared.moved.notify_all();
        // The connection wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn pass_on(&self, client: TcpStream, responder: SocketAddr) {
        let gate = self.gate.lock().unwrap();
        drop(self.moved.wait_while(gate, |gate| gate.held && !gate.ended).unwrap());
        let Ok(server) = TcpStream::connect(responder) else { return };
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(Vec::new());
            sent.len() - 1
        };
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let (mut from_server, mut to_client) = (server, client);
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer) {
            // The bytes are recorded before they are sent, so that a client that has them also finds them here.
            let received = buffer.get(..count).unwrap();
            self.sent.lock().unwrap().get_mut(number).unwrap().extend(received);
            if to_client.write_all(received).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    }
}

/// The bodies of HTTP responses, which follow each other on a connection.
fn bodies(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(end) = sent.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(sent.get(..end).unwrap()).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let (from, to) = (end + 4, end + 4 + length.unwrap_or(0));
        let Some(body) = sent.get(from..to) else { break };
        bodies.push(body.to_vec());
        sent = sent.get(to..).unwrap();
    }
    bodies
}
