//! The whole configuration, read line by line in HAProxy's order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::reason::ReasonCode;

use super::blocks::{BlockError, Blocks, Read};
use super::condition::{Truth, evaluate};
use super::disk::{Disk, Kind, Text};
use super::environment::Environment;
use super::extra::ExtraFiles;
use super::listener::{Listener, listeners};
use super::statement::{BindOption, Files, bind_options};
use super::words::{DoubtKind, LineError, Variable, Word, split};
use super::{Configuration, ConfigurationError, Effect, Level, Place, Served, Socket, Surroundings, Warning};
use crate::address::Address;
use crate::codes;

/// No directory of configurations has more files that are read.
const MAX_FILES: usize = 10_000;
/// More warnings are not told.
const MAX_WARNINGS: usize = 1000;
/// More sockets are not used.
const MAX_SOCKETS: usize = 64;

/// Words that begin a section, wherever they stand.
const SECTIONS: [&str; 23] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "dynamic-update",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
    "haterm",
];

/// What is known while a configuration is read.
pub(super) struct Reading<'d> {
    pub(super) disk: &'d mut dyn Disk,
    environment: Environment,
    /// Where relative paths begin when HAProxy starts, as far as that is known.
    start: PathBuf,
    /// Where they begin now (`default-path`).
    pub(super) directory: PathBuf,
    default_path: DefaultPath,
    blocks: Blocks,
    section: Section,
    section_name: Vec<u8>,
    pub(super) place: Place,
    /// The first line of all.
    first: Place,
    pub(super) settings: Settings,
    pub(super) certificates: BTreeMap<Vec<u8>, Served>,
    pub(super) lists_read: HashSet<PathBuf>,
    sockets: Vec<Socket>,
    warnings: Vec<Warning>,
    told: HashSet<(ReasonCode, String)>,
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) directories: BTreeSet<PathBuf>,
}

/// What the global section says about certificates' files.
#[derive(Debug)]
pub(super) struct Settings {
    /// `crt-base`; several where it depends on what cannot be decided.
    pub(super) bases: Vec<Option<Vec<u8>>>,
    pub(super) extra: ExtraFiles,
    /// `issuers-chain-path`.
    pub(super) chains: Option<PathBuf>,
}

#[derive(Debug)]
enum DefaultPath {
    Current,
    /// The directory of each configuration file, and `above` directories above it.
    Config {
        above: bool,
    },
    Origin(PathBuf),
}

#[derive(Debug)]
enum Section {
    Global,
    Store {
        name: Vec<u8>,
        base: Option<Vec<u8>>,
    },
    /// `defaults`, where no listener can be.
    Defaults,
    Other,
}

impl<'d> Reading<'d> {
    pub(super) fn new(disk: &'d mut dyn Disk, surroundings: &Surroundings) -> Self {
        let text = |name: &OsStr| name.to_string_lossy().into_owned();
        let variables = surroundings.environment.iter().map(|(name, value)| (text(name), value.as_bytes().to_vec()));
        Reading {
            disk,
            environment: Environment::new(variables),
            start: surroundings.directory.clone(),
            directory: surroundings.directory.clone(),
            default_path: DefaultPath::Current,
            blocks: Blocks::default(),
            section: Section::Other,
            section_name: Vec::new(),
            place: Place { file: Arc::from(Path::new("")), line: 0 },
            first: Place { file: Arc::from(Path::new("")), line: 0 },
            settings: Settings { bases: vec![None], extra: ExtraFiles::default(), chains: None },
            certificates: BTreeMap::new(),
            lists_read: HashSet::new(),
            sockets: Vec::new(),
            warnings: Vec::new(),
            told: HashSet::new(),
            files: BTreeSet::new(),
            directories: BTreeSet::new(),
        }
    }

    pub(super) fn run(mut self, paths: &[PathBuf]) -> Result<Configuration, ConfigurationError> {
        for path in paths {
            let path = self.start.join(path);
            let unreadable = |error| ConfigurationError::Unreadable { path: path.clone(), error };
            match self.disk.kind(&path) {
                Ok(Kind::Directory) => {
                    self.directories.insert(path.clone());
                    let names = self.disk.list(&path).map_err(unreadable)?;
                    let is_read = |name: &[u8]| !name.starts_with(b".") && name.ends_with(b".cfg");
                    let names =
                        names.iter().filter(|name| is_read(name)).map(|name| path.join(OsStr::from_bytes(name)));
                    let files: Vec<PathBuf> = names.take(MAX_FILES).collect();
                    let files: Vec<&PathBuf> =
                        files.iter().filter(|file| !matches!(self.disk.kind(file), Ok(Kind::Directory))).collect();
                    if files.is_empty() {
                        return Err(ConfigurationError::NoFiles { path });
                    }
                    for file in files {
                        self.read_file(file)?;
                    }
                }
                // What cannot be looked at may still be remembered.
                _ => self.read_file(&path)?,
            }
        }
        Ok(self.finish())
    }

    fn finish(mut self) -> Configuration {
        if self.sockets.is_empty() {
            self.place = self.first.clone();
            let what = "no `stats socket` that can be used: what HAProxy serves is not updated while it runs; add \
                        `stats socket /run/haproxy/admin.sock level admin` to `global`";
            self.warn(codes::SOCKET_MISSING_IN_CONFIGURATION, what);
        }
        if self.sockets.iter().any(|socket| socket.level == Level::Admin) {
            self.sockets.retain(|socket| socket.level == Level::Admin);
        } else {
            for socket in std::mem::take(&mut self.sockets) {
                self.place = socket.place.clone();
                let what = format!(
                    "stats socket {} has no `level admin`: no certificate can get its first staple over it",
                    socket.address
                );
                self.warn(codes::SOCKET_LEVEL, what);
                self.sockets.push(socket);
            }
        }
        Configuration {
            certificates: self.certificates.into_values().collect(),
            sockets: self.sockets,
            warnings: self.warnings,
            files: self.files.into_iter().collect(),
            directories: self.directories.into_iter().collect(),
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigurationError> {
        self.files.insert(path.to_owned());
        let unreadable = |error| ConfigurationError::Unreadable { path: path.to_owned(), error };
        let text = self.disk.read(path, Text::Configuration).map_err(unreadable)?;
        self.place = Place { file: path.into(), line: 0 };
        if self.first.line == 0 {
            self.first = Place { file: path.into(), line: 1 };
        }
        self.blocks = Blocks::default();
        self.section = Section::Other;
        self.section_name.clear();
        self.enter_directory();
        for line in lines(&text) {
            self.place.line += 1;
            self.read_line(line);
        }
        if !self.blocks.are_closed() {
            self.warn(codes::CONFIGURATION_LINE, "an .if without its .endif: HAProxy would not start");
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            self.warn(
                codes::CONFIGURATION_LINE,
                "the last line does not end: HAProxy would not start; append a newline",
            );
        }
        self.directory = self.start.clone();
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) {
        let words = match self.words(line) {
            Ok(words) => words,
            Err(error) => {
                if self.blocks.now() != Read::No {
                    self.warn(codes::CONFIGURATION_LINE, format!("left out: {error}"));
                }
                return;
            }
        };
        let Some((first, rest)) = words.split_first() else { return };
        match first.bytes.as_slice() {
            directive @ (b".if" | b".elif" | b".else" | b".endif") => self.branch(directive, rest),
            _ if self.blocks.now() == Read::No => {}
            keyword => {
                if SECTIONS.iter().any(|section| section.as_bytes() == keyword) {
                    self.enter_section(keyword, rest);
                } else {
                    self.statement(keyword, rest);
                }
            }
        }
    }

    fn words(&self, line: &[u8]) -> Result<Vec<Word>, LineError> {
        split(line, &|name| match name {
            ".LINE" => Variable::Set(self.place.line.to_string().into_bytes()),
            ".FILE" => Variable::Set(self.place.file.as_os_str().as_bytes().to_vec()),
            ".SECTION" => Variable::Set(self.section_name.clone()),
            name => self.environment.lookup(name),
        })
    }

    fn branch(&mut self, directive: &[u8], words: &[Word]) {
        let mut undecided = None;
        let environment = &self.environment;
        let condition = || {
            let unknown = words.iter().filter_map(|word| word.doubt.as_ref());
            let truth = match unknown.into_iter().find(|doubt| doubt.kind != DoubtKind::Unset) {
                Some(doubt) => Truth::Undecided(format!("the value of {} is not known", doubt.variable)),
                None => {
                    let words: Vec<&[u8]> = words.iter().map(|word| word.bytes.as_slice()).collect();
                    evaluate(&words.join(&b' '), &|name| environment.lookup(name))
                }
            };
            if let Truth::Undecided(why) = &truth {
                undecided = Some(why.clone());
            }
            truth
        };
        let done: Result<(), BlockError> = match directive {
            b".if" => self.blocks.begin(condition),
            b".elif" => self.blocks.otherwise_if(condition),
            b".else" => self.blocks.otherwise(),
            _ => self.blocks.end(),
        };
        if let Err(error) = done {
            let directive = String::from_utf8_lossy(directive).into_owned();
            self.warn(codes::CONFIGURATION_LINE, format!("{directive} is passed over: {error}"));
        }
        if let Some(why) = undecided {
            self.warn(codes::CONDITION_UNDECIDED, format!("{why}, which is not known here: read both ways"));
        }
    }

    fn enter_section(&mut self, keyword: &[u8], rest: &[Word]) {
        let name = rest.first().map(|word| word.bytes.clone()).unwrap_or_default();
        self.section_name = if name.is_empty() { keyword.to_vec() } else { name.clone() };
        self.section = match keyword {
            b"global" => Section::Global,
            b"crt-store" => Section::Store { name, base: None },
            b"defaults" => Section::Defaults,
            _ => Section::Other,
        };
    }

    fn statement(&mut self, keyword: &[u8], rest: &[Word]) {
        match (&mut self.section, keyword) {
            (Section::Global, _) => self.global(keyword, rest),
            (Section::Store { base, .. }, b"crt-base") => *base = rest.first().map(|word| word.bytes.clone()),
            (Section::Store { name, base }, b"load") => {
                let (name, base) = (name.clone(), base.clone());
                self.load_into_store(&name, base.as_deref(), &Files::read(rest.iter()));
            }
            (Section::Other, b"bind") => self.bind(rest.get(1..).unwrap_or_default()),
            (Section::Other, b"default-bind") => self.bind(rest),
            (Section::Other, b"ssl-f-use") => self.use_in_frontend(&Files::read(rest.iter())),
            _ => {}
        }
    }

    fn global(&mut self, keyword: &[u8], rest: &[Word]) {
        let is_doubtful = self.blocks.now() == Read::Perhaps;
        let first = || rest.first().map(|word| word.bytes.clone());
        let name = |word: &Word| String::from_utf8_lossy(&word.bytes).into_owned();
        match (keyword, rest) {
            (b"crt-base", [base, ..]) => {
                self.doubt(base, "crt-base");
                if !is_doubtful {
                    self.settings.bases.clear();
                }
                self.settings.bases.retain(|known| *known != first());
                self.settings.bases.push(first());
            }
            (b"issuers-chain-path", [path, ..]) => {
                let path = self.path(&path.bytes);
                self.directories.insert(path.clone());
                // Only where it surely is: HAProxy does not start with a response whose issuer it does not find.
                self.settings.chains = (!is_doubtful).then_some(path);
            }
            (b"ssl-load-extra-files", words) => {
                self.settings.extra.set(words.iter().map(|word| word.bytes.as_slice()), is_doubtful);
            }
            (b"ssl-load-extra-del-ext", _) => self.settings.extra.drop_extension(),
            (b"setenv", [variable, value, ..]) => {
                self.environment.set(&name(variable), value.bytes.clone(), is_doubtful);
            }
            (b"presetenv", [variable, value, ..]) => {
                self.environment.preset(&name(variable), value.bytes.clone(), is_doubtful);
            }
            (b"unsetenv", variables) => {
                variables.iter().for_each(|variable| self.environment.unset(&name(variable), is_doubtful));
            }
            (b"resetenv", keep) => {
                self.environment.reset(&keep.iter().map(name).collect::<Vec<_>>(), is_doubtful);
            }
            (b"default-path", [policy, more @ ..]) => {
                self.default_path = match (policy.bytes.as_slice(), more) {
                    (b"config", _) => DefaultPath::Config { above: false },
                    (b"parent", _) => DefaultPath::Config { above: true },
                    (b"origin", [path, ..]) => DefaultPath::Origin(self.start.join(OsStr::from_bytes(&path.bytes))),
                    _ => DefaultPath::Current,
                };
                self.enter_directory();
            }
            (b"stats", [socket, address, options @ ..]) if socket.bytes == b"socket" => {
                self.stats_socket(address, options);
            }
            _ => {}
        }
    }

    /// `default-path`: HAProxy changes its directory for the rest of each file.
    fn enter_directory(&mut self) {
        let of_file = self.place.file.parent().unwrap_or(Path::new("/"));
        self.directory = match &self.default_path {
            DefaultPath::Current => self.start.clone(),
            DefaultPath::Config { above: false } => of_file.to_owned(),
            DefaultPath::Config { above: true } => of_file.join(".."),
            DefaultPath::Origin(path) => path.clone(),
        };
    }

    fn bind(&mut self, options: &[Word]) {
        for option in bind_options(options) {
            match option {
                BindOption::Certificate(path) => self.serve(path),
                BindOption::List(path) => self.serve_list(path),
                _ => {}
            }
        }
    }

    fn stats_socket(&mut self, address: &Word, options: &[Word]) {
        // It may have certificates of its own.
        self.bind(options);
        self.doubt(address, "stats socket");
        let options = bind_options(options);
        let level = options.iter().rev().find_map(|option| match option {
            BindOption::Level(level) => Some(match level.bytes.as_slice() {
                b"admin" => Level::Admin,
                b"user" => Level::User,
                _ => Level::Operator,
            }),
            _ => None,
        });
        let speaks_more = options.iter().any(|option| matches!(option, BindOption::Ssl | BindOption::AcceptProxy));
        for listener in listeners(&address.bytes) {
            let address = match listener {
                _ if speaks_more => Err("with `ssl` or `accept-proxy` it cannot be talked to".to_owned()),
                listener => self.connectable(listener),
            };
            match address {
                Ok(address) if self.sockets.iter().any(|socket| socket.address == address) => {}
                Ok(_) if self.sockets.len() >= MAX_SOCKETS => {
                    self.warn(codes::CONFIGURATION_TOO_LARGE, format!("more than {MAX_SOCKETS} admin sockets"));
                }
                Ok(address) => {
                    let place = self.place.clone();
                    self.sockets.push(Socket { address, level: level.unwrap_or_default(), place });
                }
                Err(why) => {
                    self.warn(codes::SOCKET_UNUSABLE, format!("stats socket left out: {why}; add one with a path"));
                }
            }
        }
    }

    fn connectable(&mut self, listener: Listener) -> Result<Address, String> {
        match listener {
            Listener::Unusable(why) => Err(why),
            // It is bound only when HAProxy is back in the directory that it was started in.
            Listener::Unix(path) => {
                if path.first() != Some(&b'/') {
                    self.warn_relative(&path);
                }
                Ok(Address::Unix(plain(&self.start.join(OsStr::from_bytes(&path)))))
            }
            Listener::Abstract(name) => format!("abns@{name}").parse().map_err(|error| format!("{error}")),
            Listener::AbstractExact(name) => format!("abnsz@{name}").parse().map_err(|error| format!("{error}")),
            Listener::Tcp { host, port, family } => {
                if host.is_empty() {
                    return Ok(Address::Tcp((family.this_machine(), port).into()));
                }
                let found = match host.parse::<std::net::IpAddr>() {
                    Ok(address) => vec![(address, port).into()],
                    Err(_) => self.disk.resolve(&host, port).map_err(|error| format!("{host}: {error}"))?,
                };
                let address = found.into_iter().find(|address| family.has(address.ip()));
                let address = address.ok_or_else(|| format!("{host} has no address of that family"))?;
                if !address.ip().is_unspecified() {
                    return Ok(Address::Tcp(address));
                }
                let family = if address.is_ipv6() { super::listener::Family::V6 } else { family };
                Ok(Address::Tcp((family.this_machine(), port).into()))
            }
        }
    }

    /// A path, taken from the directory that relative ones begin in now.
    pub(super) fn path(&mut self, path: &[u8]) -> PathBuf {
        if path.first() != Some(&b'/') && matches!(self.default_path, DefaultPath::Current) {
            self.warn_relative(path);
        }
        plain(&self.directory.join(OsStr::from_bytes(path)))
    }

    fn warn_relative(&mut self, path: &[u8]) {
        if self.told.insert((codes::RELATIVE_PATH, String::new())) {
            let what = format!(
                "{} is taken from {}, the directory that this program was started in; HAProxy takes it from its own: \
                 start both in the same one, or give absolute paths",
                String::from_utf8_lossy(path),
                self.start.display()
            );
            self.warn(codes::RELATIVE_PATH, what);
        }
    }

    /// Tells if it is not sure what a word means to HAProxy.
    pub(super) fn doubt(&mut self, word: &Word, what: &str) {
        let Some(doubt) = &word.doubt else { return };
        let variable = &doubt.variable;
        let why = match doubt.kind {
            DoubtKind::Unset => "it is not set here, and taken as empty; set it for this program as for HAProxy",
            DoubtKind::Unknown => "HAProxy sets it itself, and it is taken as empty; write its value instead",
            DoubtKind::Undecided => "it is set on a condition that cannot be decided; the last value is taken",
        };
        let what = format!("{what} depends on the environment variable {variable}: {why}");
        self.warn(codes::VARIABLE_UNKNOWN, what);
    }

    pub(super) fn warn(&mut self, code: ReasonCode, what: impl Into<String>) {
        let what = what.into();
        let place = self.place.clone();
        match self.warnings.len() {
            MAX_WARNINGS.. => {}
            LAST_WARNING => {
                let what = "more warnings are not told".to_owned();
                let code = codes::CONFIGURATION_TOO_LARGE;
                self.warnings.push(Warning { code, effect: Effect::LeftOut, place, what });
            }
            _ => {
                let effect = if ADVICE.contains(&code) { Effect::Assumed } else { Effect::LeftOut };
                let warning = Warning { code, effect, place, what };
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
        }
    }
}

const LAST_WARNING: usize = MAX_WARNINGS - 1;
/// Warnings of which no certificate is missing.
const ADVICE: [ReasonCode; 6] = [
    codes::CONDITION_UNDECIDED,
    codes::VARIABLE_UNKNOWN,
    codes::RELATIVE_PATH,
    codes::SOCKET_UNUSABLE,
    codes::SOCKET_LEVEL,
    codes::SOCKET_MISSING_IN_CONFIGURATION,
];

/// The lines of a text, without their ends.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n')
}

/// A path without `.` and doubled slashes, which name the same file.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}
