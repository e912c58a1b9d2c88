//! Finds the paths that a source file names, in `use` declarations and in code.

use crate::tokens::{Kind, Token};

/// A path as written, such as `super::a::B`, with the modules of its file around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The names of the modules around the path that have no file of their own.
    pub within: Vec<String>,
    /// The segments of the path, without a `*` at its end.
    pub segments: Vec<String>,
    /// Whether the path is in a `use` declaration.
    pub is_use: bool,
    /// The line of the path, counted from 1.
    pub line: usize,
}

/// The modules that a source file declares, and the paths that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// The declared modules with a file of their own (`mod name;`), each with the modules around the declaration.
    pub modules: Vec<Vec<String>>,
    /// All paths of more than one segment.
    pub paths: Vec<Path>,
}

/// Reads the declared modules and the named paths of a source file.
pub fn imports(tokens: &[Token]) -> Imports {
    let mut reader = Reader { tokens, at: 0, depth: 0, within: Vec::new(), imports: Imports::default() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.imports
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// The modules around the present place, each with the depth of braces outside of it.
    within: Vec<(String, usize)>,
    imports: Imports,
}

impl Reader<'_> {
    fn step(&mut self) {
        let token = &self.tokens[self.at];
        match &token.kind {
            Kind::Punctuation('{') => self.depth += 1,
            Kind::Punctuation('}') => {
                self.depth = self.depth.saturating_sub(1);
                self.within.retain(|(_, depth)| *depth < self.depth);
            }
            Kind::Word(word) => match word.as_str() {
                "pub" if self.token(1).is_some_and(|next| next.is('(')) => return self.skip_visibility(),
                "mod" => return self.module(),
                "use" => return self.use_declaration(),
                _ => return self.path(),
            },
            _ => {}
        }
        self.at += 1;
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn names_within(&self) -> Vec<String> {
        self.within.iter().map(|(name, _)| name.clone()).collect()
    }

    /// `pub(crate)`, `pub(super)` and `pub(in path)` name no import.
    fn skip_visibility(&mut self) {
        while self.token(0).is_some_and(|token| !token.is(')')) {
            self.at += 1;
        }
        self.at += 1;
    }

    fn module(&mut self) {
        let name = self.token(1).and_then(Token::word).map(str::to_owned);
        let after = self.token(2).cloned();
        self.at += 1;
        let (Some(name), Some(after)) = (name, after) else { return };
        if after.is(';') {
            let mut path = self.names_within();
            path.push(name);
            self.imports.modules.push(path);
        } else if after.is('{') {
            self.within.push((name, self.depth));
        }
        self.at += 1;
    }

    /// Reads a path in code. A single word is not a path.
    fn path(&mut self) {
        let line = self.tokens[self.at].line;
        let follows_separator = self.at > 0 && self.tokens[self.at - 1].kind == Kind::PathSeparator;
        let mut segments = Vec::new();
        while let Some(word) = self.token(0).and_then(Token::word) {
            segments.push(word.to_owned());
            let goes_on = self.token(1).is_some_and(|next| next.kind == Kind::PathSeparator)
                && self.token(2).and_then(Token::word).is_some();
            self.at += if goes_on { 2 } else { 1 };
            if !goes_on {
                break;
            }
        }
        if segments.len() > 1 && !follows_separator {
            self.imports.paths.push(Path { within: self.names_within(), segments, is_use: false, line });
        }
    }

    fn use_declaration(&mut self) {
        self.at += 1;
        self.use_tree(&[]);
    }

    /// Reads one path of a `use`, or several paths in braces. `before` is the text before them.
    fn use_tree(&mut self, before: &[String]) {
        let mut segments = before.to_vec();
        let mut line = 0;
        while let Some(token) = self.token(0).cloned() {
            match &token.kind {
                Kind::Word(word) if word == "as" => self.at += 2,
                Kind::Word(word) => {
                    // `{self}` means the path before the braces.
                    if word != "self" || segments.is_empty() {
                        segments.push(word.clone());
                    }
                    line = token.line;
                    self.at += 1;
                }
                Kind::PathSeparator => self.at += 1,
                Kind::Punctuation('*') => {
                    line = token.line;
                    self.at += 1;
                }
                Kind::Punctuation('{') => {
                    self.at += 1;
                    while self.token(0).is_some_and(|token| !token.is('}')) {
                        self.use_tree(&segments);
                        if self.token(0).is_some_and(|token| token.is(',')) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                // `,`, `}` or `;` ends the path.
                Kind::Punctuation(_) => break,
            }
        }
        if line > 0 {
            self.imports.paths.push(Path { within: self.names_within(), segments, is_use: true, line });
        } else {
            self.at += usize::from(before.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn paths(source: &str) -> Vec<String> {
        let show = |path: Path| [path.within, path.segments].map(|names| names.join("::")).join("|");
        imports(&tokens(source)).paths.into_iter().map(show).collect()
    }

    #[test]
    fn use_declarations_are_parsed() {
        assert_eq!(
            paths("pub(crate) use crate::a::{self, b::{C, D as E}, f::*}; use super::*;"),
            ["|crate::a", "|crate::a::b::C", "|crate::a::b::D", "|crate::a::f", "|super"]
        );
    }

    #[test]
    fn paths_in_code_are_found() {
        assert_eq!(
            paths("fn f(x: super::a::B) -> Vec<crate::C> { self::d::<u8>::e(); x.g() } pub(in crate::h) struct I;"),
            ["|super::a::B", "|crate::C", "|self::d"]
        );
    }

    #[test]
    fn modules_in_the_file_are_known() {
        assert_eq!(
            paths("mod a { mod b { use super::C; } use super::D; } use e::F;"),
            ["a::b|super::C", "a|super::D", "|e::F"]
        );
        assert_eq!(
            imports(&tokens("mod a; pub(crate) mod b; mod c { mod d; }")).modules,
            [vec!["a"], vec!["b"], vec!["c", "d"]]
        );
    }
}
