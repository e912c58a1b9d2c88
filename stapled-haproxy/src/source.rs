//! The running process as a source of certificates: what it has loaded, matched to the files that it came from.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::sink::SinkError;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, SourceProblem, Version};
use tokio::time::Instant;

use crate::address::Address;
use crate::codes;
use crate::command::Command;
use crate::configuration::Level;
use crate::connection::Connection;
use crate::fault;
use crate::files::{Files, Lying, Stamp};
use crate::process::Process;
use crate::reply::{self, Environment, Loaded};
use crate::route::Route;
use crate::settings::Settings;
use crate::writer::{Writer, lock};

/// How often files are looked at for changes, at most, and how small a part of the time that may take.
const STAT_INTERVAL: Duration = Duration::from_secs(2);
const STAT_SHARE: u32 = 50;
/// What the place is called of a certificate that lies in a file while HAProxy serves another one from there.
const IN_FILE: &str = " (in its file)";
/// How long such a place stays when HAProxy serves the same: by then the certificate has settled in its other place.
const LINGER: Duration = Duration::from_secs(60);

/// A source of certificates: a running HAProxy, asked over its admin socket for what it has loaded.
///
/// Each certificate is matched to the file that it came from, which is read. Names that HAProxy knows by a relative path
/// are looked for in its working directory and beside its configuration files. Where a file holds another certificate
/// than the one that is loaded from it, the process is right about what is served: both are given, the one that is
/// served as it was read before, or from a copy beside the file, and the difference is a problem of the scan
/// ([`SERVED_DIFFERS`](codes::SERVED_DIFFERS)). What no readable file holds is one, too
/// ([`UNREADABLE_CERTIFICATE`](codes::UNREADABLE_CERTIFICATE)).
///
/// ```no_run
/// use stapled_haproxy::{Address, HaproxySource};
///
/// let source = HaproxySource::new(&Address::unix("/run/haproxy/admin.sock"));
/// ```
///
/// HAProxy's `stats socket` needs `level operator` for this, and `level admin` for first staples.
pub struct HaproxySource {
    address: Address,
    settings: Settings,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    files: Files,
    /// What the last scan went by.
    scanned: Option<(Process, u64)>,
    /// The certificates that lay in files while others were served, by the names of their places; seen so when.
    ahead: HashMap<Arc<str>, (Sighting, Instant)>,
    /// The files that it looked at.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    environment: Option<(Process, Environment)>,
}

/// What a running HAProxy tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Picture {
    /// The process id.
    pub pid: u64,
    /// Its version, such as `3.0.11-1+deb13u4`.
    pub version: String,
    /// What the socket may do, as far as HAProxy tells.
    pub level: Option<Level>,
    /// Its configuration files as it was given them; relative ones begin in its working directory.
    pub configuration_files: Vec<PathBuf>,
    /// Its working directory, as far as can be known.
    pub working_directory: Option<PathBuf>,
    /// The addresses of its admin sockets, as they are configured.
    pub sockets: Vec<String>,
    /// The name of the certificate that a transaction under way changes (`set ssl cert`, not committed yet): until it
    /// ends, no certificate can get its first staple.
    pub transaction: Option<String>,
    /// What it has loaded, in the order of the names.
    pub certificates: Vec<ServedCertificate>,
}

/// A certificate that a process has loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServedCertificate {
    /// The name under which HAProxy knows it.
    pub name: String,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// Its SHA-1 hash in hexadecimal; empty where HAProxy does not say.
    pub fingerprint: String,
    /// Whether it is in use, and not only loaded.
    pub is_used: bool,
    /// Whether it takes responses, because it has or had one.
    pub takes_responses: bool,
    /// Whether further certificates came with it, among them perhaps its issuer.
    pub has_chain: bool,
    /// The file of that name, as far as there is one.
    pub file: Option<PathBuf>,
    /// Whether that file holds this very certificate.
    pub is_in_file: bool,
}

impl HaproxySource {
    /// The HAProxy at this address; behind a master, its current worker.
    pub fn new(address: &Address) -> Self {
        HaproxySource { address: address.clone(), settings: Settings::default(), memory: Arc::default() }
    }

    /// How often to look for changes: every second unless said otherwise, at least every 10 ms.
    #[must_use]
    pub fn look_interval(mut self, interval: Duration) -> Self {
        self.settings.look_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// How long an idle connection is kept: 10 s unless said otherwise. It is shared with a sink of the same address; the
    /// times are those of whichever was made first.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.settings.patience.keepalive = keepalive.max(Duration::from_secs(1));
        self
    }

    /// What the process tells of itself, now.
    ///
    /// # Errors
    ///
    /// Nobody answers, or the socket's level is too low.
    pub async fn picture(&self) -> Result<Picture, SourceError> {
        let (picture, loaded, bases) = self.draw().await?;
        let memory = Arc::clone(&self.memory);
        let matched = move || {
            let mut memory = lock(&memory);
            let with_file = |(name, loaded): &(Arc<str>, Loaded)| {
                let lying = found(&mut memory.files, name, loaded, &bases);
                ServedCertificate {
                    is_in_file: lying.as_ref().is_some_and(|(_, lying)| holds(lying, loaded)),
                    file: lying.map(|(path, _)| path),
                    ..served(name, loaded)
                }
            };
            loaded.iter().map(with_file).collect::<Vec<_>>()
        };
        let certificates = blocking(&self.address, matched).await?;
        Ok(Picture { certificates, ..picture })
    }

    /// The same, without a look at any certificate's file: what has to do with these is left empty.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn outline(&self) -> Result<Picture, SourceError> {
        let (picture, loaded, _) = self.draw().await?;
        Ok(Picture { certificates: loaded.iter().map(|(name, loaded)| served(name, loaded)).collect(), ..picture })
    }

    /// Everything but the certificates; these; and where relative names of theirs may begin.
    async fn draw(&self) -> Result<(Picture, Vec<(Arc<str>, Loaded)>, Vec<PathBuf>), SourceError> {
        let Seen { process, environment, loaded, transaction, .. } = self.see().await?;
        let level = async {
            let (replies, _) = self.writer().await?.ask(vec![Command::show_level()]).await?;
            Ok(replies.first().and_then(|reply| reply::level(reply)))
        };
        let level = level.await.map_err(|error: SinkError| SourceError::new(error.code(), error.to_string()))?;
        let bases = bases(&process, &environment);
        let picture = Picture {
            pid: process.pid,
            version: process.version_in_words,
            level,
            configuration_files: environment.configuration_files.iter().map(PathBuf::from).collect(),
            working_directory: bases.first().cloned(),
            sockets: environment.sockets,
            transaction,
            certificates: Vec::new(),
        };
        Ok((picture, loaded, bases))
    }

    async fn writer(&self) -> Result<Arc<Writer>, SinkError> {
        let route = match &self.address {
            Address::Master(_) => {
                let master = Route::to(self.address.clone());
                let workers = Connection::workers(&master, self.settings.patience).await?;
                let current = workers.iter().find(|worker| !worker.is_old).ok_or_else(|| {
                    fault::unreachable(codes::WORKER_GONE, &master, "has no worker: see in HAProxy's log why")
                })?;
                Route::to_worker(self.address.clone(), current.pid)
            }
            address => Route::to(address.clone()),
        };
        Ok(Writer::of(&route, self.settings.patience))
    }

    async fn see(&self) -> Result<Seen, SourceError> {
        let seen = async {
            let writer = self.writer().await?;
            let (_, process) = writer.ask(vec![Command::show_info()]).await?;
            writer.survey().await?;
            let environment = self.environment(&writer, &process).await?;
            let (loaded, generation) = writer.register(|register| {
                let loaded = register.certificates().map(|(name, loaded)| (Arc::clone(name), loaded.clone()));
                (loaded.collect(), register.identities())
            });
            Ok(Seen { process, environment, loaded, transaction: writer.transaction(), generation })
        };
        seen.await.map_err(|error: SinkError| SourceError::new(error.code(), error.to_string()))
    }

    /// The environment of a process does not change.
    async fn environment(&self, writer: &Arc<Writer>, process: &Process) -> Result<Environment, SinkError> {
        if let Some((of, environment)) = &lock(&self.memory).environment
            && of.is_same(process)
        {
            return Ok(environment.clone());
        }
        let (lines, process) = writer.list(Command::show_environment()).await?;
        let mut environment = Environment::default();
        for line in &lines {
            environment.add(line);
        }
        lock(&self.memory).environment = Some((process, environment.clone()));
        Ok(environment)
    }
}

/// What was seen of a process.
struct Seen {
    process: Process,
    environment: Environment,
    loaded: Vec<(Arc<str>, Loaded)>,
    transaction: Option<String>,
    generation: u64,
}

#[async_trait]
impl CertSource for HaproxySource {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let Seen { process, environment, loaded, generation, .. } = self.see().await?;
        let memory = Arc::clone(&self.memory);
        let address = self.address.to_string();
        let bases = bases(&process, &environment);
        let scan = move || {
            let mut memory = lock(&memory);
            memory.scanned = Some((process, generation));
            let (mut scan, stamps) = match_all(&mut memory.files, &address, &loaded, &bases);
            memory.stamps = stamps;
            memory.linger(&mut scan);
            scan
        };
        blocking(&self.address, scan).await
    }

    async fn changed(&self) {
        let mut stat_at = Instant::now() + STAT_INTERVAL;
        loop {
            tokio::time::sleep(self.settings.look_interval).await;
            let Ok(writer) = self.writer().await else { continue };
            if writer.round(self.settings.look_interval, true).await.is_err() {
                continue;
            }
            let current = writer.processes().borrow().clone();
            let generation = writer.register(|register| register.identities());
            let is_as_scanned = match (&lock(&self.memory).scanned, &current) {
                (Some((process, scanned)), Some(current)) => process.is_same(current) && *scanned == generation,
                // Whoever scans finds out why the last time nothing came of it.
                _ => false,
            };
            if !is_as_scanned && current.is_some() {
                return;
            }
            if stat_at <= Instant::now() {
                let begun = Instant::now();
                if self.have_files_changed().await {
                    return;
                }
                stat_at = Instant::now() + STAT_INTERVAL.max(begun.elapsed() * STAT_SHARE);
            }
        }
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

impl Memory {
    /// A certificate that came into service is not let go of in one place before it has settled in the other.
    fn linger(&mut self, scan: &mut Scan) {
        let present: HashSet<Arc<str>> = scan.sightings.iter().map(|sighting| Arc::clone(&sighting.name)).collect();
        for sighting in scan.sightings.iter().filter(|sighting| sighting.name.ends_with(IN_FILE)) {
            self.ahead.insert(Arc::clone(&sighting.name), (sighting.clone(), Instant::now()));
        }
        self.ahead.retain(|_, (sighting, seen)| {
            seen.elapsed() < LINGER && sighting.served_as.as_ref().is_some_and(|name| present.contains(name))
        });
        let lingering = self.ahead.iter().filter(|(name, _)| !present.contains(*name));
        scan.sightings.extend(lingering.map(|(_, (sighting, _))| sighting.clone()));
    }
}

impl HaproxySource {
    async fn have_files_changed(&self) -> bool {
        let stamps = lock(&self.memory).stamps.clone();
        let changed = move || stamps.iter().any(|(path, stamp)| Stamp::of(path) != *stamp);
        // Where it cannot be found out, the regular scan does.
        tokio::task::spawn_blocking(changed).await.unwrap_or(false)
    }
}

async fn blocking<T: Send + 'static>(
    address: &Address,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        SourceError::new(codes::SCAN_FAILED, format!("{address}: looking for its files broke off: {error}"))
    })
}

/// The directories in which HAProxy's relative names may begin, likeliest first.
fn bases(process: &Process, environment: &Environment) -> Vec<PathBuf> {
    // Of a process on another machine, or in another container, it is somebody else's; then what lies there does not
    // match.
    let working = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).ok();
    let started = environment.working_directory.as_ref().map(PathBuf::from);
    let mut bases: Vec<PathBuf> = working.into_iter().chain(started).collect();
    let beside: Vec<PathBuf> = environment
        .configuration_files
        .iter()
        .flat_map(|file| bases.iter().map(move |base| base.join(file)))
        .filter_map(|file| file.parent().map(Path::to_path_buf))
        .collect();
    for base in beside {
        // `default-path parent` begins one above.
        let above = base.parent().map(Path::to_path_buf);
        bases.extend(std::iter::once(base).chain(above));
    }
    let mut known = HashSet::new();
    bases.retain(|base| known.insert(base.clone()));
    bases
}

/// Where a certificate of this name may lie.
fn paths(name: &str, loaded: &Loaded, bases: &[PathBuf]) -> Vec<PathBuf> {
    let name = loaded.file.as_deref().unwrap_or(name);
    if name.starts_with('/') {
        return vec![PathBuf::from(name)];
    }
    // Names of a `crt-store` (`@store/name`) are none of files, but as paths they lead nowhere.
    bases.iter().map(|base| base.join(name)).collect()
}

fn served(name: &str, loaded: &Loaded) -> ServedCertificate {
    ServedCertificate {
        name: name.to_owned(),
        serial: loaded.serial.clone(),
        fingerprint: loaded.fingerprint.clone(),
        is_used: loaded.is_used,
        takes_responses: loaded.takes_responses(),
        has_chain: loaded.has_chain,
        file: None,
        is_in_file: false,
    }
}

fn holds(lying: &Lying, loaded: &Loaded) -> bool {
    lying.identity.as_ref().is_some_and(|identity| loaded.is(&identity.serial, &identity.fingerprint))
}

/// The file of a name: the first that holds the certificate, or else the first that there is.
fn found(files: &mut Files, name: &str, loaded: &Loaded, bases: &[PathBuf]) -> Option<(PathBuf, Lying)> {
    let mut other = None;
    for path in paths(name, loaded, bases) {
        let Some(lying) = files.look(&path) else { continue };
        if holds(&lying, loaded) {
            return Some((path, lying));
        }
        other.get_or_insert((path, lying));
    }
    other
}

type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// Matches everything that is loaded to files.
fn match_all(files: &mut Files, address: &str, loaded: &[(Arc<str>, Loaded)], bases: &[PathBuf]) -> (Scan, Stamps) {
    let mut scan = Scan::default();
    let mut stamps = Vec::new();
    let mut unmatched = Vec::new();
    let mut directories = BTreeSet::new();
    for (name, loaded) in loaded {
        let lying = found(files, name, loaded, bases);
        match &lying {
            Some((path, lying)) => stamps.push((path.clone(), Some(lying.stamp.clone()))),
            None => stamps.extend(paths(name, loaded, bases).into_iter().map(|path| (path, None))),
        }
        let is_matched = lying.as_ref().is_some_and(|(_, lying)| holds(lying, loaded));
        if !is_matched {
            for path in paths(name, loaded, bases) {
                let real = path.canonicalize().ok();
                directories.extend(real.iter().chain([&path]).filter_map(|path| path.parent().map(Path::to_path_buf)));
            }
            unmatched.push((name, loaded, lying.as_ref().map(|(path, _)| path.clone())));
        }
        scan.sightings.extend(lying.map(|(path, lying)| {
            let sighting = sighting(name, &path, &lying);
            let place = if is_matched { Arc::clone(name) } else { format!("{name}{IN_FILE}").into() };
            Sighting { name: place, ..sighting }
        }));
    }
    if unmatched.iter().any(|(_, loaded, _)| files.chain(loaded).is_none()) {
        files.search(&directories);
    }
    for (name, loaded, path) in unmatched {
        let chain = files.chain(loaded).map(|chain| chain.to_pem());
        scan.problems.extend(problem(address, name, loaded, path.as_deref(), chain.is_some()));
        let Some(pem) = chain else { continue };
        let version = Version::new(format!("{} {}", loaded.serial, loaded.fingerprint));
        let bytes = Sighting::bytes(Arc::clone(name), pem, version);
        let served = Sighting { served_as: Some(Arc::clone(name)), ..bytes };
        scan.sightings.push(served);
    }
    let known: HashSet<PathBuf> = stamps.iter().map(|(path, _)| path.clone()).collect();
    let loaded: Vec<&Loaded> = loaded.iter().map(|(_, loaded)| loaded).collect();
    files.keep(&known, &directories, &loaded);
    (scan, stamps)
}

fn sighting(name: &Arc<str>, path: &Path, lying: &Lying) -> Sighting {
    let mut version = lying.stamp.to_bytes();
    version.extend(path.as_os_str().as_encoded_bytes());
    let file = Sighting::file(path, Version::new(version));
    Sighting { served_as: Some(Arc::clone(name)), ..file }
}

/// What is to be told of a name whose file does not hold what is loaded.
fn problem(
    address: &str,
    name: &Arc<str>,
    loaded: &Loaded,
    path: Option<&Path>,
    is_known: bool,
) -> Option<SourceProblem> {
    let serial = &loaded.serial;
    let (code, what) = match (path, is_known) {
        (Some(path), true) => (
            codes::SERVED_DIFFERS,
            format!(
                "{address} serves as {name} the certificate {serial}, {} holds another one: reload HAProxy, or use `set \
                 ssl cert` and `commit ssl cert`; until then both are kept stapled",
                path.display()
            ),
        ),
        (Some(path), false) => (
            codes::SERVED_DIFFERS,
            format!(
                "{address} serves as {name} the certificate {serial}, {} holds another one, and no readable file beside \
                 it holds the one that is served: it gets no staple. Reload HAProxy, or put the certificate there",
                path.display()
            ),
        ),
        // Found elsewhere: all is well.
        (None, true) => return None,
        (None, false) => (
            codes::UNREADABLE_CERTIFICATE,
            format!(
                "{address} serves as {name} the certificate {serial}, and no readable file holds it: let this user read \
                 it, or name a directory that has it with --cert-paths"
            ),
        ),
    };
    let error = SourceError::new(code, what);
    Some(SourceProblem { place: name.to_string(), hides_below: false, error })
}
