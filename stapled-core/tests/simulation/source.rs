//! Simulated directories: files that appear, change and vanish, and directories that cannot be read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::reason::ReasonCode;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, SourceProblem, Version};
use tokio::sync::Notify;

use crate::world::{World, injected_panic};

/// The contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Certificate(usize),
    Garbage,
    Half(usize),
    Empty,
    OnlyCa(usize),
}

/// The behaviour of a directory during a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Fails,
    /// The part with this number cannot be read.
    Hides(usize),
    Slow,
    /// The file system hangs: no scan ends until it answers again.
    Hangs,
    Panics,
}

pub(crate) const MOODS: &[Mood] =
    &[Mood::Fails, Mood::Hides(0), Mood::Hides(1), Mood::Slow, Mood::Hangs, Mood::Hangs, Mood::Panics];

pub(crate) struct File {
    pub(crate) contents: Contents,
    version: u64,
    /// The time of the last write, and the contents before it.
    pub(crate) since: Duration,
    pub(crate) before: Option<usize>,
}

pub(crate) struct Directory {
    pub(crate) number: usize,
    pub(crate) files: Mutex<BTreeMap<String, File>>,
    pub(crate) mood: Mutex<Mood>,
    /// The last time with a fault.
    pub(crate) last_fault: Mutex<Option<Duration>>,
    /// The last time at which a working scan did not find this certificate in this file.
    absent: Mutex<BTreeMap<(String, usize), Duration>>,
    versions: AtomicU64,
    changed: Notify,
    /// Whether the source gives hints of changes; otherwise only the regular scan finds them.
    pub(crate) hears: bool,
}

impl Directory {
    pub(crate) fn new(number: usize, hears: bool) -> Self {
        Directory {
            number,
            files: Mutex::default(),
            mood: Mutex::new(Mood::Fine),
            last_fault: Mutex::default(),
            absent: Mutex::default(),
            versions: AtomicU64::new(0),
            changed: Notify::new(),
            hears,
        }
    }

    /// The name of a file in one of two parts of the directory.
    pub(crate) fn file_name(&self, number: usize) -> String {
        format!("/d{}/p{}/f{number}", self.number, number % 2)
    }

    pub(crate) fn write(&self, name: &str, contents: Contents, at: Duration) {
        let version = self.versions.fetch_add(1, Ordering::SeqCst);
        let mut files = self.files.lock().unwrap();
        let before = files.get(name).and_then(|file| match file.contents {
            Contents::Certificate(certificate) => Some(certificate),
            // Unreadable contents do not replace the earlier certificate.
            _ => file.before,
        });
        files.insert(name.to_owned(), File { contents, version, since: at, before });
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, name: &str, at: Duration) {
        if let Some(file) = self.files.lock().unwrap().remove(name) {
            for certificate in certificate_in(file.contents).into_iter().chain(file.before) {
                self.absent.lock().unwrap().insert((name.to_owned(), certificate), at);
            }
        }
        self.changed.notify_one();
    }

    pub(crate) fn contents(&self, name: &str) -> Option<Contents> {
        self.files.lock().unwrap().get(name).map(|file| file.contents)
    }

    /// Whether the last readable certificate of a file was another one.
    pub(crate) fn held_another(&self, name: &str, certificate: usize) -> bool {
        let files = self.files.lock().unwrap();
        files.get(name).and_then(|file| file.before).is_some_and(|before| before != certificate)
    }

    /// Whether a scan at this time or later found that a certificate was gone from a file.
    pub(crate) fn was_absent_since(&self, name: &str, certificate: usize, since: Duration) -> bool {
        self.absent.lock().unwrap().get(&(name.to_owned(), certificate)).is_some_and(|at| *at >= since)
    }

    fn bytes(world: &World, contents: Contents) -> Vec<u8> {
        match contents {
            Contents::Certificate(certificate) => world.pool.certificates[certificate].pem.clone().into_bytes(),
            Contents::Garbage => b"no certificate at all".to_vec(),
            Contents::Empty => Vec::new(),
            Contents::Half(certificate) => world.pool.certificates[certificate].pem.as_bytes()[..300].to_vec(),
            Contents::OnlyCa(authority) => world.pool.authorities[authority].authority.certificate_pem().into_bytes(),
        }
    }
}

/// The certificate that a parser finds in the contents.
pub(crate) fn certificate_in(contents: Contents) -> Option<usize> {
    match contents {
        Contents::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}

pub(crate) struct Source {
    pub(crate) world: Arc<World>,
    pub(crate) directory: Arc<Directory>,
}

impl Source {
    fn sighting(&self, name: &str, file: &File) -> Sighting {
        let bytes = Directory::bytes(&self.world, file.contents);
        Sighting::bytes(name, bytes, Version::new(file.version.to_be_bytes()))
    }
}

#[async_trait]
impl CertSource for Source {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let world = &*self.world;
        let mood = *self.directory.mood.lock().unwrap();
        let error = || SourceError::new(ReasonCode::new("unreadable"), "cannot be read");
        let mut hidden = None;
        match mood {
            Mood::Fine => {}
            Mood::Fails => return Err(error()),
            Mood::Panics => injected_panic(world),
            Mood::Slow => tokio::time::sleep(Duration::from_secs(20)).await,
            Mood::Hangs => {
                while *self.directory.mood.lock().unwrap() == Mood::Hangs {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Mood::Hides(part) => hidden = Some(format!("/d{}/p{part}", self.directory.number)),
        }
        let files = self.directory.files.lock().unwrap();
        let is_hidden = |name: &str| hidden.as_deref().is_some_and(|hidden| name.starts_with(hidden));
        let mut scan = Scan::default();
        for (name, file) in files.iter().filter(|(name, _)| !is_hidden(name)) {
            scan.sightings.push(self.sighting(name, file));
            let elsewhere = match file.contents {
                Contents::Certificate(now) => file.before.filter(|before| *before != now),
                Contents::OnlyCa(_) => file.before,
                _ => None,
            };
            if let Some(gone) = elsewhere {
                self.directory.absent.lock().unwrap().insert((name.clone(), gone), world.elapsed());
            }
        }
        if let Some(place) = hidden {
            scan.problems.push(SourceProblem::below(place, error()));
        }
        Ok(scan)
    }

    /// Tells every other place at once, even if the scan then takes long or fails.
    async fn scan_and_tell(&self, found: Arc<dyn Fn(Vec<Sighting>) + Send + Sync>) -> Result<Scan, SourceError> {
        if *self.directory.mood.lock().unwrap() != Mood::Panics {
            let files = self.directory.files.lock().unwrap();
            let sighting = |(name, file): (&String, &File)| self.sighting(name, file);
            found(files.iter().step_by(2).map(sighting).collect());
        }
        self.scan().await
    }

    async fn changed(&self) {
        if !self.directory.hears {
            std::future::pending::<()>().await;
        }
        self.directory.changed.notified().await;
    }

    fn name(&self) -> String {
        format!("/d{}", self.directory.number)
    }
}
