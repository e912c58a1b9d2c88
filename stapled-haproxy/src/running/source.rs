//! The running process as a source of certificates.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::report::Reporter;
use stapled_core::source::{CertSource, Scan, SourceError};
use tokio::time::Instant;

use crate::cli::address::Address;
use crate::cli::error::Error;
use crate::cli::failure::Failure;
use crate::cli::reply::certificate::Loaded;
use crate::configuration::{HaproxyConfiguration, ZeroWarning};
use crate::instance::lock::lock;
use crate::instance::survey::{Scope, Survey};
use crate::reports;
use crate::running::layout::Layout;
use crate::running::matching::{Matches, Places, find, holds, start};
use crate::running::memory::Memory;
use crate::running::reader::{Reader, Seen};
use crate::running::running_only;
use crate::running::snapshot::{ProcessSnapshot, ServedCertificate};
use crate::running::stamp::Stamp;
use crate::running::unanswered::Unanswered;

/// The shortest time between two looks at files for changes.
const STAT_INTERVAL: Duration = Duration::from_secs(2);
/// A look at files takes at most one part in 50 of the time.
const STAT_SHARE: u32 = 50;
/// How long [`HaproxySource::is_gone`] waits for an answer.
const PING: Duration = Duration::from_secs(2);
/// How much of a command line is read, in bytes.
const MAX_COMMAND_LINE: u64 = 128 * 1024;
/// How long HAProxy may serve another certificate than its file holds before that is a problem: a reload may take so long.
const GRACE: Duration = Duration::from_secs(10);

/// A source of certificates: a running HAProxy, asked over its admin socket for its loaded certificates.
///
/// Each certificate is matched to its file, which is read. If the configuration that HAProxy was started with can be read,
/// it tells the file (names of a `crt-store` tell none), and where HAProxy looks for the issuer and the response. Otherwise
/// relative names are looked for in HAProxy's working directory and beside its configuration files.
///
/// If a file holds another certificate than the loaded one, the source gives both: the served one as it was read before, or
/// from a copy beside the file. The difference is a problem of the scan
/// ([`SERVED_DIFFERS`](crate::codes::SERVED_DIFFERS)). A certificate that no readable file holds is one, too
/// ([`UNREADABLE_CERTIFICATE`](crate::codes::UNREADABLE_CERTIFICATE)).
///
/// ```no_run
/// use stapled_haproxy::{Address, HaproxySource};
///
/// let source = HaproxySource::new(&Address::unix("/run/haproxy/admin.sock"));
/// ```
///
/// HAProxy's `stats socket` needs `level operator` for this, and `level admin` for first staples. A clone shares the memory
/// of its original.
#[derive(Clone)]
pub struct HaproxySource {
    reader: Reader,
    grace: Duration,
    /// The certificates of these are left out.
    configurations: Vec<HaproxyConfiguration>,
    memory: Arc<Mutex<Memory>>,
}

impl HaproxySource {
    /// The HAProxy at this address; behind a master, its current worker.
    pub fn new(address: &Address) -> Self {
        HaproxySource { reader: Reader::new(address), grace: GRACE, configurations: Vec::new(), memory: Arc::default() }
    }

    /// Gives only the certificates that the process serves beyond this configuration, which is a source, too. Several
    /// configurations add up. These remain: names that the configuration does not have, such as those of `new ssl cert`, and
    /// certificates that its files do not hold any more, until HAProxy loads the new ones.
    #[must_use]
    pub fn beyond(mut self, configuration: HaproxyConfiguration) -> Self {
        self.configurations.push(configuration);
        self
    }

    /// The time between two looks for changes: 1 s by default, at least 10 ms.
    #[must_use]
    pub fn look_interval(mut self, interval: Duration) -> Self {
        self.reader.settings.look_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// How long HAProxy may serve another certificate than its file holds before that is a problem: 10 s by default. A
    /// reload after a renewal may take that long.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The same as it is set.
    pub(crate) fn grace_of_differences(&self) -> Duration {
        self.grace
    }

    /// How long an idle connection is kept: 10 s by default. A sink of the same address shares it; the timeouts are those
    /// of the one that was made first.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.reader.settings.timeouts.keepalive = keepalive.max(Duration::from_secs(1));
        self
    }

    /// Whether no process listens at its address. A HAProxy that hangs is not gone.
    pub async fn is_gone(&self) -> bool {
        let asked = async {
            let channel = self.reader.channel().await?;
            channel.process().await.map_err(|error| error.at(channel.route()))
        };
        let asked: Result<Result<_, Failure>, _> = tokio::time::timeout(PING, asked).await;
        let is_gone =
            |failure: Failure| matches!(failure.error, Error::SocketMissing | Error::SocketRefused | Error::NotASocket);
        asked.is_ok_and(|asked| asked.is_err_and(is_gone))
    }

    /// A snapshot of the process, with the files of its certificates.
    ///
    /// # Errors
    ///
    /// The process does not answer, or the socket's level is too low.
    pub async fn snapshot(&self) -> Result<ProcessSnapshot, SourceError> {
        Ok(self.observe().await?)
    }

    /// A snapshot of the process that leaves out the files of its certificates. It reads no file.
    ///
    /// # Errors
    ///
    /// The process does not answer, or the socket's level is too low.
    pub async fn snapshot_without_files(&self) -> Result<ProcessSnapshot, SourceError> {
        Ok(self.observe_without_files().await?)
    }

    /// [`snapshot`](HaproxySource::snapshot) with a typed error.
    pub(crate) async fn observe(&self) -> Result<ProcessSnapshot, Unanswered> {
        let seen = self.reader.see().await?;
        let layout = self.reader.layout(&seen.process, &seen.starts).await?;
        let snapshot = self.without_certificates(&seen).await?;
        let zero_warning = layout.zero_warning.clone();
        let memory = Arc::clone(&self.memory);
        let with_files = move || with_files(&mut lock(&memory), &seen, &layout);
        let certificates = self.reader.blocking(with_files).await?;
        let zero_warning = zero_warning.or_else(|| on_command_line(snapshot.pid));
        Ok(ProcessSnapshot { certificates, zero_warning, ..snapshot })
    }

    /// [`snapshot_without_files`](HaproxySource::snapshot_without_files) with a typed error.
    pub(crate) async fn observe_without_files(&self) -> Result<ProcessSnapshot, Unanswered> {
        let seen = self.reader.see().await?;
        let snapshot = self.without_certificates(&seen).await?;
        let certificates = seen.loaded.iter().map(|(name, loaded)| ServedCertificate::of(name, loaded)).collect();
        Ok(ProcessSnapshot { certificates, ..snapshot })
    }

    async fn without_certificates(&self, seen: &Seen) -> Result<ProcessSnapshot, Failure> {
        Ok(ProcessSnapshot {
            pid: seen.process.pid,
            version: seen.process.version_in_words.clone(),
            level: self.reader.level().await?,
            configuration_files: seen.environment.configuration_files.iter().map(PathBuf::from).collect(),
            // The root may stand for an unknown directory.
            working_directory: seen.starts.first().cloned().filter(|start| start.parent().is_some()),
            sockets: seen.environment.sockets.clone(),
            transaction: seen.transaction.clone(),
            has_response_race: seen.process.has_response_race(),
            zero_warning: None,
            certificates: Vec::new(),
        })
    }

    /// The configuration that the process was started with, as far as it can be read now.
    pub(crate) async fn layout_now(&self) -> Result<Arc<Layout>, SourceError> {
        self.reader.layout_now().await
    }

    async fn look(&self) -> Result<Scan, SourceError> {
        let seen = self.reader.see().await?;
        let layout = self.reader.layout(&seen.process, &seen.starts).await?;
        let scanned = (seen.process.clone(), seen.generation);
        let source = self.clone();
        let scan = move || {
            let begun = Instant::now();
            let (matches, mut memory) = source.matches(&seen, &layout);
            let stamps = matches.stamps.clone();
            let scan = matches.into_scan(&source.reader.address.to_string());
            if !source.configurations.is_empty() {
                memory.last.clone_from(&scan);
            }
            (scan, stamps, begun)
        };
        let (scan, stamps, begun) = self.reader.blocking(scan).await?;
        // Only now the caller gets the scan: if it was dropped before, `changed` returns at once.
        let mut memory = lock(&self.memory);
        (memory.scanned, memory.scanned_at, memory.stamps) = (Some(scanned), Some(begun), stamps);
        Ok(scan)
    }

    /// Matches the loaded certificates to files. Blocks.
    fn matches(&self, seen: &Seen, layout: &Layout) -> (Matches, std::sync::MutexGuard<'_, Memory>) {
        let mut memory = lock(&self.memory);
        let Seen { loaded, starts, bases, .. } = seen;
        let mut matches = Matches::of(&mut memory.files, loaded, &Places { bases, layout });
        memory.linger(&mut matches);
        memory.remove_young_differences(&mut matches, self.grace);
        let names: HashSet<&str> = loaded.iter().map(|(name, _)| &**name).collect();
        for configuration in &self.configurations {
            configuration.confirm(&self.reader.address, start(starts, loaded), |name| names.contains(name));
            configuration.read_latest(|latest| running_only::remove_configured(&mut matches, latest));
        }
        (matches, memory)
    }

    async fn have_files_changed(&self) -> bool {
        let stamps = lock(&self.memory).stamps.clone();
        let changed = move || stamps.iter().any(|(path, stamp)| Stamp::of(path) != *stamp);
        // If the look fails, the regular scan notices the changes.
        tokio::task::spawn_blocking(changed).await.unwrap_or(false)
    }
}

#[async_trait]
impl CertSource for HaproxySource {
    async fn scan(&self) -> Result<Scan, SourceError> {
        match self.look().await {
            // Without an answer, the configuration is all there is. The sink reports that HAProxy does not answer.
            Err(error) if !self.configurations.is_empty() => {
                self.reader.settings.reporters.tell(reports::not_compared(&error));
                Ok(lock(&self.memory).last.clone())
            }
            looked => looked,
        }
    }

    fn report_to(&self, reporter: Reporter) {
        self.reader.settings.reporters.add(reporter);
    }

    async fn changed(&self) {
        let interval = self.reader.settings.look_interval;
        loop {
            tokio::time::sleep(interval).await;
            let Ok(channel) = self.reader.channel().await else { continue };
            let survey = Survey::of(channel.clone());
            if survey.round(interval, Scope::Certificates).await.is_err() {
                continue;
            }
            let current = channel.processes().borrow().clone();
            let generation = survey.loaded(|loaded| loaded.identities());
            let is_as_scanned = match (&lock(&self.memory).scanned, &current) {
                (Some((process, scanned)), Some(current)) => process.is_same(current) && *scanned == generation,
                // The next scan finds out why the last one failed.
                _ => false,
            };
            if !is_as_scanned && current.is_some() || lock(&self.memory).has_new_old_difference(self.grace) {
                return;
            }
            // The time is kept, since this future is dropped now and then.
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
        self.reader.address.to_string()
    }
}

/// What the command line of a process says, if it runs on this machine.
fn on_command_line(pid: u64) -> Option<ZeroWarning> {
    let mut words = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(MAX_COMMAND_LINE).read_to_end(&mut words).ok()?;
    ZeroWarning::of_command_line(&words)
}

/// The loaded certificates with their files. Blocks.
fn with_files(memory: &mut Memory, seen: &Seen, layout: &Layout) -> Vec<ServedCertificate> {
    let places = Places { bases: &seen.bases, layout };
    let with_file = |(name, loaded): &(Arc<str>, Loaded)| {
        let file = find(&mut memory.files, name, loaded, &places);
        ServedCertificate {
            is_in_file: file.as_ref().is_some_and(|(_, on_disk)| holds(on_disk, loaded)),
            staple: file.as_ref().and_then(|(path, _)| places.staple(name, path)),
            configured: file.as_ref().and_then(|(path, _)| layout.of_file(name, path)).cloned(),
            file: file.map(|(path, _)| path),
            is_clients: layout.is_client(name),
            ..ServedCertificate::of(name, loaded)
        }
    };
    seen.loaded.iter().map(with_file).collect()
}
