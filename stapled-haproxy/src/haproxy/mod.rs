//! One HAProxy, from whatever is known of it: its configuration, its admin sockets, or both.
//!
//! A [`Haproxy`] gives what a stapler needs: sources of certificates, sinks for staples, and both joined in groups. It
//! also reports the differences between a configuration and the running process. A program that serves several
//! HAProxys puts them into [`Haproxys`], where a shared admin socket gets one sink and is asked once.
//!
//! From the ground up:
//!
//! - `processes`: one source for each admin socket.
//! - `named_sockets`: the admin sockets that one configuration names, followed while the configuration changes.
//! - `grouping`: which source's staples go to which sockets.
//! - `builder`, `known`, `one`, `several`: the public types.
//! - `comparison`: configurations and running processes, compared again and again.

mod builder;
mod comparison;
mod grouping;
mod known;
mod named_sockets;
mod one;
mod processes;
mod several;

pub use builder::HaproxyBuilder;
pub use comparison::Comparison;
pub(crate) use grouping::{Certificates, Options, Wanted, beyond, of_paths};
pub use known::{Known, KnownBy};
pub use named_sockets::NamedSockets;
pub use one::{Compared, Haproxy};
pub use processes::Processes;
pub use several::Haproxys;
