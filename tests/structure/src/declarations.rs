//! Lists the public declarations of a source file: what a program that uses the library can name or call.
//!
//! Lints refuse a `pub` that cannot be reached from outside (`unreachable_pub`). So whatever is `pub` is part of the interface.

use std::collections::BTreeSet;

use crate::tokens::{Kind, Token};

/// The public declarations of a file, each on one line, in their order. `private` are the types of the crate that are not public: what
/// is implemented for them does not count.
pub fn declarations(tokens: &[Token], private: &BTreeSet<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for item in items(tokens) {
        item.list("", private, &mut lines);
    }
    lines
}

/// The types of a file that are not public, and those that are.
pub fn types(tokens: &[Token]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut private, mut public) = (BTreeSet::new(), BTreeSet::new());
    for item in items(tokens) {
        if matches!(item.keyword(), "struct" | "enum" | "union" | "type" | "trait") {
            let name = item.word_after(item.keyword());
            _ = if item.is_public { public.insert(name) } else { private.insert(name) };
        }
    }
    (private, public)
}

/// One item: its attributes, and its tokens up to its `;` or the end of its braces.
struct Item<'t> {
    is_public: bool,
    attributes: &'t [Token],
    /// Without the attributes and the visibility.
    head: &'t [Token],
    /// The tokens between the braces.
    body: Option<&'t [Token]>,
}

/// The items of a module, an `impl` or a trait.
fn items(tokens: &[Token]) -> Vec<Item<'_>> {
    let (mut items, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let begin = at;
        while tokens[at].is('#') && at + 1 < tokens.len() {
            at = closing(tokens, at + 1 + usize::from(tokens[at + 1].is('!'))) + 1;
            if at >= tokens.len() {
                return items;
            }
        }
        let attributes = &tokens[begin..at];
        let is_restricted = tokens.get(at + 1).is_some_and(|next| next.is('('));
        let is_pub = tokens[at].word() == Some("pub");
        at += usize::from(is_pub);
        if is_pub && is_restricted {
            at = closing(tokens, at) + 1;
        }
        let head = at;
        // An item ends with `;`, or with braces. A `;` inside of brackets is the length of an array.
        while at < tokens.len() && !tokens[at].is(';') && !tokens[at].is('{') {
            at = if tokens[at].is('(') || tokens[at].is('[') { closing(tokens, at) + 1 } else { at + 1 };
        }
        let is_use = tokens.get(head).is_some_and(|token| token.word() == Some("use"));
        // The `=` of a function is in a bound, such as that of `impl Iterator<Item = u8>`.
        let before = &tokens[head..at.min(tokens.len())];
        let is_function = before.iter().any(|token| token.word() == Some("fn"));
        let is_value = !is_function && before.iter().any(|token| token.is('='));
        let (head_end, mut body) = (at.min(tokens.len()), None);
        if tokens.get(at).is_some_and(|token| token.is('{')) {
            let end = closing(tokens, at);
            if !is_use && !is_value {
                body = Some(&tokens[at + 1..end]);
            }
            at = end;
            // `use a::{b, c};` and constants with braces end with `;`.
            while (is_use || is_value) && at < tokens.len() && !tokens[at].is(';') {
                at += 1;
            }
        }
        let end = if is_use { at.min(tokens.len()) } else { head_end };
        items.push(Item { is_public: is_pub && !is_restricted, attributes, head: &tokens[head..end], body });
        at += 1;
    }
    items
}

/// The place of the bracket that closes the one here.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[open..].iter().enumerate() {
        depth += i32::from(token.is('(') || token.is('[') || token.is('{'));
        depth -= i32::from(token.is(')') || token.is(']') || token.is('}'));
        if depth == 0 {
            return open + offset;
        }
    }
    tokens.len() - 1
}

impl Item<'_> {
    fn keyword(&self) -> &str {
        let words = self.head.iter().filter_map(Token::word);
        let mut words = words.skip_while(|word| matches!(*word, "async" | "unsafe" | "extern"));
        match words.next() {
            // `const fn`
            Some("const") if self.head.iter().any(|token| token.word() == Some("fn")) => "fn",
            Some(word) => word,
            None => "",
        }
    }

    fn word_after(&self, keyword: &str) -> String {
        let mut words = self.head.iter().filter_map(Token::word).skip_while(|word| *word != keyword).skip(1);
        words.next().unwrap_or_default().to_owned()
    }

    fn list(&self, prefix: &str, private: &BTreeSet<String>, lines: &mut Vec<String>) {
        let head = text(self.head);
        match (self.keyword(), self.body) {
            ("impl", Some(body)) => self.list_impl(&head, body, private, lines),
            ("macro_rules", _) if text(self.attributes).contains("macro_export") => {
                lines.push(format!("{prefix}{head}"))
            }
            _ if !self.is_public => {}
            ("mod", Some(body)) => {
                let prefix = format!("{prefix}{}::", self.word_after("mod"));
                items(body).iter().for_each(|item| item.list(&prefix, private, lines));
            }
            ("const" | "static", _) => {
                let end = self.head.iter().position(|token| token.is('=')).unwrap_or(self.head.len());
                lines.push(format!("{prefix}{}", text(&self.head[..end])));
            }
            ("enum", Some(body)) => lines.push(format!("{prefix}{}{head} {{ {} }}", self.marks(), text(&plain(body)))),
            ("struct", Some(body)) => {
                lines.push(format!("{prefix}{}{head} {{ {} }}", self.marks(), public_fields(body)));
            }
            ("struct", None) => lines.push(format!("{prefix}{}{}", self.marks(), text(&open_tuple(self.head)))),
            ("trait", Some(body)) => {
                lines.push(format!("{prefix}{head}"));
                let name = self.word_after("trait");
                for item in items(body) {
                    let default = if item.body.is_some() { " { .. }" } else { "" };
                    lines.push(format!("{prefix}{name}: {}{default}", text(item.head)));
                }
            }
            _ => lines.push(format!("{prefix}{head}")),
        }
    }

    fn list_impl(&self, head: &str, body: &[Token], private: &BTreeSet<String>, lines: &mut Vec<String>) {
        let place = self.head.iter().rposition(|token| token.word() == Some("for") || token.word() == Some("impl"));
        let subject = self.head[place.unwrap_or_default() + 1..].iter();
        let is_private = |token: &Token| token.word().is_some_and(|word| private.contains(word));
        if subject.clone().any(is_private) || self.head.iter().any(is_private) {
            return;
        }
        if self.head.iter().any(|token| token.word() == Some("for")) {
            return lines.push(head.to_owned());
        }
        for item in items(body).iter().filter(|item| item.is_public) {
            let end = item.head.iter().position(|token| token.is('=')).filter(|_| item.keyword() == "const");
            let declared = &item.head[..end.unwrap_or(item.head.len())];
            lines.push(format!("{}: {}", head.trim_start_matches("impl").trim_start(), text(declared)));
        }
    }

    /// The attributes that are part of the interface.
    fn marks(&self) -> String {
        let attributes = text(self.attributes);
        let mut marks = String::new();
        if attributes.contains("non_exhaustive") {
            marks.push_str("#[non_exhaustive] ");
        }
        for derived in attributes.split("derive(").skip(1) {
            marks.push_str(&format!("#[derive({})] ", derived.split(')').next().unwrap_or_default()));
        }
        marks
    }
}

/// The fields between the braces of a struct that are public, and `..` for the others.
fn public_fields(body: &[Token]) -> String {
    let body = plain(body);
    let (mut fields, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, token) in body.iter().enumerate() {
        depth += i32::from(token.is('(') || token.is('[') || token.is('<'));
        let is_arrow = token.is('>') && at > 0 && body[at - 1].is('-');
        depth -= i32::from(token.is(')') || token.is(']') || token.is('>') && !is_arrow);
        if depth == 0 && token.is(',') {
            fields.push(&body[begin..at]);
            begin = at + 1;
        }
    }
    fields.push(&body[begin..]);
    fields.retain(|field| !field.is_empty());
    let is_public = |field: &&[Token]| field[0].word() == Some("pub") && !field.get(1).is_some_and(|next| next.is('('));
    let mut shown: Vec<String> =
        fields.iter().filter(|field| is_public(field)).map(|field| text(&field[1..])).collect();
    if shown.len() < fields.len() {
        shown.push("..".to_owned());
    }
    shown.join(", ")
}

/// The head of a tuple struct, with `..` in place of the fields if one is private.
fn open_tuple(head: &[Token]) -> Vec<Token> {
    let Some(open) = head.iter().position(|token| token.is('(')) else { return head.to_vec() };
    let end = closing(head, open);
    let inside = plain(&head[open + 1..end]);
    if inside.first().is_some_and(|token| token.word() == Some("pub"))
        && !inside.get(1).is_some_and(|next| next.is('('))
    {
        return head.to_vec();
    }
    let dots = std::iter::repeat_n(Token { kind: Kind::Punctuation('.'), line: 0 }, 2);
    head[..=open].iter().cloned().chain(dots).chain(head[end..].iter().cloned()).collect()
}

/// The tokens without attributes.
fn plain(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at].is('#') && tokens.get(at + 1).is_some_and(|next| next.is('[')) {
            at = closing(tokens, at + 1) + 1;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The tokens as text on one line.
fn text(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut before: Option<&Token> = None;
    for token in tokens {
        if before.is_some_and(|before| has_space(before, token, text.ends_with("->"))) {
            text.push(' ');
        }
        match &token.kind {
            Kind::Word(word) => text.push_str(word),
            Kind::PathSeparator => text.push_str("::"),
            Kind::Punctuation(character) => text.push(*character),
        }
        before = Some(token);
    }
    text
}

/// Whether there is a space between two tokens.
fn has_space(before: &Token, token: &Token, is_after_arrow: bool) -> bool {
    let is_among = |token: &Token, list: &str| matches!(token.kind, Kind::Punctuation(one) if list.contains(one));
    match (before.word(), token.word()) {
        (_, Some("for")) => true,
        (Some(_), Some(_)) => true,
        (Some("for" | "mut" | "dyn" | "in"), None) => true,
        _ if before.kind == Kind::PathSeparator => false,
        _ => is_after_arrow || is_among(before, ",;:+={}") && !is_among(token, ",;") || is_among(token, "-+={}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    #[test]
    fn public_declarations_are_listed() {
        let source = r#"
            #[derive(Clone, Debug)] #[non_exhaustive] pub struct A { pub b: Vec<u8>, c: u8 }
            pub struct B(u8); pub struct C(pub u8); struct Hidden;
            pub(crate) fn d() {}
            pub enum E { #[error("x")] F { g: &'static str }, H }
            impl A { pub const I: u8 = 1; pub fn j<'a>(&'a mut self, k: &[u8; 4]) -> Option<&'a str> { None } fn l() {} }
            impl From<u8> for A { fn from(_: u8) -> A { A::default() } }
            impl From<u8> for Hidden { fn from(_: u8) -> Self { Hidden } }
            pub trait T: Send { fn m(&self) -> u8; fn n(&self) { } }
            pub use x::{y, z}; pub const O: [u8; 2] = [1, 2]; pub mod p { pub fn q() {} fn r() {} }
            pub async fn s(t: impl Fn(u8) -> u8 + Send) {}
            pub fn u(v: impl Iterator<Item = u8>) { w(); } pub fn x() {}
        "#;
        let tokens = tokens(source);
        let (private, _) = types(&tokens);
        let expected = [
            "#[non_exhaustive] #[derive(Clone, Debug)] struct A { b: Vec<u8>, .. }",
            "struct B(..)",
            "struct C(pub u8)",
            "enum E { F { g: &'static str }, H }",
            "A: const I: u8",
            "A: fn j<'a>(&'a mut self, k: &[u8; 4]) -> Option<&'a str>",
            "impl From<u8> for A",
            "trait T: Send",
            "T: fn m(&self) -> u8",
            "T: fn n(&self) { .. }",
            "use x::{ y, z }",
            "const O: [u8; 2]",
            "p::fn q()",
            "async fn s(t: impl Fn(u8) -> u8 + Send)",
            "fn u(v: impl Iterator<Item = u8>)",
            "fn x()",
        ];
        assert_eq!(declarations(&tokens, &private), expected);
    }
}
