//! Fields of records: texts, numbers, and "True" and "False".

use std::collections::BTreeMap;

/// The fields of a record or a part.
pub(crate) type Fields = BTreeMap<String, Vec<u8>>;

/// A record that is not one of a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is damaged: {field} is {problem}; an operator can remove it with `stapled-ca sessions kill`")]
pub struct Damaged {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Damaged {
    pub(crate) fn new(field: &str, problem: &'static str) -> Self {
        Damaged { field: field.to_owned(), problem }
    }
}

pub(crate) fn from_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

pub(crate) fn bool_of(fields: &Fields, name: &str) -> Result<bool, Damaged> {
    match fields.get(name).map(Vec::as_slice) {
        Some(b"True") => Ok(true),
        Some(b"False") => Ok(false),
        _ => Err(Damaged::new(name, "neither True nor False")),
    }
}

pub(crate) fn text_of(fields: &Fields, name: &str) -> Result<String, Damaged> {
    optional_text(fields, name)?.ok_or_else(|| Damaged::new(name, "missing"))
}

/// An empty field is the same as a missing one, because a field of a record can be set, and not removed.
pub(crate) fn optional_text(fields: &Fields, name: &str) -> Result<Option<String>, Damaged> {
    let Some(value) = fields.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    String::from_utf8(value.clone()).map(Some).map_err(|_| Damaged::new(name, "not UTF-8"))
}

pub(crate) fn number_of<N: std::str::FromStr>(fields: &Fields, name: &str) -> Result<N, Damaged> {
    optional_number(fields, name)?.ok_or_else(|| Damaged::new(name, "missing"))
}

pub(crate) fn optional_number<N: std::str::FromStr>(fields: &Fields, name: &str) -> Result<Option<N>, Damaged> {
    let number = |text: String| text.parse().map_err(|_| Damaged::new(name, "not a number in its range"));
    optional_text(fields, name)?.map(number).transpose()
}
