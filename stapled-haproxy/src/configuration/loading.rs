//! The certificates that lines name: their files, and HAProxy's names for them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stapled_core::io::certificate_file::is_beside_certificate;

use super::crt_list::entry;
use super::disk::{Kind, Text};
use super::found::Served;
use super::line_problem::LineProblem;
use super::place::Place;
use super::reading::{NO_LINE_END, Reading, is_absent, lines};
use super::statement::Files;
use super::words::Word;

/// The number of certificates that are read.
const MAX_CERTIFICATES: usize = 1_000_000;
/// The number of watched files up to which missing certificates are watched; beyond it, the regular scan finds them.
const MAX_AWAITED: usize = 20_000;
/// The extensions of a bundle's certificates: one for each kind of key.
const BUNDLE: [&[u8]; 3] = [b".dsa", b".ecdsa", b".rsa"];

impl Reading<'_> {
    /// `crt` and `default-crt` of a `bind` line: a file, a directory, a bundle, or a certificate of a store.
    pub(super) fn serve(&mut self, path: &Word) {
        self.serve_one(path, None);
    }

    /// `ssl-f-use`: reads as a line of a crt-list.
    pub(super) fn use_in_frontend(&mut self, files: &Files) {
        if let Some(path) = files.certificate.clone() {
            self.serve_one(&path, Some(files));
        }
    }

    /// `crt-list` of a `bind` line. The list itself is not under `crt-base`; its certificates are.
    pub(super) fn serve_list(&mut self, path: &Word) {
        self.doubt(path, "the crt-list");
        let list = self.path(&path.bytes);
        if !self.lists_read.insert(list.clone()) {
            return;
        }
        self.files.insert(list.clone());
        let text = match self.disk.read(&list, Text::List) {
            Ok(text) => text,
            Err(error) => {
                return self.warn(LineProblem::UnreadableList { list, error: error.to_string() });
            }
        };
        let place = std::mem::replace(&mut self.place, Place { file: list.into(), line: 0 });
        for line in lines(&text) {
            self.place.line += 1;
            match entry(line) {
                Ok(Some(entry)) => {
                    let files = Files::read(entry.options.iter());
                    self.serve_one(&entry.certificate, Some(&files));
                }
                Ok(None) => {}
                Err(error) => self.warn_refused(format!("{error}; this line is ignored")),
            }
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            self.warn_refused(NO_LINE_END);
        }
        self.place = place;
    }

    /// A line of a `crt-store`: HAProxy loads the certificate, used or not.
    pub(super) fn load_into_store(&mut self, store: &[u8], base: Option<&[u8]>, files: &Files) {
        let Some(certificate) = &files.certificate else {
            return self.warn_refused("the line names no `crt`; it is ignored");
        };
        self.doubt(certificate, "the certificate");
        let global = self.settings.bases.last().cloned().flatten();
        // The base of a store is for its files only; the global one is part of the name of a certificate without alias.
        let name = match &files.alias {
            Some(alias) => [b"@", store, b"/", &alias.bytes].concat(),
            None if store.is_empty() => under(global.as_deref(), &certificate.bytes),
            None if certificate.bytes.first() == Some(&b'/') => [b"@", store, &certificate.bytes].concat(),
            None => [b"@", store, b"/", &certificate.bytes].concat(),
        };
        let base = base.or(global.as_deref());
        let file = under(base, &certificate.bytes);
        let file = self.path(&file);
        if let Err(error) = self.disk.kind(&file)
            && is_absent(&error)
        {
            let what = format!("the certificate {} does not exist: HAProxy would not start", file.display());
            self.wait_for(file);
            return self.warn(LineProblem::MissingCertificate { what });
        }
        let beside = |word: &Option<Word>| word.as_ref().map(|word| under(base, &word.bytes));
        let (staple, issuer) = (beside(&files.staple), beside(&files.issuer));
        let staple = staple.map(|path| self.path(&path));
        let issuer = issuer.map(|path| self.path(&path));
        let is_named = staple.is_some();
        self.add(name, file, (staple, is_named), issuer, Some(files));
    }

    fn serve_one(&mut self, path: &Word, files: Option<&Files>) {
        self.doubt(path, "the certificate");
        let mut is_found = false;
        let candidates = self.candidates(&path.bytes);
        self.is_choice = candidates.len() > 1 || path.doubt.is_some();
        for name in candidates {
            is_found |= self.load(&name, files);
        }
        self.is_choice = false;
        if !is_found {
            let name = self.candidates(&path.bytes).pop().unwrap_or_default();
            let mut what = format!("the certificate {} does not exist", String::from_utf8_lossy(&name));
            if path.bytes.first() == Some(&b'@') {
                what.push_str(", and no `load` line of a crt-store before has that name");
            }
            what.push_str(": HAProxy would not start");
            self.warn(LineProblem::MissingCertificate { what });
        }
    }

    /// The names that a word may stand for, the likeliest last: several if an undecidable condition decides about
    /// `crt-base`.
    pub(super) fn candidates(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let bases = || self.settings.bases.iter().map(|base| under(base.as_deref(), path));
        match path.first() {
            Some(b'/') => vec![path.to_vec()],
            // A certificate of a store, or a file whose name begins with @.
            Some(b'@') if self.certificates.contains_key(path) => vec![path.to_vec()],
            Some(b'@') => bases().chain([path.to_vec()]).collect(),
            _ => bases().collect(),
        }
    }

    /// Loads the certificates of that name. Returns whether there are any.
    fn load(&mut self, name: &[u8], files: Option<&Files>) -> bool {
        if self.certificates.contains_key(name) {
            self.name_again(name);
            self.note_updates(name, files);
            return true;
        }
        let path = self.path(name);
        match self.disk.kind(&path) {
            Ok(Kind::File) => self.take(name, path, files),
            Ok(Kind::Directory) if files.is_none() => self.load_directory(name, path),
            Ok(_) => {
                let what = format!("{} is not a file: HAProxy would not start", path.display());
                self.warn(LineProblem::MissingCertificate { what });
            }
            Err(error) if is_absent(&error) => {
                self.wait_for(path);
                return self.load_bundle(name, files);
            }
            // The error of reading it is reported later.
            Err(_) => self.take(name, path, files),
        }
        true
    }

    fn load_directory(&mut self, name: &[u8], path: PathBuf) {
        let end = name.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let name = name.get(..end).unwrap_or_default();
        self.directories.insert(path.clone());
        let entries = match self.disk.list(&path) {
            Ok(entries) => entries,
            Err(error) => {
                return self.warn(LineProblem::UnreadableDirectory { directory: path, error: error.to_string() });
            }
        };
        for entry in entries {
            if entry.starts_with(b".") || is_beside_certificate(Path::new(OsStr::from_bytes(&entry))) {
                continue;
            }
            let name = [name, b"/", &entry].concat();
            let file = path.join(OsStr::from_bytes(&entry));
            let is_file = match self.disk.kind(&file) {
                Ok(kind) => kind == Kind::File,
                // A file of unknown kind counts; a dangling link does not.
                Err(error) => !is_absent(&error),
            };
            if self.certificates.contains_key(&name) {
                self.name_again(&name);
            } else if is_file {
                self.take(&name, file, None);
            }
        }
    }

    fn load_bundle(&mut self, name: &[u8], files: Option<&Files>) -> bool {
        let mut is_found = false;
        if !self.settings.extra.bundles() {
            return false;
        }
        for extension in BUNDLE {
            let name = [name, extension].concat();
            if self.certificates.contains_key(&name) {
                self.name_again(&name);
                is_found = true;
                continue;
            }
            let path = self.path(&name);
            match self.disk.kind(&path) {
                Ok(Kind::File) => {
                    is_found = true;
                    self.take(&name, path, files);
                }
                _ => self.wait_for(path),
            }
        }
        is_found
    }

    /// Adds a file that is no part of a store.
    fn take(&mut self, name: &[u8], path: PathBuf, files: Option<&Files>) {
        let named = files.filter(|files| files.are_named);
        let (staple, issuer) = match named {
            Some(files) => {
                let files = (files.staple.clone(), files.issuer.clone());
                (self.named(files.0.as_ref()), self.named(files.1.as_ref()))
            }
            None => {
                let extra = self.settings.extra;
                (extra.staple(name).map(|name| self.path(&name)), extra.issuer(name).map(|name| self.path(&name)))
            }
        };
        let is_named = named.is_some() && staple.is_some();
        self.add(name.to_vec(), path, (staple, is_named), issuer, files);
    }

    /// The path of a file that a crt-list names beside a certificate. HAProxy 3.0 does not look for it in `crt-base`, other
    /// versions do. HAProxy does not start without the file, so the existing one is meant.
    fn named(&mut self, word: Option<&Word>) -> Option<PathBuf> {
        let word = word?;
        let bases = self.settings.bases.iter().map(|base| under(base.as_deref(), &word.bytes));
        let candidates: Vec<Vec<u8>> = std::iter::once(word.bytes.clone()).chain(bases).collect();
        let is_there = |path: &&Vec<u8>| self.disk.kind(&self.path_of(path)).is_ok();
        let found = candidates.iter().find(is_there).unwrap_or(&word.bytes);
        Some(self.path(found))
    }

    /// Notes whether a line lets HAProxy ask for the responses of a certificate.
    fn note_updates(&mut self, name: &[u8], files: Option<&Files>) {
        if let Some(said) = files.and_then(|files| files.updates_itself) {
            self.updates.insert(name.to_vec(), said);
        }
    }

    /// Whether HAProxy certainly reads this line, and reads it the same.
    fn is_certain(&self) -> bool {
        self.is_read_surely() && !self.is_choice
    }

    /// Notes that another line names a certificate.
    fn name_again(&mut self, name: &[u8]) {
        let is_certain = self.is_certain();
        if let Some(served) = self.certificates.get_mut(name) {
            served.is_certain |= is_certain;
        }
    }

    /// Watches for a file that does not exist yet.
    fn wait_for(&mut self, path: PathBuf) {
        if self.files.len() < MAX_AWAITED {
            self.files.insert(path);
        }
    }

    fn add(
        &mut self,
        name: Vec<u8>,
        file: PathBuf,
        (staple, is_staple_named): (Option<PathBuf>, bool),
        issuer: Option<PathBuf>,
        files: Option<&Files>,
    ) {
        if self.certificates.contains_key(&name) {
            return self.name_again(&name);
        }
        if self.certificates.len() >= MAX_CERTIFICATES {
            return self.warn(LineProblem::TooMuch { what: format!("more than {MAX_CERTIFICATES} certificates") });
        }
        let served = Served {
            name: String::from_utf8_lossy(&name).into_owned(),
            file,
            staple,
            is_staple_named,
            is_key_named: files.is_some_and(|files| files.has_key),
            issuer,
            chains: self.settings.chains.clone(),
            updates_itself: false,
            is_certain: self.is_certain(),
            place: self.place.clone(),
        };
        self.note_updates(&name, files);
        self.certificates.insert(name, served);
    }
}

/// A path under a base, as HAProxy writes it: always joined by a slash.
fn under(base: Option<&[u8]>, path: &[u8]) -> Vec<u8> {
    match base {
        Some(base) if path.first() != Some(&b'/') => [base, b"/", path].concat(),
        _ => path.to_vec(),
    }
}
