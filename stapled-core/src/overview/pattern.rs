//! Names, serial numbers and paths as users write them, with `*` and `?` for what varies.

use crate::event::About;

/// A name, a serial number or a path; `*` stands for any characters, and `?` for one.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Exact(String),
    Glob(Vec<char>),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        match text.contains(['*', '?']) {
            true => Pattern(Kind::Glob(text.chars().collect())),
            false => Pattern(Kind::Exact(text.to_owned())),
        }
    }

    /// Whether the text as a whole fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(exact) => exact == text,
            Kind::Glob(glob) => fits(glob, text),
        }
    }

    /// Whether the name, the serial number or one of the places of a certificate fits. A path that is written as a certificate's
    /// name, such as that of a wildcard, fits too.
    pub(super) fn fits_certificate(&self, about: &About) -> bool {
        self.fits(&about.name) || self.fits(&about.serial) || about.places.iter().any(|place| self.fits(place))
    }
}

/// One pass with a return to the last `*`: the time is the product of both lengths at most.
fn fits(glob: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || text.get(read) == Some(wanted) => (at, read) = (at + 1, read + 1),
            _ => match star {
                Some((before, from)) => {
                    star = Some((before, from + 1));
                    (at, read) = (before + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters_and_question_marks_for_one() {
        for (pattern, text, expected) in [
            ("www.example.org", "www.example.org", true),
            ("www.example.org", "WWW.example.org", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "*.example.org", true),
            ("*.example.org", "example.org", false),
            ("/etc/*/a?.pem", "/etc/haproxy/certs/a1.pem", true),
            ("*a*b*c", "xaxxbxbxc", true),
            ("*a*b*c", "xaxxbxbxcd", false),
            ("?", "", false),
            ("*", "", true),
            ("*ä?", "ää", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), expected, "{pattern} {text}");
        }
        let long = "a".repeat(2000);
        assert!(!Pattern::new(&format!("{}b", "*a".repeat(200))).fits(&long));
    }
}
