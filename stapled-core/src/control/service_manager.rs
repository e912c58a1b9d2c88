//! Reports to the service manager: systemd, or another one that sets NOTIFY_SOCKET (sd_notify(3)).
//!
//! `READY=1` says that the program runs, `RELOADING=1` that it reads its configuration again, `STOPPING=1` that it ends,
//! `STATUS=` has one line for people, and `WATCHDOG=1` says that the runtime still does work.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::future::{Future, pending};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::clock::{Clock, SystemClock};
use crate::overview::headline::headline;
use crate::stapler::Handle;

/// How often the status line is renewed, at most.
const STATUS_PAUSE: Duration = Duration::from_secs(3);

/// The service manager of this process, if it has one. No report blocks, and a report that fails is lost.
///
/// ```no_run
/// use stapled_core::control::service_manager::ServiceManager;
/// # use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = ServiceManager::of_process();
/// let stapler = Stapler::builder().source(DirectorySource::new("/etc/ssl/private")).sink(FileSink::new()).build()?;
/// manager.watch(stapler.handle());
/// manager.ready();
/// manager.beside(stapler.run(std::future::pending())).await;
/// manager.stopping();
/// # Ok(())
/// # }
/// ```
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// How long the manager waits for a sign of life before it ends the process.
    watchdog: Option<Duration>,
    current: watch::Sender<Option<Handle>>,
}

impl ServiceManager {
    /// The service manager that the environment names.
    pub fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok();
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|address| connect(&address).ok());
        let is_other = variable("WATCHDOG_PID").is_some_and(|pid| pid.parse() != Ok(std::process::id()));
        let watchdog = variable("WATCHDOG_USEC").filter(|_| !is_other).and_then(|text| text.parse().ok());
        let watchdog = watchdog.filter(|limit| *limit > 0).map(Duration::from_micros);
        ServiceManager { socket, watchdog, current: watch::Sender::new(None) }
    }

    /// Reports the state of this stapler from now on, in place of another one.
    pub fn watch(&self, handle: Handle) {
        self.current.send_replace(Some(handle));
    }

    /// Reports that the program runs, with the configuration that is in effect.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Reports that the configuration is read again. `Type=notify-reload` needs the time.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// Reports that the program ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Does this work, and meanwhile reports the status and signs of life, once there is a stapler. Both are made by the task
    /// that does the work: a program that does not notice signals sends none.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.report() => match never {},
        }
    }

    async fn report(&self) -> Infallible {
        // The sender lives as long as the work.
        let _ = self.current.subscribe().wait_for(Option::is_some).await;
        if self.socket.is_none() {
            return pending().await;
        }
        let mut signs = self.watchdog.map(|limit| calm(limit / 2));
        let mut lines = calm(STATUS_PAUSE);
        let mut last = String::new();
        loop {
            tokio::select! {
                () = next(&mut signs) => {
                    if runtime_lives().await {
                        self.tell("WATCHDOG=1");
                    }
                }
                _ = lines.tick() => {
                    let line = self.line();
                    if line != last {
                        self.tell(&format!("STATUS={line}"));
                        last = line;
                    }
                }
            }
        }
    }

    /// The state of everything in one line.
    fn line(&self) -> String {
        let Some(stapler) = self.current.borrow().clone() else { return String::new() };
        let headline = headline(&stapler.inventory(), SystemClock.now());
        if stapler.has_scanned() { headline } else { format!("searching for certificates: {headline}") }
    }

    /// Sends a message.
    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(format!("{message}\n").as_bytes());
        }
    }
}

/// A socket that is connected to an address of NOTIFY_SOCKET: a path, or a name in the abstract namespace after an @. It never
/// blocks: a manager that does not read delays nothing.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// An interval that does not make up for missed ticks.
fn calm(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn next(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => pending().await,
    }
}

/// Returns true as soon as a worker thread of the runtime has run a task: not before, if all of them hang.
async fn runtime_lives() -> bool {
    tokio::spawn(std::future::ready(())).await.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;
    use crate::Stapler;
    use crate::io::memory_sink::MemorySink;
    use crate::io::memory_source::MemorySource;

    const LIMIT: Duration = Duration::from_millis(100);

    /// Whether a sign of life comes within this time.
    fn sign_comes(received: &UnixDatagram, time: Duration) -> bool {
        received.set_read_timeout(Some(time)).unwrap();
        let mut message = [0; 256];
        while let Ok(length) = received.recv(&mut message) {
            if message.get(..length) == Some(b"WATCHDOG=1\n") {
                return true;
            }
        }
        false
    }

    #[test]
    fn no_sign_of_life_is_sent_while_the_runtime_hangs() {
        let (socket, received) = UnixDatagram::pair().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let (hang, hanging) = oneshot::channel::<()>();
        let (release, released) = mpsc::channel::<()>();
        let running = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let manager =
                ServiceManager { socket: Some(socket), watchdog: Some(LIMIT), current: watch::Sender::new(None) };
            let work = async {
                let stapler = Stapler::builder().source(MemorySource::new()).sink(MemorySink::new()).build().unwrap();
                manager.watch(stapler.handle());
                hanging.await.unwrap();
                let blocked = tokio::spawn(async move {
                    begun.send(()).unwrap();
                    released.recv().unwrap();
                });
                blocked.await.unwrap();
                ended.await.unwrap();
            };
            runtime.block_on(manager.beside(work));
        });
        assert!(sign_comes(&received, LIMIT * 100));
        hang.send(()).unwrap();
        has_begun.recv().unwrap();
        // Some may have been sent before.
        for _ in 0..3 {
            let _ = sign_comes(&received, LIMIT / 5);
        }
        while sign_comes(&received, LIMIT * 4) {}
        assert!(!sign_comes(&received, LIMIT * 4), "a sign of life of a runtime that hangs");
        release.send(()).unwrap();
        assert!(sign_comes(&received, LIMIT * 100));
        end.send(()).unwrap();
        running.join().unwrap();
    }
}
