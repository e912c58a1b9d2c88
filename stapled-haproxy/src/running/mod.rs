//! The running process as a source of certificates.

pub(crate) mod difference;
pub(crate) mod files;
pub(crate) mod forecast;
pub(crate) mod layout;
pub(crate) mod matching;
pub(crate) mod running_only;
pub(crate) mod served_paths;
pub(crate) mod source;
