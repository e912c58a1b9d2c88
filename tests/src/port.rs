//! Ports for servers that are started later.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// The first of the ports that are given out.
const FIRST: u16 = 12_000;
/// The first port that the system gives to connections, if it does not say which one.
const EPHEMERAL: u16 = 32_768;

/// The names that keep the ports of this process from others, until it ends.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 on which no process listens now. It is none of those that the system gives to connections, one of which could
/// take it before the server does, and no other test gets it.
pub fn free_port() -> u16 {
    let mut taken = TAKEN.lock().expect("no panic");
    // Where tests begin to search differs, so that a port is not used again at once.
    let count = ephemeral().checked_sub(FIRST).filter(|count| *count > 1000).expect("ports that are not ephemeral");
    let start = std::process::id().wrapping_mul(997).wrapping_add(u32::try_from(taken.len()).expect("few"));
    for at in 0..u32::from(count) {
        let port = FIRST + u16::try_from(start.wrapping_add(at) % u32::from(count)).expect("a port");
        let name = SocketAddr::from_abstract_name(format!("stapled-test-port-{port}")).expect("a name");
        let is_free = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED].map(|at| TcpListener::bind((at, port)).is_ok());
        if is_free == [true, true]
            && let Ok(name) = UnixListener::bind_addr(&name)
        {
            taken.push(name);
            return port;
        }
    }
    panic!("no port is free");
}

/// The first port that the system gives to connections.
fn ephemeral() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..20).map(|_| free_port()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        ports.sort_unstable();
        let all = ports.len();
        ports.dedup();
        assert_eq!((ports.len(), all), (80, 80));
        assert!(ports.iter().all(|port| *port < ephemeral()));
    }
}
