//! Configuration files of the Python program `stapled`, converted to the TOML of this project's `stapled`.
//!
//! The format is that of Python's ConfigArgParse: `name = value`, `name: value`, `name value` or `--name value`, the name alone
//! for a switch, lists in `[ ]` without quotes, comments after `#` or `;`, and sections, which have no meaning. The options are
//! those of the versions 1.0 to 1.4 of the Python program, as the [declarations](super::declarations) say.

use std::fmt::Write;
use std::ops::RangeInclusive;

use serde_json::Value as Json;

use super::declarations::{ALL, CERT_PATHS, DIRECTORIES, IGNORE};
use super::option::{Declaration, Original, Shape};

/// A converted file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Converted {
    /// The settings as TOML. A comment stands for each setting that has no successor, and where a setting means something else.
    pub(crate) toml: String,
    /// The lines that are no setting of the Python program, each with its number and the reason.
    pub(crate) unknown: Vec<(usize, String)>,
}

/// Converts a file.
pub(crate) fn convert(text: &str) -> Converted {
    let (mut converted, mut seen) = (Converted::default(), Vec::new());
    for (number, line) in (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !is_blank(line)) {
        if let Err(why) = converted.take(number, line, &mut seen) {
            converted.comment(&format!("line {number}: {line}: {why}"));
            converted.unknown.push((number, format!("{line}: {why}")));
        }
    }
    converted
}

/// Whether a text looks like a configuration file of the Python program rather than TOML: it names options of the program in a
/// form that TOML does not have.
pub(crate) fn is_original(text: &str) -> bool {
    let mut section = false;
    text.lines().map(str::trim).any(|line| {
        section |= line.starts_with('[') && !line.starts_with("[[");
        let setting = Setting::of(line).filter(|setting| !is_blank(line) && option(setting.name).is_some());
        setting.is_some_and(|setting| section || setting.is_bare || line.starts_with("--"))
    })
}

/// The option of the Python program with this name.
fn option(name: &str) -> Option<&'static Declaration> {
    ALL.iter().find(|option| option.is_named(name) && option.original != Original::None)
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';', '[']) || line.starts_with("---")
}

/// The value of a switch, in the words of ConfigArgParse.
fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// A line.
struct Setting<'t> {
    name: &'t str,
    value: Value,
    /// Whether the value is a text without quotes, or there is none: no TOML.
    is_bare: bool,
}

enum Value {
    /// The name stands alone.
    Switch,
    Text(String),
    List(Vec<String>),
}

impl Value {
    fn items(&self) -> &[String] {
        match self {
            Value::Switch => &[],
            Value::Text(text) => std::slice::from_ref(text),
            Value::List(items) => items,
        }
    }
}

impl<'t> Setting<'t> {
    fn of(line: &'t str) -> Option<Self> {
        let end = line.find(|letter: char| "=:;#".contains(letter) || letter.is_whitespace()).unwrap_or(line.len());
        let (name, rest) = line.split_at_checked(end)?;
        let rest = without_comment(rest);
        let text = rest.trim_start();
        let (has_sign, text) = match text.strip_prefix(['=', ':']) {
            Some(text) => (true, text.trim()),
            None => (false, text.trim()),
        };
        let name = name.strip_prefix("--").unwrap_or(name);
        if name.is_empty() {
            return None;
        }
        let is_text = |item: &str| !item.is_empty() && !item.starts_with(['"', '\'']) && item.parse::<u64>().is_err();
        let inner = text.strip_prefix('[').map_or(text, |text| text.strip_suffix(']').unwrap_or(text));
        let is_bare = !has_sign || inner.split(',').map(str::trim).any(|item| is_text(item) && switch(item).is_none());
        let value = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(items) => {
                let items = items.split(',').map(|item| unquoted(item.trim()).to_owned());
                Value::List(items.filter(|item| !item.is_empty()).collect())
            }
            None if text.is_empty() && !has_sign => Value::Switch,
            None => Value::Text(unquoted(text).to_owned()),
        };
        Some(Setting { name, value, is_bare })
    }
}

/// A text without the comment at its end: `#` or `;` after a space.
fn without_comment(text: &str) -> &str {
    let before = |(at, _)| text.split_at(at).0;
    let comments = text.match_indices(['#', ';']).map(before);
    comments.into_iter().find(|before| before.ends_with(char::is_whitespace)).unwrap_or(text)
}

fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// The value of an option in TOML, or what is needed in its place.
fn value(option: &Declaration, given: &Value) -> Result<String, &'static str> {
    // That of an option without a successor is for a comment.
    let shape = if matches!(option.original, Original::Gone(_)) { Shape::Text } else { option.shape };
    match (shape, given) {
        (Shape::Switch | Shape::PathOr(_) | Shape::Text, Value::Switch) => Ok("true".to_owned()),
        (Shape::Switch, Value::Text(text)) => {
            switch(text).map(|is_on| is_on.to_string()).ok_or("true or false is needed")
        }
        (Shape::Switch, Value::List(_)) => Err("true or false is needed"),
        (Shape::PathOr(_), Value::Text(text)) if switch(text).is_some() => Ok(text.to_ascii_lowercase()),
        (Shape::PathOr(_), Value::Text(text)) => Ok(quoted(text)),
        (Shape::PathOr(_), Value::List(_)) => Err("one directory is needed"),
        (Shape::Number { least, most, .. }, given) => number(given, least..=most),
        (Shape::Duration { least }, given) => number(given, least..=u64::MAX),
        (Shape::Text, given) => Ok(given.items().join(", ")),
        (_, Value::Switch) => Err("a value is needed"),
        (_, given) => {
            let is_item = |item: &&String| !(item.is_empty() || has_no_effect(option, item));
            let items: Vec<String> = given.items().iter().filter(is_item).map(|item| quoted(item)).collect();
            Ok(format!("[{}]", items.join(", ")))
        }
    }
}

fn number(given: &Value, limits: RangeInclusive<u64>) -> Result<String, &'static str> {
    let number = match given {
        Value::Text(text) => text.parse().ok().filter(|number| limits.contains(number)),
        _ => None,
    };
    number.map(|number| number.to_string()).ok_or("a whole number is needed, in the limits of the option")
}

/// Whether an item is a pattern that is a relative path, which neither program accepts.
fn has_no_effect(option: &Declaration, item: &str) -> bool {
    option.name == IGNORE.declaration.name && (item.starts_with("./") || item.starts_with("../"))
}

/// A basic string of TOML: a string of JSON, which may have one control character more.
fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007F")
}

impl Converted {
    /// Takes a line, or says why that is not possible. `seen` has the settings of the lines before, with their numbers.
    fn take(&mut self, number: usize, line: &str, seen: &mut Vec<(&str, usize)>) -> Result<(), String> {
        let setting = Setting::of(line).ok_or("not understood")?;
        let option = option(setting.name).ok_or("there is no such option in the Python program")?;
        let key = if option.name == DIRECTORIES.declaration.name { CERT_PATHS.declaration.name } else { option.name };
        if let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == key) {
            return Err(format!("set before, in line {first}"));
        }
        let value = value(option, &setting.value)?;
        seen.push((key, number));
        self.add(option, key, &value, &setting.value);
        Ok(())
    }

    fn add(&mut self, option: &Declaration, key: &str, value: &str, given: &Value) {
        match option.original {
            Original::Gone(why) => return self.comment(&format!("{key} = {value}: it has no successor{why}")),
            Original::Differs(how) => self.comment(&format!("{key}: {how}")),
            Original::Same | Original::None => {}
        }
        for pattern in given.items().iter().filter(|item| has_no_effect(option, item)) {
            self.comment(&format!("{key}: {pattern} had no effect: a pattern is not a relative path"));
        }
        if matches!(option.shape, Shape::Paths | Shape::JoinedPaths)
            && given.items().iter().any(|item| !item.starts_with('/'))
        {
            let note =
                "a relative path is resolved from the directory of this file here, and was from the working directory";
            self.comment(&format!("{key}: {note}"));
        }
        let _ = writeln!(self.toml, "{key} = {value}");
    }

    /// Adds a comment. Control characters would end it.
    fn comment(&mut self, text: &str) {
        let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let _ = writeln!(self.toml, "# {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings of a converted file, without comments.
    fn settings(text: &str) -> String {
        let toml = convert(text).toml;
        toml.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn each_form_of_a_line_is_read() {
        for (line, expected) in [
            ("cert-paths=/etc/ssl/private/", "cert-paths = [\"/etc/ssl/private/\"]\n"),
            ("cert-paths = [/a, /b/c d]", "cert-paths = [\"/a\", \"/b/c d\"]\n"),
            ("cert-paths: ['/a', \"/b\"]  # both", "cert-paths = [\"/a\", \"/b\"]\n"),
            ("--cert-paths /a", "cert-paths = [\"/a\"]\n"),
            ("directories /a\\\"b", "cert-paths = [\"/a\\\\\\\"b\"]\n"),
            ("file-extensions=crt,pem, cer", "file-extensions = [\"crt,pem, cer\"]\n"),
            ("recursive", "recursive = true\n"),
            ("--recursive", "recursive = true\n"),
            ("recursive = False", "recursive = false\n"),
            ("interactive = yes ; of the other kind", "no-daemon = true\n"),
            ("minimum-validity=7200", "minimum-validity = 7200\n"),
            ("logdir", "logdir = true\n"),
            ("logdir=/var/log/stapled/", "logdir = \"/var/log/stapled/\"\n"),
            ("haproxy-sockets=[]", "haproxy-sockets = []\n"),
            ("ignore=[no-ocsp/*.crt, ./x.pem, /etc/x#1.pem]", "ignore = [\"no-ocsp/*.crt\", \"/etc/x#1.pem\"]\n"),
            ("[section]\n; comment\n# comment\n---\n\n", ""),
            ("renewal-threads=5", ""),
            ("config = /etc/other.conf", ""),
        ] {
            let converted = convert(line);
            assert_eq!((settings(line).as_str(), converted.unknown), (expected, vec![]), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_setting_is_named_with_its_number() {
        let text = "\n[x]\nnonsense = 1\nverbosity = 7\nrecursive = perhaps\n= 3\nquiet\nquiet\nhaproxy-config\n";
        let Converted { toml, unknown } = convert(text);
        let numbers: Vec<usize> = unknown.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 4, 5, 6, 8, 9], "{unknown:?}");
        assert!(unknown.iter().all(|(number, what)| toml.contains(&format!("# line {number}: {what}"))), "{toml}");
        assert!(unknown.iter().any(|(_, what)| what == "quiet: set before, in line 7"), "{unknown:?}");
        assert_eq!(settings(text), "quiet = true\n");
    }

    #[test]
    fn what_has_no_successor_or_another_meaning_has_a_comment() {
        for (line, words) in [
            ("renewal-threads=5", "# renewal-threads = 5: it has no successor"),
            ("config=x", "# config = x: it has no successor"),
            ("minimum-validity=1", "# minimum-validity: a staple is renewed at half"),
            ("ignore=[../x]", "# ignore: ../x had no effect"),
            ("cert-paths=certs", "# cert-paths: a relative path is resolved from the directory of this file"),
            ("directories=/a", "# cert-paths: `directories` is the old name"),
        ] {
            let toml = convert(line).toml;
            assert!(toml.contains(words), "{toml}");
        }
    }

    #[test]
    fn no_text_escapes_from_its_comment_or_string() {
        let toml = convert("cert-paths = /a\u{7}\"\\\nfoo\u{b}bar = 1\rrecursive = true\n").toml;
        assert!(toml.contains("\"/a\\u0007\\\"\\\\\""), "{toml:?}");
        assert!(toml.lines().all(|line| line.starts_with('#') || line.starts_with("cert-paths = [")), "{toml:?}");
    }

    #[test]
    fn files_of_the_python_program_are_told_from_toml() {
        for original in [
            "[certfiles]\ncert-paths=/etc/ssl/private/\n",
            "[validity]\nminimum-validity=7200\n",
            "recursive\n",
            "; old\nhaproxy-sockets=[/run/a.sock]\n",
            "cert-paths /etc/ssl\n",
        ] {
            assert!(is_original(original), "{original}");
        }
        for other in [
            "",
            "nonsense",
            "cert-paths = \"/etc/ssl\"\nrecursive = true\nverbosity = 3\n",
            "cert-paths = [\"/a\", '/b']\n[[group]]\npaths = \"/x\"\n",
            "cert-paths = \"/etc/ssl\nrecursive = yes\n",
            "[section]\nname = 1\n",
        ] {
            assert!(!is_original(other), "{other}");
        }
    }
}
