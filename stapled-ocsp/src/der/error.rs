//! Errors in DER, with the field and its value.

use std::fmt;

use super::tags::{
    BIT_STRING, BOOLEAN, ENUMERATED, Element, GENERALIZED_TIME, INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, SET,
    UTC_TIME,
};
use crate::hexadecimal::Hexadecimal;

/// The most octets of a time in a message. A time with fraction and offset has about twenty. The limit keeps errors
/// small, because every read returns a `Result` with one.
const LONGEST_VALUE: usize = 20;
/// The most octets of a value in hexadecimal in a message. A longer value may be a part of a key.
const LONGEST_NUMBER: usize = 8;
/// The most names of fields in a message.
const DEEPEST: usize = 3;

/// Bytes that are not strict DER, or not of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerError {
    what: &'static str,
    /// The name of the field, then the names of the fields around it. Unused places are empty.
    path: [&'static str; DEEPEST],
    /// The index in the list whose name in the path ends with `[]`.
    index: u16,
    /// The element in the field.
    found: Option<Found>,
    /// The expected tag.
    wanted: Option<u8>,
}

/// The beginning of an element that is not what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    tag: u8,
    contents: [u8; LONGEST_VALUE],
    length: u16,
}

impl DerError {
    pub(crate) const fn new(what: &'static str) -> Self {
        DerError { what, path: [""; DEEPEST], index: 0, found: None, wanted: None }
    }

    /// The same error, with this element.
    pub(crate) fn of(self, element: Element<'_>) -> Self {
        let mut contents = [0; LONGEST_VALUE];
        let length = u16::try_from(element.contents.len()).unwrap_or(u16::MAX);
        contents.iter_mut().zip(element.contents).for_each(|(to, from)| *to = *from);
        DerError { found: Some(Found { tag: element.tag, contents, length }), ..self }
    }

    /// The same error, with the tag that was expected.
    pub(crate) fn instead_of(self, tag: u8) -> Self {
        DerError { wanted: Some(tag), ..self }
    }

    fn within(mut self, field: &'static str) -> Self {
        if let Some(free) = self.path.iter_mut().find(|name| name.is_empty()) {
            *free = field;
        }
        self
    }
}

/// Adds the name of a field to an error. The innermost field is added first.
pub(crate) fn at(field: &'static str) -> impl Fn(DerError) -> DerError {
    move |error| error.within(field)
}

/// Adds the name of a list, which ends with `[]`, and the index of the item to an error.
pub(crate) fn item(list: &'static str, index: usize) -> impl Fn(DerError) -> DerError {
    move |error| DerError { index: u16::try_from(index).unwrap_or(u16::MAX), ..error }.within(list)
}

impl std::error::Error for DerError {}

/// Formats the error with its field and value, such as
/// `responses[0].thisUpdate: a time that is not YYYYMMDDHHMMSSZ: GeneralizedTime "202701010000Z"`.
impl fmt::Display for DerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.path.iter().rev().filter(|name| !name.is_empty()).peekable();
        if names.peek().is_none() {
            f.write_str("not strict DER")?;
        }
        while let Some(name) = names.next() {
            match name.strip_suffix("[]") {
                Some(list) => write!(f, "{list}[{}]", self.index)?,
                None => f.write_str(name)?,
            }
            if names.peek().is_some() {
                f.write_str(".")?;
            }
        }
        write!(f, ": {}", self.what)?;
        match (self.found, self.wanted) {
            (Some(found), Some(wanted)) => write!(f, " ({found} instead of {})", Tag(wanted)),
            (Some(found), None) => write!(f, ": {found}"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Tag(self.tag))?;
        let length = usize::from(self.length);
        let told = self.contents.get(..length).unwrap_or(&self.contents);
        let rest = if length > told.len() { "…" } else { "" };
        match self.tag {
            // The bytes may be anything, even a key, so a message shows them only if all are characters of times.
            UTC_TIME | GENERALIZED_TIME if told.iter().all(|byte| b"0123456789Z+-.,:T ".contains(byte)) => {
                write!(f, " \"{}{rest}\"", String::from_utf8_lossy(told))
            }
            UTC_TIME | GENERALIZED_TIME | OID | BOOLEAN | NULL | INTEGER | ENUMERATED if length <= LONGEST_NUMBER => {
                hexadecimal(f, told, rest)
            }
            BIT_STRING => match told.first() {
                Some(unused) => write!(f, " with {unused} unused bits"),
                None => Ok(()),
            },
            // A string may be anything, even a key, so a message shows only its length.
            _ => write!(f, " of {length} bytes"),
        }
    }
}

fn hexadecimal(f: &mut fmt::Formatter<'_>, bytes: &[u8], rest: &str) -> fmt::Result {
    f.write_str(if bytes.is_empty() { " without contents" } else { " " })?;
    write!(f, "{:X}{rest}", Hexadecimal::of(bytes))
}

/// Formats a tag by its name.
struct Tag(u8);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            BOOLEAN => "BOOLEAN",
            INTEGER => "INTEGER",
            BIT_STRING => "BIT STRING",
            OCTET_STRING => "OCTET STRING",
            NULL => "NULL",
            OID => "OBJECT IDENTIFIER",
            ENUMERATED => "ENUMERATED",
            UTC_TIME => "UTCTime",
            GENERALIZED_TIME => "GeneralizedTime",
            SEQUENCE => "SEQUENCE",
            SET => "SET",
            tag if tag & 0xc0 == 0x80 => return write!(f, "[{}]", tag & 0x1f),
            tag => return write!(f, "tag {tag:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::{Reader, element};

    fn of(tag: u8, contents: &[u8]) -> String {
        let bytes = element(tag, contents);
        DerError::new("odd").of(Element { tag, contents, raw: &bytes }).to_string()
    }

    #[test]
    fn fields_and_values() {
        assert_eq!(DerError::new("odd").to_string(), "not strict DER: odd");
        let within = |error| item("responses[]", 3)(at("thisUpdate")(error));
        assert_eq!(within(DerError::new("odd")).to_string(), "responses[3].thisUpdate: odd");
        let deep = at("d")(at("c")(at("b")(at("a")(DerError::new("odd")))));
        assert_eq!(deep.to_string(), "c.b.a: odd");
        let wrong = Reader::new(b"\x17\x0d270101000000Z").expect(GENERALIZED_TIME).unwrap_err();
        let told = "not strict DER: an element of another type than expected \
                    (UTCTime \"270101000000Z\" instead of GeneralizedTime)";
        assert_eq!(wrong.to_string(), told);
        assert_eq!(of(GENERALIZED_TIME, b"2027"), "not strict DER: odd: GeneralizedTime \"2027\"");
        assert_eq!(of(GENERALIZED_TIME, b"20\n27"), "not strict DER: odd: GeneralizedTime 32300A3237");
        assert_eq!(of(BOOLEAN, &[1]), "not strict DER: odd: BOOLEAN 01");
        assert_eq!(of(INTEGER, &[0, 1]), "not strict DER: odd: INTEGER 0001");
        assert_eq!(of(BIT_STRING, &[3, 1]), "not strict DER: odd: BIT STRING with 3 unused bits");
        assert_eq!(of(NULL, &[]), "not strict DER: odd: NULL without contents");
        assert_eq!(of(0xa3, &[]), "not strict DER: odd: [3] of 0 bytes");
        assert_eq!(of(0x3c, b"html"), "not strict DER: odd: tag 3C of 4 bytes");
    }

    /// A message is short for a value of any length, and shows no part of a possible key.
    #[test]
    fn messages_are_short_and_tell_no_secrets() {
        for tag in 0..=255 {
            let told = of(tag, &[b'A'; 5000]);
            assert!(told.len() < 120, "{told}");
            assert!(!told.contains("AAAA") && !told.contains("4141"), "{told}");
            assert!(!of(tag, &[0x41; 9]).contains("4141"), "{told}");
        }
        assert!(size_of::<DerError>() <= 96);
    }
}
