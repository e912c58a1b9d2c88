//! The configuration file: TOML whose keys are the names of the options.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::io::open::named_file;
use stapled_core::time::span::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::arguments::{durations, needed};
use super::declarations::ALL;
use super::option::{Declaration, Shape};
use super::original::is_original;
use super::settings::{Origin, Settings};
use super::value::{Given, Table};
use crate::fault::ConfigurationError;
use crate::text::nearest;

/// The configuration file of the service.
pub(crate) const USUAL_PATH: &str = "/etc/stapled/stapled.conf";
/// The longest configuration file, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;

/// The settings of the file that is named, or of the first that exists of those that are searched; none without a file.
pub(crate) fn find(named: Option<&Path>) -> Result<Settings, ConfigurationError> {
    if let Some(path) = named {
        return read(path);
    }
    for path in searched() {
        match read(&path) {
            Err(ConfigurationError::NoFile { .. }) => {}
            read => return read,
        }
    }
    Ok(Settings::default())
}

/// The paths at which a configuration file is searched, in order.
fn searched() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("stapled.conf")));
    let home = std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".stapled.conf"));
    beside.into_iter().chain(home).chain([PathBuf::from(USUAL_PATH)]).collect()
}

fn read(path: &Path) -> Result<Settings, ConfigurationError> {
    let wrong = |at: String, what| ConfigurationError::Setting { place: format!("{}{at}", path.display()), what };
    let unreadable = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ConfigurationError::NoFile { path: path.to_owned() },
        ErrorKind::InvalidData => wrong(String::new(), "it is not text in UTF-8".to_owned()),
        _ => ConfigurationError::Unreadable { path: path.to_owned(), error },
    };
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let text = read_at(path).map_err(unreadable)?;
    let settings = parse(path, &text).map_err(|Fault { at, what }| {
        let advice = "if this is a file of the Python program stapled, `stapled convert-config";
        let advice = format!("; {advice} {}` prints it as TOML", path.display());
        wrong(format!(":{at}"), if is_original(&text) { what + &advice } else { what })
    })?;
    Ok(settings.relative_to(absolute.parent().unwrap_or(Path::new("/"))))
}

fn read_at(path: &Path) -> io::Result<String> {
    let text = io::read_to_string(named_file(path)?.take(MAX_TEXT + 1))?;
    if text.len() as u64 > MAX_TEXT {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("more than {MAX_TEXT} bytes")));
    }
    Ok(text)
}

/// What is wrong with the text of a file, and where.
#[derive(Debug)]
pub(super) struct Fault {
    /// Line and column, counted from 1.
    pub(super) at: String,
    pub(super) what: String,
}

/// The settings in the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, Fault> {
    let file = Text { path: path.into(), text };
    let root = DeTable::parse(text).map_err(|error| {
        let hint = "the file is TOML: `name = value`, text and durations such as \"2h\" in double quotes, lists in [ ], true \
                    or false for switches";
        file.fault(error.span().unwrap_or_default(), format!("{} ({hint})", error.message()))
    })?;
    let mut settings = Settings::default();
    let mut seen = Vec::new();
    for (key, value) in root.get_ref() {
        let name = key.get_ref().replace('_', "-");
        let Some(option) = ALL.iter().find(|option| option.is_key() && option.is_named(&name)) else {
            let advice = advice(&name, value.get_ref());
            return Err(file.fault(key.span(), format!("there is no setting {:?}{advice}", key.get_ref())));
        };
        if seen.contains(&option.name) {
            return Err(file.fault(key.span(), format!("{:?} is set twice", option.name)));
        }
        seen.push(option.name);
        let origin = Origin::File { path: Arc::clone(&file.path), at: file.position(key.span().start) };
        settings.set(option, file.given(option, value)?, origin);
    }
    Ok(settings)
}

/// What to do about a key that is no setting.
fn advice(name: &str, value: &DeValue<'_>) -> String {
    if ["help", "version"].contains(&name) || ALL.iter().any(|option| !option.is_key() && option.name == name) {
        return format!(": --{name} is for the command line only");
    }
    if matches!(value, DeValue::Table(_)) {
        return ": settings stand at the top, in no section; only [[group]] and [[server]] are sections".to_owned();
    }
    let keys = ALL.iter().filter(|option| option.is_key());
    match nearest(name, keys.flat_map(|option| std::iter::once(option.name).chain(option.alias))) {
        Some(known) => format!("; did you mean {known:?}?"),
        None => "; `stapled --help` lists them".to_owned(),
    }
}

/// The text of a file, in which messages name positions.
struct Text<'t> {
    path: Arc<Path>,
    text: &'t str,
}

impl Text<'_> {
    /// The value of a setting; empty where it is `false`, or a list without items.
    fn given(&self, option: &Declaration, value: &Spanned<DeValue<'_>>) -> Result<Given, Fault> {
        let no = |needed: &str| self.fault(value.span(), format!("{}: {needed}, not {}", option.name, self.at(value)));
        let (text, switch) = (value.get_ref().as_str(), value.get_ref().as_bool());
        let integer = value.get_ref().as_integer();
        let number = integer.and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok());
        let given = match option.shape {
            Shape::Switch => {
                let is_on = switch.ok_or_else(|| no("true or false is needed"))?;
                Given::words(is_on.then_some("true"))
            }
            Shape::Number { of, least, most } => {
                let number = number.filter(|number| (least..=most).contains(number));
                Given::words([number.ok_or_else(|| no(&needed(of, least, most)))?.to_string()])
            }
            Shape::Duration { least } => {
                let words = text.map(str::to_owned).or(number.map(|seconds| seconds.to_string()));
                let words = words.ok_or_else(|| no(DURATION))?;
                let refused = |what| self.fault(value.span(), format!("{}: {}: {what}", option.name, self.at(value)));
                Given::words([durations(least, Span::MAX.as_secs())(&words).map_err(refused)?.to_string()])
            }
            Shape::Choice(choices) => {
                let choices = choices();
                let choice = choices.iter().find(|(choice, _)| Some(*choice) == text);
                let words = choices.iter().map(|(choice, _)| format!("{choice:?}")).collect::<Vec<_>>().join(" or ");
                Given::words([choice.ok_or_else(|| no(&format!("{words} is needed")))?.0])
            }
            Shape::Text | Shape::Path => Given::words([text.ok_or_else(|| no("a text in double quotes is needed"))?]),
            Shape::PathOr(default) => match (text, switch) {
                (Some(path), _) => Given::words([path]),
                (None, Some(is_on)) => Given::words(is_on.then_some(default)),
                (None, None) => return Err(no("a directory in double quotes, or true, is needed")),
            },
            Shape::Texts | Shape::Sockets | Shape::Paths | Shape::JoinedPaths => {
                Given::words(texts(value.get_ref()).ok_or_else(|| no(TEXTS))?)
            }
            Shape::Tables { .. } => Given { tables: self.tables(option, value)?, ..Given::default() },
            // The file has none.
            Shape::Count => Given::default(),
        };
        // It would mean the directory of the file.
        let is_path = matches!(option.shape, Shape::Path | Shape::PathOr(_) | Shape::Paths | Shape::JoinedPaths);
        match is_path && given.words.iter().any(|word| word.is_empty()) {
            true => Err(self.fault(value.span(), format!("{}: an empty path", option.name))),
            false => Ok(given),
        }
    }

    fn tables(&self, option: &Declaration, value: &Spanned<DeValue<'_>>) -> Result<Vec<Table>, Fault> {
        let (name, Shape::Tables { keys, needed }) = (option.name, option.shape) else { return Ok(Vec::new()) };
        let no = |span, what: String| self.fault(span, format!("{name}: {what}"));
        let tables_needed = |span| no(span, format!("[[{name}]] tables are needed"));
        let mut tables = Vec::new();
        for table in value.get_ref().as_array().ok_or_else(|| tables_needed(value.span()))? {
            let mut given = Table::new();
            for (key, value) in table.get_ref().as_table().ok_or_else(|| tables_needed(table.span()))? {
                let Some((key, shape)) = keys.iter().find(|(known, _)| *known == key.get_ref().replace('_', "-"))
                else {
                    let known: Vec<&str> = keys.iter().map(|(known, _)| *known).collect();
                    let what = format!("a {name} has no {:?}, only {}", key.get_ref(), known.join(" and "));
                    return Err(no(key.span(), what));
                };
                let read = self.given(&Declaration { name: key, ..Declaration::of(*shape) }, value);
                let named = |fault: Fault| Fault { what: format!("{name}: {}", fault.what), ..fault };
                given.insert(*key, read.map_err(named)?);
            }
            if !given.contains_key(needed) {
                return Err(no(table.span(), format!("a {name} needs {needed}")));
            }
            tables.push(given);
        }
        Ok(tables)
    }

    fn fault(&self, span: Range<usize>, what: String) -> Fault {
        Fault { at: self.position(span.start), what }
    }

    /// The text of a value.
    fn at(&self, value: &Spanned<DeValue<'_>>) -> &str {
        let text = self.text.get(value.span()).unwrap_or_default();
        text.lines().next().unwrap_or_default()
    }

    fn position(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        format!("{}:{column}", before.matches('\n').count() + 1)
    }
}

const DURATION: &str = "a number of seconds, or a duration in double quotes such as \"15m\", is needed";
const TEXTS: &str = "a text in double quotes, or a list of such texts in [ ], is needed";

/// One text, or a list of texts.
fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(text) => Some(vec![text.to_string()]),
        DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}
