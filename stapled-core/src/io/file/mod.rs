//! Staples in files, which servers read when they start.

mod assign;
mod blocking;
mod claims;
mod fault;
mod folder;
mod just_read;
mod laid;
pub mod layout;
mod locks;
mod look;
mod outcome;
mod place;
mod placeholder;
pub mod server;
mod single;
mod swap;
mod sweep;
mod vigil;
mod wanted;
mod work;
mod written;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;

pub use self::fault::WriteFault;
pub use self::place::staple_path;
pub use self::single::{read_existing, remove_answer, replace};

use self::blocking::{Abandoned, blocking, looking};
use self::claims::Claims;
use self::just_read::JustRead;
use self::layout::Layout;
use self::locks::{Locked, Locks};
use self::outcome::in_all;
use self::place::Place;
use self::placeholder::PLACEHOLDER;
use self::swap::Swaps;
use self::sweep::Sweeper;
use self::vigil::Vigil;
use self::wanted::Wanted;
use self::written::Files;
use crate::chain::CertChain;
use crate::report::{Reporter, Reporters};
use crate::sink::lost::Change;
use crate::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::Staple;
use crate::time::Timestamp;

pub mod codes;

/// The largest staple that is written, in bytes.
pub(crate) const MAX_STAPLE: usize = 64 * 1024;
/// The interval between checks of files whose changes the system does not report, and the factor by which the pause exceeds
/// the time of a check.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const LOOK_SHARE: u32 = 50;

/// A sink that writes staples to files: `CERTIFICATE.ocsp` beside each certificate, in DER, as servers read them at
/// their start. Running servers do not notice the file; other sinks update them.
///
/// A file appears complete or not at all: the sink writes it under another name in the same directory
/// (`.NAME.ocsp.XXXXXX.tmp`), syncs it to the disk and renames it. Mode, owner and group of the former file are kept. A
/// new file has those of the certificate, without the bits for execution and for writing by others. A symbolic link
/// with the staple's name is itself replaced and its target stays unchanged, because a user who may create a link must
/// not choose the file that is overwritten. A file with the same contents is not written again. A file that another
/// program removed, emptied or changed is reported within seconds ([`Lost::Changed`]), as the system's notifications tell. Half-written files of a crash
/// are removed when they are two minutes old and the sink writes to the directory for the first time.
///
/// No staple is written beside a certificate whose issuer the server does not find, because some servers do not start
/// with such a file. These staples go to [`staple_dir`](FileSink::staple_dir), if it is set.
///
/// A [`Layout`] gives the staples other names, for servers that do not look for `CERTIFICATE.ocsp`.
#[derive(Clone, Debug, Default)]
pub struct FileSink(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    staple_dir: Option<PathBuf>,
    layout: Option<Layout>,
    name: Option<String>,
    wanted: Wanted,
    withdraw: WithdrawFiles,
    look_interval: Option<Duration>,
    claims: Claims,
    swaps: Swaps,
    state: Mutex<State>,
    sweeper: Sweeper,
    reporters: Reporters,
    /// The files that an operation checks or changes.
    busy: Locks,
    just_read: JustRead,
    vigil: Vigil,
}

#[derive(Debug, Default)]
struct State {
    /// The files that the sink wrote.
    written: Files,
    /// Paths that must hold no staple of these certificates, since they are revoked.
    revoked: HashMap<PathBuf, (CertChain, Site)>,
    /// The paths in the staple directory, by the certificate's file.
    apart: HashMap<PathBuf, PathBuf>,
    /// The same paths.
    taken: HashSet<PathBuf>,
    /// The file that names a staple, by the path of the staple.
    companions: HashMap<PathBuf, PathBuf>,
    /// Changes by other programs that are not reported yet.
    changes: Vec<Change>,
}

/// The fate of the file of a withdrawn staple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithdrawFiles {
    /// The file is removed, so that no server reads it at its next start. If servers do not start without the file
    /// ([`Site::staple_file_needed`](crate::sink::Site::staple_file_needed)), it is emptied instead.
    #[default]
    Remove,
    /// The file stays, for servers that do not start without a file that their configuration names, such as nginx's
    /// `ssl_stapling_file`. They continue to serve its contents.
    Keep,
    /// The file of a revoked certificate is replaced by an OCSP response of status tryLater (RFC 6960 §4.2.1), which servers
    /// start with and clients cannot take for good. A file that is missing before the first staple gets the same. All other
    /// files stay.
    Replace,
}

impl FileSink {
    /// A sink that writes only beside certificates.
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory for staples that must not be beside their certificates. The file name is that of the certificate's
    /// file plus `.ocsp`; if two certificates have the same name, it contains a hash of the path. The directory must
    /// exist.
    #[must_use]
    pub fn staple_dir(self, directory: impl Into<PathBuf>) -> Self {
        FileSink(Arc::new(Inner { staple_dir: Some(directory.into()), ..self.0.settings() }))
    }

    /// The names of the staples. Default: `CERTIFICATE.ocsp` beside each certificate. The layout decides alone: no staple directory
    /// takes what cannot lie beside its certificate. Of two certificates that would have the same path, the second one is refused.
    #[must_use]
    pub fn layout(self, layout: Layout) -> Self {
        FileSink(Arc::new(Inner { layout: Some(layout), ..self.0.settings() }))
    }

    /// The name of the sink in messages, such as that of the server that reads the files.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        FileSink(Arc::new(Inner { name: Some(name.into()), ..self.0.settings() }))
    }

    /// Writes staples of those certificates only for whose file this function returns true. Default: of all.
    #[must_use]
    pub fn only(self, wanted: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        FileSink(Arc::new(Inner { wanted: Wanted::by(wanted), ..self.0.settings() }))
    }

    /// Refuses paths that certificates have in the layout of the other sink, and the other way round.
    #[must_use]
    pub fn apart_from(self, other: &FileSink) -> Self {
        FileSink(Arc::new(Inner { claims: other.0.claims.clone(), ..self.0.settings() }))
    }

    /// The fate of files of withdrawn staples, and of responses that were left behind: those that have ended, or are about a
    /// certificate that is not there any more. Default: they are removed. A withdrawal never removes a file that another program
    /// wrote or changed.
    #[must_use]
    pub fn withdraw_files(self, policy: WithdrawFiles) -> Self {
        FileSink(Arc::new(Inner { withdraw: policy, ..self.0.settings() }))
    }

    /// The interval between checks of the contents of files whose changes the system does not report, such as those of a network
    /// file system. Default: 10 s. At least 10 ms.
    #[must_use]
    pub fn look_interval(self, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(10));
        FileSink(Arc::new(Inner { look_interval: Some(interval), ..self.0.settings() }))
    }
}

#[async_trait]
impl StapleSink for FileSink {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        if self.has_recalled(staple, sites) {
            return Ok(Delivered::Confirmed);
        }
        let barred = Arc::new(barred(sites));
        // One after the other would let a directory that hangs delay the others.
        let deliveries = sites.iter().map(|site| {
            let (sink, staple, barred) = (Arc::clone(&self.0), staple.clone(), Arc::clone(&barred));
            let site = site.clone();
            let path = self.0.operated(&site);
            async move { blocking(&path, move |abandoned| sink.deliver(&staple, &site, &barred, abandoned)).await }
        });
        in_all(join_all(deliveries).await)
    }

    fn name(&self) -> String {
        match (&self.0.name, &self.0.staple_dir) {
            (Some(name), _) => name.clone(),
            (None, Some(directory)) => format!("files, {}", directory.display()),
            (None, None) => "files".to_owned(),
        }
    }

    /// Servers read the files when they start or reload.
    fn is_live(&self) -> bool {
        false
    }

    fn requirements(&self) -> Requirements {
        Requirements { max_size: MAX_STAPLE, ..Requirements::default() }
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        let is_kept = match self.0.withdraw {
            WithdrawFiles::Keep => true,
            WithdrawFiles::Replace => why != Withdrawal::Revoked,
            WithdrawFiles::Remove => false,
        };
        if is_kept {
            sites.iter().for_each(|site| self.0.release(site, chain, why));
            return Ok(Withdrawn::Unsupported);
        }
        let withdrawals = sites.iter().map(|site| {
            let (sink, chain, site) = (Arc::clone(&self.0), chain.clone(), site.clone());
            let path = self.0.operated(&site);
            async move { blocking(&path, move |abandoned| sink.withdraw(&chain, &site, why, abandoned)).await }
        });
        let failed = join_all(withdrawals).await.into_iter().find_map(Result::err);
        failed.map_or(Ok(Withdrawn::Confirmed), Err)
    }

    async fn clear_leftover(&self, chain: &CertChain, sites: &[Site], now: Timestamp) {
        let unknown = sites.iter().filter(|site| !self.0.is_known_to_be_none(chain, site, now));
        let clearings = unknown.map(|site| {
            let (sink, chain, site) = (Arc::clone(&self.0), chain.clone(), site.clone());
            let path = self.0.operated(&site);
            let clear = move |abandoned: &Abandoned| {
                sink.clear_leftover(&chain, &site, now, abandoned);
                Ok(())
            };
            async move { blocking(&path, clear).await }
        });
        // The operations report their own failures.
        join_all(clearings).await;
    }

    /// Reports the removal of files that no delivery returns.
    fn report_to(&self, reporter: Reporter) {
        self.0.reporters.add(reporter);
    }

    fn read_ahead(&self, file: &Path, staple_file: Option<&Path>) {
        self.0.read_ahead(file, staple_file);
    }

    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        let barred = barred(sites);
        for site in sites {
            let Ok((path, _)) = self.0.place(site, &barred, chain.end_entity()) else { continue };
            let is_one = |bytes: &[u8]| !bytes.is_empty() && bytes != PLACEHOLDER;
            if let Some(kept) = self.0.just_read.hand_out(&path).filter(|kept| is_one(kept)) {
                return Some(kept);
            }
            let read = {
                let path = path.clone();
                move || read_existing(&path).ok().flatten().filter(|kept| is_one(kept))
            };
            if let Some(kept) = looking(&path, read).await.flatten() {
                return Some(kept.into());
            }
        }
        None
    }

    fn has_recalled(&self, staple: &Staple, sites: &[Site]) -> bool {
        // At a start, nearly all staples are those in the files.
        matches!(sites, [site] if self.0.has_just_read(staple, site))
    }

    async fn lost(&self) -> Lost {
        let interval = self.0.look_interval.unwrap_or(LOOK_INTERVAL);
        loop {
            self.0.vigil.wait(interval).await;
            // A check that panicked has reported nothing. A check whose caller is gone leaves its findings to the next
            // one.
            self.0.look_at_due(interval).await;
            let changes = std::mem::take(&mut self.0.state().changes);
            if !changes.is_empty() {
                return Lost::Changed(changes);
            }
        }
    }
}

/// The paths where no staple may be written, because a server that reads them does not find the issuer. One such server
/// is enough.
fn barred(sites: &[Site]) -> HashSet<PathBuf> {
    sites.iter().filter(|site| Place::of(site).is_barred()).filter_map(staple_path).collect()
}

impl Inner {
    /// The same settings, without files.
    fn settings(&self) -> Self {
        Inner {
            staple_dir: self.staple_dir.clone(),
            layout: self.layout.clone(),
            name: self.name.clone(),
            wanted: self.wanted.clone(),
            withdraw: self.withdraw,
            look_interval: self.look_interval,
            claims: self.claims.clone(),
            ..Inner::default()
        }
    }

    /// Locks a file, so that no other operation of this sink checks or changes it.
    fn alone(&self, path: &Path) -> Locked<'_> {
        self.busy.lock(path)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Both maps are consistent after every single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
