//! The control socket: clients ask a running daemon for its state, and for renewals.
//!
//! A client sends one line of JSON, a question of the [`protocol`]; the answer is one object per line: rows, and lines of
//! progress while the answer takes long. The last line says that the answer is complete. The socket belongs to the
//! user that the daemon runs as; that user and root may ask everything. A group may get the socket, too: its members may ask for
//! the state only. The [`server`] answers, with rows of the
//! [`known`] stapler; a [`renewal`] can take long. The [`client`] asks.

pub(crate) mod client;
pub(crate) mod known;
pub(crate) mod protocol;
mod renewal;
mod reply;
pub(crate) mod server;
