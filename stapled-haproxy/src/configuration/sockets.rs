//! The admin sockets of a configuration, as addresses to connect to.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::found::Socket;
use super::line_problem::LineProblem;
use super::listener::{Family, Listener, listeners};
use super::reading::{Reading, plain};
use super::statement::{BindOption, bind_options};
use super::words::Word;
use crate::cli::address::Address;
use crate::cli::level::Level;

/// The number of sockets that are used.
const MAX_SOCKETS: usize = 64;

impl Reading<'_> {
    /// `stats socket`.
    pub(super) fn stats_socket(&mut self, address: &Word, options: &[Word]) {
        // The socket may have certificates of its own.
        self.bind(options);
        self.doubt(address, "stats socket");
        let options = bind_options(options);
        let level = options.iter().rev().find_map(|option| match option {
            BindOption::Level(level) => Some(match level.bytes.as_slice() {
                b"admin" => Level::Admin,
                b"user" => Level::User,
                _ => Level::Operator,
            }),
            _ => None,
        });
        let speaks_more = options.iter().any(|option| matches!(option, BindOption::Ssl | BindOption::AcceptProxy));
        for listener in listeners(&address.bytes) {
            let address = match listener {
                _ if speaks_more => Err("it speaks another protocol (`ssl` or `accept-proxy`)".to_owned()),
                listener => self.connectable(listener),
            };
            match address {
                Ok(address) if self.sockets.iter().any(|socket| socket.address == address) => {}
                Ok(_) if self.sockets.len() >= MAX_SOCKETS => {
                    self.warn(LineProblem::TooMuch { what: format!("more than {MAX_SOCKETS} admin sockets") });
                }
                Ok(address) => {
                    let place = self.place.clone();
                    self.sockets.push(Socket { address, level: level.unwrap_or_default(), place });
                }
                Err(why) => self.warn(LineProblem::UnusableSocket { why }),
            }
        }
    }

    fn connectable(&mut self, listener: Listener) -> Result<Address, String> {
        match listener {
            Listener::Unusable(why) => Err(why),
            // HAProxy binds it in the directory that it was started in.
            Listener::Unix(path) => {
                if path.first() != Some(&b'/') {
                    self.warn_relative(&path);
                }
                Ok(Address::Unix(plain(&self.start.join(OsStr::from_bytes(&path)))))
            }
            Listener::Abstract(name) => format!("abns@{name}").parse().map_err(|error| format!("{error}")),
            Listener::AbstractExact(name) => format!("abnsz@{name}").parse().map_err(|error| format!("{error}")),
            Listener::Tcp { host, port, family } => {
                if host.is_empty() {
                    return Ok(Address::Tcp((family.this_machine(), port).into()));
                }
                let found = match host.parse::<std::net::IpAddr>() {
                    Ok(address) => vec![(address, port).into()],
                    Err(_) => self.disk.resolve(&host, port).map_err(|error| format!("{host}: {error}"))?,
                };
                let address = found.into_iter().find(|address| family.has(address.ip()));
                let address = address.ok_or_else(|| format!("{host} has no address of that family"))?;
                if !address.ip().is_unspecified() {
                    return Ok(Address::Tcp(address));
                }
                let family = if address.is_ipv6() { Family::V6 } else { family };
                Ok(Address::Tcp((family.this_machine(), port).into()))
            }
        }
    }

    /// The sockets that are used.
    pub(super) fn usable_sockets(&mut self) -> Vec<Socket> {
        let mut sockets = std::mem::take(&mut self.sockets);
        if sockets.is_empty() {
            self.place = self.first.clone();
            self.warn(LineProblem::NoSocket);
        }
        // All sockets lead to the same process, and a lower level refuses more commands.
        let highest = sockets.iter().map(|socket| socket.level).max().unwrap_or_default();
        sockets.retain(|socket| socket.level == highest);
        if highest < Level::Admin {
            for socket in &sockets {
                self.place = socket.place.clone();
                self.warn(LineProblem::LowLevel { socket: socket.address.clone() });
            }
        }
        sockets
    }
}
