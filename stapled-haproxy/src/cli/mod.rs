//! HAProxy's command line: addresses, connections, commands, and replies as enums.
//!
//! From the bottom up: `level`, `name`, `identity`, `process`, `quoted` and `withdrawal_token` are the words;
//! `transactions` and `payload` limit the commands; `command` makes the bytes to send, `framing` finds the end of a reply,
//! and `reply` reads its meaning; `error` has every failure, and `failure` a failure with its socket; `address`, `route` and
//! `connection` do the exchange.

pub(crate) mod address;
pub(crate) mod command;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod framing;
pub(crate) mod identity;
pub(crate) mod level;
pub(crate) mod name;
pub(crate) mod payload;
pub(crate) mod process;
pub(crate) mod quoted;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod transactions;
pub(crate) mod withdrawal_token;
