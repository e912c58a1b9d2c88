//! The check itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use stapled_core::IssuerStore;
use stapled_core::bundle::BundleError;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::io::issuers::IssuerDirectory;
use stapled_core::overrides::ResponderOverrides;
use stapled_core::staple::JudgePolicy;
use stapled_core::time::Timestamp;

use super::certificate;
use super::contents::{self, Contents, Reader};
use super::finding::Finding;
use super::general;
use super::inputs::{self, Inputs};
use super::issuer::{self, NotFound, Pool};
use super::items::{self, Item, Origin, Read};
use super::names;
use super::problem::{CertificateProblem, StapleFileProblem, Unreadable};
use super::report::{CertificateReport, Report};
use super::rules::{Rules, StapleFiles};
use super::sandbox::Sandbox;
use crate::haproxy::{Haproxy, Haproxys, Wanted};

/// How many files are read at once.
const READ_AT_ONCE: usize = 16;
/// How long reading one file may take: a file system that hangs delays only its own files.
const PATIENCE: Duration = Duration::from_secs(30);

/// A check that is prepared: [`Haproxy::check`] and [`Haproxys::check`] make one.
///
/// It finds out what a stapler with the same settings would do for each certificate, and what prevents it. It writes no
/// file, asks no CA, and sends HAProxy nothing but questions.
#[must_use]
pub struct Check<'a> {
    pub(super) wanted: Vec<Wanted>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    unit: Option<String>,
    pub(super) progress: Box<dyn Fn(usize, usize) + Send + Sync + 'a>,
}

impl Haproxys {
    /// A check of all of them, by the defaults of a stapler.
    pub fn check<'a>(&mut self) -> Check<'a> {
        Check::of(self.wanted())
    }
}

impl Haproxy {
    /// A check of this HAProxy, by the defaults of a stapler.
    pub fn check<'a>(&mut self) -> Check<'a> {
        Check::of(vec![self.wanted()])
    }
}

impl<'a> Check<'a> {
    fn of(wanted: Vec<Wanted>) -> Self {
        Check {
            wanted,
            clock: Arc::new(SystemClock),
            rules: Rules::default(),
            unit: None,
            progress: Box::new(|_, _| {}),
        }
    }

    /// The clock. Default: that of the system.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    /// The same, for a clock that the program shares with others.
    pub fn shared_clock(self, clock: Arc<dyn Clock>) -> Self {
        Check { clock, ..self }
    }

    /// The rules by which responses are judged. Default: as in a stapler.
    pub fn judge_policy(mut self, judging: JudgePolicy) -> Self {
        self.rules.judging = judging;
        self
    }

    /// Where the stapler writes staples to files. Default: beside the certificates.
    pub fn staple_files(mut self, staple_files: StapleFiles) -> Self {
        self.rules.staple_files = staple_files;
        self
    }

    /// Adds a directory that a server reads staples from, with the name of the server.
    pub fn staple_directory(mut self, of: &str, directory: impl Into<PathBuf>) -> Self {
        self.rules.directories.push((format!("server {of}:"), directory.into()));
        self
    }

    /// Whether the stapler fetches issuers that lie nowhere. Default: yes.
    pub fn fetch_issuers(mut self, fetch_issuers: bool) -> Self {
        self.rules.fetch_issuers = fetch_issuers;
        self
    }

    /// The directory where the stapler keeps fetched issuers. Default: `/var/lib/stapled/issuers`.
    pub fn issuer_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.rules.issuer_directory = directory.into();
        self
    }

    /// Which responders the stapler asks instead of those that certificates name. Default: none.
    pub fn responder_overrides(mut self, overrides: ResponderOverrides) -> Self {
        self.rules.overrides = overrides;
        self
    }

    /// The unit of systemd that runs the stapler, such as `stapled.service`: directories that it may not write are reported.
    /// Default: none.
    pub fn service_unit(self, unit: impl Into<String>) -> Self {
        Check { unit: Some(unit.into()), ..self }
    }

    /// Called with the number of files that were read, and the number of all, after each file.
    pub fn progress(self, progress: impl Fn(usize, usize) + Send + Sync + 'a) -> Self {
        Check { progress: Box::new(progress), ..self }
    }

    /// Looks at everything, and reports.
    pub async fn run(mut self) -> Report {
        if let Some(unit) = &self.unit {
            self.rules.sandbox = Sandbox::of_unit(unit).await;
        }
        let inputs = inputs::gather(&self.wanted).await;
        judged(&self.rules, inputs, self.clock.now(), &*self.progress).await
    }
}

/// Judges what was gathered.
pub(super) async fn judged(
    rules: &Rules,
    inputs: Inputs,
    now: Timestamp,
    progress: &(dyn Fn(usize, usize) + Send + Sync),
) -> Report {
    let read = read(items::items(&inputs), progress).await;
    let mut read = names::named(read, &inputs.processes);
    let pool = pool(&read, rules);
    // Authorities' certificates in a directory are there for others, and files of other kinds, such as keys, are no certificates.
    read.retain(|(item, contents)| match contents {
        Ok(contents) => item.origin != Origin::Path || !contents.has_only_authorities(),
        Err(CertificateProblem::NoCertificate { error: BundleError::OtherKind { .. }, .. }) => {
            !item.is_listed() || item.is_served()
        }
        Err(_) => true,
    });
    let report = |(item, contents): &Read| {
        let issuer = match contents.as_ref().ok().and_then(|contents| Some((contents.end_entity()?, contents))) {
            Some((end_entity, contents)) => issuer::find(end_entity, &item.path(), contents, &pool),
            None => Err(NotFound::default()),
        };
        certificate::report(item, contents, issuer.as_ref(), &inputs.processes, rules, now)
    };
    let mut certificates: Vec<CertificateReport> = read.iter().map(report).collect();
    let items: Vec<&Item> = read.iter().map(|(item, _)| item).collect();
    let others = staple_directories(rules);
    let general = general::report(inputs, &items, &certificates);
    certificates.sort_by(|one, other| (one.source, &one.certificate).cmp(&(other.source, &other.certificate)));
    Report { certificates, others: general.others.into_iter().chain(others).collect(), ..general }
}

/// The problems of the directories of servers, and of the one for those staples that cannot lie beside their certificates.
fn staple_directories(rules: &Rules) -> Vec<Finding> {
    let further = match &rules.staple_files {
        StapleFiles::In(directory) => Some(("--staple-dir".to_owned(), directory.clone())),
        _ => None,
    };
    let problem = |(of, directory): &(String, PathBuf)| {
        let contents::Unwritable { directory, code, error } = contents::unwritable(directory)?;
        Some(StapleFileProblem::DirectoryUnwritable { of: of.clone(), directory, code, error }.into())
    };
    further.iter().chain(&rules.directories).filter_map(problem).collect()
}

/// Reads the files, some at a time.
async fn read(items: Vec<Item>, progress: &(dyn Fn(usize, usize) + Send + Sync)) -> Vec<Read> {
    let reader = Arc::new(Reader::default());
    let of = items.len();
    let reading = items.into_iter().map(|item| {
        let reader = Arc::clone(&reader);
        async move {
            let contents = match item.sighting.clone() {
                Some(sighting) => {
                    let staple = item.staple.clone();
                    in_time(&item, move || reader.read(&sighting, staple.as_deref())).await
                }
                None => Err(unreadable(&item, Unreadable::NowhereToRead)),
            };
            (item, contents.map(Arc::new))
        }
    });
    let mut reading = stream::iter(reading).buffered(READ_AT_ONCE);
    let mut read = Vec::with_capacity(of);
    while let Some(one) = reading.next().await {
        read.push(one);
        progress(read.len(), of);
    }
    read
}

async fn in_time(
    item: &Item,
    read: impl FnOnce() -> Result<Contents, Box<CertificateProblem>> + Send + 'static,
) -> Result<Contents, CertificateProblem> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(read)).await {
        Ok(Ok(read)) => read.map_err(|problem| *problem),
        Ok(Err(error)) => Err(unreadable(item, Unreadable::BrokenOff { error: error.to_string() })),
        Err(_) => Err(unreadable(item, Unreadable::TooSlow { limit: PATIENCE })),
    }
}

fn unreadable(item: &Item, why: Unreadable) -> CertificateProblem {
    CertificateProblem::Unreadable { certificate: item.path_or_name(), why }
}

/// The certificates of authorities, wherever the stapler would find them.
fn pool(read: &[Read], rules: &Rules) -> Pool {
    let mut pool = Pool::default();
    for (item, contents) in read {
        if let Ok(contents) = contents {
            pool.add(&item.path(), contents);
        }
    }
    // Opening the directory would make it where there is none.
    let directory = &rules.issuer_directory;
    if rules.fetch_issuers && directory.is_dir() {
        let kept = IssuerDirectory::open(directory).map(|store| store.load()).unwrap_or_default();
        kept.into_iter().for_each(|issuer| pool.add_one(&Arc::new(issuer), directory));
    }
    pool
}
