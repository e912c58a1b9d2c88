//! The work of the sink on one file at a time: writing, withdrawing, and removing what was left behind. Blocks.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assign::NoPlace;
use super::blocking::Abandoned;
use super::folder::{Folder, look_at};
use super::outcome::describe;
use super::place::{Place, staple_path};
use super::placeholder::PLACEHOLDER;
use super::single::read_own;
use super::written::{Written, hash_of};
use super::{Inner, WithdrawFiles, codes};
use crate::chain::CertChain;
use crate::io::certificate_file::staple_file_of;
use crate::io::stamp::Stat;
use crate::report::Report;
use crate::severity::Severity;
use crate::sink::leftover::leftover;
use crate::sink::{Delivered, SinkError, Site, Withdrawal};
use crate::staple::Staple;
use crate::time::Timestamp;

impl Inner {
    /// Removes staples of revoked certificates that another program has restored, of these paths.
    pub(super) fn clear_revoked(&self, paths: &[PathBuf]) {
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
    pub(super) fn deliver(
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
                match self.keep(&path, staple, certificate, site.file.as_ref(), abandoned) {
                    Ok(()) => Ok(Delivered::Confirmed),
                    Err(error) => Err(describe(&path, "written", &error)),
                }
            }
            Err(NoPlace::Unwanted(reason)) => Ok(reason),
            Err(NoPlace::Refused(error)) => Err(error),
        }
    }

    /// Reads the staple beside a certificate whose file was just read, for what follows.
    pub(super) fn read_ahead(&self, file: &Path, staple_file: Option<&Path>) {
        // A layout may have names that need the certificate, and other directories may hang.
        let is_plain = self.layout.is_none() && self.withdraw == WithdrawFiles::Remove && self.wanted.has(file);
        let path = staple_file.map_or_else(|| staple_file_of(file), Path::to_owned);
        if !is_plain || path.parent() != file.parent() {
            return;
        }
        let Some(_alone) = self.busy.try_lock(&path) else { return };
        self.just_read.forget(&path);
        let reading = self.just_read.begin();
        if let Ok(Some((bytes, stat))) = look_at(&path) {
            self.just_read.put(reading, &path, bytes.into(), stat);
        }
    }

    /// Whether the file of a site was read a moment ago, and is no leftover at this time.
    pub(super) fn is_known_to_be_none(&self, chain: &CertChain, site: &Site, now: Timestamp) -> bool {
        let is_none = |bytes: &[u8]| leftover(chain, bytes, now).is_none();
        self.withdraw == WithdrawFiles::Remove
            && self.looked_for(site, chain).is_some_and(|path| self.just_read.is(&path, is_none))
    }

    /// Records the delivery of a staple that was read from its file a moment ago. Returns false, and does nothing, if there is more to
    /// do or to look at. Does not block.
    pub(super) fn has_just_read(&self, staple: &Staple, site: &Site) -> bool {
        if self.layout.is_some() || Place::of(site).is_barred() {
            return false;
        }
        let Ok((path, _)) = self.place(site, &HashSet::new(), staple.chain().end_entity()) else { return false };
        if !self.sweeper.has_swept(&path) {
            return false;
        }
        let Some(_alone) = self.busy.try_lock(&path) else { return false };
        // Under one lock: a change that is noticed finds the file here or there.
        let mut state = self.state();
        if state.revoked.contains_key(&path) {
            return false;
        }
        let hash = hash_of(staple.response());
        let Some(stat) = self.just_read.take(&path, &hash) else { return false };
        state.written.insert(&path, site.file.as_ref(), Written::of(staple, hash, Some(stat)));
        drop(state);
        self.vigil.add(&path);
        true
    }

    /// Removes a response that can be no staple of the certificate at this time from the path where servers look for one, whichever
    /// program wrote it. A file without which servers do not start stays.
    pub(super) fn clear_leftover(&self, chain: &CertChain, site: &Site, now: Timestamp, abandoned: &Abandoned) {
        let Some(path) = self.looked_for(site, chain) else { return };
        let _alone = self.alone(&path);
        self.just_read.forget(&path);
        match self.withdraw {
            WithdrawFiles::Remove => {}
            WithdrawFiles::Keep => return,
            WithdrawFiles::Replace => return self.fill_vacancy(&path, site, abandoned),
        }
        // At a start, nearly all are staples that are used again.
        let reading = self.just_read.begin();
        if let Ok(Some((bytes, stat))) = look_at(&path)
            && leftover(chain, &bytes, now).is_none()
        {
            self.just_read.put(reading, &path, bytes.into(), stat);
            return;
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

    pub(super) fn keep(
        &self,
        path: &Path,
        staple: &Staple,
        certificate: &Path,
        file: Option<&Arc<Path>>,
        abandoned: &Abandoned,
    ) -> io::Result<()> {
        let response: &[u8] = staple.response();
        let _alone = self.alone(path);
        if abandoned.is_so() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let (hash, mut stat) = (hash_of(response), None);
        if !self.swapped_in(path, response)? {
            self.sweeper.sweep_first_time(path);
            // A link is replaced even if its target has the same contents.
            let identity = || fs::symlink_metadata(path).ok().map(|metadata| Stat::of(&metadata));
            stat = self.just_read.still(path, &hash, identity);
            if stat.is_none() {
                self.write(path, staple, certificate)?;
            }
            self.accompany(path, certificate, staple.chain().end_entity())?;
        }
        let mut state = self.state();
        state.revoked.remove(path);
        state.written.insert(path, file, Written::of(staple, hash, stat));
        drop(state);
        self.vigil.add(path);
        Ok(())
    }

    /// Writes a staple, unless the file has these contents already.
    fn write(&self, path: &Path, staple: &Staple, certificate: &Path) -> io::Result<()> {
        let response: &[u8] = staple.response();
        let (folder, name) = Folder::of(path)?;
        if folder.read(name).is_ok_and(|bytes| bytes.as_deref() == Some(response)) {
            return Ok(());
        }
        let beside = certificate.file_name().filter(|_| path.parent() == certificate.parent());
        folder.replace_if(name, response, self.model(certificate), || match beside {
            Some(beside) => folder.check_certificate(beside, staple.chain().end_entity()),
            None => Ok(()),
        })
    }

    /// Removes the sink's staple beside a certificate whose issuer the server does not find any more: with it, some
    /// servers do not start.
    pub(super) fn retract(&self, site: &Site, abandoned: &Abandoned) {
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
    pub(super) fn withdraw(
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
    pub(super) fn take_away(&self, path: &Path, chain: &CertChain, site: &Site, why: Withdrawal) -> io::Result<()> {
        self.just_read.changed(path);
        match read_own(path)? {
            // The file belongs to the certificate's successor or to another program.
            Some((_, _, bytes)) if !chain.is_answered_by(&bytes) => return Ok(()),
            Some((_, _, bytes)) if why == Withdrawal::Revoked => {
                let written = Written { hash: hash_of(&bytes), subject: chain.subject().clone(), stat: None };
                self.state().written.insert(path, site.file.as_ref(), written);
            }
            _ => {}
        }
        self.remove_ours(path, site)
    }

    /// Removes a file if it holds what the sink wrote last. If a server does not start without the file, it is emptied
    /// instead.
    pub(super) fn remove_ours(&self, path: &Path, site: &Site) -> io::Result<()> {
        let Some(ours) = self.state().written.get(path).map(|written| written.hash) else { return Ok(()) };
        if let Some((folder, name, bytes)) = read_own(path)?
            && hash_of(&bytes) == ours
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
}
