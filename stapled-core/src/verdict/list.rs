//! Verdicts on a list of responses: one line names the files of one question.
//!
//! A line has three or four fields: the response, the certificate, its issuer's certificate, and the time of the verdict in
//! seconds since 1970 or as RFC 3339 (`2026-11-22T06:42:03Z`); without a time, or with `-`, the verdict is about now. If the line
//! has a tab, tabs separate the fields, and each field is taken as it is. Otherwise blanks separate them; a field between double
//! quotes may contain blanks, and in it `\"` and `\\` stand for `"` and `\`. Empty lines, and lines that begin with `#`, are passed
//! over.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::value::Verdict;
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// The longest line, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// A line of a list, with its question or what is wrong with it.
#[derive(Clone, Debug)]
pub struct Listed {
    number: u64,
    text: Option<String>,
    question: Result<ListedQuestion, &'static str>,
}

/// The verdict on a line of a list.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListedVerdict {
    /// The number of the line, from 1.
    pub line: u64,
    /// Its text. None: it is too long, or no text.
    pub input: Option<String>,
    /// The verdict.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub verdict: Verdict,
}

/// The files of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListedQuestion {
    response: String,
    certificate: String,
    issuer: String,
    /// The time of the verdict. None: now.
    at: Option<Timestamp>,
}

impl Listed {
    /// The form of a list and of the verdicts on it, as text for a manual.
    pub const FORM: &str = "\
Lists: tabs separate the fields of a line that has one. Otherwise blanks do; a field between double quotes may contain blanks, and
  \\\" and \\\\ in it stand for \" and \\. The time is in seconds since 1970 or RFC 3339; without it, or with -, --at counts. Empty lines
  and lines that begin with # are passed over. Each line of output has line (its number) and input (its text), and then the fields
  below; a line that cannot be used has the reason malformed, a file that cannot be opened unreadable_file.";

    /// The lines of a list that have a question, or should have one, as they come. An error of the reader ends them.
    pub fn all_in(reader: impl BufRead) -> impl Iterator<Item = io::Result<Listed>> {
        let (mut reader, mut number) = (reader, 0);
        std::iter::from_fn(move || {
            loop {
                let text = match next_line(&mut reader) {
                    Ok(Some(text)) => text,
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                };
                number += 1;
                let question = match text.as_deref().map(ListedQuestion::of_line) {
                    None => Err("it is too long, or no text"),
                    Some(Ok(None)) => continue,
                    Some(Ok(Some(question))) => Ok(question),
                    Some(Err(what)) => Err(what),
                };
                return Some(Ok(Listed { number, text, question }));
            }
        })
    }

    /// How many such lines follow in a list; 0 where it can be read only once, like a pipe. The list is at the same position
    /// afterwards.
    ///
    /// # Errors
    ///
    /// The list cannot be read.
    pub fn count(list: &mut (impl Read + Seek)) -> io::Result<usize> {
        let Ok(position) = list.stream_position() else { return Ok(0) };
        let count = Listed::all_in(BufReader::new(&mut *list)).take_while(Result::is_ok).count();
        list.seek(SeekFrom::Start(position))?;
        Ok(count)
    }

    /// The verdict on this line. `judge` gets the paths of the response, the certificate and the issuer, and the time; its error is
    /// that of a file.
    pub fn judged<E: Display>(
        self,
        judge: impl FnOnce([&Path; 3], Option<Timestamp>) -> Result<Verdict, E>,
    ) -> ListedVerdict {
        let verdict = match &self.question {
            Err(what) => Verdict::invalid(ReasonCode::new("malformed"), format!("this line: {what}")),
            Ok(ListedQuestion { response, certificate, issuer, at }) => {
                let files = [response, certificate, issuer].map(Path::new);
                let unreadable = |error: E| Verdict::invalid(ReasonCode::new("unreadable_file"), error.to_string());
                judge(files, *at).unwrap_or_else(unreadable)
            }
        };
        ListedVerdict { line: self.number, input: self.text, verdict }
    }
}

/// The next line without its end; the inner `None`: it is too long, or no text. The outer one: there are no more.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Option<String>>> {
    let mut line = Vec::new();
    let (mut is_long, mut is_begun) = (false, false);
    loop {
        let room = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
        let read = reader.by_ref().take(room).read_until(b'\n', &mut line)?;
        is_begun |= read > 0;
        if read == 0 || line.ends_with(b"\n") {
            break;
        }
        if line.len() > MAX_LINE {
            is_long = true;
            line.clear();
        }
    }
    let text = String::from_utf8(line).ok().filter(|_| !is_long);
    Ok(is_begun.then(|| text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())))
}

impl ListedQuestion {
    /// The question of a line. `None`: the line has none. The error says what is wrong with the line.
    fn of_line(line: &str) -> Result<Option<Self>, &'static str> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let mut fields = match line.contains('\t') {
            true => line.split('\t').map(str::to_owned).collect(),
            false => quoted(line)?,
        }
        .into_iter();
        let needed = "a response, a certificate and its issuer are needed, and at most a time after them";
        let (Some(response), Some(certificate), Some(issuer)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(needed);
        };
        if fields.len() > 1 || [&response, &certificate, &issuer].iter().any(|path| path.is_empty()) {
            return Err(needed);
        }
        let at = match fields.next().as_deref() {
            None | Some("" | "-") => None,
            Some(text) => {
                let seconds = text.parse().ok().map(Timestamp::from_unix);
                Some(
                    seconds
                        .or_else(|| Timestamp::from_text(text))
                        .ok_or("the time is in seconds since 1970, or like 2026-11-22T06:42:03Z")?,
                )
            }
        };
        Ok(Some(ListedQuestion { response, certificate, issuer, at }))
    }
}

/// The fields of a line that blanks separate.
fn quoted(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if_eq(&' ').is_some() {}
        let mut field = String::new();
        match rest.peek() {
            None => return Ok(fields),
            Some('"') => {
                rest.next();
                loop {
                    match (rest.next(), rest.peek()) {
                        (Some('"'), None | Some(' ')) => break,
                        (Some('"'), Some(_)) => return Err("a blank is missing after a quote"),
                        (Some('\\'), Some('"' | '\\')) => field.extend(rest.next()),
                        (Some(character), _) => field.push(character),
                        (None, _) => return Err("a quote does not end"),
                    }
                }
            }
            Some(_) => {
                while let Some(character) = rest.next_if(|character| *character != ' ') {
                    field.push(character);
                }
            }
        }
        fields.push(field);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(line: &str) -> Result<Option<[String; 3]>, &'static str> {
        Ok(ListedQuestion::of_line(line)?.map(|one| [one.response, one.certificate, one.issuer]))
    }

    #[test]
    fn lines_have_fields_between_tabs_or_blanks() {
        let three = |a: &str, b: &str, c: &str| Ok(Some([a, b, c].map(str::to_owned)));
        assert_eq!(fields("r.der c.pem i.pem"), three("r.der", "c.pem", "i.pem"));
        assert_eq!(fields("  r.der   c.pem i.pem 1800000000\r\n"), three("r.der", "c.pem", "i.pem"));
        assert_eq!(fields("a b\tc\"d\ti.pem\n"), three("a b", "c\"d", "i.pem"));
        assert_eq!(fields(r#""a b" "c\"d\\e\f" i"#), three("a b", r#"c"d\e\f"#, "i"));
        for line in ["", "  ", "# r c i", "\r\n"] {
            assert_eq!(fields(line), Ok(None), "{line:?}");
        }
        for line in ["r c", "r c i 5 x", "r\tc", "r\t\ti", "\"r c i", "\"r\"c i j", "r c i soon"] {
            assert!(fields(line).is_err(), "{line:?}");
        }
        let at = |line: &str| ListedQuestion::of_line(line).unwrap().unwrap().at;
        assert_eq!(at("r c i 1763793723"), at("r\tc\ti\t2025-11-22T06:42:03Z"));
        assert_eq!((at("r c i"), at("r c i -"), at("r\tc\ti\t")), (None, None, None));
    }

    #[test]
    fn questions_are_counted_from_the_present_position() {
        let mut list = io::Cursor::new(b"left out\n# r c i\n\nr c i\nno question\nr c i".to_vec());
        list.set_position(9);
        assert_eq!((Listed::count(&mut list).unwrap(), list.position()), (3, 9));
        assert_eq!(Listed::all_in(&mut list).count(), 3);
        assert_eq!(Listed::count(&mut list).unwrap(), 0);
        let mut pipe = io::pipe().map(|(reader, _)| std::fs::File::from(std::os::fd::OwnedFd::from(reader))).unwrap();
        assert_eq!(Listed::count(&mut pipe).unwrap(), 0);
    }

    proptest! {
        /// Any three fields can be written, in quotes.
        #[test]
        fn quotes_hold_anything(fields in proptest::collection::vec("[^\\t\\r\\n]{1,20}", 3)) {
            let quote = |field: &String| format!("\"{}\"", field.replace('\\', "\\\\").replace('"', "\\\""));
            let line = fields.iter().map(quote).collect::<Vec<_>>().join(" ");
            let listed = ListedQuestion::of_line(&line).unwrap().unwrap();
            prop_assert_eq!(&[listed.response, listed.certificate, listed.issuer][..], &fields[..]);
        }

        #[test]
        fn any_line_has_a_question_or_a_fault(line in "\\PC{0,60}") {
            let _ = ListedQuestion::of_line(&line);
        }
    }
}
