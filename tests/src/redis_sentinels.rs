//! A Redis with a replica, and the sentinels that watch both.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::port::free_port;
use crate::redis::{Redis, ask_at, redis_server};
use crate::wait::wait_until_within;

/// How long sentinels may take to find each other, or to make a replica the primary. On a busy machine they count their own
/// delays as failures of the clock, and pause for half a minute.
const SLOW: Duration = Duration::from_secs(180);

/// The name of the primary.
const NAME: &str = "main";

/// A primary, a replica, and three sentinels, on 127.0.0.1. Its drop ends all of them.
pub struct RedisSentinels {
    /// The primary at the start, and its replica.
    pub servers: [Redis; 2],
    ports: [u16; 2],
    sentinels: Vec<Sentinel>,
    password: String,
}

struct Sentinel {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl RedisSentinels {
    /// Starts them, and waits until the sentinels know each other and the replica. The servers have these arguments, and the
    /// password if it is not empty. The sentinels have it, too, followed by `-sentinel`.
    pub fn start(arguments: &[&str], password: &str) -> Self {
        let ports = [free_port(), free_port()];
        let login: &[&str] =
            if password.is_empty() { &[] } else { &["--requirepass", password, "--masterauth", password] };
        let server = |port: u16, more: &[&str]| {
            Redis::start_with(&[&["--save", "", "--port", &port.to_string()], login, arguments, more].concat())
        };
        let primary = server(ports[0], &[]);
        let replica = server(ports[1], &["--replicaof", "127.0.0.1", &ports[0].to_string()]);
        let sentinels = (0..3).map(|_| Sentinel::start(ports[0], password)).collect();
        let group = RedisSentinels { servers: [primary, replica], ports, sentinels, password: password.to_owned() };
        for sentinel in &group.sentinels {
            wait_until_within(SLOW, "the sentinel knows the others and the replica", || {
                group.say(sentinel, &["SENTINEL", "CKQUORUM", NAME]).starts_with("OK 3")
                    && group.say(sentinel, &["SENTINEL", "REPLICAS", NAME]).contains(&ports[1].to_string())
            });
        }
        wait_until_within(SLOW, "the replica follows", || {
            group.servers[1].ask_with(password, &["INFO", "replication"]).contains("master_link_status:up")
        });
        group
    }

    /// The address, as clients write it.
    pub fn address(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        let hosts = hosts.join(",");
        match self.password.as_str() {
            "" => format!("redis+sentinel://{hosts}/{NAME}"),
            password => format!("redis+sentinel://:{password}@{hosts}/{NAME}?sentinel_password={password}-sentinel"),
        }
    }

    /// Sends a command to every sentinel.
    pub fn ask_sentinels(&self, command: &[&str]) {
        for sentinel in &self.sentinels {
            assert_eq!(self.say(sentinel, command), "OK", "{command:?}");
        }
    }

    /// Waits until all sentinels name the second server.
    pub fn wait_for_failover(&self) {
        for sentinel in &self.sentinels {
            wait_until_within(SLOW, "the sentinel names the replica", || {
                self.say(sentinel, &["SENTINEL", "get-master-addr-by-name", NAME]).contains(&self.ports[1].to_string())
            });
        }
        wait_until_within(SLOW, "the replica is the primary", || {
            self.servers[1].role(&self.password).as_deref() == Some("master")
        });
    }

    /// Makes the second server the primary, and the first one its replica.
    pub fn fail_over(&self) {
        let begun = self.sentinels.iter().any(|sentinel| self.say(sentinel, &["SENTINEL", "FAILOVER", NAME]) == "OK");
        assert!(begun, "no sentinel begins a failover");
        self.wait_for_failover();
        wait_until_within(SLOW, "the primary is a replica", || {
            self.servers[0].role(&self.password).as_deref() == Some("slave")
        });
    }

    /// Ends one sentinel with SIGKILL. The address has it no longer.
    pub fn kill_sentinel(&mut self) {
        drop(self.sentinels.pop());
    }

    /// The reply of a sentinel, or its error.
    fn say(&self, sentinel: &Sentinel, command: &[&str]) -> String {
        let password = if self.password.is_empty() { String::new() } else { format!("{}-sentinel", self.password) };
        ask_at(sentinel.port, &password, command).unwrap_or_else(|error| error.to_string())
    }
}

impl Sentinel {
    fn start(primary: u16, password: &str) -> Self {
        let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let mut lines = format!(
            "port {port}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds {NAME} 2000\n\
             sentinel failover-timeout {NAME} 6000\n"
        );
        if !password.is_empty() {
            lines.push_str(&format!("sentinel auth-pass {NAME} {password}\nrequirepass {password}-sentinel\n"));
        }
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, lines).expect("the configuration");
        let mut command = Command::new(redis_server());
        command.arg(file).args(["--sentinel", "--logfile"]).arg(directory.path().join("log"));
        command.arg("--dir").arg(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", redis_server()));
        Sentinel { process, port, _directory: directory }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
