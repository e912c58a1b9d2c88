//! The effects of a layout on a sink that writes to files: names, claims, companions, and directories that are swapped.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::assign::NoPlace;
use super::blocking::Abandoned;
use super::claims::Claim;
use super::folder::Folder;
use super::layout::{Layout, Target};
use super::outcome::{issuer_not_found, no_file};
use super::place::Place;
use super::placeholder::PLACEHOLDER;
use super::single::read_existing;
use super::swap::{Swaps, split};
use super::{Inner, codes, staple_path};
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::sink::{Delivered, SinkError, Site, Withdrawal};

impl Inner {
    /// The path of a staple by the layout, and the certificate's file. None: there is no layout.
    pub(super) fn laid_out<'a>(
        &self,
        site: &'a Site,
        barred: &HashSet<PathBuf>,
        end_entity: &Certificate,
    ) -> Result<Option<(PathBuf, &'a Path)>, NoPlace> {
        if let Some(file) = site.file.as_deref().filter(|file| !self.wanted.has(file)) {
            let what = format!("{}: not among the certificates of this server", file.display());
            return Err(NoPlace::Unwanted(Delivered::NotWanted { code: codes::OTHER_SERVER, what }));
        }
        let Some(layout) = &self.layout else { return Ok(None) };
        let file = site.file.as_deref().ok_or_else(|| NoPlace::Unwanted(no_file(&site.served_as)))?;
        let target = target(layout, file, end_entity).map_err(NoPlace::Refused)?;
        // Where HAProxy looks for staples, its rule holds.
        let is_looked_at = staple_path(site).is_some_and(|looked| looked == target.staple);
        if is_looked_at && (Place::of(site).is_barred() || barred.contains(&target.staple)) {
            return Err(NoPlace::Unwanted(issuer_not_found(file)));
        }
        Ok(Some((target.staple, file)))
    }

    /// The path at which a server looks for the staple of a certificate, if it belongs to no other one. What names that file is known
    /// from now on, also if a former process wrote it.
    pub(super) fn looked_for(&self, site: &Site, chain: &CertChain) -> Option<PathBuf> {
        let file = site.file.as_deref().filter(|file| self.wanted.has(file))?;
        let Some(layout) = &self.layout else { return staple_path(site) };
        let Target { staple, companion } = layout.target(file, chain.end_entity()).ok()?;
        if !self.claims.is_free_for(&staple, &self.claim_of(file)) {
            return None;
        }
        if let Some((companion, _)) = companion {
            self.state().companions.insert(staple.clone(), companion);
        }
        Some(staple)
    }

    /// A path in the directory of the operation, to tell which directory hangs.
    pub(super) fn operated(&self, site: &Site) -> PathBuf {
        match self.layout.as_ref().and_then(Layout::common) {
            Some(directory) => directory.join("staple"),
            None => staple_path(site).unwrap_or_default(),
        }
    }

    fn claim_of(&self, certificate: &Path) -> Claim {
        Claim { sink: self.name.clone().unwrap_or_default(), certificate: certificate.to_owned() }
    }

    /// Claims a path for a certificate. Without a layout, no two have the same.
    pub(super) fn claim(&self, path: &Path, certificate: &Path) -> Result<(), SinkError> {
        if self.layout.is_none() {
            return Ok(());
        }
        self.claims.claim(path, self.claim_of(certificate)).map_err(|other| {
            let by = if other.sink.is_empty() { String::new() } else { format!(", for {}", other.sink) };
            let what = format!(
                "{}: not written, because the staple of {} has this path{by}; give the staples names that differ, with \
                 {{parent}} or {{serial}} in the layout",
                super::swap::shown(path).display(),
                other.certificate.display()
            );
            SinkError::refused(codes::PATH_TAKEN, what)
        })
    }

    /// Gives up the path of a certificate that is gone.
    pub(super) fn release(&self, site: &Site, chain: &CertChain, why: Withdrawal) {
        if self.layout.is_some()
            && why == Withdrawal::Retired
            && let (Some(path), Some(certificate)) = (self.looked_for(site, chain), site.file.as_deref())
        {
            self.claims.release(&path, &self.claim_of(certificate));
        }
    }

    /// Writes a response into a directory whose files change all at once. Returns false, and writes nothing, in any other one.
    pub(super) fn swapped_in(&self, path: &Path, response: &[u8]) -> io::Result<bool> {
        let Some((directory, name)) = self.swapped(path) else { return Ok(false) };
        let is_same = read_existing(path).is_ok_and(|bytes| bytes.as_deref() == Some(response));
        if !is_same || !Swaps::is_linked(directory, name) {
            self.swaps.change(directory, name, Some(response))?;
        }
        Ok(true)
    }

    fn swapped<'p>(&self, path: &'p Path) -> Option<(&'p Path, &'p OsStr)> {
        self.layout.as_ref().filter(|layout| layout.is_swapped()).and_then(|_| split(path))
    }

    /// The file whose owner and mode a new staple has: the certificate, unless the staple is in a directory of a server.
    pub(super) fn model<'p>(&self, certificate: &'p Path) -> &'p Path {
        match self.layout.as_ref().and_then(Layout::common) {
            Some(_) => Path::new(""),
            None => certificate,
        }
    }

    /// Writes the file that names the staple, which is in place.
    pub(super) fn accompany(&self, path: &Path, certificate: &Path, end_entity: &Certificate) -> io::Result<()> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let target = layout.target(certificate, end_entity).map_err(io::Error::other)?;
        let Some((companion, contents)) = target.companion else { return Ok(()) };
        let (folder, name) = Folder::of(&companion)?;
        if !folder.read(name).is_ok_and(|bytes| bytes.as_deref() == Some(contents.as_slice())) {
            folder.replace(name, &contents, self.model(certificate))?;
        }
        self.state().companions.insert(path.to_owned(), companion);
        Ok(())
    }

    /// Removes the file that names a staple, before the staple goes or because it is gone.
    pub(super) fn unaccompany(&self, path: &Path) -> io::Result<()> {
        let Some(companion) = self.state().companions.get(path).cloned() else { return Ok(()) };
        let removed = Folder::of(&companion).and_then(|(folder, name)| folder.remove(name));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                self.state().companions.remove(path);
                Ok(())
            }
        }
    }

    /// Removes a staple with what names it.
    pub(super) fn unlink(&self, folder: &Folder, name: &OsStr, path: &Path) -> io::Result<()> {
        self.just_read.changed(path);
        self.unaccompany(path)?;
        match self.swapped(path) {
            Some((directory, name)) => self.swaps.change(directory, name, None),
            None => folder.remove(name),
        }
    }

    /// Has a file without which servers do not start before the first staple.
    pub(super) fn fill_vacancy(&self, path: &Path, site: &Site, abandoned: &Abandoned) {
        let is_vacant = read_existing(path).is_ok_and(|bytes| bytes.is_none_or(|bytes| bytes.is_empty()));
        if !is_vacant || abandoned.is_so() {
            return;
        }
        // The delivery of the first staple says what is wrong.
        let model = self.model(site.file.as_deref().unwrap_or(path));
        let _ = Folder::of(path).and_then(|(folder, name)| folder.replace(name, PLACEHOLDER, model));
    }
}

/// The files of a certificate by a layout.
fn target(layout: &Layout, file: &Path, end_entity: &Certificate) -> Result<Target, SinkError> {
    layout.target(file, end_entity).map_err(|what| {
        let what = format!("{}: its staple has no name: {what}; name the file otherwise", file.display());
        SinkError::refused(codes::UNFIT_NAME, what)
    })
}
