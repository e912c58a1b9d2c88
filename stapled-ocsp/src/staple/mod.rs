//! Judges OCSP responses. Only here does a response become a [`Staple`].

pub mod facts;
mod judge;
pub mod named;
mod refusal;
mod signer;
mod verified;

pub use judge::Judge;
pub use refusal::Refusal;
pub use verified::{JudgePolicy, Judgement, Staple};
