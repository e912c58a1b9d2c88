//! The path of a site's staple.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::outcome::{issuer_not_found, mistaken, no_file};
use super::place::Place;
use super::{Inner, codes};
use crate::certificate::Certificate;
use crate::hash::Sha256;
use crate::hexadecimal::Hexadecimal;
use crate::io::certificate_file::{staple_file_of, with_suffix};
use crate::sink::{Delivered, SinkError, Site};

/// Why a staple has no path.
pub(super) enum NoPlace {
    /// No path is intended.
    Unwanted(Delivered),
    /// No server would use a staple there.
    Refused(SinkError),
}

impl Inner {
    /// The path of a site's staple, and the certificate's file.
    pub(super) fn place<'a>(
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
    pub(super) fn apart(&self, directory: &Path, certificate: &Path) -> PathBuf {
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
}
