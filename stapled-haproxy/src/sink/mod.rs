//! The sink: staples for one process, or for the workers behind a master.
//!
//! From the bottom up: `requirements` says which staples fit; `comparison` compares shown responses with delivered ones,
//! which `memory` keeps; `process_sink` delivers to one process, with the steps in `delivery` and `withdrawal`,
//! and `losses` notices lost staples; `workers` does both for every worker behind a master; `haproxy_sink`
//! is the type for users, `builder` its settings.

pub(crate) mod builder;
pub(crate) mod comparison;
pub(crate) mod delivery;
pub(crate) mod haproxy_sink;
pub(crate) mod losses;
pub(crate) mod memory;
pub(crate) mod process_sink;
pub(crate) mod requirements;
pub(crate) mod withdrawal;
pub(crate) mod workers;
