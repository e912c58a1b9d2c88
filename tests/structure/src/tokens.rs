//! Splits Rust source into tokens, without comments, literals and code for tests.

/// A token, and the line on which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The kind of the token.
    pub kind: Kind,
    /// The line of the token, counted from 1.
    pub line: usize,
}

/// The kinds of tokens that matter for imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or a keyword.
    Word(String),
    /// `::`
    PathSeparator,
    /// Any other character outside of literals and comments.
    Punctuation(char),
}

impl Token {
    /// The identifier or keyword, if the token is one.
    pub fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Whether the token is this punctuation character.
    pub fn is(&self, character: char) -> bool {
        self.kind == Kind::Punctuation(character)
    }
}

/// All tokens of a source file in a build without tests: items under `#[cfg(test)]` are skipped.
pub fn tokens(source: &str) -> Vec<Token> {
    without_tests(&all_tokens(source))
}

fn all_tokens(source: &str) -> Vec<Token> {
    let characters: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < characters.len() {
        let end = match literal_or_comment_end(&characters, at) {
            Some(end) => end,
            None if is_word(characters[at]) => {
                let end = at + characters[at..].iter().take_while(|character| is_word(**character)).count();
                let word = characters[at..end].iter().collect();
                tokens.push(Token { kind: Kind::Word(word), line });
                end
            }
            None if characters[at..].starts_with(&[':', ':']) => {
                tokens.push(Token { kind: Kind::PathSeparator, line });
                at + 2
            }
            None => {
                if !characters[at].is_whitespace() {
                    tokens.push(Token { kind: Kind::Punctuation(characters[at]), line });
                }
                at + 1
            }
        };
        line += characters[at..end].iter().filter(|character| **character == '\n').count();
        at = end;
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The end of the comment, string or character that begins here. `None` if none begins here.
fn literal_or_comment_end(text: &[char], at: usize) -> Option<usize> {
    let rest = &text[at..];
    if rest.starts_with(&['/', '/']) {
        return Some(at + rest.iter().take_while(|character| **character != '\n').count());
    }
    if rest.starts_with(&['/', '*']) {
        return Some(block_comment_end(text, at));
    }
    let prefix = rest.iter().take_while(|character| matches!(character, 'b' | 'c' | 'r')).count();
    let starts_word = at > 0 && is_word(text[at - 1]);
    let after = rest.get(prefix)?;
    match after {
        '"' if prefix == 0 || !starts_word => match rest[..prefix].contains(&'r') {
            true => Some(raw_string_end(text, at + prefix, 0)),
            false => Some(quoted_end(text, at + prefix, '"')),
        },
        '#' if prefix > 0 && !starts_word && rest[..prefix].contains(&'r') => {
            let hashes = rest[prefix..].iter().take_while(|character| **character == '#').count();
            (rest.get(prefix + hashes) == Some(&'"')).then(|| raw_string_end(text, at + prefix + hashes, hashes))
        }
        // The quote begins a character; otherwise it would begin a lifetime.
        '\'' if prefix == 0 || !starts_word => {
            let quote = at + prefix;
            let is_character = text.get(quote + 1) == Some(&'\\') || text.get(quote + 2) == Some(&'\'');
            is_character.then(|| quoted_end(text, quote, '\''))
        }
        _ => None,
    }
}

fn block_comment_end(text: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string_end(text: &[char], quote: usize, hashes: usize) -> usize {
    let mut at = quote + 1;
    while at < text.len() {
        let closing = text[at + 1..].iter().take(hashes).filter(|character| **character == '#').count();
        if text[at] == '"' && closing == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

fn quoted_end(text: &[char], quote: usize, closing: char) -> usize {
    let mut at = quote + 1;
    while at < text.len() && text[at] != closing {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match attribute_end(tokens, at) {
            Some(end) if is_for_tests(&tokens[at..end]) => at = item_end(tokens, end),
            Some(end) => {
                kept.extend_from_slice(&tokens[at..end]);
                at = end;
            }
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// The end of the attribute that begins here. `None` if none begins here.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    if !tokens.get(at)?.is('#') || !tokens.get(at + 1)?.is('[') {
        return None;
    }
    let mut depth = 0;
    for (offset, token) in tokens[at..].iter().enumerate() {
        depth += i32::from(token.is('[')) - i32::from(token.is(']'));
        if depth == 0 && token.is(']') {
            return Some(at + offset + 1);
        }
    }
    None
}

/// Whether the attribute is `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[cfg(any(test, …))]` or `#[test]`, but not
/// `#[cfg(not(test))]`.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().filter_map(Token::word).collect();
    words == ["test"] || words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not")
}

/// The end of the item that begins here, with its attributes: the place after its `;` or its closing brace.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while let Some(end) = attribute_end(tokens, at) {
        at = end;
    }
    let ends_with_semicolon = tokens[at..]
        .iter()
        .filter_map(Token::word)
        .find(|word| !matches!(*word, "pub" | "crate" | "super" | "in"))
        .is_some_and(|word| matches!(word, "use" | "static" | "type" | "let" | "extern"));
    let mut depth = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let (opens, closes) = (['{', '(', '['].iter(), ['}', ')', ']'].iter());
        depth += opens.filter(|bracket| token.is(**bracket)).count() as i32;
        depth -= closes.filter(|bracket| token.is(**bracket)).count() as i32;
        at += 1;
        if depth < 0 {
            // The end of a field or of a match arm.
            return at - 1;
        }
        if depth == 0 && (token.is(';') || token.is('}') && !ends_with_semicolon) {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        let words = tokens(source).into_iter().map(|token| match token.kind {
            Kind::Word(word) => word,
            Kind::PathSeparator => "::".to_owned(),
            Kind::Punctuation(character) => character.to_string(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_skipped() {
        assert_eq!(text("a /* b /* c */ d */ e // f\n g"), "a e g");
        assert_eq!(text(r##"a "b \" c" r#"d " e"# b'f' '\'' b"g" h"##), "a h");
        assert_eq!(text("fn f<'a>(x: &'a str) {}"), "fn f < ' a > ( x : & ' a str ) { }");
        assert_eq!(text("crab::rub"), "crab :: rub");
    }

    #[test]
    fn code_for_tests_is_skipped() {
        assert_eq!(text("#[cfg(test)] mod tests { use super::*; { } } fn f() {}"), "fn f ( ) { }");
        assert_eq!(text("#[cfg(test)] use a::{b, c}; use d;"), "use d ;");
        assert_eq!(text("#[cfg(test)] #[path = \"x\"] pub(crate) mod x; use d;"), "use d ;");
        assert_eq!(text("#[cfg(not(test))] use a;"), "# [ cfg ( not ( test ) ) ] use a ;");
        assert_eq!(text("impl X { #[cfg(test)] fn a() -> [u8; 2] { b } } c"), "impl X { } c");
    }

    #[test]
    fn lines_are_counted() {
        let lines: Vec<usize> = tokens("a\n\"b\nc\"\n/* \n */ d").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 5]);
    }
}
