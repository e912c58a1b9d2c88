//! A source of one's own: certificates in a database.
//!
//! Rows with an id, a version and a PEM text; the database tells on a channel which row has changed, as PostgreSQL's
//! LISTEN does. Staples go into a table of their own, from which servers may take them.
//!
//! ```text
//! cargo run -p stapled-examples --bin database
//! put 1 /etc/ssl/example.org.pem
//! delete 1
//! ```
//!
//! The database is a list in memory; what is typed changes it, as applications would. The program ends with its input.

#![allow(clippy::print_stdout)] // This program has no log.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::event::{Event, Severity};
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};
use stapled_core::staple::Staple;
use stapled_core::stapler::Stapler;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (database, notifications) = Database::new();
    let stapler = Stapler::builder()
        .source(Rows { database: Arc::clone(&database), notifications: tokio::sync::Mutex::new(notifications) })
        .sink(Staples(Arc::clone(&database)))
        .observer(|event: &Event| {
            if event.severity() >= Severity::Warning {
                println!("{event}");
            }
        })
        .build()?;
    let applications = tokio::task::spawn_blocking(move || obey(&database));
    stapler.run(async { applications.await.unwrap_or_default() }).await;
    Ok(())
}

/// The certificates in the database.
pub(crate) struct Rows {
    pub(crate) database: Arc<Database>,
    /// Only one wait at a time; the mutex is there because waiting changes a receiver.
    pub(crate) notifications: tokio::sync::Mutex<mpsc::UnboundedReceiver<u64>>,
}

#[async_trait]
impl CertSource for Rows {
    /// `SELECT id, version, pem FROM certificates`. When that fails, the scan must fail, too (`SourceError::new`), and
    /// what is known stays known: a list without a row says that its certificate is gone, and its staple is withdrawn.
    async fn scan(&self) -> Result<Scan, SourceError> {
        let tables = self.database.tables();
        let sightings = tables.certificates.iter().map(|(id, row)| {
            // Only rows whose version differs from the last scan's are parsed.
            Sighting::bytes(id.to_string(), row.pem.as_bytes(), Version::new(row.version.to_be_bytes()))
        });
        Ok(Scan { sightings: sightings.collect(), problems: Vec::new() })
    }

    async fn changed(&self) {
        let mut notifications = self.notifications.lock().await;
        if notifications.recv().await.is_none() {
            // The channel has ended. To return would mean a change each time: the regular scan has to do.
            std::future::pending::<()>().await;
        }
        // One scan does for all changes so far.
        while notifications.try_recv().is_ok() {}
    }

    fn name(&self) -> String {
        "database".to_owned()
    }
}

/// The staples in the database.
pub(crate) struct Staples(pub(crate) Arc<Database>);

#[async_trait]
impl StapleSink for Staples {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        for site in sites {
            // A row may hold another certificate by now. With the certificate's hash beside the staple, servers see
            // whether it is for what they have.
            let hash = staple.chain().end_entity().fingerprint();
            self.0.tables().staples.insert(site.served_as.to_string(), (hash, staple.response().clone()));
            let name = staple.chain().end_entity().name();
            println!("row {}: {name} has a staple, good until {}", site.served_as, staple.expires());
        }
        Ok(Delivered::Confirmed)
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], _: Withdrawal) -> Result<Withdrawn, SinkError> {
        for site in sites {
            let mut tables = self.0.tables();
            let hash = chain.end_entity().fingerprint();
            // The staple of the row's next certificate may be there already.
            if tables.staples.get(&*site.served_as).is_some_and(|(of, _)| *of == hash) {
                tables.staples.remove(&*site.served_as);
                println!("row {}: {} has none any more", site.served_as, chain.end_entity().name());
            }
        }
        Ok(Withdrawn::Confirmed)
    }

    fn name(&self) -> String {
        "staples".to_owned()
    }
}

/// Stands for a database that tells what has changed.
pub(crate) struct Database {
    tables: Mutex<Tables>,
    notify: mpsc::UnboundedSender<u64>,
}

#[derive(Default)]
pub(crate) struct Tables {
    certificates: BTreeMap<u64, Row>,
    /// A certificate's SHA-256 hash, and its OCSP response, by the row's id.
    pub(crate) staples: BTreeMap<String, ([u8; 32], Bytes)>,
}

struct Row {
    version: u64,
    pem: String,
}

impl Database {
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<u64>) {
        let (notify, notifications) = mpsc::unbounded_channel();
        (Arc::new(Database { tables: Mutex::default(), notify }), notifications)
    }

    pub(crate) fn put(&self, id: u64, pem: String) {
        let mut tables = self.tables();
        let version = tables.certificates.get(&id).map_or(1, |row| row.version + 1);
        tables.certificates.insert(id, Row { version, pem });
        // Nobody listens: the row is there for the next scan.
        let _ = self.notify.send(id);
    }

    pub(crate) fn delete(&self, id: u64) {
        self.tables().certificates.remove(&id);
        let _ = self.notify.send(id);
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        // The tables are right after every single step.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what is typed.
fn obey(database: &Database) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), words.get(1).and_then(|id| id.parse().ok())) {
            (["put", _, file], Some(id)) => match std::fs::read_to_string(file) {
                Ok(pem) => database.put(id, pem),
                Err(error) => println!("{file}: {error}"),
            },
            (["delete", _], Some(id)) => database.delete(id),
            _ => println!("put ID FILE, or delete ID"),
        }
    }
}
