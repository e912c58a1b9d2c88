//! Configuration files of the Python program `stapled`, converted to the TOML of this project's `stapled`.
//!
//! The format is that of Python's ConfigArgParse: `name = value`, `name: value`, `name value` or `--name value`, the name alone
//! for a switch, lists in `[ ]` without quotes, comments after `#` or `;`, and sections, which have no meaning. The options are
//! those of the versions 1.0 to 1.4 of the Python program.

use std::fmt::Write;

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
    let mut converted = Converted::default();
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for (number, line) in lines(text) {
        let Some(setting) = Setting::of(line) else {
            converted.refuse(number, line, "not understood");
            continue;
        };
        let Some(option) = OPTIONS.iter().find(|option| option.name == setting.name) else {
            converted.refuse(number, line, "there is no such option in the Python program");
            continue;
        };
        if let Some((_, first)) = seen.iter().find(|(key, _)| *key == option.key) {
            converted.refuse(number, line, &format!("set before, in line {first}"));
            continue;
        }
        match option.value(&setting) {
            Ok(value) => {
                seen.push((option.key, number));
                converted.add(option, &value, &setting);
            }
            Err(needed) => converted.refuse(number, line, needed),
        }
    }
    converted
}

/// Whether a text looks like a configuration file of the Python program rather than TOML: it names options of the program in a
/// form that TOML does not have.
pub(crate) fn is_original(text: &str) -> bool {
    let mut section = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') && !line.starts_with("[[") {
            section = true;
        }
        let Some(setting) = Setting::of(line).filter(|_| !is_blank(line)) else { continue };
        if OPTIONS.iter().all(|option| option.name != setting.name) {
            continue;
        }
        if section || setting.is_bare || line.starts_with("--") {
            return true;
        }
    }
    false
}

/// The lines that may be settings, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !is_blank(line))
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';', '[']) || line.starts_with("---")
}

fn is_switch(text: &str) -> bool {
    switch(text).is_some()
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
        let is_bare = !has_sign || inner.split(',').map(str::trim).any(|item| is_text(item) && !is_switch(item));
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
    let is_space =
        |at: usize| text.get(..at).and_then(|before| before.chars().next_back()).is_some_and(char::is_whitespace);
    let starts = text.char_indices().find(|(at, letter)| "#;".contains(*letter) && is_space(*at));
    starts.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// An option of the Python program.
struct Was {
    name: &'static str,
    /// The name here.
    key: &'static str,
    kind: Kind,
    /// What is different here, for a comment; empty where nothing is.
    note: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    Switch,
    Number {
        least: u64,
        most: u64,
    },
    Paths,
    Texts,
    Extensions,
    Patterns,
    LogDirectory,
    /// The option has no successor.
    Gone,
}

const SECONDS: Kind = Kind::Number { least: 1, most: u64::MAX };

const OPTIONS: &[Was] = &[
    Was { name: "cert-paths", key: "cert-paths", kind: Kind::Paths, note: "" },
    Was {
        name: "directories",
        key: "cert-paths",
        kind: Kind::Paths,
        note: "`directories` is the old name of cert-paths",
    },
    Was { name: "recursive", key: "recursive", kind: Kind::Switch, note: "" },
    Was { name: "file-extensions", key: "file-extensions", kind: Kind::Extensions, note: "" },
    Was {
        name: "ignore",
        key: "ignore",
        kind: Kind::Patterns,
        note: "* and ? do not match / here, and a pattern without / at its start matches whole names at the end of a path",
    },
    Was {
        name: "refresh-interval",
        key: "refresh-interval",
        kind: SECONDS,
        note: "changes of files are noticed at once; this is for file systems that report none",
    },
    Was {
        name: "haproxy-sockets",
        key: "haproxy-sockets",
        kind: Kind::Texts,
        note: "one socket for each path in the same order, as before; or one for all paths",
    },
    Was { name: "no-haproxy-sockets", key: "no-haproxy-sockets", kind: Kind::Switch, note: "" },
    Was { name: "haproxy-socket-keepalive", key: "haproxy-socket-keepalive", kind: SECONDS, note: "" },
    Was { name: "haproxy-config", key: "haproxy-config", kind: Kind::Paths, note: "" },
    Was { name: "no-recycle", key: "no-recycle", kind: Kind::Switch, note: "" },
    Was {
        name: "minimum-validity",
        key: "minimum-validity",
        kind: Kind::Number { least: 0, most: u64::MAX },
        note: "a staple is renewed at half of its validity and after an hour at the latest (maximum-interval); this is the \
               validity that it has left then, at least",
    },
    Was {
        name: "renewal-threads",
        key: "renewal-threads",
        kind: Kind::Gone,
        note: "it has no successor: a request needs no thread. The setting of this name limits the open requests; its default is 64",
    },
    Was { name: "daemon", key: "daemon", kind: Kind::Switch, note: "the systemd unit overrules this with --no-daemon" },
    Was { name: "no-daemon", key: "no-daemon", kind: Kind::Switch, note: "" },
    Was { name: "interactive", key: "no-daemon", kind: Kind::Switch, note: "" },
    Was { name: "one-off", key: "one-off", kind: Kind::Switch, note: "" },
    Was {
        name: "verbosity",
        key: "verbosity",
        kind: Kind::Number { least: 0, most: 4 },
        note: "the default is 3 here, and was 0",
    },
    Was {
        name: "logdir",
        key: "logdir",
        kind: Kind::LogDirectory,
        note: "one file a day; there are no files with exception traces",
    },
    Was { name: "syslog", key: "syslog", kind: Kind::Switch, note: "" },
    Was { name: "quiet", key: "quiet", kind: Kind::Switch, note: "errors are still printed on standard error" },
    Was {
        name: "config",
        key: "config",
        kind: Kind::Gone,
        note: "it has no successor: a configuration file cannot name another one",
    },
];

impl Was {
    /// The value in TOML, or what is needed in its place.
    fn value(&self, setting: &Setting<'_>) -> Result<String, &'static str> {
        let given = &setting.value;
        Ok(match self.kind {
            Kind::Switch => match given {
                Value::Switch => true,
                Value::Text(text) => switch(text).ok_or("true or false is needed")?,
                Value::List(_) => return Err("true or false is needed"),
            }
            .to_string(),
            Kind::Number { least, most } => {
                let number = match given {
                    Value::Text(text) => text.parse::<u64>().ok().filter(|number| (least..=most).contains(number)),
                    _ => None,
                };
                number.ok_or("a whole number is needed, in the limits of the option")?.to_string()
            }
            Kind::LogDirectory => match given {
                Value::Switch => "true".to_owned(),
                Value::Text(text) if is_switch(text) => text.to_ascii_lowercase(),
                Value::Text(text) => quoted(text),
                Value::List(_) => return Err("one directory is needed"),
            },
            Kind::Extensions => {
                let items = items(given)?;
                let items =
                    items.iter().flat_map(|item| item.split(',')).map(str::trim).filter(|item| !item.is_empty());
                list(items)
            }
            Kind::Paths | Kind::Texts => list(items(given)?.iter().map(String::as_str)),
            Kind::Patterns => list(items(given)?.iter().map(String::as_str).filter(|pattern| !is_relative(pattern))),
            Kind::Gone => match given {
                Value::Switch => "true".to_owned(),
                Value::Text(text) => text.clone(),
                Value::List(items) => items.join(", "),
            },
        })
    }
}

fn items(value: &Value) -> Result<Vec<String>, &'static str> {
    match value {
        Value::Switch => Err("a value is needed"),
        Value::Text(text) if text.is_empty() => Ok(Vec::new()),
        Value::Text(text) => Ok(vec![text.clone()]),
        Value::List(items) => Ok(items.clone()),
    }
}

/// Whether a pattern is a relative path, which neither program accepts.
fn is_relative(pattern: &str) -> bool {
    pattern.starts_with("./") || pattern.starts_with("../")
}

fn list<'t>(items: impl Iterator<Item = &'t str>) -> String {
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

impl Converted {
    fn refuse(&mut self, number: usize, line: &str, why: &str) {
        self.comment(&format!("line {number}: {line}: {why}"));
        self.unknown.push((number, format!("{line}: {why}")));
    }

    fn add(&mut self, option: &Was, value: &str, setting: &Setting<'_>) {
        if matches!(option.kind, Kind::Gone) {
            self.comment(&format!("{} = {value}: {}", option.key, option.note));
            return;
        }
        if !option.note.is_empty() {
            self.comment(&format!("{}: {}", option.key, option.note));
        }
        let items = items(&setting.value).unwrap_or_default();
        match option.kind {
            Kind::Patterns => {
                for pattern in items.iter().filter(|pattern| is_relative(pattern)) {
                    self.comment(&format!("ignore: {pattern} had no effect: a pattern is not a relative path"));
                }
            }
            Kind::Paths if items.iter().any(|item| !item.starts_with('/')) => {
                let note = "a relative path is resolved from the directory of this file here, and was from the working directory";
                self.comment(&format!("{}: {note}", option.key));
            }
            _ => {}
        }
        let _ = writeln!(self.toml, "{} = {value}", option.key);
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
            ("file-extensions=crt,pem, cer", "file-extensions = [\"crt\", \"pem\", \"cer\"]\n"),
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
