//! A verdict for people, and its exit code.

use std::fmt::Write;

use stapled_core::time::Timestamp;
use stapled_core::verdict::{Status, Verdict};

use super::answer::{GOOD, INVALID, REVOKED, UNKNOWN};
use crate::text::visible;

/// The exit code.
pub(super) fn exit_code(verdict: &Verdict) -> u8 {
    match verdict.status {
        Ok(Status::Good) => GOOD,
        Ok(Status::Revoked) => REVOKED,
        Ok(_) => UNKNOWN,
        Err(_) => INVALID,
    }
}

/// As lines.
pub(super) fn in_words(verdict: &Verdict) -> String {
    let head = match verdict.status {
        Ok(Status::Revoked) => "REVOKED".to_owned(),
        Ok(status) => status.as_str().to_owned(),
        Err(code) => format!("INVALID ({code})"),
    };
    let mut words = format!("{head}: {}\n", visible(&verdict.detail));
    let certificate = verdict.certificate.as_deref().map(|name| match &verdict.serial {
        Some(serial) => format!("{name}, serial number {serial}"),
        None => name.to_owned(),
    });
    let responder = verdict.responder.as_deref().map(|name| match verdict.delegated {
        true => format!("{name}, a delegate of the issuer"),
        false => format!("{name}, the issuer itself"),
    });
    let stapleable = verdict.status.ok().map(|_| if verdict.stapleable { "yes" } else { "no" }.to_owned());
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    for (name, value) in [
        ("certificate", certificate),
        ("thisUpdate", time(verdict.this_update)),
        ("nextUpdate", time(verdict.next_update)),
        ("producedAt", time(verdict.produced_at)),
        ("responder", responder),
        ("signature", verdict.signature_algorithm.clone()),
        ("stapleable", stapleable),
    ] {
        if let Some(value) = value {
            let _ = writeln!(words, "  {name:<12} {}", visible(&value)); // a String takes everything
        }
    }
    for warning in &verdict.warnings {
        let _ = writeln!(words, "  {:<12} {}", "odd", visible(warning));
    }
    words
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
            assert_eq!(in_words(&verdict).lines().count(), 1);
        }
    }
}
