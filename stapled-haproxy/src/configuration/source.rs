//! HAProxy's configuration as a source of certificates, and its sockets as they change.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use stapled_core::io::files::{Files, Look};
use stapled_core::report::{Report, Reporter, Reporters};
use stapled_core::source::{CertSource, Scan, SourceError, SourceProblem};
use tokio::sync::watch;

use super::disk::{Kept, Machine};
use super::found::{Configuration, ConfigurationError, Served, Socket, Surroundings};
use super::line_problem::{Effect, Warning};
use super::reading::Reading;
use super::sightings::sightings;
use crate::cli::address::Address;
use crate::codes;
use crate::reports;

/// The number of readings of a configuration in one scan: it is read again if a reading used files that were not watched
/// yet.
const READINGS: usize = 3;

/// A source of certificates: those that HAProxy's configuration names.
///
/// The configuration, its crt-lists, its directories of certificates and the certificates are watched. A certificate that
/// depends on an undecidable condition is given, unless a running HAProxy
/// ([`HaproxySource::beyond`](crate::HaproxySource::beyond)) shows that it has not loaded it. Relative paths begin in the
/// directory in which that HAProxy was started. The last contents of a file that cannot be read any more, or that is being
/// written, still count: HAProxy keeps them, too.
///
/// ```no_run
/// use stapled_haproxy::configuration::HaproxyConfiguration;
///
/// let source = HaproxyConfiguration::open(["/etc/haproxy/haproxy.cfg"])?;
/// for socket in source.sockets().borrow().iter() {
///     println!("{}", socket.address);
/// }
/// # Ok::<(), stapled_haproxy::configuration::ConfigurationError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HaproxyConfiguration(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paths: Vec<PathBuf>,
    surroundings: Surroundings,
    files: Files,
    state: Mutex<State>,
    sockets: watch::Sender<Vec<Socket>>,
    confirmed: watch::Sender<Confirmed>,
    reporters: Reporters,
}

/// Facts from running HAProxys about undecidable parts of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Confirmed {
    /// The uncertain certificates that they have loaded, by their addresses.
    loaded: HashMap<Address, HashSet<String>>,
    /// The directory in which one of them was started, and its address.
    start: Option<(Address, PathBuf)>,
}

#[derive(Debug, Default)]
struct State {
    machine: Machine,
    latest: Configuration,
    /// The state at the last scan.
    confirmed: Confirmed,
    /// The advice that has been reported.
    told: HashSet<Warning>,
}

impl HaproxyConfiguration {
    /// Reads the configuration of one HAProxy, as [`Configuration::read`] does.
    ///
    /// # Errors
    ///
    /// A file or directory of `paths` cannot be read.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, ConfigurationError> {
        HaproxyConfiguration::open_in(&Surroundings::default(), paths)
    }

    /// [`open`](HaproxyConfiguration::open) for a HAProxy with other surroundings than this process.
    ///
    /// # Errors
    ///
    /// A file or directory of `paths` cannot be read.
    pub fn open_in<P: AsRef<Path>>(
        surroundings: &Surroundings,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigurationError> {
        let source = HaproxyConfiguration(Arc::new(Inner {
            paths: paths.into_iter().map(|path| path.as_ref().to_owned()).collect(),
            surroundings: surroundings.clone(),
            files: Files::new(),
            state: Mutex::default(),
            sockets: watch::Sender::new(Vec::new()),
            confirmed: watch::Sender::default(),
            reporters: Reporters::new(),
        }));
        source.0.read()?;
        Ok(source)
    }

    /// The configuration at the last reading.
    pub fn latest(&self) -> Configuration {
        self.read_latest(Configuration::clone)
    }

    /// Reads the configuration of the last reading, without a copy.
    pub(crate) fn read_latest<T>(&self, read: impl FnOnce(&Configuration) -> T) -> T {
        read(&self.0.state.lock().unwrap_or_else(PoisonError::into_inner).latest)
    }

    /// Takes over facts from a running HAProxy: its loaded certificates, and the directory in which it was started, if that
    /// is known. Both decide about undecidable parts of the configuration.
    pub(crate) fn confirm(&self, address: &Address, start: Option<&Path>, is_loaded: impl Fn(&str) -> bool) {
        let (is_open, loaded, sockets) = self.read_latest(|latest| {
            let mut open = latest.certificates.iter().filter(|served| !served.is_certain).peekable();
            let is_open = open.peek().is_some();
            let names = open.map(|served| &served.name).filter(|name| is_loaded(name));
            let sockets: HashSet<Address> = latest.sockets.iter().map(|socket| socket.address.clone()).collect();
            (is_open, names.cloned().collect::<HashSet<String>>(), sockets)
        });
        self.0.confirmed.send_if_modified(|known| {
            let is_news = known.loaded.get(address).map_or(is_open, |known| *known != loaded);
            if is_news {
                known.loaded.insert(address.clone(), loaded);
            }
            // The first HAProxy counts, as long as the configuration names its socket.
            let is_first = known.start.as_ref().is_none_or(|(of, _)| of == address || !sockets.contains(of));
            let start = start.filter(|_| is_first).map(|start| (address.clone(), start.to_owned()));
            let is_elsewhere = start.is_some() && start != known.start;
            if is_elsewhere {
                known.start = start;
            }
            is_news || is_elsewhere
        });
    }

    /// Where what an operator must know about this configuration goes.
    pub(crate) fn reporters(&self) -> &Reporters {
        &self.0.reporters
    }

    /// The admin sockets, as they change.
    pub fn sockets(&self) -> watch::Receiver<Vec<Socket>> {
        self.0.sockets.subscribe()
    }
}

#[async_trait]
impl CertSource for HaproxyConfiguration {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let inner = Arc::clone(&self.0);
        let unreadable = |what: String| SourceError::new(codes::CONFIGURATION_UNREADABLE, what);
        match self.0.files.scan(move || inner.scan()).await {
            Ok(Ok((scan, confirmed))) => {
                // Only now the caller gets the scan.
                self.0.state.lock().unwrap_or_else(PoisonError::into_inner).confirmed = confirmed;
                Ok(scan)
            }
            Ok(Err(error)) => Err(unreadable(error.to_string())),
            Err(error) => Err(unreadable(format!("{}: the scan ended early: {error}", self.name()))),
        }
    }

    fn report_to(&self, reporter: Reporter) {
        self.0.reporters.add(reporter);
    }

    async fn changed(&self) {
        tokio::select! {
            () = self.0.files.changed() => {}
            () = self.0.decided() => {}
        }
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

impl Inner {
    fn name(&self) -> String {
        let paths: Vec<_> = self.paths.iter().map(|path| path.to_string_lossy()).collect();
        paths.join(",")
    }

    /// Reads the configuration, and reports new advice.
    fn read(&self) -> Result<Vec<(PathBuf, Kept)>, ConfigurationError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.machine.begin();
        let mut surroundings = self.surroundings.clone();
        if let Some((_, start)) = &self.confirmed.borrow().start {
            surroundings = Surroundings { directory: start.clone(), is_confirmed: true, ..surroundings };
        }
        let read = Reading::new(&mut state.machine, &surroundings).run(&self.paths);
        let kept = state.machine.end();
        let configuration = read?;
        let advice = configuration.warnings.iter().filter(|warning| warning.problem.effect() == Effect::Assumed);
        let advice: HashSet<Warning> = advice.cloned().collect();
        let mut new: Vec<&Warning> = advice.difference(&state.told).collect();
        new.sort_by(|one, other| one.place.cmp(&other.place));
        let new: Vec<Report> =
            new.into_iter().map(|one| reports::advice(one.problem.code(), one.to_string())).collect();
        state.told = advice;
        let is_new = |known: &Vec<Socket>| *known != configuration.sockets;
        self.sockets.send_if_modified(|known| {
            let is_new = is_new(known);
            if is_new {
                known.clone_from(&configuration.sockets);
            }
            is_new
        });
        state.latest = configuration;
        drop(state);
        new.into_iter().for_each(|report| self.reporters.tell(report));
        Ok(kept)
    }

    /// Scans; returns the state of running HAProxys that the scan used.
    fn scan(&self) -> Result<(Scan, Confirmed), ConfigurationError> {
        let mut look = self.files.look();
        let mut kept = Vec::new();
        for _ in 0..READINGS {
            let watched = self.name_all(&mut look);
            kept = self.read()?;
            if self.name_all(&mut look) == watched {
                break;
            }
        }
        let confirmed = self.confirmed.borrow().clone();
        let configuration = self.state.lock().unwrap_or_else(PoisonError::into_inner).latest.clone();
        let is_there = |served: &&Served| {
            let is_loaded = || confirmed.loaded.values().any(|loaded| loaded.contains(&served.name));
            served.is_certain || confirmed.loaded.is_empty() || is_loaded()
        };
        let sightings = sightings(configuration.certificates.iter().filter(is_there), &mut look);
        let mut problems: Vec<SourceProblem> = kept.into_iter().map(|(path, kept)| problem(&path, &kept)).collect();
        problems.extend(
            configuration.warnings.iter().filter(|warning| warning.problem.effect() == Effect::LeftOut).map(
                |warning| {
                    SourceProblem::at(
                        warning.place.to_string(),
                        SourceError::new(warning.problem.code(), warning.to_string()),
                    )
                },
            ),
        );
        problems.extend(look.end(&self.name()));
        Ok((Scan::of(sightings).problems(problems), confirmed))
    }

    /// Returns when the state of running HAProxys differs from the last scan's.
    async fn decided(&self) {
        let mut confirmed = self.confirmed.subscribe();
        loop {
            let is_known = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                *confirmed.borrow_and_update() == state.confirmed
            };
            // The sender lives as long as this does.
            if !is_known || confirmed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Watches the files of the configuration, before it is read. Returns them.
    fn name_all(&self, look: &mut Look<'_>) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.latest.directories.iter().for_each(|directory| look.directory(directory));
        state.latest.files.iter().for_each(|file| look.name(file));
        (state.latest.files.clone(), state.latest.directories.clone())
    }
}

fn problem(path: &Path, kept: &Kept) -> SourceProblem {
    let (code, what) = match kept {
        Kept::Unreadable(error) => (
            codes::CONFIGURATION_UNREADABLE,
            format!("{}: {error}; its former contents count until it can be read", path.display()),
        ),
        Kept::Unfinished => (
            codes::CONFIGURATION_UNFINISHED,
            format!(
                "{}: its last line does not end, so HAProxy would not accept it; its former contents count until it is \
                 finished",
                path.display()
            ),
        ),
    };
    // Not the path itself, which may be the place of a certificate, too.
    SourceProblem::at(format!("reading {}", path.display()), SourceError::new(code, what))
}
