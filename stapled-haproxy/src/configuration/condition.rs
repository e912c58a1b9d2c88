//! The conditions of `.if` and `.elif` ("2.4. Conditional blocks" of HAProxy's configuration manual), as far as they can
//! be evaluated without HAProxy.

use super::words::Variable;

/// The deepest nesting of parentheses and exclamation marks that is evaluated.
const MAX_DEPTH: usize = 64;

/// Whether a condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// It depends on an unknown fact, or cannot be read; the text says why.
    Undecided(String),
}

impl Truth {
    fn of(holds: bool) -> Self {
        if holds { Truth::Yes } else { Truth::No }
    }

    fn not(self) -> Self {
        match self {
            Truth::Yes => Truth::No,
            Truth::No => Truth::Yes,
            undecided => undecided,
        }
    }

    fn and(self, other: Truth) -> Self {
        match (self, other) {
            (Truth::No, _) | (_, Truth::No) => Truth::No,
            (Truth::Yes, other) => other,
            (undecided, _) => undecided,
        }
    }

    fn or(self, other: Truth) -> Self {
        match (self, other) {
            (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
            (Truth::No, other) => other,
            (undecided, _) => undecided,
        }
    }
}

/// Evaluates a condition, which has been cut into words and joined by single spaces, as HAProxy does.
pub(super) fn evaluate(condition: &[u8], lookup: &dyn Fn(&str) -> Variable) -> Truth {
    let mut reader = Reader { rest: condition, lookup, depth: 0 };
    reader.skip_spaces();
    if reader.rest.is_empty() {
        return Truth::No;
    }
    match reader.alternatives() {
        Some(truth) => {
            reader.skip_spaces();
            if reader.rest.is_empty() { truth } else { unreadable() }
        }
        None => unreadable(),
    }
}

/// The truth of an unreadable condition. The text does not repeat it: it may contain the value of a secret variable.
fn unreadable() -> Truth {
    Truth::Undecided("the condition cannot be read".to_owned())
}

struct Reader<'a> {
    rest: &'a [u8],
    lookup: &'a dyn Fn(&str) -> Variable,
    depth: usize,
}

impl Reader<'_> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, token: &[u8]) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `A || B || …`
    fn alternatives(&mut self) -> Option<Truth> {
        let mut truth = self.conjunction()?;
        while self.take(b"||") {
            truth = truth.or(self.conjunction()?);
        }
        Some(truth)
    }

    /// `A && B && …`
    fn conjunction(&mut self) -> Option<Truth> {
        let mut truth = self.term()?;
        while self.take(b"&&") {
            truth = truth.and(self.term()?);
        }
        Some(truth)
    }

    fn term(&mut self) -> Option<Truth> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let truth = self.deeper();
        self.depth -= 1;
        truth
    }

    fn deeper(&mut self) -> Option<Truth> {
        if self.take(b"!") {
            return self.term().map(Truth::not);
        }
        if self.take(b"(") {
            let truth = self.alternatives()?;
            return self.take(b")").then_some(truth);
        }
        let first = *self.rest.first()?;
        if first.is_ascii_digit() || matches!(first, b'-' | b'+') {
            return self.number();
        }
        self.predicate()
    }

    fn number(&mut self) -> Option<Truth> {
        let signs = usize::from(matches!(self.rest.first(), Some(b'-' | b'+')));
        let digits = self.rest.iter().skip(signs).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at_checked(signs + digits)?;
        self.rest = rest;
        (digits > 0).then(|| Truth::of(number.iter().any(|byte| matches!(byte, b'1'..=b'9'))))
    }

    fn predicate(&mut self) -> Option<Truth> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let (name, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let arguments = self.arguments()?;
        let undecided = |why: &str| {
            let arguments: Vec<_> = arguments.iter().map(|argument| String::from_utf8_lossy(argument)).collect();
            let name = String::from_utf8_lossy(name);
            Some(Truth::Undecided(format!("{name}({}) depends on {why}", arguments.join(","))))
        };
        match (name, arguments.as_slice()) {
            (b"defined", [name]) => match (self.lookup)(&String::from_utf8_lossy(name)) {
                Variable::Set(_) => Some(Truth::Yes),
                Variable::Unset => Some(Truth::No),
                Variable::Perhaps(_) => undecided("an earlier undecidable condition"),
                Variable::Unknown => undecided("how HAProxy is started"),
            },
            // Without OpenSSL, HAProxy would have no certificates.
            (b"feature", [name]) if name == b"OPENSSL" => Some(Truth::Yes),
            (b"feature", [_]) => undecided("how HAProxy was built"),
            (b"streq", [one, other]) => Some(Truth::of(one == other)),
            (b"strneq", [one, other]) => Some(Truth::of(one != other)),
            (b"strstr", [one, other]) => {
                Some(Truth::of(other.is_empty() || one.windows(other.len()).any(|part| part == other)))
            }
            (b"version_atleast" | b"version_before", [_]) => undecided("the version of HAProxy"),
            (b"enabled", [_]) => undecided("how HAProxy is started"),
            (
                b"awslc_api_atleast" | b"awslc_api_before" | b"openssl_version_atleast" | b"openssl_version_before",
                [_],
            )
            | (b"ssllib_name_startswith", [_]) => undecided("how HAProxy was built"),
            _ => None,
        }
    }

    /// The arguments in parentheses, separated by commas, with their own quotes and escapes.
    fn arguments(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut rest = self.rest.strip_prefix(b"(")?.iter();
        let mut arguments = Vec::new();
        let mut argument = Vec::new();
        let mut quote = None;
        loop {
            let byte = *rest.next()?;
            match (byte, quote) {
                (b')', None) => break,
                (b',', None) => arguments.push(std::mem::take(&mut argument)),
                (b'"' | b'\'', None) => quote = Some(byte),
                (_, Some(open)) if open == byte => quote = None,
                (b'\\', None | Some(b'"')) => {
                    let escaped = match rest.as_slice().first() {
                        Some(&byte @ (b' ' | b'\\' | b'\'' | b'"')) => Some(byte),
                        Some(b't') => Some(b'\t'),
                        Some(b'n') => Some(b'\n'),
                        Some(b'r') => Some(b'\r'),
                        _ => None,
                    };
                    if escaped.is_some() {
                        rest.next();
                    }
                    argument.push(escaped.unwrap_or(byte));
                }
                _ => argument.push(byte),
            }
        }
        arguments.push(argument);
        self.rest = rest.as_slice();
        Some(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Variable {
        match name {
            "X" => Variable::Set(b"v".to_vec()),
            "MAYBE" => Variable::Perhaps(Vec::new()),
            "HAPROXY_MWORKER" => Variable::Unknown,
            _ => Variable::Unset,
        }
    }

    /// `None` for undecided.
    fn holds(condition: &str) -> Option<bool> {
        match evaluate(condition.as_bytes(), &lookup) {
            Truth::Yes => Some(true),
            Truth::No => Some(false),
            Truth::Undecided(_) => None,
        }
    }

    #[test]
    fn conditions_hold_as_for_haproxy() {
        for (expected, conditions) in [
            (
                Some(true),
                &[
                    "1",
                    "2",
                    "-1",
                    "!0",
                    "!!1",
                    "! 0",
                    "defined(X)",
                    "!defined(Y)",
                    "streq(v,v)",
                    "streq(a b,a b)",
                    "strneq(a,b)",
                    "strstr(abc,b)",
                    "streq(,)",
                    "1&&1",
                    "1 &&1",
                    "1 || 0",
                    "0||0||1",
                    "(0 || 1) && 1",
                    "!(1 && 0)",
                    "( 1 )",
                    "1 && (0 || (1 && !0))",
                    "streq(a,a) && streq(b,b) || 0",
                    "feature(OPENSSL)",
                    r#"streq("a,b","a,b")"#,
                    "defined(X) && !defined(Y)",
                    "1 || version_atleast(2.9)",
                    "!(0 && version_before(2.9))",
                ][..],
            ),
            (
                Some(false),
                &[
                    "",
                    " ",
                    "0",
                    "00",
                    "1 && 0",
                    "0 || 1 && 0",
                    "defined(Y)",
                    "defined( X )",
                    "defined()",
                    "streq(a, a)",
                    "streq( a,a)",
                    "strstr(abc,x)",
                    r#"streq(")",x)"#,
                    "0 && version_atleast(2.9)",
                ],
            ),
            (
                None,
                &[
                    "version_atleast(2.6)",
                    "version_before(3.0)",
                    "feature(QUIC)",
                    "enabled(EPOLL)",
                    "defined(HAPROXY_MWORKER)",
                    "defined(MAYBE)",
                    "1 && version_atleast(2.9)",
                    "0 || !feature(LUA)",
                    // Texts that are no conditions.
                    "a",
                    "true",
                    "1 1",
                    "1x",
                    "(1",
                    "1)",
                    "streq(a)",
                    "streq(a,b,c)",
                    "awk(1)",
                    "defined(X",
                    "defined(X)x",
                    "-",
                    "&& 1",
                ],
            ),
        ] {
            for condition in conditions {
                assert_eq!(holds(condition), expected, "{condition}");
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(holds(&format!("{}1{}", "(".repeat(40), ")".repeat(40))), Some(true));
        assert_eq!(holds(&"(".repeat(100_000)), None);
        assert_eq!(holds(&format!("{}1", "!".repeat(100_000))), None);
    }

    proptest! {
        #[test]
        fn no_condition_panics(condition in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = evaluate(&condition, &lookup);
        }

        #[test]
        fn no_text_of_its_characters_panics(condition in "[01!()&|,\"'\\\\ defin-]{0,60}|((defined|streq|feature)\\([a-z,\"' ]{0,6}\\) ?(&&|\\|\\||)){0,6}") {
            let _ = evaluate(condition.as_bytes(), &lookup);
        }
    }
}
