//! Certificates of another source, such as a directory, that running HAProxys serve: their issuers and responses are where
//! HAProxy looks for them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use stapled_core::io::certificate_file::{issuer_file_of, staple_file_of};
use stapled_core::report::Reporter;
use stapled_core::source::issuer::IssuerLookup;
use stapled_core::source::{CertSource, Material, Scan, Sighting, SourceError};

use crate::configuration::Served;
use crate::instance::lock::lock;
use crate::running::layout::{Beside, Chains, Layout};
use crate::running::source::HaproxySource;

/// How long all HAProxys together may take to answer; a slower one keeps its last known layout.
const PATIENCE: Duration = Duration::from_secs(2);
/// The time between two looks for changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The listener of a scan that goes on.
type Listener = Arc<dyn Fn(Vec<Sighting>) + Send + Sync>;

/// Certificates of another source that running HAProxys serve.
///
/// The configuration that HAProxy was started with tells where it looks for the response and the issuer of a file. If it is
/// not known, nothing is changed, which is right for a HAProxy with default settings. If several HAProxys look in different
/// places, the response is written for the first one, and no issuer is relied on.
pub struct ServedPaths<S> {
    source: S,
    haproxys: Vec<HaproxySource>,
    /// The layout of each at the last scan.
    layouts: Mutex<Vec<Option<Arc<Layout>>>>,
    /// Whether a scan was dropped before its result reached the caller.
    is_undelivered: AtomicBool,
}

impl<S: CertSource> ServedPaths<S> {
    /// The certificates of `source`, adapted to these HAProxys.
    pub fn new(source: S, haproxys: impl IntoIterator<Item = HaproxySource>) -> Self {
        let haproxys: Vec<HaproxySource> = haproxys.into_iter().collect();
        let layouts = Mutex::new(vec![None; haproxys.len()]);
        ServedPaths { source, haproxys, layouts, is_undelivered: AtomicBool::new(false) }
    }

    async fn scan_adapted(&self, listener: Option<Listener>) -> Result<Scan, SourceError> {
        let layouts = self.ask().await;
        let known = layouts.clone();
        let mut scan = match listener {
            None => self.source.scan().await?,
            Some(listener) => {
                let layouts = layouts.clone();
                let adapt = move |found| listener(all_adapted(found, &layouts));
                self.source.scan_and_tell(Arc::new(adapt)).await?
            }
        };
        self.is_undelivered.store(true, Ordering::SeqCst);
        let adapt = move || {
            scan.sightings = all_adapted(std::mem::take(&mut scan.sightings), &layouts);
            scan
        };
        let ended_early = |error| SourceError::new(crate::codes::SCAN_FAILED, format!("the scan ended early: {error}"));
        let scan = tokio::task::spawn_blocking(adapt).await.map_err(ended_early);
        *lock(&self.layouts) = known;
        self.is_undelivered.store(false, Ordering::SeqCst);
        scan
    }

    /// Asks all HAProxys for their layouts.
    async fn ask(&self) -> Vec<Option<Arc<Layout>>> {
        let known = lock(&self.layouts).clone();
        let asked = self.haproxys.iter().zip(known).map(async |(haproxy, known)| {
            let answered = tokio::time::timeout(PATIENCE, haproxy.layout_now()).await;
            answered.ok().and_then(Result::ok).or(known)
        });
        join_all(asked).await
    }

    async fn layouts_changed(&self) {
        if self.haproxys.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let now = self.ask().await;
            let known = lock(&self.layouts).clone();
            let is_same = |(now, known): (&Option<Arc<Layout>>, &Option<Arc<Layout>>)| match (now, known) {
                (Some(now), Some(known)) => Arc::ptr_eq(now, known),
                (None, None) => true,
                _ => false,
            };
            if !now.iter().zip(&known).all(is_same) {
                return;
            }
        }
    }
}

#[async_trait]
impl<S: CertSource> CertSource for ServedPaths<S> {
    fn report_to(&self, reporter: Reporter) {
        self.source.report_to(reporter);
    }

    async fn scan(&self) -> Result<Scan, SourceError> {
        self.scan_adapted(None).await
    }

    async fn scan_and_tell(&self, found: Listener) -> Result<Scan, SourceError> {
        self.scan_adapted(Some(found)).await
    }

    async fn changed(&self) {
        if self.is_undelivered.load(Ordering::SeqCst) {
            return;
        }
        tokio::select! {
            () = self.source.changed() => {}
            () = self.layouts_changed() => {}
        }
    }

    fn root(&self) -> Option<PathBuf> {
        self.source.root()
    }

    fn name(&self) -> String {
        self.source.name()
    }
}

/// The lines of a layout, by file.
struct View<'a> {
    layout: &'a Layout,
    by_file: HashMap<&'a Path, Vec<&'a Served>>,
}

impl<'a> View<'a> {
    fn of(layout: &'a Layout) -> Self {
        let mut by_file: HashMap<&Path, Vec<&Served>> = HashMap::new();
        for served in layout.all() {
            by_file.entry(served.file.as_path()).or_default().push(served);
        }
        View { layout, by_file }
    }

    /// The files that this HAProxy looks for beside a file, for each of its names.
    fn beside(&self, file: &Path) -> Vec<Beside> {
        match self.by_file.get(file) {
            Some(served) => served.iter().map(|served| Beside::of(served)).collect(),
            None => self.layout.beside_unnamed(file).into_iter().collect(),
        }
    }
}

fn all_adapted(sightings: Vec<Sighting>, layouts: &[Option<Arc<Layout>>]) -> Vec<Sighting> {
    let views: Vec<View<'_>> = layouts.iter().flatten().map(|layout| View::of(layout)).collect();
    let mut chains = Chains::default();
    sightings.into_iter().map(|sighting| adapted(sighting, &views, &mut chains)).collect()
}

fn adapted(sighting: Sighting, views: &[View<'_>], chains: &mut Chains) -> Sighting {
    let Material::File(file) = &sighting.material else { return sighting };
    let beside: Vec<Beside> = views.iter().flat_map(|view| view.beside(file)).collect();
    let Some(first) = beside.first() else { return sighting };
    let looks_alike = beside.iter().all(|other| other.issuer == first.issuer);
    let found = beside.iter().find(|beside| beside.staple.is_some());
    let joined = Beside {
        staple: found.and_then(|found| found.staple.clone()),
        is_staple_named: found.is_some_and(|found| found.is_staple_named),
        issuer: if looks_alike { first.issuer.clone() } else { IssuerLookup::Nowhere },
        chains: first.chains.clone().filter(|of| beside.iter().all(|other| other.chains.as_ref() == Some(of))),
    };
    // The usual places need no change.
    let has_usual_staple = joined.staple.as_ref().is_none_or(|staple| *staple == staple_file_of(file));
    let has_usual_issuer = joined.issuer == IssuerLookup::In(issuer_file_of(file).into());
    if has_usual_staple && !joined.is_staple_named && has_usual_issuer && joined.chains.is_none() {
        return sighting;
    }
    let staple = joined.staple.clone().filter(|_| !has_usual_staple);
    Beside { staple, ..joined }.add(sighting, chains)
}
