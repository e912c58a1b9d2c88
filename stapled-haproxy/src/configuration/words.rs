//! Cuts a line into words, as HAProxy does ("2.2. Quoting and escaping", "2.3. Environment variables" of its
//! configuration manual).
//!
//! HAProxy's versions differ in one point: an unset variable. Up to 2.6 `"$UNSET"` is an empty word, which ends the line
//! for most keywords; later versions skip the quote and the spaces behind it. Here a word that is empty for that reason is
//! left out, and any other ends where its quote ends: every line that either version accepts is cut as that version does.

use std::sync::Arc;

use stapled_core::hexadecimal::Hexadecimal;

use super::line_problem::DoubtKind;

/// The number of words of one line that are read; HAProxy itself takes 64.
const MAX_WORDS: usize = 4096;
/// The longest word, in bytes, that variables may make.
const MAX_BYTES: usize = 1024 * 1024;

/// A word, unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) bytes: Vec<u8>,
    /// A variable in it whose value is uncertain, if there is one.
    pub(super) doubt: Option<Arc<Doubt>>,
}

/// Why HAProxy may read a word differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) variable: String,
    pub(super) kind: DoubtKind,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Set(Vec<u8>),
    /// An undecidable condition sets it.
    Perhaps(Vec<u8>),
    Unset,
    /// One of HAProxy's own variables.
    Unknown,
}

/// Why a line cannot be cut into words: HAProxy would not start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("a quote does not end")]
    Quote,
    #[error("\\x without two hexadecimal digits")]
    Hexadecimal,
    #[error("$ in double quotes without the name of a variable (write \\$ for the character itself)")]
    VariableName,
    #[error("unterminated `${{`")]
    Brace,
    #[error("[ in ${{…}} that is not [*]")]
    Expansion,
    #[error("a NUL character")]
    Nul,
    #[error("too many words, or too long")]
    TooLong,
}

/// Cuts a line, without its end, into words. `lookup` gives the value of a variable.
pub(super) fn split(line: &[u8], lookup: &dyn Fn(&str) -> Variable) -> Result<Vec<Word>, LineError> {
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
    let line = line.get(..end).unwrap_or_default();
    if line.contains(&0) {
        return Err(LineError::Nul);
    }
    let mut cutter = Cutter { rest: line, quote: None, word: Word::default(), begun: false, words: Vec::new() };
    cutter.cut(lookup)?;
    Ok(cutter.words)
}

struct Cutter<'a> {
    rest: &'a [u8],
    quote: Option<u8>,
    word: Word,
    /// Whether a word has begun, even an empty one.
    begun: bool,
    words: Vec<Word>,
}

/// How the value of a variable becomes part of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expansion {
    /// `${NAME}`: the value is a part of its word, spaces included.
    Inside,
    /// `${NAME[*]}`: spaces in the value begin new words.
    Words,
}

/// Whether C's `isspace` holds, except for the characters that end a line.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

impl Cutter<'_> {
    fn cut(&mut self, lookup: &dyn Fn(&str) -> Variable) -> Result<(), LineError> {
        while let Some(byte) = self.next() {
            match (byte, self.quote) {
                (b'#', None) => break,
                (b'"' | b'\'', None) => {
                    self.quote = Some(byte);
                    self.begun = true;
                }
                (_, Some(quote)) if byte == quote => self.quote = None,
                (b'\\', None | Some(b'"')) => self.escape()?,
                (b'$', Some(b'"')) => self.variable(lookup)?,
                (_, None) if is_space(byte) => self.end_word()?,
                _ => self.push(byte)?,
            }
        }
        if self.quote.is_some() {
            return Err(LineError::Quote);
        }
        self.end_word()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn push(&mut self, byte: u8) -> Result<(), LineError> {
        self.begun = true;
        self.word.bytes.push(byte);
        if self.word.bytes.len() > MAX_BYTES { Err(LineError::TooLong) } else { Ok(()) }
    }

    fn end_word(&mut self) -> Result<(), LineError> {
        let word = std::mem::take(&mut self.word);
        let is_unset = word.bytes.is_empty() && word.doubt.is_some();
        if std::mem::take(&mut self.begun) && !is_unset {
            if self.words.len() >= MAX_WORDS {
                return Err(LineError::TooLong);
            }
            self.words.push(word);
        }
        Ok(())
    }

    /// Reads the characters after a backslash. Characters that are no escape stay, with the backslash.
    fn escape(&mut self) -> Result<(), LineError> {
        let (byte, length) = match self.rest.first() {
            Some(&byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => (byte, 1),
            Some(b'$') if self.quote.is_some() => (b'$', 1),
            Some(b't') => (b'\t', 1),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'x') => {
                let bytes = self.rest.get(1..3).and_then(Hexadecimal::decode);
                (bytes.and_then(|bytes| bytes.first().copied()).ok_or(LineError::Hexadecimal)?, 3)
            }
            _ => (b'\\', 0),
        };
        self.rest = self.rest.get(length..).unwrap_or_default();
        // A NUL would end the name of a file.
        if byte == 0 { Err(LineError::Nul) } else { self.push(byte) }
    }

    /// Reads the variable after a dollar: `NAME`, `{NAME}`, `{NAME-default}`, `{NAME[*]}`.
    fn variable(&mut self, lookup: &dyn Fn(&str) -> Variable) -> Result<(), LineError> {
        let in_braces = self.rest.first() == Some(&b'{');
        let name_and_more = self.rest.get(usize::from(in_braces)..).unwrap_or_default();
        let length = name_length(name_and_more).ok_or(LineError::VariableName)?;
        let (name, mut rest) = name_and_more.split_at_checked(length).ok_or(LineError::VariableName)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let mut default = None;
        let mut expansion = Expansion::Inside;
        if in_braces {
            if rest.first() == Some(&b'[') {
                rest = rest.strip_prefix(b"[*]").ok_or(LineError::Expansion)?;
                expansion = Expansion::Words;
            }
            let close = rest.iter().position(|&byte| byte == b'}').ok_or(LineError::Brace)?;
            let (before, after) = rest.split_at_checked(close).ok_or(LineError::Brace)?;
            default = match before.split_first() {
                None => None,
                Some((b'-', default)) => Some(default.to_vec()),
                Some(_) => return Err(LineError::Brace),
            };
            rest = after.get(1..).unwrap_or_default();
        }
        self.rest = rest;
        let (value, doubt) = match lookup(&name) {
            Variable::Set(value) => (value, None),
            Variable::Perhaps(value) => (value, Some(DoubtKind::Undecided)),
            Variable::Unset => match default {
                Some(default) => (default, None),
                None => (Vec::new(), Some(DoubtKind::Unset)),
            },
            Variable::Unknown => (default.unwrap_or_default(), Some(DoubtKind::Unknown)),
        };
        let doubt = doubt.map(|kind| Arc::new(Doubt { variable: name, kind }));
        self.insert(&value, expansion, doubt.as_ref())
    }

    fn insert(&mut self, value: &[u8], expansion: Expansion, doubt: Option<&Arc<Doubt>>) -> Result<(), LineError> {
        let mark = |word: &mut Word| {
            if word.doubt.is_none() {
                word.doubt = doubt.cloned();
            }
        };
        mark(&mut self.word);
        let mut before_is_space = false;
        for &byte in value {
            let is_space = expansion == Expansion::Words && (is_space(byte) || matches!(byte, b'\r' | b'\n'));
            if is_space && !before_is_space {
                self.end_word()?;
                self.begun = true;
                mark(&mut self.word);
            } else if !is_space {
                self.push(byte)?;
            }
            before_is_space = is_space;
        }
        Ok(())
    }
}

/// The length of a variable's name. HAProxy's own names may begin with a dot.
fn name_length(text: &[u8]) -> Option<usize> {
    let first = text.first()?;
    if !first.is_ascii_alphabetic() && !matches!(first, b'_' | b'.') {
        return None;
    }
    let rest = text.iter().skip(1).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    Some(1 + rest.count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Variable {
        match name {
            "A" => Variable::Set(b"value".to_vec()),
            "SPACES" => Variable::Set(b"two  words".to_vec()),
            "EMPTY" => Variable::Set(Vec::new()),
            "MAYBE" => Variable::Perhaps(b"perhaps".to_vec()),
            "OWN" => Variable::Unknown,
            ".LINE" => Variable::Set(b"7".to_vec()),
            _ => Variable::Unset,
        }
    }

    fn words(line: &str) -> Result<Vec<String>, LineError> {
        let words = split(line.as_bytes(), &lookup)?;
        Ok(words.into_iter().map(|word| String::from_utf8(word.bytes).unwrap()).collect())
    }

    #[test]
    fn lines_are_cut_as_haproxy_cuts_them() {
        for (line, expected) in [
            ("", &[][..]),
            ("  # only a comment", &[]),
            ("bind :443\tssl\x0bcrt\x0cx # why", &["bind", ":443", "ssl", "crt", "x"]),
            ("crt x.pem#y", &["crt", "x.pem"]),
            ("a\rb", &["a"]),
            (r"a\ b c\#d e\\f", &["a b", "c#d", r"e\f"]),
            (r"\c \1 end\", &[r"\c", r"\1", r"end\"]),
            ("a\\\tb", &[r"a\", "b"]),
            (r"\t\n\r\x41", &["\t\n\rA"]),
            (r#""a b" 'c d' e"f"'g'h"#, &["a b", "c d", "efgh"]),
            (r#""a#b" 'c#d'"#, &["a#b", "c#d"]),
            (r#""it's" 'say "x"' \"\'"#, &["it's", r#"say "x""#, "\"'"]),
            (r#"'a\ b' 'c\\d' 'e\x41'"#, &[r"a\ b", r"c\\d", r"e\x41"]),
            (r#""a\ b" "c\"d" "\x41" "\$A""#, &["a b", "c\"d", "A", "$A"]),
            (r"$A \$A ${A}", &["$A", r"\$A", "${A}"]),
            (r#"'$A'"#, &["$A"]),
            (r#""$A" "${A}x" "$A.pem" "x$A$A""#, &["value", "valuex", "value.pem", "xvaluevalue"]),
            (r#""$SPACES""#, &["two  words"]),
            (r#""<${SPACES[*]}>""#, &["<two", "words>"]),
            (r#""${A-d}" "${N-d}" "${N-$A}" "${N-x"y}" "${N-a\b}""#, &["value", "d", "$A", "x\"y", r"a\b"]),
            (r#""" a "" '' b"#, &["", "a", "", "", "b"]),
            (r#""$EMPTY" a"#, &["", "a"]),
            (r#""$N" a "${N}" "b$N" c"#, &["a", "b", "c"]),
            (r#""${.LINE}""#, &["7"]),
        ] {
            assert_eq!(
                words(line).as_deref(),
                Ok(expected.iter().map(|&word| word.to_owned()).collect::<Vec<_>>().as_slice()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_line_that_haproxy_refuses_is_an_error() {
        for (line, expected) in [
            ("\"a", LineError::Quote),
            ("'a\"", LineError::Quote),
            (r"\x4", LineError::Hexadecimal),
            (r"\x4g", LineError::Hexadecimal),
            (r"\x00", LineError::Nul),
            ("\"$\"", LineError::VariableName),
            ("\"$1\"", LineError::VariableName),
            ("\"${A\"", LineError::Brace),
            ("\"${A!}\"", LineError::Brace),
            ("\"${A-d\"", LineError::Brace),
            ("\"${A[1]}\"", LineError::Expansion),
            ("a\0b", LineError::Nul),
        ] {
            assert_eq!(words(line), Err(expected), "{line:?}");
        }
    }

    #[test]
    fn doubts_are_kept_with_their_words() {
        let doubt = |line: &str| {
            let words = split(line.as_bytes(), &lookup).unwrap();
            words.into_iter().map(|word| word.doubt.map(|doubt| doubt.kind)).collect::<Vec<_>>()
        };
        assert_eq!(doubt(r#"a "x$N" "$A""#), [None, Some(DoubtKind::Unset), None]);
        assert_eq!(doubt(r#""$MAYBE" "x$OWN" "${N-d}""#), [Some(DoubtKind::Undecided), Some(DoubtKind::Unknown), None]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&line, &lookup);
        }

        #[test]
        fn no_text_of_special_characters_panics(line in "[\\\\\"'#$ {}\\[\\]*xA0\t-]{0,40}") {
            let _ = split(line.as_bytes(), &lookup);
        }

        #[test]
        fn a_word_quoted_in_any_way_is_read_back(words in proptest::collection::vec("[ -~]{1,12}", 1..6), how in 0..3_usize) {
            let quote = |word: &String| match how {
                0 => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$")),
                1 => word.split('\'').map(|part| format!("'{part}'")).collect::<Vec<_>>().join("\\'"),
                _ => word.chars().map(|c| match c {
                    ' ' | '\\' | '#' | '"' | '\'' => format!("\\{c}"),
                    c => c.to_string(),
                }).collect(),
            };
            let line = words.iter().map(quote).collect::<Vec<_>>().join(" \t");
            prop_assert_eq!(tests::words(&line), Ok(words));
        }
    }
}
