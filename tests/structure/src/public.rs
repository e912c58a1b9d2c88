//! Lists the public items of a source file.

use crate::imports::imports;
use crate::tokens::Token;

/// The public items of a source file, including those of public modules in the same file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Public {
    /// The public types, traits, functions, constants and macros.
    pub items: Vec<String>,
    /// The public child modules.
    pub modules: Vec<String>,
    /// The re-exported paths.
    pub uses: Vec<Vec<String>>,
}

/// Lists the public items of a source file. `pub(crate)` and the like are not public.
pub fn public(tokens: &[Token]) -> Public {
    let mut public = Public::default();
    let (mut depth, mut inner_modules) = (0, 0);
    for (at, token) in tokens.iter().enumerate() {
        // The braces of a public module in the file do not count.
        if depth == 0 && token.is('{') && is_public_module(&tokens[..at]) {
            inner_modules += 1;
            continue;
        }
        if depth == 0 && token.is('}') && inner_modules > 0 {
            inner_modules -= 1;
            continue;
        }
        depth += i32::from(token.is('{')) - i32::from(token.is('}'));
        if depth != 0 || tokens.get(at + 1).is_some_and(|next| next.is('(')) {
            continue;
        }
        if token.word() == Some("macro_rules") {
            public.items.extend(tokens.get(at + 2).and_then(Token::word).map(str::to_owned));
        }
        if token.word() != Some("pub") {
            continue;
        }
        let mut words = tokens[at + 1..].iter().filter_map(Token::word).take(4);
        match words.find(|word| !matches!(*word, "async" | "unsafe" | "const" | "extern")) {
            Some("use") => {
                let end = tokens[at..].iter().position(|token| token.is(';')).map_or(tokens.len(), |end| at + end);
                public.uses.extend(imports(&tokens[at + 1..end]).paths.into_iter().map(|path| path.segments));
            }
            Some("mod") => public.modules.extend(words.next().map(str::to_owned)),
            Some("fn" | "struct" | "enum" | "trait" | "type" | "static" | "union") => {
                public.items.extend(words.next().map(str::to_owned));
            }
            // A constant, whose `const` was skipped.
            Some(name) => public.items.push(name.to_owned()),
            None => {}
        }
    }
    public
}

/// Whether these tokens end with `pub mod NAME`.
fn is_public_module(tokens: &[Token]) -> bool {
    let last = tokens.len().checked_sub(3).map(|start| &tokens[start..]);
    last.is_some_and(|last| last[0].word() == Some("pub") && last[1].word() == Some("mod"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    #[test]
    fn public_items_are_listed() {
        let source = "pub struct A { pub b: u8 } impl A { pub fn c() {} } pub(crate) fn d() {} pub const E: u8 = 1; \
                      pub const fn f() {} pub mod g; mod h; pub use i::{J, K}; pub mod m { pub fn n() {} mod o { pub fn p() {} } } macro_rules! l { () => {} }";
        let public = public(&tokens(source));
        assert_eq!(public.items, ["A", "E", "f", "n", "l"]);
        assert_eq!(public.modules, ["g", "m"]);
        assert_eq!(public.uses, [["i", "J"], ["i", "K"]]);
    }
}
