//! The names of the files that a responder serves: certificates and revocation lists of its authorities.

/// The name of the first authority's files, beside their own name.
pub(crate) const FIRST: &str = "ca";

/// The file name of an authority's certificate: letters and digits in lower case, a dash for every other character.
#[must_use]
pub fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Two authorities whose files have the same name. A responder serves the files of only one of them, so certificates of the other
/// one would name a wrong issuer and a wrong revocation list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the authority {later} cannot be served beside {earlier}: both are /{file}.crt; \
     make one of them with another name, or serve it at another address"
)]
pub struct SameFileName {
    /// The authority that came first: its name, and its directory if it has one.
    pub earlier: String,
    /// The other one.
    pub later: String,
    /// The name without suffix.
    pub file: String,
}

/// An authority with files.
pub(crate) struct Named<I> {
    /// The common name.
    pub(crate) name: String,
    /// How an error shows the authority.
    pub(crate) shown: String,
    /// An identity that differs between authorities.
    pub(crate) identity: I,
}

/// Refuses different authorities whose files have the same name.
///
/// # Errors
/// The first such pair.
pub(crate) fn check<I: PartialEq>(authorities: &[Named<I>]) -> Result<(), SameFileName> {
    for (place, later) in authorities.iter().enumerate() {
        let file = file_name(&later.name);
        let has_the_name = |(place, other): &(usize, &Named<I>)| {
            other.identity != later.identity && (file_name(&other.name) == file || (*place == 0 && file == FIRST))
        };
        if let Some((_, earlier)) = authorities.iter().enumerate().take(place).find(has_the_name) {
            return Err(SameFileName { earlier: earlier.shown.clone(), later: later.shown.clone(), file });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(authorities: &[(&str, u8)]) -> Option<String> {
        let named = authorities.iter().map(|(name, identity)| Named {
            name: (*name).to_owned(),
            shown: format!("{name} {identity}"),
            identity: *identity,
        });
        check(&named.collect::<Vec<_>>()).err().map(|error| format!("{} {} {}", error.earlier, error.later, error.file))
    }

    #[test]
    fn different_authorities_have_different_file_names() {
        assert_eq!(outcome(&[("A", 1), ("B", 2), ("A", 1)]), None, "the same one twice");
        assert_eq!(outcome(&[("CA", 1), ("B", 2)]), None, "the first one is /ca.crt");
        assert_eq!(outcome(&[("A 1", 1), ("B", 2), ("a-1", 3)]).as_deref(), Some("A 1 1 a-1 3 a-1"));
        assert_eq!(outcome(&[("B", 2), ("CA", 1)]).as_deref(), Some("B 2 CA 1 ca"));
    }
}
