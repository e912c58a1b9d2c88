//! Text for lines: names in certificates and of files, which can contain any character, and misspelled names.

use stapled_core::describe::visible::Visible;
use strsim::levenshtein as distance;

/// Text with hidden characters escaped, as [`Visible`] shows it.
pub(crate) fn visible(text: &str) -> String {
    Visible::new(text).to_string()
}

/// The known name that is so similar to this one that it is probably meant.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let (distance, known) = known.into_iter().map(|known| (distance(name, known), known)).min()?;
    (distance <= 1 + known.len() / 4).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_between_words() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("abc", "abd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
