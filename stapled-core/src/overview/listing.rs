//! The rows of an inventory, part by part.

use std::collections::HashSet;
use std::sync::Arc;
use std::vec::IntoIter;

use super::pattern::Pattern;
use super::row::{Row, State};
use crate::event::About;
use crate::inventory::{Inventory, Replaced};

/// How many rows a part has at most.
const PART: usize = 128;

/// The rows of an inventory, part by part: the state of each certificate is read when its part is taken, so that a large
/// inventory is never locked for long. A place that gets its certificate meanwhile has a row in either case.
#[derive(Debug)]
pub struct Listing {
    inventory: Arc<Inventory>,
    certificates: IntoIter<Arc<About>>,
    places: IntoIter<Row>,
    /// The places that were waiting, and have no row of a certificate yet.
    waiting: HashSet<String>,
    /// The certificates whose rows are told by those of their successors.
    replaced: Replaced,
}

impl Listing {
    /// The rows of every certificate and place with one of these names, serial numbers or paths, in which `*` stands for any
    /// characters and `?` for one; `None`: of all. Takes long where the inventory is large.
    pub fn of(inventory: Arc<Inventory>, names: Option<&[String]>) -> Self {
        // Places before certificates: a place that is parsed in between has a row in either case.
        let listing = Listing::of_places(inventory, names);
        let mut certificates = listing.inventory.known_certificates();
        if let Some(patterns) = names.map(patterns) {
            certificates.retain(|about| patterns.iter().any(|pattern| pattern.fits_certificate(about)));
        }
        let replaced = match names {
            // A certificate that is asked for by its name is shown.
            Some(_) => Replaced::default(),
            None => listing.inventory.replaced(),
        };
        Listing { certificates: certificates.into_iter(), replaced, ..listing }
    }

    /// The rows of the places alone, of those with one of these names or paths.
    pub fn of_places(inventory: Arc<Inventory>, names: Option<&[String]>) -> Self {
        let mut places = Row::of_places(&inventory);
        if let Some(patterns) = names.map(patterns) {
            places.retain(|row| row.names().any(|name| patterns.iter().any(|pattern| pattern.fits(name))));
        }
        let waiting = places.iter().filter(|row| row.state == State::Waiting).flat_map(|row| &row.files);
        let waiting = waiting.cloned().collect();
        Listing {
            inventory,
            certificates: IntoIter::default(),
            places: places.into_iter(),
            waiting,
            replaced: Replaced::default(),
        }
    }

    /// The rows of these certificates.
    pub fn of_certificates(inventory: Arc<Inventory>, certificates: Vec<Arc<About>>) -> Self {
        let certificates = certificates.into_iter();
        Listing {
            inventory,
            certificates,
            places: IntoIter::default(),
            waiting: HashSet::new(),
            replaced: Replaced::default(),
        }
    }
}

fn patterns(names: &[String]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern::new(name)).collect()
}

impl Iterator for Listing {
    type Item = Vec<Row>;

    fn next(&mut self) -> Option<Vec<Row>> {
        let part: Vec<_> = self.certificates.by_ref().take(PART).collect();
        if !part.is_empty() {
            let statuses = self.inventory.statuses(&part);
            let rows: Vec<Row> = statuses.iter().filter_map(|status| Row::beside(status, &self.replaced)).collect();
            for file in rows.iter().flat_map(|row| &row.files) {
                self.waiting.remove(file);
            }
            return Some(rows);
        }
        let waiting = &self.waiting;
        let is_parsed = |row: &Row| row.state == State::Waiting && !row.files.iter().any(|file| waiting.contains(file));
        let rows: Vec<Row> = self.places.by_ref().filter(|row| !is_parsed(row)).take(PART).collect();
        (!rows.is_empty()).then_some(rows)
    }
}
