//! Lengths of time as people write them in settings: `90`, `15m`, `2h`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The units, the longest first, each with its seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A length of time in whole seconds, as people write it: a number of seconds, or numbers with the units `d`, `h`, `m` and
/// `s`, the longest first, each unit once.
///
/// ```
/// # use std::time::Duration;
/// use stapled_ocsp::time::span::Span;
///
/// let span: Span = "1h30m".parse()?;
/// assert_eq!(Duration::from(span), Duration::from_secs(5400));
/// assert_eq!("5400".parse::<Span>()?.to_string(), "1h30m");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// The longest one: a hundred years of 365 days. No deadline that is so far away overflows.
    pub const MAX: Span = Span(36_500 * 86_400);

    /// A span of this many seconds; the longest one, if there are more.
    pub const fn from_secs(seconds: u64) -> Self {
        Span(if seconds > Span::MAX.0 { Span::MAX.0 } else { seconds })
    }

    /// Reads a span from `least` to `most`.
    ///
    /// # Errors
    ///
    /// The text is no span, or not within these limits; in words.
    pub fn within(text: &str, least: Span, most: Span) -> Result<Span, String> {
        match text.parse::<Span>()? {
            span if span < least => Err(format!("at least {least} is needed")),
            span if span > most => Err(format!("at most {most} is possible")),
            span => Ok(span),
        }
    }

    /// The whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        Duration::from_secs(span.0)
    }
}

/// Rounds down to the second.
impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span::from_secs(duration.as_secs())
    }
}

impl FromStr for Span {
    /// What is wrong, in words.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "not a duration such as 90, 90s, 15m, 2h, 7d or 1h30m";
        const LONG: &str = "a duration of more than 36500d";
        if let Some(seconds) = number(text) {
            return Some(seconds).filter(|seconds| *seconds <= Span::MAX.0).map(Span).ok_or(LONG);
        }
        let (mut rest, mut units, mut sum) = (text, UNITS.iter(), 0_u64);
        while let Some(end) = rest.find(|letter: char| !letter.is_ascii_digit()) {
            let (digits, from_unit) = rest.split_at(end);
            let unit = from_unit.chars().next().ok_or(FORM)?;
            // The search goes on behind the last unit: each unit once, and the longest first.
            let (_, seconds) = units.find(|(letter, _)| *letter == unit).ok_or(FORM)?;
            sum = sum.saturating_add(number(digits).ok_or(FORM)?.saturating_mul(*seconds));
            rest = from_unit.get(unit.len_utf8()..).ok_or(FORM)?;
        }
        match (text.is_empty() || !rest.is_empty(), sum <= Span::MAX.0) {
            (true, _) => Err(FORM),
            (false, false) => Err(LONG),
            (false, true) => Ok(Span(sum)),
        }
    }
}

/// The number in digits; the largest one, if there is no room for it.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The shortest text that means the same: `2h`, `1h30m`, `0s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_within_its_limits() {
        let within = |text| Span::within(text, Span(60), Span(3600));
        assert_eq!((within("1m"), within("1h")), (Ok(Span(60)), Ok(Span(3600))));
        assert_eq!(within("59"), Err("at least 1m is needed".to_owned()));
        assert_eq!(within("1h1s"), Err("at most 1h is possible".to_owned()));
        assert!(within("long").unwrap_err().starts_with("not a duration"));
    }

    #[test]
    fn numbers_of_seconds_and_units() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("2h", 7_200),
            ("7d", 604_800),
            ("1h30m", 5_400),
            ("1d2h3m4s", 93_784),
            ("90m", 5_400),
            ("0s", 0),
            ("0007", 7),
            ("36500d", Span::MAX.0),
        ] {
            assert_eq!(text.parse(), Ok(Span(seconds)), "{text}");
            assert_eq!(Span(seconds).to_string().parse(), Ok(Span(seconds)), "{text}");
        }
        assert_eq!(Span(5_400).to_string(), "1h30m");
        assert_eq!(Span(60).to_string(), "1m");
        assert_eq!(Span(0).to_string(), "0s");
    }

    #[test]
    fn what_is_no_duration_or_too_long_is_an_error() {
        for text in [
            "", " ", "h", "2 h", " 2h", "2h ", "-1", "+1", "1.5h", "1h30", "30m1h", "1h1h", "2H", "2w", "1ms", "0x10",
            "1é", "é1", "٣", "1_000", "1h\0",
        ] {
            assert!(text.parse::<Span>().is_err_and(|what| what.starts_with("not a duration")), "{text:?}");
        }
        for text in ["36501d", "3153600001", "99999999999999999999999d", "36500d1s", "99999999999999999999"] {
            assert!(text.parse::<Span>().is_err_and(|what| what.contains("more than")), "{text:?}");
        }
        assert_eq!(Span::from(Duration::MAX), Span::MAX);
        // A deadline at the end of the longest span exists.
        assert!(std::time::Instant::now().checked_add(Span::MAX.into()).is_some());
    }
}
