//! An HTTP server for monitoring (feature `web`): numbers, health, the state of everything as JSON, and a page for people.
//!
//! It listens on a unix socket or on a loopback address, changes nothing, and its clients cannot delay renewals: their number,
//! and the time of a request and of a connection have limits. `address` says where it listens, `listener` and `connection`
//! talk HTTP, `host` refuses requests that a foreign web page makes through a browser, `answer` has the paths, and `page` the
//! page, which needs nothing from elsewhere.

pub mod address;
mod answer;
pub mod conclusion;
pub(crate) mod connection;
mod host;
pub mod listener;
mod page;

pub use listener::Web;
