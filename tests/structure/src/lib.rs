//! Checks of the source tree itself: import circles, layers, dependency counts and public items.
//!
//! [`tokens`] splits Rust source into tokens, [`imports`] finds the paths in them, [`modules`] lists the modules of a
//! crate and resolves these paths, [`graph`] finds circles among modules, [`layers`] reads the tables of
//! ARCHITECTURE.md, [`public`] lists the public items of a file, [`declarations`] its public declarations, and [`workspace`] lists the crates.
//!
//! The checks are the tests of this package: `cargo test -p stapled-structure`.

// A check fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod declarations;
pub mod graph;
pub mod imports;
pub mod layers;
pub mod modules;
pub mod public;
pub mod tokens;
pub mod workspace;
