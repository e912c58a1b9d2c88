//! Judges OCSP responses. Only here does a response become a [`Staple`].

mod judge;
mod refusal;
mod signer;
mod verified;

pub use judge::Judge;
pub use refusal::Refusal;
pub use verified::{Facts, JudgePolicy, Judgement, MAX_RECEIVED, Staple};
