//! The addresses of names.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// The file with the names that this machine knows itself.
const HOSTS: &str = "/etc/hosts";
/// The most octets of that file which are read.
const LONGEST_HOSTS: u64 = 4 << 20;
/// The most lookups at once in this process. A lookup takes a thread until the resolver of the system answers or gives up, and a
/// client whose name server is silent delays that, also after the test is over. This is half of the threads that tokio has for
/// blocking calls: the ledger needs the others.
const AT_ONCE: usize = 256;

static ROOM: Semaphore = Semaphore::const_new(AT_ONCE);

/// Finds the addresses of host names.
///
/// ```
/// use std::io;
/// use std::net::{IpAddr, Ipv4Addr};
///
/// use stapled_ca::session::Names;
///
/// /// Names for a test: this machine has all of them.
/// #[derive(Debug)]
/// struct Here;
///
/// #[async_trait::async_trait]
/// impl Names for Here {
///     async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
///         Ok(vec![Ipv4Addr::LOCALHOST.into()])
///     }
/// }
/// ```
#[async_trait]
pub trait Names: Send + Sync + fmt::Debug {
    /// The addresses of a host name.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The names of `/etc/hosts`, and for all others the resolver of the system.
///
/// Every name is absolute: the search list of the resolver does not complete it. Otherwise a client could prove `intranet` by a
/// host named `intranet.example.org`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        bounded(&ROOM, move || look_up(&name)).await
    }
}

/// Runs `work` on a thread for blocking calls, when there is room. The room is free again when `work` ends, also if this future
/// is dropped before.
async fn bounded<T: Send + 'static>(
    room: &'static Semaphore,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = room.acquire().await.map_err(io::Error::other)?;
    let work = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let known = in_hosts(&read_hosts(Path::new(HOSTS)), name);
    if !known.is_empty() {
        return Ok(known);
    }
    Ok((absolute(name), 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// The name with a dot at its end, which no search list completes.
fn absolute(name: &str) -> String {
    format!("{}.", name.strip_suffix('.').unwrap_or(name))
}

/// The file of hosts; empty if there is none.
fn read_hosts(path: &Path) -> String {
    let mut octets = Vec::new();
    // The lines before an error count, as for the resolver of the system.
    let _ = File::open(path).and_then(|file| file.take(LONGEST_HOSTS).read_to_end(&mut octets));
    String::from_utf8_lossy(&octets).into_owned()
}

/// The addresses of a name in a file of hosts: an address and its names on each line, and comments after `#`.
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse().ok());
        if let Some(address) = address
            && words.any(|word| word.eq_ignore_ascii_case(name))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_absolute() {
        assert_eq!(
            [absolute("intranet"), absolute("a.example"), absolute("a.example.")],
            ["intranet.", "a.example.", "a.example."]
        );
    }

    #[test]
    fn hosts_are_found_in_the_file() {
        let hosts = "# 192.0.2.9 a\n192.0.2.1\tA.Example  a # b\n::1 a.example\n192.0.2.1 a.example\nb a.example\n192.0.2.2 b.a.example";
        let found = |name: &str| in_hosts(hosts, name).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        for name in ["a.example", "A.EXAMPLE", "a.example."] {
            assert_eq!(found(name), ["192.0.2.1", "::1"], "{name}");
        }
        assert_eq!(found("a"), ["192.0.2.1"]);
        for name in ["b", "example", "", "192.0.2.1"] {
            assert!(found(name).is_empty(), "{name}");
        }
        assert_eq!(read_hosts(Path::new("/nonexistent")), "");
    }

    #[tokio::test]
    async fn lookups_that_are_given_up_take_no_more_threads() {
        static TWO: Semaphore = Semaphore::const_new(2);
        let (begun, beginnings) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let ends = std::sync::Arc::new(std::sync::Mutex::new(ends));
        for _ in 0..20 {
            let (begun, ends) = (begun.clone(), ends.clone());
            let lookup = bounded(&TWO, move || {
                begun.send(()).map_err(io::Error::other)?;
                // A name server that is silent until the test ends.
                let _ = ends.lock().unwrap().recv();
                Ok(())
            });
            assert!(tokio::time::timeout(Duration::from_millis(10), lookup).await.is_err());
        }
        drop(end);
        // All lookups end now, and the next one has room.
        bounded(&TWO, || Ok(())).await.unwrap();
        drop(begun);
        assert_eq!(beginnings.iter().count(), 2);
    }
}
