//! A command line as a program and its arguments, without a shell.

/// The words of a command: spaces separate them, single and double quotes hold them together, and a backslash takes the next
/// character as it is, except in single quotes. Nothing else has a meaning: no variables, no patterns, no pipes.
///
/// # Errors
///
/// What is wrong, in words.
pub(super) fn words(command: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (_, '\0') => return Err("a zero character"),
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = letters.next().ok_or("a backslash at the end")?;
                word.get_or_insert_default().push(next);
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    match quote {
        Some(_) => Err("a quotation mark without its end"),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes() {
        for (command, expected) in [
            ("nginx -s reload", &["nginx", "-s", "reload"][..]),
            ("  a\t b\n", &["a", "b"]),
            ("'a b' \"c d\" e\\ f", &["a b", "c d", "e f"]),
            (r#"a'b'"c"d"#, &["abcd"]),
            (r#"'' """#, &["", ""]),
            (r#""a\"b\\c" 'a\b' "it's""#, &["a\"b\\c", "a\\b", "it's"]),
            ("$HOME *;`x`|y", &["$HOME", "*;`x`|y"]),
            ("", &[]),
        ] {
            assert_eq!(words(command).unwrap(), expected, "{command}");
        }
        for command in ["'a", "a\"b", "a\\", "a\0b", "\"a\\"] {
            assert!(words(command).is_err(), "{command}");
        }
    }
}
