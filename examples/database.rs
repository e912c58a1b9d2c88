//! A source of your own: certificates in a database.
//!
//! A row has an id, a version and a PEM text. The database reports changed rows on a channel, as PostgreSQL's LISTEN
//! does. Staples are written to a table of their own, where servers read them.
//!
//! ```text
//! cargo run -p stapled-examples --bin database
//! put 1 /etc/ssl/example.org.pem
//! delete 1
//! ```
//!
//! The database is a list in memory. The lines of standard input change it, as applications would. The program ends
//! with its input.

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
    let applications = tokio::task::spawn_blocking(move || execute_commands(&database));
    stapler.run(async { applications.await.unwrap_or_default() }).await;
    Ok(())
}

/// The certificates in the database.
pub(crate) struct Rows {
    pub(crate) database: Arc<Database>,
    /// The mutex is necessary because waiting needs an exclusive receiver.
    pub(crate) notifications: tokio::sync::Mutex<mpsc::UnboundedReceiver<u64>>,
}

#[async_trait]
impl CertSource for Rows {
    /// `SELECT id, version, pem FROM certificates`. If the query fails, the scan must fail, too (`SourceError::new`);
    /// then the known certificates stay. A list without a row means that its certificate is gone, and its staple is
    /// withdrawn.
    async fn scan(&self) -> Result<Scan, SourceError> {
        let tables = self.database.tables();
        let sightings = tables.certificates.iter().map(|(id, row)| {
            // The stapler parses a row again only if its version changed.
            Sighting::bytes(id.to_string(), row.pem.as_bytes(), Version::new(row.version.to_be_bytes()))
        });
        Ok(Scan::of(sightings))
    }

    async fn changed(&self) {
        let mut notifications = self.notifications.lock().await;
        if notifications.recv().await.is_none() {
            // The channel is closed. Returning would report a change each time; the regular scan finds changes instead.
            std::future::pending::<()>().await;
        }
        // One scan covers all changes so far.
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
            // The row may have another certificate by now. The certificate's hash beside the staple shows servers
            // whether the staple belongs to their certificate.
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
            // The row may already have the staple of its next certificate.
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

/// A stand-in for a database that reports changes.
pub(crate) struct Database {
    tables: Mutex<Tables>,
    notify: mpsc::UnboundedSender<u64>,
}

#[derive(Default)]
pub(crate) struct Tables {
    certificates: BTreeMap<u64, Row>,
    /// The SHA-256 hash of a certificate and its OCSP response, by the id of the row.
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
        // Without a receiver, the next scan finds the row.
        let _ = self.notify.send(id);
    }

    pub(crate) fn delete(&self, id: u64) {
        self.tables().certificates.remove(&id);
        let _ = self.notify.send(id);
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        // The tables are consistent after every step.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Executes the commands of standard input.
fn execute_commands(database: &Database) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), words.get(1).and_then(|id| id.parse().ok())) {
            (["put", _, file], Some(id)) => match std::fs::read_to_string(file) {
                Ok(pem) => database.put(id, pem),
                Err(error) => println!("{file}: {error}"),
            },
            (["delete", _], Some(id)) => database.delete(id),
            _ => println!("write put ID FILE, or delete ID"),
        }
    }
}
