//! The default implementations of the traits: what touches files and sockets.

pub mod directory;
pub mod file;
pub mod http;
