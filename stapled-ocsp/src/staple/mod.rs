//! The judgement: an OCSP response becomes a [`Staple`] here, and nowhere else.

mod judge;
mod refusal;
mod signer;
mod verified;

pub use judge::Judge;
pub use refusal::Refusal;
pub use verified::{Facts, JudgePolicy, Judgement, MAX_RECEIVED, Staple};
