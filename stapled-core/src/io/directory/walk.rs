//! One scan: a walk through the tree below the root.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::codes;
use super::settings::Settings;
use crate::hash::Sha256;
use crate::hexadecimal::Hexadecimal;
use crate::io::certificate_file::issuer_file_of;
use crate::io::stamp::Memory;
use crate::io::watch::{FileId, Session, file_id};
use crate::reason::ReasonCode;
use crate::source::{Scan, Sighting, SourceError, SourceProblem, Version};
use crate::time::Timestamp;

/// ELOOP: a symbolic link leads to itself.
const ELOOP: i32 = 40;

/// A walk with its own stack. `walkdir` is not used because a directory's watch must be set before the directory is
/// read: files created in between would be missed.
pub(super) struct Walk<'a> {
    settings: &'a Settings,
    memory: &'a mut Memory,
    watches: Session<'a>,
    now: Timestamp,
    scan: Scan,
    entries: usize,
    listener: Option<Listener>,
    /// How many sightings were told.
    told: usize,
}

/// The listener of a scan that goes on.
pub(super) type Listener = Arc<dyn Fn(Vec<Sighting>) + Send + Sync>;

/// The number of sightings in the first part that the listener gets. Each further part has as many as all parts before it together, up
/// to `MOST_TOLD`: few calls, and an early first one.
const FIRST_TOLD: usize = 64;
const MOST_TOLD: usize = 4096;

/// A directory that is not read yet.
struct Directory {
    path: PathBuf,
    depth: usize,
    /// The directories that contain it.
    above: Option<Rc<Above>>,
}

struct Above {
    id: FileId,
    above: Option<Rc<Above>>,
}

/// How the walk came to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is the root.
    Root,
    /// It is in a directory, itself or as the target of a link.
    Listed { is_plain: bool },
}

/// The walk ended early because a limit was reached.
struct TooMany;

impl<'a> Walk<'a> {
    pub(super) fn new(settings: &'a Settings, memory: &'a mut Memory, watches: Session<'a>, now: Timestamp) -> Self {
        Walk { settings, memory, watches, now, scan: Scan::default(), entries: 0, listener: None, told: 0 }
    }

    /// The same, which tells what it has found while it goes on.
    pub(super) fn telling(self, listener: Option<Listener>) -> Self {
        Walk { listener, ..self }
    }

    pub(super) fn run(mut self) -> Scan {
        let root = self.settings.root.as_path();
        if self.watches.is_active() {
            self.watch_around(root);
        }
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {
                if self.walk(root.to_owned()).is_err() {
                    let limit = self.settings.max_entries;
                    let what = format!("{}: more than {limit} entries; the rest is not looked at", root.display());
                    self.problem(root, true, codes::TOO_MANY_FILES, what);
                }
            }
            Ok(metadata) if metadata.is_file() => {
                if !self.settings.ignore.matches(root) {
                    self.sight(root, &metadata, Found::Root);
                }
            }
            Ok(_) => self.problem(root, true, codes::NOT_A_FILE, not_a_file(root)),
            Err(error) if is_absent(&error) => {
                let what = format!("{}: {error}; create it, or correct the path", root.display());
                self.problem(root, true, codes::PATH_MISSING, what);
            }
            Err(error) => self.unreadable(root, true, &error),
        }
        self.memory.end_scan();
        let mut scan = self.scan;
        scan.problems.extend(self.watches.end(&self.settings.root.to_string_lossy()));
        // The order of entries in a directory is arbitrary.
        scan.sightings.sort_by(|a, b| a.name.cmp(&b.name));
        scan
    }

    /// Watches the parent of the root, which reports that the root is created, removed or replaced.
    fn watch_around(&mut self, root: &Path) {
        if let Some(name) = root.file_name() {
            let parent = match root.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            self.watches.name(parent, name);
        }
        if root.is_symlink() {
            self.watch_target(root);
        }
    }

    /// Watches the target of a link: the directory of the link reports no changes behind it.
    fn watch_target(&mut self, link: &Path) {
        if self.watches.is_active()
            && let Ok(target) = fs::canonicalize(link)
            && let Some(parent) = target.parent()
        {
            self.watches.after_looking(parent);
        }
    }

    fn walk(&mut self, root: PathBuf) -> Result<(), TooMany> {
        let mut stack = vec![Directory { path: root, depth: 0, above: None }];
        while let Some(Directory { path, depth, above }) = stack.pop() {
            if depth > self.settings.max_depth {
                let what = format!("{}: more than {} directories deep", path.display(), self.settings.max_depth);
                self.problem(&path, true, codes::TOO_DEEP, what);
                continue;
            }
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // The directory was removed a moment ago, and its certificates are gone.
                Err(error) if is_absent(&error) && depth > 0 => continue,
                Err(error) => {
                    self.unreadable(&path, true, &error);
                    continue;
                }
            };
            let id = file_id(&metadata);
            if std::iter::successors(above.as_deref(), |above| above.above.as_deref()).any(|above| above.id == id) {
                let what = format!("{}: a symbolic link to a directory that it lies in; not followed", path.display());
                self.problem(&path, false, codes::SYMLINK_LOOP, what);
                continue;
            }
            self.watches.before_reading(&path, id);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) && depth > 0 => continue,
                Err(error) => {
                    self.unreadable(&path, true, &error);
                    continue;
                }
            };
            let inside = Rc::new(Above { id, above });
            for entry in entries {
                self.entries += 1;
                if self.entries > self.settings.max_entries {
                    return Err(TooMany);
                }
                match entry {
                    Ok(entry) => {
                        if let Some(path) = self.look_at(&entry) {
                            stack.push(Directory { path, depth: depth + 1, above: Some(Rc::clone(&inside)) });
                        }
                    }
                    Err(error) => {
                        self.unreadable(&path, true, &error);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Handles one entry of a directory. Returns its path if it is a directory to walk.
    fn look_at(&mut self, entry: &fs::DirEntry) -> Option<PathBuf> {
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") {
            return None;
        }
        let is_certificate = self.settings.is_certificate(&name);
        let recursive = self.settings.recursive;
        let kind = entry.file_type().ok();
        let is_plain = kind.is_some_and(|kind| kind.is_file());
        if !is_certificate && (is_plain || !recursive) {
            return None;
        }
        let path = entry.path();
        if self.settings.ignore.matches(&path) {
            return None;
        }
        if kind.is_some_and(|kind| kind.is_dir()) {
            return recursive.then_some(path);
        }
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return recursive.then_some(path),
            Ok(_) if !is_certificate => {}
            Ok(metadata) if metadata.is_file() => self.sight(&path, &metadata, Found::Listed { is_plain }),
            Ok(_) => self.problem(&path, false, codes::NOT_A_FILE, not_a_file(&path)),
            Err(error) if is_absent(&error) => {
                // The entry was removed a moment ago, unless it is a link.
                if is_certificate && path.is_symlink() {
                    let what = format!("{}: a symbolic link that leads nowhere", path.display());
                    self.problem(&path, false, codes::DANGLING_LINK, what);
                    self.watch_target_of_dangling(&path);
                }
            }
            Err(error) if error.raw_os_error() == Some(ELOOP) => {
                let what = format!("{}: {error}", path.display());
                self.problem(&path, false, codes::SYMLINK_LOOP, what);
            }
            // The entry may be a directory.
            Err(error) => self.unreadable(&path, !is_certificate, &error),
        }
        None
    }

    /// Watches the directory of a missing link target, so that its creation is reported.
    fn watch_target_of_dangling(&mut self, link: &Path) {
        if self.watches.is_active()
            && let Ok(target) = fs::read_link(link)
            && let Some(parent) = link.parent().map(|parent| parent.join(target)).as_deref().and_then(Path::parent)
        {
            self.watches.after_looking(parent);
        }
    }

    fn sight(&mut self, path: &Path, metadata: &Metadata, found: Found) {
        if found != (Found::Listed { is_plain: true }) {
            self.watch_target(path);
        }
        let mut version = Sha256::new();
        self.memory.stamp(path, metadata, self.now, &mut version);
        for issuer in issuer_files(path) {
            match fs::metadata(&issuer) {
                Ok(metadata) if metadata.is_file() => {
                    version.update(&[1]);
                    self.memory.stamp(&issuer, &metadata, self.now, &mut version);
                    if issuer.is_symlink() {
                        self.watch_target(&issuer);
                    }
                }
                _ => version.update(&[0]),
            }
        }
        // Half of the hash is enough to distinguish the versions of one place.
        let version = version.finish();
        let version = Version::new(version.as_ref().get(..16).unwrap_or_default());
        let mut sighting = Sighting::file(path, version);
        sighting.name = name_of(path);
        sighting.is_listed = found != Found::Root;
        self.scan.sightings.push(sighting);
        self.tell();
    }

    /// Tells what was found since the last time, if it is enough.
    fn tell(&mut self) {
        let Some(listener) = &self.listener else { return };
        let new = self.scan.sightings.get(self.told..).unwrap_or_default();
        if new.len() >= self.told.clamp(FIRST_TOLD, MOST_TOLD) {
            listener(new.to_vec());
            self.told = self.scan.sightings.len();
        }
    }

    fn unreadable(&mut self, path: &Path, directory: bool, error: &io::Error) {
        let code = if directory { codes::UNREADABLE_DIRECTORY } else { codes::UNREADABLE_FILE };
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "; let this user read it, or ignore the path",
            _ => "",
        };
        self.problem(path, directory, code, format!("{}: {error}{remedy}", path.display()));
    }

    fn problem(&mut self, path: &Path, hides_below: bool, code: ReasonCode, what: String) {
        self.scan.problems.push(SourceProblem {
            place: if hides_below { path.to_string_lossy().into_owned() } else { name_of(path).to_string() },
            hides_below,
            error: SourceError::new(code, what),
        });
    }
}

fn not_a_file(path: &Path) -> String {
    format!("{}: neither a file nor a directory; not opened", path.display())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The files in which servers look for the issuer of the certificate in this file: the whole name plus `.issuer`, or,
/// with `ssl-load-extra-del-ext`, `x.issuer` for `x.crt`.
fn issuer_files(path: &Path) -> impl Iterator<Item = PathBuf> {
    let without = path.extension().filter(|extension| *extension == "crt").map(|_| path.with_extension("issuer"));
    std::iter::once(issuer_file_of(path)).chain(without)
}

/// The name of a path. A path that is not UTF-8 gets a hash appended, so that names are unique.
fn name_of(path: &Path) -> Arc<str> {
    match path.to_str() {
        Some(name) => name.into(),
        None => {
            let hash = Sha256::of(path.as_os_str().as_bytes());
            let hash = format!("{:x}", Hexadecimal::of(hash.get(..8).unwrap_or(&hash)));
            format!("{}#{hash}", path.to_string_lossy()).into()
        }
    }
}

impl Settings {
    fn is_certificate(&self, name: &OsStr) -> bool {
        let Some(extension) = Path::new(name).extension() else { return false };
        self.extensions.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted))
    }
}
