//! What of a judgement can be chosen.

use std::time::Duration;

use clap::Args;
use stapled_core::Weak;
use stapled_core::staple::JudgePolicy;

use crate::settings::BELIEVING;

/// What is accepted that is refused otherwise.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Judging {
    /// How far the responder's clock may be ahead [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = BELIEVING)]
    pub(crate) clock_skew: Option<u64>,

    /// Accept signatures with SHA-1, of the response and of a delegate's certificate
    #[arg(long, help_heading = BELIEVING)]
    pub(crate) allow_sha1: bool,

    /// Accept RSA keys below 2048 bits
    #[arg(long, help_heading = BELIEVING)]
    pub(crate) allow_weak_keys: bool,

    /// Accept a response that does not say until when it is valid
    #[arg(long, help_heading = BELIEVING)]
    pub(crate) allow_missing_next_update: bool,
}

impl Judging {
    pub(crate) fn policy(self) -> JudgePolicy {
        let weak = |allowed| if allowed { Weak::Allow } else { Weak::Deny };
        let mut policy = JudgePolicy::default();
        policy.sha1_signatures = weak(self.allow_sha1);
        policy.weak_keys = weak(self.allow_weak_keys);
        policy.missing_next_update = weak(self.allow_missing_next_update);
        if let Some(seconds) = self.clock_skew {
            policy.clock_skew = Duration::from_secs(seconds);
        }
        policy
    }
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a whole number of seconds is needed")
}
