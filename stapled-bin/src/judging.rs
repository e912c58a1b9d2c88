//! The options that say which answers are accepted, as a policy of `stapled-core`.

use stapled_core::Weak;
use stapled_core::staple::JudgePolicy;

use crate::options::arguments::{self, Options};
use crate::options::declarations as option;
use crate::options::settings::Settings;

/// These options, for a command.
pub(crate) type Judging = Options<arguments::Judging>;

/// The policy that settings ask for.
pub(crate) fn judge_policy(settings: &Settings) -> JudgePolicy {
    let weak = |allowed| if allowed { Weak::Allow } else { Weak::Deny };
    let mut policy = JudgePolicy::default();
    policy.clock_skew = settings.get(&option::CLOCK_SKEW);
    policy.sha1_signatures = weak(settings.get(&option::ALLOW_SHA1));
    policy.weak_keys = weak(settings.get(&option::ALLOW_WEAK_KEYS));
    policy.missing_next_update = weak(settings.get(&option::ALLOW_MISSING_NEXT_UPDATE));
    policy
}
