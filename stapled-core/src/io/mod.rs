//! Default implementations of the traits, and everything else that touches the world outside.

pub mod directory;
pub mod file;
pub mod http;
pub mod memory;
