//! The meaning of HAProxy's replies. Each reply is parsed once, here, into an enum. Pure; a reply counts as a success only
//! if it matches word for word.

pub(crate) mod certificate;
pub(crate) mod environment;
pub(crate) mod level;
pub(crate) mod refusal;
pub(crate) mod response;
pub(crate) mod transaction;
pub(crate) mod workers;
