//! HAProxy's command line: addresses, connections, commands, and the replies as enums.

pub(crate) mod address;
pub(crate) mod command;
pub(crate) mod connection;
pub(crate) mod framing;
pub(crate) mod master;
pub(crate) mod process;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod withdrawal_token;
