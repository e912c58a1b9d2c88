//! Tests that the texts for manuals name every field of the JSON objects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::Serialize;
use stapled_core::io::fetched::Fetched;
use stapled_core::overview::Row;
use stapled_core::overview::responder::ResponderRow;
use stapled_core::overview::row::Server;
use stapled_core::reason::ReasonCode;
use stapled_core::verdict::Verdict;

/// The fields of this object that the text does not name.
fn missing(object: &impl Serialize, text: &str) -> Vec<String> {
    let object = serde_json::to_value(object).unwrap();
    let fields = object.as_object().expect("an object").keys();
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    fields.filter(|field| !text.split(|letter| !is_word(letter)).any(|word| word == *field)).cloned().collect()
}

#[test]
fn every_field_of_json_is_in_the_text_for_manuals() {
    assert_eq!(missing(&Row::default(), Row::FIELDS), [""; 0]);
    assert_eq!(missing(&Server::default(), Row::FIELDS), [""; 0]);
    assert_eq!(missing(&ResponderRow::default(), ResponderRow::FIELDS), [""; 0]);
    let verdict = || Verdict::invalid(ReasonCode::new("expired"), "it has expired");
    assert_eq!(missing(&verdict(), Verdict::FIELDS), [""; 0]);
    assert_eq!(missing(&Fetched::of(verdict()), &format!("{} {}", Fetched::FIELDS, Verdict::FIELDS)), [""; 0]);
}

#[test]
fn a_field_that_is_not_named_is_noticed() {
    #[derive(Serialize)]
    struct Object {
        name: u8,
        names: u8,
    }
    assert_eq!(missing(&Object { name: 1, names: 2 }, "the name"), ["names"]);
}
