//! The control socket of a running program (feature `control`): clients ask for the state, and for renewals.
//!
//! A client sends one line of JSON, a question of the [`protocol`]; the answer is one object per line: rows, and lines of
//! progress while the answer takes long. The last line says that the answer is complete. The socket belongs to the
//! user that the program runs as; that user and root may ask everything. A group may get the socket, too: its members may ask
//! for the state only. [`Control`] answers, with rows of the stapler that runs now; a `renewal` can take long. The [`client`]
//! asks. [`service_manager`] reports the same state to systemd.

pub mod client;
pub mod protocol;
mod renewal;
mod reply;
mod server;
pub mod service_manager;
mod state;

pub use state::Control;
