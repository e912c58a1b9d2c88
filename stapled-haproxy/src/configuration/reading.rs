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
/// More sections than these a line does not belong to.
const MAX_SECTIONS: usize = 8;
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
    /// The section that lines belong to; several where it depends on what cannot be decided.
    sections: Vec<Section>,
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

#[derive(Clone, Debug, PartialEq, Eq)]
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
            sections: vec![Section::Other],
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
        self.sections = vec![Section::Other];
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
                Some(doubt) => {
                    Truth::Undecided(format!("this depends on {}, whose value is not known", doubt.variable))
                }
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
            self.warn(codes::CONDITION_UNDECIDED, format!("{why}: read both ways"));
        }
    }

    fn enter_section(&mut self, keyword: &[u8], rest: &[Word]) {
        let name = rest.first().map(|word| word.bytes.clone()).unwrap_or_default();
        self.section_name = if name.is_empty() { keyword.to_vec() } else { name.clone() };
        let section = match keyword {
            b"global" => Section::Global,
            b"crt-store" => Section::Store { name, base: None },
            b"defaults" => Section::Defaults,
            _ => Section::Other,
        };
        if self.blocks.now() == Read::Yes {
            self.sections.clear();
        }
        self.sections.retain(|known| *known != section);
        if self.sections.len() >= MAX_SECTIONS {
            self.sections.remove(0);
        }
        self.sections.push(section);
    }

    fn statement(&mut self, keyword: &[u8], rest: &[Word]) {
        for at in 0..self.sections.len() {
            match (self.sections.get_mut(at), keyword) {
                (Some(Section::Global), _) => self.global(keyword, rest),
                (Some(Section::Store { base, .. }), b"crt-base") => *base = rest.first().map(|word| word.bytes.clone()),
                (Some(Section::Store { name, base }), b"load") => {
                    let (name, base) = (name.clone(), base.clone());
                    self.load_into_store(&name, base.as_deref(), &Files::read(rest.iter()));
                }
                (Some(Section::Other), b"bind") => self.bind(rest.get(1..).unwrap_or_default()),
                (Some(Section::Other), b"default-bind") => self.bind(rest),
                (Some(Section::Other), b"ssl-f-use") => self.use_in_frontend(&Files::read(rest.iter())),
                _ => {}
            }
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
        self.path_of(path)
    }

    /// The same, without a word about it.
    pub(super) fn path_of(&self, path: &[u8]) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    /// Files in memory.
    #[derive(Clone, Debug, Default)]
    struct Memory(BTreeMap<PathBuf, Vec<u8>>);

    impl Memory {
        fn with(files: &[(&str, &str)]) -> Self {
            Memory(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
        }
    }

    impl Disk for Memory {
        fn read(&mut self, path: &Path, _: Text) -> io::Result<Vec<u8>> {
            self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn list(&mut self, path: &Path) -> io::Result<Vec<Vec<u8>>> {
            let inside = self.0.keys().filter(|file| file.parent() == Some(path));
            Ok(inside.filter_map(|file| file.file_name()).map(|name| name.as_bytes().to_vec()).collect())
        }

        fn kind(&mut self, path: &Path) -> io::Result<Kind> {
            match self.0.contains_key(path) {
                true => Ok(Kind::File),
                false if self.0.range(path.to_owned()..).next().is_some_and(|(file, _)| file.starts_with(path)) => {
                    Ok(Kind::Directory)
                }
                false => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn resolve(&mut self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            Ok(vec![([10, 0, 0, 1], port).into()])
        }
    }

    fn surroundings() -> Surroundings {
        Surroundings::default().directory("/start").environment([("SET", "set")])
    }

    fn read(files: &[(&str, &str)]) -> Configuration {
        Reading::new(&mut Memory::with(files), &surroundings()).run(&["/h.cfg".into()]).expect("a configuration")
    }

    fn names(configuration: &Configuration) -> Vec<&str> {
        configuration.certificates.iter().map(|served| served.name.as_str()).collect()
    }

    fn codes(configuration: &Configuration) -> Vec<String> {
        let code = |warning: &Warning| format!("{}:{}", warning.place.line, warning.code.as_str());
        configuration.warnings.iter().map(code).collect()
    }

    #[test]
    fn where_haproxy_looks_for_responses_and_issuers() {
        let configuration = read(&[
            (
                "/h.cfg",
                "global\n crt-base /c\n stats socket /s level admin\ncrt-store w\n crt-base /w\n load crt a.crt\n \
                 load crt b.crt ocsp o issuer i alias b\nfrontend f\n bind :1 ssl crt a.pem crt-list /l\nglobal\n \
                 ssl-load-extra-del-ext\n issuers-chain-path /chains\nfrontend g\n bind :1 ssl crt d.crt\n ssl-f-use crt e.crt key k\n \
                 ssl-f-use crt f.crt alpn h2\nglobal\n ssl-load-extra-files issuer\nfrontend h\n bind :1 ssl crt g.crt\n",
            ),
            ("/l", "h.pem\ni.pem [ocsp /x/i.resp]\nj.pem [issuer ca.pem alpn h2]\n"),
            ("/c/a.pem", ""),
            ("/c/d.crt", ""),
            ("/c/e.crt", ""),
            ("/c/f.crt", ""),
            ("/c/g.crt", ""),
            ("/c/h.pem", ""),
            ("/c/i.pem", ""),
            ("/c/j.pem", ""),
            ("/c/ca.pem", ""),
            ("/w/a.crt", ""),
            ("/w/b.crt", ""),
        ]);
        let show = |path: &Option<PathBuf>| path.as_ref().map_or("-".to_owned(), |path| path.display().to_string());
        let served = configuration.certificates.iter();
        let served: Vec<String> = served
            .map(|served| {
                format!("{} {} {} {}", served.name, show(&served.staple), show(&served.issuer), show(&served.chains))
            })
            .collect();
        assert_eq!(
            served,
            [
                "/c/a.pem /c/a.pem.ocsp /c/a.pem.issuer -",
                "/c/d.crt /c/d.ocsp /c/d.issuer /chains",
                "/c/e.crt - - /chains",
                "/c/f.crt /c/f.ocsp /c/f.issuer /chains",
                "/c/g.crt - /c/g.issuer /chains",
                "/c/h.pem /c/h.pem.ocsp /c/h.pem.issuer -",
                "/c/i.pem /x/i.resp - -",
                "/c/j.pem - /c/ca.pem -",
                "@w/a.crt - - -",
                "@w/b /w/o /w/i -",
            ]
        );
        assert_eq!(codes(&configuration), [""; 0]);
    }

    #[test]
    fn what_is_odd_is_told_with_its_place() {
        let configuration = read(&[
            (
                "/h.cfg",
                "global\n stats socket fd@3 level admin\n stats socket /user.sock level user\nfrontend f\n bind :1 ssl crt /no.pem\n \
                 bind :1 ssl crt \"/a$UNSET.pem\"\n bind :1 ssl crt-list /no\n bind :1 ssl crt \"unmatched\n.if version_atleast(3.0)\n \
                 bind :1 ssl crt rel.pem\n.endif\n.endif\n bind :1 ssl crt-list /l\n.if 1\n bind :1 ssl crt /a.pem",
            ),
            ("/l", "/a.pem\n/b.pem [\n/no.pem"),
            ("/a.pem", ""),
            ("/start/rel.pem", ""),
        ]);
        assert_eq!(
            codes(&configuration),
            [
                "2:socket_unusable",
                "5:crt_missing",
                "6:variable_unknown",
                "7:crt_list_unreadable",
                "8:configuration_line",
                "9:condition_undecided",
                "10:relative_path",
                "12:configuration_line",
                "2:configuration_line",
                "3:crt_missing",
                "3:configuration_line",
                "15:configuration_line",
                "15:configuration_line",
                "3:socket_level",
            ]
        );
        assert_eq!(names(&configuration), ["/a.pem", "rel.pem"]);
        let list =
            configuration.warnings.iter().filter(|warning| warning.place.file.as_ref() == Path::new("/l")).count();
        assert_eq!(list, 3);
        // What is not there yet is waited for.
        for path in ["/h.cfg", "/l", "/no", "/no.pem", "/no.pem.rsa"] {
            assert!(configuration.files.contains(&PathBuf::from(path)), "{path}");
        }
    }

    #[test]
    fn only_admins_where_there_is_one() {
        let sockets = |text: &str| -> Vec<String> {
            let configuration = read(&[("/h.cfg", text)]);
            let socket = |socket: &Socket| format!("{} {:?}", socket.address, socket.level);
            configuration.sockets.iter().map(socket).collect()
        };
        assert_eq!(
            sockets(
                "global\n stats socket /u level user\n stats socket unix@b level admin mode 600\n stats socket host:9-12,:7 level \
                 admin\n stats socket /x ssl crt /a level admin\n stats socket abns@n level admin\nfrontend f\n stats socket /no\n"
            ),
            ["/start/b Admin", "ipv4@10.0.0.1:9 Admin", "ipv4@127.0.0.1:7 Admin", "abns@n Admin"]
        );
        assert_eq!(sockets("global\n stats socket /u level user\n stats socket /o\n"), ["/u User", "/o Operator"]);
        assert_eq!(codes(&read(&[("/h.cfg", "\nglobal\n")])), ["1:no_admin_socket"]);
    }

    #[test]
    fn a_crowd_of_certificates_and_of_warnings() {
        let list: String = (0..20_000).map(|number| format!("/c/{}.pem\n", number % 15_000)).collect();
        let mut files: Vec<(String, String)> =
            (0..10_000).map(|number| (format!("/c/{number}.pem"), String::new())).collect();
        files.push(("/l".to_owned(), list));
        files.push(("/h.cfg".to_owned(), "frontend f\n bind :1 ssl crt-list /l\n".to_owned()));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let configuration = read(&files);
        assert_eq!(configuration.certificates.len(), 10_000);
        assert_eq!(configuration.warnings.len(), MAX_WARNINGS);
    }

    #[test]
    fn a_directory_of_configurations_without_any() {
        let mut memory = Memory::with(&[("/d/x.conf", ""), ("/d/.a.cfg", "")]);
        let read = Reading::new(&mut memory, &surroundings()).run(&["/d".into()]);
        assert!(matches!(read, Err(ConfigurationError::NoFiles { .. })));
        let read = Reading::new(&mut memory, &surroundings()).run(&["/none".into()]);
        assert!(matches!(read, Err(ConfigurationError::Unreadable { .. })));
    }

    /// Lines that mean something, and lines that do not.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "global",
                "frontend f",
                "crt-store s",
                "crt-store",
                "defaults",
                ".if 1",
                ".if 0",
                ".if version_atleast(3.0)",
                ".if defined(A)",
                ".elif 1",
                ".elif feature(X)",
                ".else",
                ".endif",
                "crt-base /c",
                "crt-base c",
                "setenv A /c",
                "unsetenv A",
                "resetenv",
                "presetenv A b",
                "default-path config",
                "default-path origin o",
                "default-path parent",
                "ssl-load-extra-files none",
                "ssl-load-extra-del-ext",
                "issuers-chain-path i",
                "stats socket s,unix@t,:1",
                "bind :1 ssl crt a.pem",
                "bind :1 ssl crt /c crt-list l",
                "bind :1 ssl crt-list /l crt \"$A/a.pem\"",
                "load crt a.pem alias x",
                "load crt /c/a.pem",
                "bind :1 crt @s/x crt @/a.pem",
                "ssl-f-use crt a.pem ocsp o",
            ])
            .prop_map(str::to_owned),
            "[a-z \"'\\\\$.{}@/#-]{0,20}",
        ]
    }

    fn memory(text: &[u8]) -> Memory {
        let mut memory = Memory::with(&[
            ("/c/a.pem", ""),
            ("/c/b.rsa", ""),
            ("/start/a.pem", ""),
            ("/start/c/a.pem", ""),
            ("/l", "a.pem\n@s/x [ocsp q]\nb\n"),
        ]);
        memory.0.insert("/h.cfg".into(), text.to_vec());
        memory
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Reading::new(&mut memory(&text), &surroundings()).run(&["/h.cfg".into()]);
        }

        #[test]
        fn no_configuration_panics_and_every_file_is_one(lines in prop::collection::vec(line(), 0..40)) {
            let text = lines.join("\n") + "\n";
            let mut memory = memory(text.as_bytes());
            let configuration = Reading::new(&mut memory, &surroundings()).run(&["/h.cfg".into()]).unwrap();
            for served in &configuration.certificates {
                prop_assert!(memory.0.contains_key(&served.file), "{served:?}");
            }
        }

        /// Read both ways, at least what either way has is found.
        #[test]
        fn undecided_conditions_hide_nothing(lines in prop::collection::vec(line(), 0..30), ways in any::<u32>()) {
            let decided = |way: u32| {
                let line = |(number, line): (usize, &String)| match line.as_str() {
                    // What it says of variables and bases is another matter: the last one holds.
                    ".if version_atleast(3.0)" | ".if defined(A)" => format!(".if {}", way >> (number % 32) & 1),
                    ".elif feature(X)" => format!(".elif {}", way >> (number % 32) & 1),
                    line if line.contains("env ") || line.starts_with("resetenv") || line.starts_with("default-path")
                        || line.contains("crt-store") || line.starts_with("load") || line.contains('@') || line.contains('$') => String::new(),
                    line => line.to_owned(),
                };
                lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n") + "\n"
            };
            let undecided = decided(0).lines().zip(&lines).map(|(decided, line)| match line.as_str() {
                ".if version_atleast(3.0)" | ".if defined(A)" => ".if version_atleast(3.0)",
                ".elif feature(X)" => ".elif feature(X)",
                _ => decided,
            }.to_owned()).collect::<Vec<_>>().join("\n") + "\n";
            let found = |text: &str| {
                let configuration = Reading::new(&mut memory(text.as_bytes()), &surroundings()).run(&["/h.cfg".into()]).unwrap();
                configuration.certificates.into_iter().map(|served| served.name).collect::<BTreeSet<_>>()
            };
            let (both, one) = (found(&undecided), found(&decided(ways)));
            prop_assert!(one.is_subset(&both), "{one:?} of\n{}\n{both:?} of\n{undecided}", decided(ways));
        }
    }
}
