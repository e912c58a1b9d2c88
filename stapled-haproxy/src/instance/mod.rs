//! One HAProxy process: the channel to it, what it has loaded, and how a first staple gets in.

pub(crate) mod channel;
pub(crate) mod first_staple;
pub(crate) mod loaded;
pub(crate) mod names;
pub(crate) mod settings;
pub(crate) mod survey;
pub(crate) mod transaction;
pub(crate) mod worker_socket;
pub(crate) mod writer;
