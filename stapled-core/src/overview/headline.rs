//! The state of everything in one line.

use std::time::Duration;

use crate::inventory::Count;
use crate::inventory::Inventory;
use crate::time::Timestamp;

/// The state of everything in one line, for a service manager: `1,203 certificates, 2 without a staple, next renewal in 3 min`.
///
/// The line changes once a minute at most while nothing happens. The inventory is locked while it is counted.
pub fn headline(inventory: &Inventory, now: Timestamp) -> String {
    inventory.count(now).headline(now)
}

impl Count {
    fn headline(&self, now: Timestamp) -> String {
        let mut parts = Vec::new();
        if self.outages > 0 {
            parts.push(format!("OUTAGE: {} must-staple without a staple", grouped(self.outages)));
        }
        parts.push(match self.certificates {
            0 => "no certificates that need a staple".to_owned(),
            1 => "1 certificate".to_owned(),
            many => format!("{} certificates", grouped(many)),
        });
        let plural = |count| if count == 1 { "" } else { "s" };
        for (count, words) in [
            (self.without_staple, "without a staple".to_owned()),
            (self.revoked, "REVOKED".to_owned()),
            (self.undelivered, format!("failed deliver{}", if self.undelivered == 1 { "y" } else { "ies" })),
            (self.problems, format!("problem{}", plural(self.problems))),
        ] {
            if count > 0 {
                parts.push(format!("{} {words}", grouped(count)));
            }
        }
        if let Some(next) = self.next {
            parts.push(format!("next renewal {}", ahead(next.since(now))));
        }
        parts.join(", ")
    }
}

/// A number with a comma before each group of three digits.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How far ahead something is, in whole minutes or hours.
fn ahead(left: Duration) -> String {
    match left.as_secs() / 60 {
        0 => "within a minute".to_owned(),
        minutes @ 1..=119 => format!("in {minutes} min"),
        minutes => format!("in {} h", minutes / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_names_what_is_missing_only() {
        let now = Timestamp::from_unix(1_000_000);
        let good = Count { certificates: 1203, next: Some(now + Duration::from_secs(200)), ..Count::default() };
        assert_eq!(good.headline(now), "1,203 certificates, next renewal in 3 min");
        let bad = Count {
            certificates: 1,
            without_staple: 1,
            outages: 1,
            revoked: 1,
            undelivered: 1,
            problems: 1_000_000,
            next: Some(now + Duration::from_secs(7200)),
        };
        let words = "OUTAGE: 1 must-staple without a staple, 1 certificate, 1 without a staple, 1 REVOKED, \
                     1 failed delivery, 1,000,000 problems, next renewal in 2 h";
        assert_eq!(bad.headline(now), words);
        let past = Count { certificates: 2, undelivered: 2, problems: 1, next: Some(now), ..Count::default() };
        let words = "2 certificates, 2 failed deliveries, 1 problem, next renewal within a minute";
        assert_eq!(past.headline(now + Duration::from_secs(5)), words);
        assert_eq!(Count::default().headline(now), "no certificates that need a staple");
    }
}
