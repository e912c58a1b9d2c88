//! The running process as a source of certificates: what it has loaded, matched to the files that it came from. Which
//! these are, its names tell, and the configuration that it was started with (`layout`).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::report::Reporter;
use stapled_core::sink::SinkError;
use stapled_core::source::{CertSource, Material, Scan, Sighting, SourceError, SourceProblem, Version};
use tokio::time::Instant;

use crate::cli::address::Address;
use crate::cli::command::Command;
use crate::cli::connection::Connection;
use crate::cli::process::Process;
use crate::cli::reply::{self, Environment, Loaded};
use crate::cli::route::Route;
use crate::codes;
use crate::configuration::{HaproxyConfiguration, Level, Served};
use crate::fault;
use crate::instance::channel::{Writer, lock};
use crate::instance::settings::Settings;
use crate::reports;
use crate::running::files::{Files, Stamp};
use crate::running::layout::Layout;
use crate::running::matching::{IN_FILE, Places, Stamps, bases, found, holds, match_all, start, starts};
use crate::running::running_only;

/// How often files are looked at for changes, at most, and how small a part of the time that may take.
const STAT_INTERVAL: Duration = Duration::from_secs(2);
const STAT_SHARE: u32 = 50;
/// How long it is waited for an answer to whether somebody is there.
const PING: Duration = Duration::from_secs(2);
/// How long HAProxy may take to be told of a renewed file before that is told.
const GRACE: Duration = Duration::from_secs(10);
/// How long such a place stays when HAProxy serves the same: by then the certificate has settled in its other place.
const LINGER: Duration = Duration::from_secs(60);

/// A source of certificates: a running HAProxy, asked over its admin socket for what it has loaded.
///
/// Each certificate is matched to the file that it came from, which is read. Where the configuration that HAProxy says it
/// was started with can be read, that tells which file it is (names of a `crt-store` tell none), and where HAProxy looks
/// for its issuer and its response. Otherwise names that HAProxy knows by a relative path are looked for in its working
/// directory and beside its configuration files. Where a file holds another certificate
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
/// HAProxy's `stats socket` needs `level operator` for this, and `level admin` for first staples. A clone looks with the
/// same memory.
#[derive(Clone)]
pub struct HaproxySource {
    address: Address,
    settings: Settings,
    grace: Duration,
    /// What these give is left out.
    configurations: Vec<HaproxyConfiguration>,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    files: Files,
    /// What the last scan went by.
    scanned: Option<(Process, u64)>,
    scanned_at: Option<Instant>,
    /// The certificates that lay in files while others were served, by the names of their places; seen so when.
    ahead: HashMap<Arc<str>, (Sighting, Instant)>,
    /// The files that it looked at.
    stamps: Stamps,
    /// When to look at them next.
    stat_at: Option<Instant>,
    environment: Option<(Process, Environment)>,
    layout: Option<(Process, Arc<Layout>)>,
    /// What was served beyond the configurations at the last look.
    beyond: Scan,
    /// Since when HAProxy has another certificate by these names than their files hold.
    differing: HashMap<String, Instant>,
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
    /// The DER of the CertID by which it takes responses; empty while it takes none.
    pub cert_id: Vec<u8>,
    /// Whether further certificates came with it, among them perhaps its issuer.
    pub has_chain: bool,
    /// The file of that name, as far as there is one.
    pub file: Option<PathBuf>,
    /// Whether that file holds this very certificate.
    pub is_in_file: bool,
    /// What the configuration that the process was started with says about it, as far as that can be read.
    pub configured: Option<Served>,
    /// Where HAProxy looks for its response when it starts, as far as its configuration, or else the name, tells.
    pub staple: Option<PathBuf>,
    /// Whether only servers behind it are shown this certificate (`server … crt`), as far as its configuration tells: it
    /// is never stapled.
    pub is_clients: bool,
}

impl HaproxySource {
    /// The HAProxy at this address; behind a master, its current worker.
    pub fn new(address: &Address) -> Self {
        HaproxySource {
            address: address.clone(),
            settings: Settings::default(),
            grace: GRACE,
            configurations: Vec::new(),
            memory: Arc::default(),
        }
    }

    /// Gives only what the process serves beyond this configuration, which is a source, too, and may be given several
    /// times: names that it does not have, such as those of `new ssl cert`, and certificates that its files do not hold
    /// any more, until HAProxy is told of those that they hold now.
    #[must_use]
    pub fn beyond(mut self, configuration: HaproxyConfiguration) -> Self {
        self.configurations.push(configuration);
        self
    }

    /// How often to look for changes: every second unless said otherwise, at least every 10 ms.
    #[must_use]
    pub fn look_interval(mut self, interval: Duration) -> Self {
        self.settings.look_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// How long HAProxy may serve another certificate than its file holds before that is a problem: 10 s unless said
    /// otherwise. So long a reload may take after a renewal.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long an idle connection is kept: 10 s unless said otherwise. It is shared with a sink of the same address; the
    /// times are those of whichever was made first.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.settings.patience.keepalive = keepalive.max(Duration::from_secs(1));
        self
    }

    /// Whether nobody listens at its address. One that hangs is there.
    pub async fn is_gone(&self) -> bool {
        let asked = async { self.writer().await?.ask(vec![Command::show_info()]).await };
        let asked: Result<Result<_, SinkError>, _> = tokio::time::timeout(PING, asked).await;
        let gone = [codes::SOCKET_MISSING, codes::SOCKET_REFUSED, codes::NOT_A_SOCKET];
        asked.is_ok_and(|asked| asked.is_err_and(|error| gone.contains(&error.code())))
    }

    /// What the process tells of itself, now.
    ///
    /// # Errors
    ///
    /// Nobody answers, or the socket's level is too low.
    pub async fn picture(&self) -> Result<Picture, SourceError> {
        let Drawn { picture, process, loaded, starts, bases } = self.draw().await?;
        let layout = self.layout(&process, &starts).await?;
        let memory = Arc::clone(&self.memory);
        let matched = move || {
            let mut memory = lock(&memory);
            let places = Places { bases: &bases, layout: &layout };
            let with_file = |(name, loaded): &(Arc<str>, Loaded)| {
                let lying = found(&mut memory.files, name, loaded, &places);
                ServedCertificate {
                    is_in_file: lying.as_ref().is_some_and(|(_, lying)| holds(lying, loaded)),
                    staple: lying.as_ref().and_then(|(path, _)| places.staple(name, path)),
                    configured: lying.as_ref().and_then(|(path, _)| layout.of_file(name, path)).cloned(),
                    file: lying.map(|(path, _)| path),
                    is_clients: layout.is_client(name),
                    ..served(name, loaded)
                }
            };
            loaded.iter().map(with_file).collect::<Vec<_>>()
        };
        let certificates = blocking(&self.address, matched).await?;
        Ok(Picture { certificates, ..picture })
    }

    /// The same, without a look at any file: what has to do with these is left empty.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn outline(&self) -> Result<Picture, SourceError> {
        let Drawn { picture, loaded, .. } = self.draw().await?;
        Ok(Picture { certificates: loaded.iter().map(|(name, loaded)| served(name, loaded)).collect(), ..picture })
    }

    async fn draw(&self) -> Result<Drawn, SourceError> {
        let Seen { process, environment, loaded, transaction, .. } = self.see().await?;
        let level = async {
            let (replies, _) = self.writer().await?.ask(vec![Command::show_level()]).await?;
            Ok(replies.first().and_then(|reply| reply::level(reply)))
        };
        let level = level.await.map_err(|error: SinkError| SourceError::new(error.code(), error.to_string()))?;
        let starts = starts(&process, &environment);
        let bases = bases(&starts, &environment);
        let picture = Picture {
            pid: process.pid,
            version: process.version_in_words.clone(),
            level,
            configuration_files: environment.configuration_files.iter().map(PathBuf::from).collect(),
            // The root may only stand for what is not known.
            working_directory: starts.first().cloned().filter(|start| start.parent().is_some()),
            sockets: environment.sockets,
            transaction,
            certificates: Vec::new(),
        };
        Ok(Drawn { picture, process, loaded, starts, bases })
    }

    /// What the configuration says that the process was started with, as far as that can be read.
    pub(crate) async fn layout_now(&self) -> Result<Arc<Layout>, SourceError> {
        let asked = async {
            let writer = self.writer().await?;
            let (_, process) = writer.ask(vec![Command::show_info()]).await?;
            let environment = self.environment(&writer, &process).await?;
            Ok((process, environment))
        };
        let (process, environment) =
            asked.await.map_err(|error: SinkError| SourceError::new(error.code(), error.to_string()))?;
        self.layout(&process, &starts(&process, &environment)).await
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

    /// What the configuration says that the process was started with. It is read again for another process, and when it
    /// has changed: it may not have been legible before.
    async fn layout(&self, process: &Process, starts: &[PathBuf]) -> Result<Arc<Layout>, SourceError> {
        let known = lock(&self.memory).layout.clone();
        if let Some((of, layout)) = known
            && of.is_same(process)
        {
            let looked_at = Arc::clone(&layout);
            if blocking(&self.address, move || looked_at.is_current()).await? {
                return Ok(layout);
            }
        }
        let asked = async { self.writer().await?.list(Command::show_environment()).await };
        let (lines, process) =
            asked.await.map_err(|error: SinkError| SourceError::new(error.code(), error.to_string()))?;
        let starts = starts.to_vec();
        let reporters = self.settings.reporters.clone();
        // The environment may hold secrets: it is not kept longer than the reading takes.
        let read = move || {
            let mut environment = Environment::default();
            lines.iter().for_each(|line| environment.add(line));
            let variables = lines.iter().filter_map(|line| line.split_once('='));
            let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
            Layout::read(&environment, variables.collect(), &starts, &reporters)
        };
        let layout = Arc::new(blocking(&self.address, read).await?);
        lock(&self.memory).layout = Some((process, Arc::clone(&layout)));
        Ok(layout)
    }
}

/// A picture without its certificates.
struct Drawn {
    picture: Picture,
    process: Process,
    loaded: Vec<(Arc<str>, Loaded)>,
    /// Where the process may have been started.
    starts: Vec<PathBuf>,
    /// Where relative names of theirs may begin.
    bases: Vec<PathBuf>,
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
        match self.look().await {
            // Without an answer, it is what the configuration says. Whoever delivers there tells that nobody answers.
            Err(error) if !self.configurations.is_empty() => {
                self.settings.reporters.tell(reports::not_compared(&error));
                Ok(lock(&self.memory).beyond.clone())
            }
            looked => looked,
        }
    }

    fn report_to(&self, reporter: Reporter) {
        self.settings.reporters.add(reporter);
    }

    async fn changed(&self) {
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
            if !is_as_scanned && current.is_some() || lock(&self.memory).has_difference_to_tell(self.grace) {
                return;
            }
            // Kept, since this is dropped now and then.
            let begun = Instant::now();
            if *lock(&self.memory).stat_at.get_or_insert(begun + STAT_INTERVAL) <= begun {
                if self.have_files_changed().await {
                    return;
                }
                let next = Instant::now() + STAT_INTERVAL.max(begun.elapsed() * STAT_SHARE);
                lock(&self.memory).stat_at = Some(next);
            }
        }
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

fn file_of(sighting: &Sighting) -> Option<&PathBuf> {
    match &sighting.material {
        Material::File(path) => Some(path),
        _ => None,
    }
}

impl Memory {
    /// Leaves out differences that may be over in a moment.
    fn bear_with(&mut self, scan: &mut Scan, grace: Duration) {
        let now = Instant::now();
        let is_difference = |problem: &SourceProblem| problem.error.code == codes::SERVED_DIFFERS;
        let differing: HashSet<String> = scan
            .problems
            .iter()
            .filter(|problem| is_difference(problem))
            .map(|problem| problem.place.clone())
            .collect();
        self.differing.retain(|name, _| differing.contains(name));
        for name in differing {
            self.differing.entry(name).or_insert(now);
        }
        let has_stood = |name: &str| self.differing.get(name).is_none_or(|since| now - *since >= grace);
        scan.problems.retain(|problem| !is_difference(problem) || has_stood(&problem.place));
    }

    /// Whether a difference that was left out stands by now.
    fn has_difference_to_tell(&self, grace: Duration) -> bool {
        let scanned = self.scanned_at;
        let came_of_age = |since: &Instant| {
            let at = *since + grace;
            at <= Instant::now() && scanned.is_some_and(|scanned| scanned < at)
        };
        self.differing.values().any(came_of_age)
    }

    /// A certificate that came into service is not let go of in one place before it has settled in the other.
    fn linger(&mut self, scan: &mut Scan) {
        let present: HashSet<Arc<str>> = scan.sightings.iter().map(|sighting| Arc::clone(&sighting.name)).collect();
        for sighting in scan.sightings.iter().filter(|sighting| sighting.name.ends_with(IN_FILE)) {
            self.ahead.insert(Arc::clone(&sighting.name), (sighting.clone(), Instant::now()));
        }
        self.ahead.retain(|_, (sighting, seen)| {
            seen.elapsed() < LINGER && sighting.served_as.as_ref().is_some_and(|name| present.contains(name))
        });
        // As long as the file holds it.
        let here = |one: &Sighting| Some((file_of(one)?.clone(), one.served_as.clone()));
        let versions: HashMap<_, Version> =
            scan.sightings.iter().filter_map(|one| Some((here(one)?, one.version.clone()))).collect();
        self.ahead.retain(|_, (sighting, _)| {
            let now = here(sighting).and_then(|here| versions.get(&here).cloned());
            now.is_none_or(|now| now == sighting.version)
        });
        let lingering = self.ahead.iter().filter(|(name, _)| !present.contains(*name));
        scan.sightings.extend(lingering.map(|(_, (sighting, _))| sighting.clone()));
    }
}

impl HaproxySource {
    async fn look(&self) -> Result<Scan, SourceError> {
        let Seen { process, environment, loaded, generation, .. } = self.see().await?;
        let memory = Arc::clone(&self.memory);
        let address = self.address.clone();
        let scanned = (process.clone(), generation);
        let starts = starts(&process, &environment);
        let bases = bases(&starts, &environment);
        let layout = self.layout(&process, &starts).await?;
        let (configurations, grace) = (self.configurations.clone(), self.grace);
        let scan = move || {
            let mut memory = lock(&memory);
            let begun = Instant::now();
            let (mut scan, stamps) =
                match_all(&mut memory.files, &address.to_string(), &loaded, &Places { bases: &bases, layout: &layout });
            memory.linger(&mut scan);
            memory.bear_with(&mut scan, grace);
            let names: HashSet<&str> = loaded.iter().map(|(name, _)| &**name).collect();
            for configuration in &configurations {
                configuration.confirm(&address, start(&starts, &loaded), |name| names.contains(name));
                configuration.read_latest(|latest| running_only::leave_out(&mut scan, latest));
            }
            if !configurations.is_empty() {
                memory.beyond.clone_from(&scan);
            }
            (scan, stamps, begun)
        };
        let (scan, stamps, begun) = blocking(&self.address, scan).await?;
        // Only now is it heard of: when this was dropped before, there is still something to scan.
        let mut memory = lock(&self.memory);
        (memory.scanned, memory.scanned_at, memory.stamps) = (Some(scanned), Some(begun), stamps);
        Ok(scan)
    }

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

fn served(name: &str, loaded: &Loaded) -> ServedCertificate {
    ServedCertificate {
        name: name.to_owned(),
        serial: loaded.serial.clone(),
        fingerprint: loaded.fingerprint.clone(),
        is_used: !loaded.is_unused,
        takes_responses: loaded.takes_responses(),
        cert_id: loaded.response_key.clone(),
        has_chain: loaded.has_chain,
        file: None,
        is_in_file: false,
        configured: None,
        staple: None,
        is_clients: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that was renewed once more before it settled is in no file any more.
    #[tokio::test]
    async fn what_lingers_is_what_the_file_holds() {
        let place = |name: &str, version: &str| {
            let file = Sighting::file("/a.pem", Version::new(version));
            Sighting { name: name.into(), served_as: Some("/a.pem".into()), ..file }
        };
        let lingering = |scans: &[&[(&str, &str)]]| {
            let mut memory = Memory::default();
            let mut names = Vec::new();
            for sightings in scans {
                let sightings = sightings.iter().map(|(name, version)| place(name, version)).collect();
                let mut scan = Scan { sightings, problems: Vec::new() };
                memory.linger(&mut scan);
                names = scan.sightings.iter().map(|sighting| sighting.name.to_string()).collect();
            }
            names
        };
        let ahead = [("/a.pem (in its file)", "1"), ("/a.pem", "1")];
        assert_eq!(lingering(&[&ahead, &[("/a.pem", "1")]]), ["/a.pem", "/a.pem (in its file)"]);
        assert_eq!(lingering(&[&ahead, &[("/a.pem", "2")]]), ["/a.pem"]);
    }
}
