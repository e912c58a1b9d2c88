//! The configuration file: TOML with the names of the options.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::arguments::Arguments;
use crate::fault::ConfigurationError;
use crate::settings::Settings;
use crate::text::distance;

/// Options that only make sense as arguments.
const ARGUMENTS_ONLY: [&str; 4] = ["config", "check-config", "help", "version"];

/// A configuration file, read.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) settings: Settings,
    /// Its path, and where in it each setting is said.
    pub(crate) places: Option<(PathBuf, BTreeMap<String, Position>)>,
}

/// A line and a column, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    line: usize,
    column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl File {
    /// The file of `--config`, or the first that exists of those that are looked for; none is no error then.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, ConfigurationError> {
        if let Some(path) = named {
            return File::read(path);
        }
        for path in searched() {
            match File::read(&path) {
                Err(ConfigurationError::Unreadable { error, .. })
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                read => return read,
            }
        }
        Ok(File::default())
    }

    fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let unreadable = |error| ConfigurationError::Unreadable { path: path.to_owned(), error };
        let absolute = std::path::absolute(path).map_err(unreadable)?;
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigurationError::File {
            place: path.display().to_string(),
            what: "it is not text in UTF-8".to_owned(),
        })?;
        let (settings, places) = parse(&text).map_err(|fault| ConfigurationError::File {
            place: format!("{}:{}", path.display(), fault.at),
            what: fault.what,
        })?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        Ok(File { settings: settings.relative_to(folder), places: Some((path.to_owned(), places)) })
    }
}

/// Where a configuration file is looked for, the first choice first.
fn searched() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("stapled.conf")));
    let home = std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".stapled.conf"));
    beside.into_iter().chain(home).chain([PathBuf::from("/etc/stapled/stapled.conf")]).collect()
}

/// What is wrong with a file's text, and where.
#[derive(Debug)]
struct Fault {
    at: Position,
    what: String,
}

fn parse(text: &str) -> Result<(Settings, BTreeMap<String, Position>), Fault> {
    let fault =
        |span: Option<Range<usize>>, what: String| Fault { at: position(text, span.unwrap_or(0..0).start), what };
    let mut root = DeTable::parse(text).map_err(|error| {
        let hint = "the file is TOML: `name = value`, text in double quotes, lists in [ ], true or false for switches";
        fault(error.span(), format!("{} ({hint})", error.message()))
    })?;
    let known = known_settings();
    let mut places = BTreeMap::new();
    let mut named = DeTable::new();
    for (key, value) in std::mem::take(root.get_mut()) {
        let name = key.get_ref().replace('_', "-");
        let span = key.span();
        if !known.contains(&name) {
            let advice = advice(&name, &known, value.get_ref());
            return Err(fault(Some(span), format!("there is no setting {:?}{advice}", key.get_ref())));
        }
        if places.insert(name.clone(), position(text, span.start)).is_some() {
            return Err(fault(Some(span), format!("{name:?} is set twice, with - and with _")));
        }
        named.insert(Spanned::new(span, name.into()), value);
    }
    let deserializer = toml::de::Deserializer::from(Spanned::new(root.span(), named));
    let settings = Settings::deserialize(deserializer).map_err(|error| {
        // The span is that of the value.
        let setting = error.span().and_then(|span| setting_at(&places, position(text, span.start)));
        let name = setting.map(|name| format!("{name}: ")).unwrap_or_default();
        fault(error.span(), format!("{name}{}", error.message()))
    })?;
    Ok((settings, places))
}

/// The last setting that begins at or before a position.
fn setting_at(places: &BTreeMap<String, Position>, at: Position) -> Option<&str> {
    let before = places.iter().filter(|(_, place)| (place.line, place.column) <= (at.line, at.column));
    before.max_by_key(|(_, place)| (place.line, place.column)).map(|(name, _)| name.as_str())
}

fn known_settings() -> Vec<String> {
    let options = Arguments::command();
    let names = options.get_arguments().filter_map(|argument| argument.get_long());
    let names = names.filter(|name| !ARGUMENTS_ONLY.contains(name)).map(str::to_owned);
    names.chain(["group".to_owned(), "interactive".to_owned()]).collect()
}

fn advice(name: &str, known: &[String], value: &DeValue<'_>) -> String {
    if ARGUMENTS_ONLY.contains(&name) {
        return format!(": --{name} is for the command line only");
    }
    if matches!(value, DeValue::Table(_)) {
        return ": settings stand at the top, in no section; only [[group]] is one".to_owned();
    }
    let nearest = known.iter().map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + known.len() / 4 => format!("; did you mean {known:?}?"),
        _ => "; `stapled --help` lists them".to_owned(),
    }
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
    Position { line: before.matches('\n').count() + 1, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let fault = parse(text).unwrap_err();
        format!("{}: {}", fault.at, fault.what)
    }

    #[test]
    fn settings_are_read_with_hyphens_or_underscores_one_or_many() {
        let (settings, places) = parse(
            "cert_paths = \"/a\"\nhaproxy-sockets = [\"/s\", \"/t\"]\nminimum_validity = 5\nlogdir = true\n\n\
             [[group]]\npaths = [\"/b\"]\nsockets = \"/u,/v\"\n",
        )
        .unwrap();
        assert_eq!(settings.cert_paths, [PathBuf::from("/a")]);
        assert_eq!(settings.haproxy_sockets, ["/s", "/t"]);
        assert_eq!(settings.minimum_validity, Some(5));
        assert_eq!(settings.logdir, Some("/var/log/stapled/".into()));
        let group = settings.group.first().unwrap();
        assert_eq!((group.paths.len(), group.sockets.clone()), (1, vec!["/u,/v".to_owned()]));
        assert_eq!(places.get("minimum-validity").unwrap().to_string(), "3:1");
    }

    #[test]
    fn faults_say_where_and_what_to_do() {
        for (text, expected) in [
            (
                "recursive = true\nminimum-validty = 3\n",
                "2:1: there is no setting \"minimum-validty\"; did you mean \"minimum-validity\"?",
            ),
            ("cert-path = \"/a\"", "1:1: there is no setting \"cert-path\"; did you mean \"cert-paths\"?"),
            ("colour = 1", "1:1: there is no setting \"colour\"; `stapled --help` lists them"),
            ("config = \"x\"", "1:1: there is no setting \"config\": --config is for the command line only"),
            ("[stapled]\nrecursive = true", "1:2: there is no setting \"stapled\": settings stand at the top"),
            ("\nminimum-validity = \"long\"", "2:20: minimum-validity: invalid type: string \"long\", expected u64"),
            ("refresh-interval = 0", "1:20: refresh-interval: invalid value: integer `0`, expected a nonzero u64"),
            ("recursive = 1", "1:13: recursive: invalid type: integer `1`, expected a boolean"),
            (
                "cert-paths = 1",
                "1:14: cert-paths: invalid type: integer `1`, expected a text in double quotes, or a list",
            ),
            ("hash = \"md5\"", "1:8: hash: unknown variant `md5`, expected `sha1` or `sha256`"),
            ("no-recycle = true\nno_recycle = true", "2:1: \"no-recycle\" is set twice"),
            ("cert-paths = /etc/ssl", "1:14: "),
            (
                "[[group]]\npaths = \"/a\"\nsocket = \"/s\"",
                "3:1: group: unknown field `socket`, expected `paths` or `sockets`",
            ),
            ("[[group]]\nsockets = \"/s\"", "missing field `paths`"),
        ] {
            let fault = fault(text);
            assert!(fault.contains(expected), "{text:?}\n  said {fault}\n  not  {expected}");
        }
    }
}
