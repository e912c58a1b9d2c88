//! Staples in files, which servers read when they start.

mod blocking;
mod claims;
mod fault;
mod folder;
mod laid;
pub mod layout;
mod locks;
mod look;
mod place;
mod placeholder;
pub mod server;
mod swap;
mod sweep;
mod vigil;
mod wanted;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;

pub use self::fault::WriteFault;
pub use self::place::staple_path;

use self::blocking::{Abandoned, blocking, looking};
use self::claims::Claims;
use self::folder::Folder;
use self::layout::Layout;
use self::locks::{Locked, Locks};
use self::place::Place;
use self::placeholder::PLACEHOLDER;
use self::swap::Swaps;
use self::sweep::Sweeper;
use self::vigil::Vigil;
use self::wanted::Wanted;
use super::stamp::Stat;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::hash::Sha256;
use crate::hexadecimal::Hexadecimal;
use crate::io::certificate_file::{staple_file_of, with_suffix};
use crate::io::open::regular_file;
use crate::lookup::IssuerPlace;
use crate::report::{Report, Reporter, Reporters};
use crate::severity::Severity;
use crate::sink::leftover::leftover;
use crate::sink::lost::Change;
use crate::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::Staple;
use crate::task::Subject;
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
    vigil: Vigil,
}

#[derive(Debug, Default)]
struct State {
    /// The files that the sink wrote, by path.
    written: HashMap<PathBuf, Written>,
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

/// The contents of a file that the sink wrote.
#[derive(Debug)]
struct Written {
    /// The hash of the written bytes. A file with another hash was changed by another program.
    hash: Hash,
    /// The certificate of the staple.
    subject: Subject,
    /// The file's identity and times at the last check; none when they could hide a change.
    stat: Option<Stat>,
}

type Hash = [u8; 32];

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

/// Reads a staple file, whatever its contents, in at most [`Staple::MAX_RECEIVED`] bytes. `None` if the file does not exist.
///
/// Blocks. Only regular files are opened.
///
/// # Errors
///
/// The system's error; `InvalidData` for a file that is too large, `InvalidInput` if it is not a regular file.
pub fn read_existing(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match regular_file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    folder::read_response(file).map(Some)
}

/// Replaces a file by these contents: a reader gets either the old contents or the new. An existing file keeps its owner and mode, as
/// far as this user may set them; a new one is readable by all.
///
/// Blocks until the contents are on disk.
///
/// # Errors
///
/// The system's error. The old file is then still there.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (folder, name) = Folder::of(path)?;
    folder.replace(name, contents, path)
}

/// Removes a file that holds a response about this certificate, so that no server takes it up; anything else stays. Returns whether
/// one was removed.
///
/// Blocks.
///
/// # Errors
///
/// Those of [`read_existing`], and the system's error when the file cannot be removed.
pub fn remove_answer(path: &Path, chain: &CertChain) -> io::Result<bool> {
    let is_about = read_existing(path)?.is_some_and(|kept| chain.is_answered_by(&kept));
    if is_about {
        let (folder, name) = Folder::of(path)?;
        folder.remove(name)?;
    }
    Ok(is_about)
}

#[async_trait]
impl StapleSink for FileSink {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
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
        let clearings = sites.iter().map(|site| {
            let (sink, chain, site) = (Arc::clone(&self.0), chain.clone(), site.clone());
            let path = self.0.operated(&site);
            let clear = move |abandoned: &Abandoned| {
                sink.clear_leftover(&chain, &site, now, abandoned);
                Ok(())
            };
            async move { blocking(&path, clear).await }
        });
        // What fails is reported there.
        join_all(clearings).await;
    }

    /// Reports the removal of files that no delivery returns.
    fn report_to(&self, reporter: Reporter) {
        self.0.reporters.add(reporter);
    }

    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        let barred = barred(sites);
        for site in sites {
            let Ok((path, _)) = self.0.place(site, &barred, chain.end_entity()) else { continue };
            let read = {
                let path = path.clone();
                let is_one = |bytes: &Vec<u8>| !bytes.is_empty() && bytes != PLACEHOLDER;
                move || read_existing(&path).ok().flatten().filter(is_one)
            };
            if let Some(kept) = looking(&path, read).await.flatten() {
                return Some(kept.into());
            }
        }
        None
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

    /// Removes staples of revoked certificates that another program has restored, of these paths.
    fn clear_revoked(&self, paths: &[PathBuf]) {
        for path in paths {
            let _alone = self.alone(path);
            self.vigil.checks(path);
            // The hold may have ended since, and a new staple been delivered.
            let Some((chain, site)) = self.state().revoked.get(path).cloned() else { continue };
            if self.take_away(path, &chain, &site, Withdrawal::Revoked).is_err() {
                self.vigil.again(path.clone());
            }
        }
    }

    /// Writes to a site that has a path.
    fn deliver(
        &self,
        staple: &Staple,
        site: &Site,
        barred: &HashSet<PathBuf>,
        abandoned: &Abandoned,
    ) -> Result<Delivered, SinkError> {
        self.retract(site, abandoned);
        match self.place(site, barred, staple.chain().end_entity()) {
            Ok((path, certificate)) => {
                self.claim(&path, certificate)?;
                match self.keep(&path, staple, certificate, abandoned) {
                    Ok(()) => Ok(Delivered::Confirmed),
                    Err(error) => Err(describe(&path, "written", &error)),
                }
            }
            Err(NoPlace::Unwanted(reason)) => Ok(reason),
            Err(NoPlace::Refused(error)) => Err(error),
        }
    }

    /// Removes a response that can be no staple of the certificate at this time from the path where servers look for one, whichever
    /// program wrote it. A file without which servers do not start stays.
    fn clear_leftover(&self, chain: &CertChain, site: &Site, now: Timestamp, abandoned: &Abandoned) {
        let Some(path) = self.looked_for(site, chain) else { return };
        let _alone = self.alone(&path);
        match self.withdraw {
            WithdrawFiles::Remove => {}
            WithdrawFiles::Keep => return,
            WithdrawFiles::Replace => return self.fill_vacancy(&path, site, abandoned),
        }
        let Ok(found) = read_own(&path) else { return };
        let Some((folder, name, bytes)) = found else {
            // The companion must not stay without the staple that it names.
            let _ = self.unaccompany(&path);
            return;
        };
        let Some((code, why)) = leftover(chain, &bytes, now) else { return };
        if site.staple_file_needed || abandoned.is_so() {
            return;
        }
        let file = path.display();
        let report = match self.unlink(&folder, name, &path) {
            Ok(()) => Report::new(codes::REMOVED, Severity::Info, format!("{file} is removed: {why}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let what = format!(
                    "{file} cannot be removed: {error}; {why}: HAProxy and other servers may not start with it"
                );
                Report::new(codes::NOT_REMOVED, Severity::Warning, what)
            }
        };
        self.reporters.tell_of(chain, report.code(code));
    }

    /// The path of a site's staple, and the certificate's file.
    fn place<'a>(
        &self,
        site: &'a Site,
        barred: &HashSet<PathBuf>,
        end_entity: &Certificate,
    ) -> Result<(PathBuf, &'a Path), NoPlace> {
        if let Some(placed) = self.laid_out(site, barred, end_entity)? {
            return Ok(placed);
        }
        let (certificate, is_taken) = match Place::of(site) {
            Place::Beside { staple, certificate } if !barred.contains(&staple) => return Ok((staple, certificate)),
            Place::Beside { certificate, .. } | Place::NotBeside { certificate } => (certificate, true),
            Place::NotTaken { certificate } => (certificate, false),
            Place::Nowhere => return Err(NoPlace::Unwanted(no_file(&site.served_as))),
        };
        match &self.staple_dir {
            Some(directory) => Ok((self.apart(directory, certificate), certificate)),
            None if is_taken => Err(NoPlace::Unwanted(issuer_not_found(certificate))),
            None => {
                let error = SinkError::refused(codes::WRONG_ISSUER_FIRST, mistaken(site, certificate));
                Err(NoPlace::Refused(error))
            }
        }
    }

    /// The path in the staple directory: the first certificate of a name has it, later ones get a path with a hash.
    fn apart(&self, directory: &Path, certificate: &Path) -> PathBuf {
        let file_name = certificate.file_name().unwrap_or(OsStr::new("certificate"));
        let mut state = self.state();
        if let Some(path) = state.apart.get(certificate) {
            return path.clone();
        }
        let mut path = directory.join(staple_file_of(Path::new(file_name)));
        if state.taken.contains(&path) {
            let hash = Sha256::of(certificate.as_os_str().as_bytes());
            let hash = format!("{:x}", Hexadecimal::of(hash.get(..6).unwrap_or(&hash)));
            path = directory.join(staple_file_of(&with_suffix(Path::new(file_name), &format!(".{hash}"))));
        }
        state.taken.insert(path.clone());
        state.apart.insert(certificate.to_owned(), path.clone());
        path
    }

    /// Locks a file, so that no other operation of this sink checks or changes it.
    fn alone(&self, path: &Path) -> Locked<'_> {
        self.busy.lock(path)
    }

    fn keep(&self, path: &Path, staple: &Staple, certificate: &Path, abandoned: &Abandoned) -> io::Result<()> {
        let response: &[u8] = staple.response();
        let _alone = self.alone(path);
        if abandoned.is_so() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if !self.swapped_in(path, response)? {
            let (folder, name) = Folder::of(path)?;
            self.sweeper.sweep_first_time(path, &folder);
            // A link is replaced even if its target has the same contents.
            let is_same = folder.read(name).is_ok_and(|bytes| bytes.as_deref() == Some(response));
            if !is_same {
                let beside = certificate.file_name().filter(|_| path.parent() == certificate.parent());
                folder.replace_if(name, response, self.model(certificate), || match beside {
                    Some(beside) => folder.check_certificate(beside, staple.chain().end_entity()),
                    None => Ok(()),
                })?;
            }
            self.accompany(path, certificate, staple.chain().end_entity())?;
        }
        let written = Written { hash: Sha256::of(response), subject: staple.chain().subject().clone(), stat: None };
        let mut state = self.state();
        state.revoked.remove(path);
        state.written.insert(path.to_owned(), written);
        drop(state);
        self.vigil.add(path);
        Ok(())
    }

    /// Removes the sink's staple beside a certificate whose issuer the server does not find any more: with it, some
    /// servers do not start.
    fn retract(&self, site: &Site, abandoned: &Abandoned) {
        if self.withdraw == WithdrawFiles::Remove
            && Place::of(site).is_barred()
            && let Some(path) = staple_path(site)
        {
            let _alone = self.alone(&path);
            if !abandoned.is_so() {
                // The delivery to another path continues. A staple that could not be removed stays recorded.
                let _ = self.remove_ours(&path, site);
            }
        }
    }

    /// Removes the staples that this sink wrote for the certificate. Of a revoked certificate, it removes every
    /// response about it, whichever program wrote it: a server must not read a staple from before the revocation at its
    /// next start.
    fn withdraw(
        &self,
        chain: &CertChain,
        site: &Site,
        why: Withdrawal,
        abandoned: &Abandoned,
    ) -> Result<(), SinkError> {
        let mut result = Ok(());
        let Some(certificate) = site.file.as_deref() else { return result };
        // Both paths are checked: the issuer may have become known or unknown since the staple was written.
        let apart = self.state().apart.get(certificate).cloned();
        for path in self.looked_for(site, chain).into_iter().chain(apart) {
            let _alone = self.alone(&path);
            if abandoned.is_so() {
                return Ok(());
            }
            let mut state = self.state();
            match why {
                Withdrawal::Revoked => state.revoked.insert(path.clone(), (chain.clone(), site.clone())),
                _ => state.revoked.remove(&path),
            };
            drop(state);
            self.vigil.add(&path);
            if let Err(error) = self.take_away(&path, chain, site, why) {
                result = Err(describe(&path, "removed", &error));
            }
        }
        if result.is_ok() {
            self.release(site, chain, why);
            let mut state = self.state();
            if let Some(path) = state.apart.remove(certificate) {
                state.taken.remove(&path);
            }
        }
        result
    }

    /// Removes one file for [`withdraw`](Self::withdraw). The caller holds its lock.
    fn take_away(&self, path: &Path, chain: &CertChain, site: &Site, why: Withdrawal) -> io::Result<()> {
        match read_own(path)? {
            // The file belongs to the certificate's successor or to another program.
            Some((_, _, bytes)) if !chain.is_answered_by(&bytes) => return Ok(()),
            Some((_, _, bytes)) if why == Withdrawal::Revoked => {
                let written = Written { hash: Sha256::of(&bytes), subject: chain.subject().clone(), stat: None };
                self.state().written.insert(path.to_owned(), written);
            }
            _ => {}
        }
        self.remove_ours(path, site)
    }

    /// Removes a file if it holds what the sink wrote last. If a server does not start without the file, it is emptied
    /// instead.
    fn remove_ours(&self, path: &Path, site: &Site) -> io::Result<()> {
        let Some(ours) = self.state().written.get(path).map(|written| written.hash) else { return Ok(()) };
        if let Some((folder, name, bytes)) = read_own(path)?
            && Sha256::of(&bytes) == ours
        {
            let needed_by =
                site.file.as_deref().filter(|_| site.staple_file_needed && site.staple_file.as_deref() == Some(path));
            let removed = match needed_by {
                _ if self.withdraw == WithdrawFiles::Replace => {
                    folder.replace(name, PLACEHOLDER, site.file.as_deref().unwrap_or(path))
                }
                Some(certificate) => folder.replace(name, &[], certificate),
                None => self.unlink(&folder, name, path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.state().written.remove(path);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Both maps are consistent after every single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The contents of a file that may be one of the sink, with its directory and its name. `None` for a file that is certainly not one:
/// it is not there, not a regular one, too large, or not readable for this user.
fn read_own(path: &Path) -> io::Result<Option<(Folder, &OsStr, Vec<u8>)>> {
    use io::ErrorKind::{InvalidData, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    let read = Folder::of(path).and_then(|(folder, name)| {
        let bytes = folder.read(name)?;
        Ok(bytes.map(|bytes| (folder, name, bytes)))
    });
    match read {
        Err(error)
            if matches!(error.kind(), NotFound | NotADirectory | InvalidInput | InvalidData | PermissionDenied) =>
        {
            Ok(None)
        }
        read => read,
    }
}

/// The result of the deliveries to all sites: a failure counts most, then a delivery.
fn in_all(deliveries: Vec<Result<Delivered, SinkError>>) -> Result<Delivered, SinkError> {
    let mut all = None;
    for delivery in deliveries {
        match delivery? {
            Delivered::Confirmed => all = Some(Delivered::Confirmed),
            other => all = all.or(Some(other)),
        }
    }
    Ok(all.unwrap_or_else(|| no_file("the certificate has no place")))
}

/// Why a staple has no path.
enum NoPlace {
    /// No path is intended.
    Unwanted(Delivered),
    /// No server would use a staple there.
    Refused(SinkError),
}

fn mistaken(site: &Site, certificate: &Path) -> String {
    let file = certificate.display();
    match &site.issuer {
        IssuerPlace::Mistaken { chains: Some(directory) } => format!(
            "{file}: a server that loads it takes a certificate in {0} for its issuer that only has the issuer's name, so that \
             no staple fits; remove that one from {0}, or append the issuer's certificate to {file}",
            directory.display()
        ),
        _ => format!(
            "{file}: a server that loads it takes the first certificate of the issuer's name in it for the issuer, and that is \
             not the one that signed, so that no staple fits; put the right one before it, or remove the other"
        ),
    }
}

fn issuer_not_found(certificate: &Path) -> Delivered {
    Delivered::NotWanted {
        code: codes::ISSUER_NOT_FOUND_BY_SERVER,
        what: format!(
            "{0}: not written beside it, because a server that loads it would not find its issuer, or would find another \
             first, and some servers do not start then; append the issuer's certificate to {0}, put it alone into \
             {0}.issuer, or choose a staple directory",
            certificate.display()
        ),
    }
}

fn no_file(name: &str) -> Delivered {
    Delivered::NotWanted {
        code: codes::NO_FILE,
        what: format!("{name}: not a file, so that there is no place for a staple beside it"),
    }
}

fn describe(path: &Path, done: &str, error: &io::Error) -> SinkError {
    let path = &swap::shown(path);
    let parent = path.parent().unwrap_or(path).display();
    let fault = WriteFault::of(error);
    let remedy = match fault {
        WriteFault::DiskFull => format!("make room in {parent}"),
        WriteFault::ReadOnly => format!("make {parent} writable, or choose another directory"),
        WriteFault::NoPermission => format!("let this user write to {parent}"),
        WriteFault::DirectoryMissing => format!("create {parent}"),
        WriteFault::TooManyOpenFiles => {
            "raise the limit of open files (LimitNOFILE= of a systemd unit, ulimit -n)".to_owned()
        }
        WriteFault::Other => format!("see to {parent}"),
    };
    let code = fault.code();
    SinkError::Unreachable { code, what: format!("{} cannot be {done}: {error}; {remedy}", path.display()) }
}
