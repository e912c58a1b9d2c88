//! Names with those below them, as the rules list them.

use std::fmt;
use std::str::FromStr;

use super::request::is_host_name;

/// A host name that stands for itself and all names below it: `example.org` for `example.org` and `www.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameSuffix(String);

impl NameSuffix {
    /// Whether a name is this one or below it. The name is in lower case.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        name.strip_suffix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for NameSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a host name. As a rule it would match no name, so it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a DNS name; write a name such as example.org, without a dot or * before or after it: names below it are included"
)]
pub struct NoNameSuffix {
    /// The text.
    pub text: String,
}

impl FromStr for NameSuffix {
    type Err = NoNameSuffix;

    fn from_str(text: &str) -> Result<Self, NoNameSuffix> {
        match is_host_name(text) {
            true => Ok(NameSuffix(text.to_ascii_lowercase())),
            false => Err(NoNameSuffix { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_contains_itself_and_the_names_below_it() {
        let suffix: NameSuffix = "Example.ORG".parse().unwrap();
        assert_eq!(suffix.to_string(), "example.org");
        for (name, contained) in [
            ("example.org", true),
            ("a.b.example.org", true),
            ("badexample.org", false),
            ("org", false),
            ("example.com", false),
        ] {
            assert_eq!(suffix.contains(name), contained, "{name}");
        }
    }

    #[test]
    fn what_would_match_no_name_is_refused() {
        for text in [
            "",
            ".",
            ".example.org",
            "example.org.",
            "*.example.org",
            "*",
            "10.0.0.1",
            "::1",
            "a b",
            "a,b",
            "ä.example",
            "-a",
        ] {
            assert_eq!(text.parse::<NameSuffix>(), Err(NoNameSuffix { text: text.to_owned() }), "{text}");
        }
        for text in ["internal", "xn--mnchen-3ya.example", "a-b.example"] {
            assert!(text.parse::<NameSuffix>().is_ok(), "{text}");
        }
    }
}
