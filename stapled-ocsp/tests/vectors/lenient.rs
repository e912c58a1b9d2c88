//! The collection's words for policies that can be relaxed.

/// Policies that excuse a refusal, and that the lenient settings, or the options `--allow-…`, switch off.
pub(crate) const LENIENT: [&str; 7] = [
    "sha1_signature",
    "no_next_update",
    "stale_no_next_update",
    "thisUpdate_8_days_old",
    "rsa_below_2048",
    "this_update_over_10_days",
    "expires_within_300s",
];
