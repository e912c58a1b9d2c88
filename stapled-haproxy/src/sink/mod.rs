//! The sink: staples delivered to one process, or to the workers behind a master.

pub(crate) mod builder;
pub(crate) mod comparison;
pub(crate) mod haproxy_sink;
pub(crate) mod losses;
pub(crate) mod process_sink;
pub(crate) mod workers;
