//! A configuration as a source of certificates, without a HAProxy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_core::source::issuer::IssuerLookup;
use stapled_core::source::{CertSource, Scan, Sighting};
use stapled_haproxy::configuration::{Configuration, ConfigurationError, HaproxyConfiguration};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

struct World(TempDir);

impl World {
    fn new() -> Self {
        World(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file; `@D` stands for the folder.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("@D", self.0.path().to_str().unwrap())).unwrap();
        path
    }

    fn open(&self) -> HaproxyConfiguration {
        HaproxyConfiguration::open([self.path("h.cfg")]).unwrap()
    }
}

async fn scan(source: &HaproxyConfiguration) -> (BTreeMap<String, Sighting>, Vec<String>) {
    let Scan { sightings, problems, .. } = source.scan().await.unwrap();
    let count = sightings.len();
    let sightings: BTreeMap<String, Sighting> =
        sightings.into_iter().map(|sighting| (sighting.name.to_string(), sighting)).collect();
    assert_eq!(sightings.len(), count, "two places of one name");
    (sightings, problems.into_iter().map(|problem| problem.error.code.to_string()).collect())
}

async fn hears(source: &HaproxyConfiguration, what: &str) {
    tokio::time::timeout(PATIENCE, source.changed()).await.unwrap_or_else(|_| panic!("not heard of: {what}"));
}

#[tokio::test]
async fn sightings_have_the_files_that_haproxy_reads() {
    let world = World::new();
    world.write(
        "h.cfg",
        "global\n stats socket @D/s level admin\n issuers-chain-path @D/chains\ncrt-store s\n load crt @D/c/a.pem alias x\n \
         load crt @D/c/a.pem key @D/k issuer @D/ca.pem ocsp @D/o alias y\nfrontend f\n bind :1 ssl crt @D/c\n",
    );
    world.write("c/a.pem", "");
    world.write("c/b.pem", "");
    let (sightings, problems) = scan(&world.open()).await;
    assert_eq!(problems, [""; 0]);
    let a = world.path("c/a.pem");
    let named = |suffix: &str| format!("{}{suffix}", a.display());
    let names: Vec<&String> = sightings.keys().collect();
    assert_eq!(names, [&named(""), &named(" (@s/x)"), &named(" (@s/y)"), &world.path("c/b.pem").display().to_string()]);
    let served_as = |name: &str| sightings[name].served_as.as_deref().map(str::to_owned);
    assert_eq!(served_as(&named("")), Some(named("")));
    assert_eq!(served_as(&named(" (@s/x)")).as_deref(), Some("@s/x"));
    let places = |name: &str| (sightings[name].staple_file.clone(), sightings[name].issuer_lookup.clone());
    assert_eq!(
        places(&named("")),
        (Some(PathBuf::from(named(".ocsp")).into()), IssuerLookup::In(PathBuf::from(named(".issuer")).into()))
    );
    assert_eq!(places(&named(" (@s/x)")), (None, IssuerLookup::Nowhere));
    assert_eq!(
        places(&named(" (@s/y)")),
        (Some(world.path("o").into()), IssuerLookup::In(world.path("ca.pem").into()))
    );
    let needed: Vec<bool> = sightings.values().map(|sighting| sighting.staple_file_needed).collect();
    assert_eq!(needed, [false, false, true, false]);
    // The one whose key the line names is a server's, whatever the certificate says of itself.
    let presented: Vec<bool> = sightings.values().map(|sighting| sighting.is_presented).collect();
    assert_eq!(presented, [false, false, true, false]);
    let chains = sightings[&named("")].issuer_chains.as_ref().unwrap();
    assert_eq!(chains.directory, world.path("chains"));
}

#[tokio::test]
async fn versions_change_with_files_and_their_lines() {
    let world = World::new();
    let text = "global\n issuers-chain-path @D/chains\nfrontend f\n bind :1 ssl crt @D/a.crt\n";
    world.write("h.cfg", text);
    let a = world.write("a.crt", "one");
    let source = world.open();
    let mut versions = Vec::new();
    let mut look = async |what: &str| {
        let version = scan(&source).await.0[a.to_str().unwrap()].version.clone();
        assert!(!versions.contains(&version), "the same version: {what}");
        let again = scan(&source).await.0[a.to_str().unwrap()].version.clone();
        assert_eq!(version, again, "{what}");
        versions.push(version);
    };
    look("at first").await;
    world.write("a.crt", "two");
    look("another certificate").await;
    world.write("a.crt.issuer", "x");
    look("an issuer").await;
    world.write("chains/x", "x");
    look("a chain").await;
    world.write("h.cfg", &text.replace("global\n", "global\n ssl-load-extra-del-ext\n"));
    look("responses elsewhere").await;
    world.write("h.cfg", &text.replace("global\n", "global\n ssl-load-extra-files ocsp\n"));
    look("no issuer any more").await;
    world.write("h.cfg", &text.replace(" issuers-chain-path @D/chains\n", ""));
    look("no chains any more").await;
}

#[tokio::test]
async fn changes_are_heard_of() {
    let world = World::new();
    world.write("etc/h.cfg", "frontend f\n bind :1 ssl crt @D/c crt-list @D/l/list crt @D/w/wanted.pem\n");
    std::os::unix::fs::symlink(world.path("etc/h.cfg"), world.path("h.cfg")).unwrap();
    world.write("c/a.pem", "");
    world.write("l/list", "@D/e/b.pem\n");
    world.write("e/b.pem", "");
    world.write("w/x", "");
    let source = world.open();
    hears(&source, "the wish for watches").await;
    let (sightings, problems) = scan(&source).await;
    assert_eq!((sightings.len(), problems), (2, vec!["crt_missing".to_owned()]));
    for (change, count) in [
        (("c/d.pem", ""), 3),
        (("w/wanted.pem", ""), 4),
        (("l/list", "@D/e/b.pem\n@D/e/c.pem\n"), 4),
        (("e/c.pem", ""), 5),
        (("e/c.pem.issuer", "x"), 5),
        (("e/c.pem", "another"), 5),
        // Behind a link.
        (("etc/h.cfg", "frontend f\n bind :1 ssl crt @D/c\n"), 2),
    ] {
        let (path, text) = change;
        world.write(path, text);
        hears(&source, path).await;
        assert_eq!(scan(&source).await.0.len(), count, "{path}");
    }
    std::fs::remove_dir_all(world.path("c")).unwrap();
    hears(&source, "a directory that goes").await;
    assert_eq!(scan(&source).await.0.len(), 0);
}

#[tokio::test]
async fn changed_sockets_are_reported() {
    let world = World::new();
    world.write("h.cfg", "global\n stats socket /one level admin\n");
    let source = world.open();
    let mut sockets = source.sockets();
    let addresses =
        |sockets: &tokio::sync::watch::Receiver<Vec<stapled_haproxy::configuration::Socket>>| -> Vec<String> {
            sockets.borrow().iter().map(|socket| socket.address.to_string()).collect()
        };
    assert_eq!(addresses(&sockets), ["/one"]);
    scan(&source).await;
    assert!(!sockets.has_changed().unwrap());
    world.write("h.cfg", "global\n stats socket /one level admin\n stats socket abns@two level admin\n");
    scan(&source).await;
    assert!(sockets.has_changed().unwrap());
    assert_eq!(addresses(&sockets), ["/one", "abns@two"]);
    sockets.mark_unchanged();
    // An unreadable configuration keeps its last contents.
    std::fs::remove_file(world.path("h.cfg")).unwrap();
    let (_, problems) = scan(&source).await;
    assert_eq!(problems, ["configuration_unreadable"]);
    assert!(!sockets.has_changed().unwrap());
}

#[test]
fn the_error_of_an_unreadable_configuration_says_why() {
    let world = World::new();
    std::fs::create_dir(world.path("empty")).unwrap();
    let open = |path: &Path| Configuration::read([path]).unwrap_err();
    let none = open(&world.path("none"));
    assert!(
        matches!(none, ConfigurationError::Unreadable { .. }) && none.to_string().contains("name the file"),
        "{none}"
    );
    assert!(matches!(open(&world.path("empty")), ConfigurationError::NoFiles { .. }));
    assert!(matches!(open(Path::new("/dev/null")), ConfigurationError::Unreadable { .. }));
}
