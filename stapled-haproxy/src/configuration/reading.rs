//! Reads a whole configuration line by line, in HAProxy's order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::{BlockError, Blocks, Read};
use super::condition::{Truth, evaluate};
use super::disk::{Disk, Kind, Machine, Text};
use super::environment::Environment;
use super::found::{Configuration, ConfigurationError, Served, Socket, Surroundings};
use super::line_problem::{DoubtKind, LineProblem, Warning};
use super::place::Place;
use super::section::Section;
use super::settings::{DefaultPath, Settings};
use super::words::{LineError, Variable, Word, split};

/// The number of files that are read of a configuration directory.
const MAX_FILES: usize = 10_000;
/// The problem of a file whose last line does not end.
pub(super) const NO_LINE_END: &str = "the last line does not end: HAProxy would not start; append a newline";

/// The state while a configuration is read.
pub(super) struct Reading<'d> {
    pub(super) disk: &'d mut dyn Disk,
    pub(super) environment: Environment,
    /// The directory in which relative paths begin when HAProxy starts, or the best guess.
    pub(super) start: PathBuf,
    /// Whether a running HAProxy has confirmed that directory.
    pub(super) is_start_confirmed: bool,
    /// The directory in which relative paths begin at this line (`default-path`).
    pub(super) directory: PathBuf,
    pub(super) default_path: DefaultPath,
    pub(super) blocks: Blocks,
    /// The section of the line; several if an undecidable condition decides.
    pub(super) sections: Vec<Section>,
    pub(super) section_name: Vec<u8>,
    /// The first line of this file outside of a section, until one begins.
    stray: Option<Place>,
    has_section: bool,
    pub(super) place: Place,
    /// The first line of the configuration.
    pub(super) first: Place,
    pub(super) settings: Settings,
    pub(super) certificates: BTreeMap<Vec<u8>, Served>,
    /// Whether the word being read may name one of several certificates.
    pub(super) is_choice: bool,
    /// The names of client certificates for servers.
    pub(super) clients: BTreeSet<Vec<u8>>,
    /// Whether HAProxy asks for the responses of single certificates itself, where a line says so.
    pub(super) updates: BTreeMap<Vec<u8>, bool>,
    pub(super) lists_read: HashSet<PathBuf>,
    pub(super) sockets: Vec<Socket>,
    pub(super) warnings: Vec<Warning>,
    configuration_files: Vec<PathBuf>,
    /// Whether relative paths have been warned of.
    pub(super) is_relative_told: bool,
    pub(super) files: BTreeSet<PathBuf>,
    pub(super) directories: BTreeSet<PathBuf>,
}

impl Configuration {
    /// Reads the configuration of one HAProxy: the paths of its `-f` arguments, in that order; files, or directories of
    /// `*.cfg`. Environment and current directory are those of this process.
    ///
    /// Blocks: it reads these files and their crt-lists, and lists directories of certificates. It reads no certificates. It
    /// resolves the host name of a listening socket.
    ///
    /// # Errors
    ///
    /// A file or directory of `paths` cannot be read. Any other problem becomes a [`Warning`].
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, ConfigurationError> {
        Configuration::read_in(&Surroundings::default(), paths)
    }

    /// [`read`](Configuration::read) for a HAProxy with other surroundings than this process.
    ///
    /// # Errors
    ///
    /// A file or directory of `paths` cannot be read.
    pub fn read_in<P: AsRef<Path>>(
        surroundings: &Surroundings,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigurationError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        Reading::new(&mut Machine::default(), surroundings).run(&paths)
    }
}

impl<'d> Reading<'d> {
    pub(super) fn new(disk: &'d mut dyn Disk, surroundings: &Surroundings) -> Self {
        let text = |name: &OsStr| name.to_string_lossy().into_owned();
        let variables = surroundings.environment.iter().map(|(name, value)| (text(name), value.as_bytes().to_vec()));
        Reading {
            disk,
            environment: Environment::new(variables),
            start: surroundings.directory.clone(),
            is_start_confirmed: surroundings.is_confirmed,
            directory: surroundings.directory.clone(),
            default_path: DefaultPath::Current,
            blocks: Blocks::default(),
            sections: vec![Section::Other],
            section_name: Vec::new(),
            stray: None,
            has_section: false,
            place: Place { file: Arc::from(Path::new("")), line: 0 },
            first: Place { file: Arc::from(Path::new("")), line: 0 },
            settings: Settings::default(),
            certificates: BTreeMap::new(),
            is_choice: false,
            clients: BTreeSet::new(),
            updates: BTreeMap::new(),
            lists_read: HashSet::new(),
            sockets: Vec::new(),
            warnings: Vec::new(),
            configuration_files: Vec::new(),
            is_relative_told: false,
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
                    let mut files: Vec<PathBuf> = names.collect();
                    // A file whose kind is unknown is kept: reading it gives the error.
                    files.retain(|file| {
                        self.disk.kind(file).map_or_else(|error| !is_absent(&error), |kind| kind == Kind::File)
                    });
                    if files.is_empty() {
                        return Err(ConfigurationError::NoFiles { path });
                    }
                    if files.len() > MAX_FILES {
                        self.place = Place { file: path.as_path().into(), line: 1 };
                        self.warn(LineProblem::TooMuch { what: format!("more than {MAX_FILES} files: not read") });
                        files.truncate(MAX_FILES);
                    }
                    for file in &files {
                        self.read_file(file)?;
                    }
                }
                // A file whose kind is unknown may still be remembered.
                _ => self.read_file(&path)?,
            }
        }
        Ok(self.finish())
    }

    fn finish(mut self) -> Configuration {
        let sockets = self.usable_sockets();
        for (name, served) in &mut self.certificates {
            served.updates_itself = self.updates.get(name).copied().unwrap_or(self.settings.updates);
        }
        let clients = self.clients.into_iter().filter(|name| !self.certificates.contains_key(name));
        Configuration {
            client_certificates: clients.map(|name| String::from_utf8_lossy(&name).into_owned()).collect(),
            extra: self.settings.extra,
            chains: self.settings.chains,
            zero_warning: self.settings.zero_warning,
            certificates: self.certificates.into_values().collect(),
            sockets,
            warnings: self.warnings,
            configuration_files: self.configuration_files,
            files: self.files.into_iter().collect(),
            directories: self.directories.into_iter().collect(),
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigurationError> {
        self.files.insert(path.to_owned());
        self.configuration_files.push(path.to_owned());
        let unreadable = |error| ConfigurationError::Unreadable { path: path.to_owned(), error };
        let text = self.disk.read(path, Text::Configuration).map_err(unreadable)?;
        self.place = Place { file: path.into(), line: 0 };
        if self.first.line == 0 {
            self.first = Place { file: path.into(), line: 1 };
        }
        self.blocks = Blocks::default();
        self.sections = vec![Section::Other];
        self.section_name.clear();
        (self.stray, self.has_section) = (None, false);
        self.enter_directory();
        for line in lines(&text) {
            self.place.line += 1;
            self.read_line(line);
        }
        if let Some(place) = self.stray.take().filter(|_| !self.has_section) {
            let end = std::mem::replace(&mut self.place, place);
            let what = "no section (`global`, `frontend` and so on) begins here or later: this is not a configuration of HAProxy";
            self.warn_refused(what);
            self.place = end;
        }
        if !self.blocks.are_closed() {
            self.warn_refused("an .if without its .endif: HAProxy would not start");
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            self.warn_refused(NO_LINE_END);
        }
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) {
        let words = match self.words(line) {
            Ok(words) => words,
            Err(error) => {
                if self.blocks.now() != Read::No {
                    self.warn_refused(format!("{error}; this line is ignored"));
                }
                return;
            }
        };
        let Some((first, rest)) = words.split_first() else { return };
        match first.bytes.as_slice() {
            directive @ (b".if" | b".elif" | b".else" | b".endif") => self.branch(directive, rest),
            _ if self.blocks.now() == Read::No => {}
            keyword => {
                if Section::is_keyword(keyword) {
                    self.has_section = true;
                    self.enter_section(keyword, rest);
                } else {
                    self.stray.get_or_insert_with(|| self.place.clone());
                    self.statement(keyword, rest);
                }
            }
        }
    }

    /// Whether HAProxy certainly reads this line, in this section.
    pub(super) fn is_read_surely(&self) -> bool {
        self.blocks.now() == Read::Yes && self.sections.len() == 1
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
                    Truth::Undecided(format!("the condition depends on {}, whose value is not known", doubt.variable))
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
            self.warn_refused(format!("{directive} is ignored: {error}"));
        }
        if let Some(why) = undecided {
            self.warn(LineProblem::Undecided { why });
        }
    }

    /// A path from the directory in which relative paths begin at this line. A guess of that directory is warned about.
    pub(super) fn path(&mut self, path: &[u8]) -> PathBuf {
        if path.first() != Some(&b'/') && matches!(self.default_path, DefaultPath::Current) {
            self.warn_relative(path);
        }
        self.path_of(path)
    }

    /// The same path, without a warning.
    pub(super) fn path_of(&self, path: &[u8]) -> PathBuf {
        plain(&self.directory.join(OsStr::from_bytes(path)))
    }
}

/// The lines of a text, without their line ends.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n')
}

/// The path without `.` and doubled slashes.
pub(super) fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Whether there is no file.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
