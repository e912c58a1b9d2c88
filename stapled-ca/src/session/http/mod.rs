//! Sessions over HTTP: for clients, and for operators. `docs/ca.md` describes both.

mod answer;
mod client;
mod intake;
mod operators;

pub use client::{CallError, Client, ClientError, Place, Shown, ShownChallenge};
pub use intake::Intake;
pub use operators::Operators;
