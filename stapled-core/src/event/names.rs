//! Values of a label, in limited number.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::describe::visible::Visible;

/// The value that stands for all beyond the limit.
pub(crate) const OTHER: &str = "other";
/// How long a value may be, in bytes.
const LENGTH: usize = 256;

/// The values of one label: the first ones up to a limit, and `other`. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    known: Arc<Mutex<HashSet<String>>>,
    limit: usize,
}

impl Names {
    /// No value yet, and at most this many.
    pub(crate) fn up_to(limit: usize) -> Self {
        Names { known: Arc::default(), limit }
    }

    /// The value of the label for this name.
    pub(crate) fn of(&self, name: &str) -> String {
        let name = shown(name);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&name) {
            return name;
        }
        if known.len() >= self.limit {
            return OTHER.to_owned();
        }
        known.insert(name.clone());
        name
    }
}

/// A name as the value of a label: hidden characters are escaped, and a long name is cut.
pub(crate) fn shown(name: &str) -> String {
    let shown = Visible::new(name).to_string();
    if shown.len() <= LENGTH {
        return shown;
    }
    let end = |(at, character): &(usize, char)| at + character.len_utf8() <= LENGTH - '…'.len_utf8();
    shown.char_indices().take_while(end).map(|(_, character)| character).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_have_one_value_together() {
        let names = Names::up_to(2);
        assert_eq!(["a", "b", "c", "a", "d"].map(|name| names.of(name)), ["a", "b", OTHER, "a", OTHER]);
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_hidden_characters_are_escaped() {
        let long = shown(&"ä".repeat(1000));
        assert!(long.len() <= LENGTH && long.ends_with("ä…"), "{long}");
        assert_eq!(shown("a\n\u{202e}b"), "a\\n\\u{202e}b");
    }
}
