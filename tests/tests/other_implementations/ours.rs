//! Our own judgement, in the terms of the comparison.

use bytes::Bytes;
use stapled_core::ocsp::CertStatus;
use stapled_core::staple::{Judge, JudgePolicy, Refusal};
use stapled_core::time::Timestamp;

use crate::world::World;

/// Our verdict.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    /// `good`, `revoked` or `unknown`, if we accept the response.
    pub(crate) status: Option<String>,
    /// Why we refuse the response.
    pub(crate) refusal: Option<Refusal>,
}

impl Ours {
    pub(crate) fn judge(world: &World, at: i64, policy: &JudgePolicy, response: &[u8]) -> Self {
        let at = Timestamp::from_unix(at);
        match Judge::new(&world.chain).at(at).policy(policy).judge(Bytes::copy_from_slice(response)) {
            Ok(judgement) => {
                let status = match judgement.status {
                    CertStatus::Good => "good",
                    CertStatus::Revoked { .. } => "revoked",
                    _ => "unknown",
                };
                assert_eq!(judgement.staple().is_some(), status == "good", "a staple says good, and only that");
                Ours { status: Some(status.to_owned()), refusal: None }
            }
            Err(refusal) => Ours { status: None, refusal: Some(refusal) },
        }
    }

    /// The defect of the form, if that is the reason.
    pub(crate) fn malformed(&self) -> String {
        match &self.refusal {
            Some(Refusal::Malformed(error)) => error.to_string(),
            _ => String::new(),
        }
    }

    /// The verdict in a few words.
    pub(crate) fn words(&self) -> String {
        match (&self.status, &self.refusal) {
            (Some(status), _) => status.clone(),
            (None, Some(refusal)) => format!("{}: {refusal}", refusal.code()),
            (None, None) => String::new(),
        }
    }
}
