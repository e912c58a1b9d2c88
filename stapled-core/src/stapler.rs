//! The stapler: joins sources, stages, scheduler and sinks, and runs them. It holds no logic of a stage.

mod build;
pub mod handle;
mod owner;
pub mod passes;
mod reports;
pub mod responders;
pub mod running;

pub use build::{BuildError, Group, StaplerBuilder};
pub use handle::{Handle, HandleError, Selection};
pub use owner::Stapler;
