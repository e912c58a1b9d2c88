//! The lines of a crt-list, which have neither quotes nor variables.

use super::words::Word;

/// A line of a crt-list that names a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) certificate: Word,
    /// The words between the brackets.
    pub(super) options: Vec<Word>,
}

/// Why a line cannot be read: HAProxy would not start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    #[error("the brackets do not match")]
    Brackets,
    #[error("a NUL character")]
    Nul,
}

/// Reads one line, without its end; `None` for an empty line and for a comment, which begins in the first column.
pub(super) fn entry(line: &[u8]) -> Result<Option<Entry>, EntryError> {
    if line.first() == Some(&b'#') {
        return Ok(None);
    }
    if line.contains(&0) {
        return Err(EntryError::Nul);
    }
    let words = |part: &[u8]| -> Vec<Word> {
        let words = part.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b).filter(|word| !word.is_empty());
        words.map(|word| Word { bytes: word.to_vec(), doubt: None }).collect()
    };
    let open = line.iter().position(|byte| *byte == b'[');
    let close = line.iter().position(|byte| *byte == b']');
    let (before, between) = match (open, close) {
        (None, None) => (line, &[][..]),
        (Some(open), Some(close)) if open < close => {
            let after = line.get(close + 1..).unwrap_or_default();
            let between = line.get(open + 1..close).unwrap_or_default();
            if after.iter().chain(between).any(|byte| matches!(byte, b'[' | b']')) {
                return Err(EntryError::Brackets);
            }
            (line.get(..open).unwrap_or_default(), between)
        }
        _ => return Err(EntryError::Brackets),
    };
    match words(before).into_iter().next() {
        Some(certificate) => Ok(Some(Entry { certificate, options: words(between) })),
        None if open.is_some() => Err(EntryError::Brackets),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<(String, Vec<String>)> {
        let text = |word: &Word| String::from_utf8_lossy(&word.bytes).into_owned();
        let entry = entry(line.as_bytes()).expect(line)?;
        Some((text(&entry.certificate), entry.options.iter().map(text).collect()))
    }

    #[test]
    fn entries_are_read_as_haproxy_reads_them() {
        for (line, certificate, options) in [
            ("a.pem", "a.pem", &[][..]),
            ("  a.pem  foo.com !bar.com # x", "a.pem", &[]),
            ("a.pem [alpn h2] foo", "a.pem", &["alpn", "h2"]),
            ("a.pem\t[alpn\th2]\tfoo\r", "a.pem", &["alpn", "h2"]),
            ("a.pem[alpn h2]foo", "a.pem", &["alpn", "h2"]),
            ("a.pem []", "a.pem", &[]),
            ("a.pem [ ]x", "a.pem", &[]),
            ("\"a.pem\"", "\"a.pem\"", &[]),
            ("$X\\ y", "$X\\", &[]),
        ] {
            let options = options.iter().map(|&option| option.to_owned()).collect();
            assert_eq!(read(line), Some((certificate.to_owned(), options)), "{line:?}");
        }
        for line in ["", "  ", "#a.pem", "\r"] {
            assert_eq!(read(line), None, "{line:?}");
        }
        for line in ["a [b", "a b]", "a ]b[", "a [b] [c]", "a [b [c]", "[b] a"] {
            assert_eq!(entry(line.as_bytes()), Err(EntryError::Brackets), "{line:?}");
        }
        assert_eq!(entry(b"a\0"), Err(EntryError::Nul));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = entry(&line);
        }
    }
}
