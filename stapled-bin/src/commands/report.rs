//! The exit code of a verdict.

use stapled_core::ocsp::CertStatus;
use stapled_core::verdict::Verdict;

use super::answer::{GOOD, INVALID, REVOKED, UNKNOWN};

/// The exit code.
pub(super) fn exit_code(verdict: &Verdict) -> u8 {
    match verdict.status {
        Ok(CertStatus::Good) => GOOD,
        Ok(CertStatus::Revoked { .. }) => REVOKED,
        Ok(_) => UNKNOWN,
        Err(_) => INVALID,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stapled_core::reason::ReasonCode;

    use super::*;
    use crate::text::json_line;

    proptest! {
        /// Whatever a refusal says, the verdict has one line of JSON and lines for people.
        #[test]
        fn any_verdict_is_one_line_of_json(detail: String) {
            let verdict = Verdict::invalid(ReasonCode::new("malformed"), detail);
            let json = json_line(&verdict);
            assert_eq!(json.matches('\n').count(), 1);
            let object: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(&object["reason"], "malformed");
            assert_eq!(object["detail"].as_str(), Some(verdict.detail.as_str()));
            assert_eq!(verdict.to_string().lines().count(), 1);
        }
    }
}
