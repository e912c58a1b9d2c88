//! The names under which running HAProxys list the certificates of paths. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use super::contents::Contents;
use super::inputs::Process;
use super::items::{Item, Origin, Read};
use crate::cli::identity::plain_serial;
use crate::running::snapshot::ServedCertificate;

/// How many names of one certificate are reported at most; the sink tries no more.
const MAX_NAMES: usize = 8;

/// Gives the certificates of paths the names under which the running HAProxys list them, and joins certificates that
/// were found twice.
pub(super) fn named(read: Vec<Read>, processes: &[Process]) -> Vec<Read> {
    let indexes: HashMap<usize, Index<'_>> =
        processes.iter().enumerate().filter_map(|(number, process)| Some((number, Index::of(process)?))).collect();
    let mut merged: Vec<Read> = Vec::with_capacity(read.len());
    let mut known: HashMap<(String, Option<PathBuf>), usize> = HashMap::with_capacity(read.len());
    for (item, contents) in read {
        let items = match item.origin {
            Origin::Path => by_their_names(item, contents.as_deref().ok(), &indexes),
            _ => vec![item],
        };
        for item in items {
            match known.get(&(item.name.clone(), item.file.clone())).and_then(|&at| merged.get_mut(at)) {
                Some((before, known)) => {
                    before.join(item);
                    if known.is_err() {
                        known.clone_from(&contents);
                    }
                }
                None => {
                    known.insert((item.name.clone(), item.file.clone()), merged.len());
                    merged.push((item, contents.clone()));
                }
            }
        }
    }
    merged
}

/// One item for each name under which the certificate is loaded, and one with its path for the HAProxys that do not have
/// it. HAProxys that did not answer belong to the first item.
fn by_their_names(item: Item, contents: Option<&Contents>, indexes: &HashMap<usize, Index<'_>>) -> Vec<Item> {
    let mut named: Vec<Item> = Vec::new();
    let (mut missing, mut unknown) = (Vec::new(), Vec::new());
    for number in &item.processes {
        let Some(index) = indexes.get(number) else {
            unknown.push(*number);
            continue;
        };
        let found = index.find(&item, contents);
        if found.is_empty() {
            missing.push(*number);
        }
        for served in found {
            let loaded = (*number, served.clone());
            match named.iter_mut().find(|known| known.name == served.name) {
                Some(known) => {
                    known.processes.push(*number);
                    known.loaded.push(loaded);
                }
                None => named.push(Item {
                    name: served.name.clone(),
                    processes: vec![*number],
                    loaded: vec![loaded],
                    ..item.clone()
                }),
            }
        }
    }
    if !missing.is_empty() || named.is_empty() {
        match named.iter_mut().find(|known| known.name == item.name) {
            Some(known) => known.processes.extend(missing),
            None => named.push(Item { processes: missing, ..item }),
        }
    }
    if let Some(first) = named.first_mut() {
        first.processes.extend(unknown);
    }
    named
}

/// The certificates that a process has loaded, by name and by serial number.
struct Index<'a> {
    by_name: HashMap<&'a str, &'a ServedCertificate>,
    by_serial: HashMap<String, Vec<&'a ServedCertificate>>,
}

impl<'a> Index<'a> {
    fn of(process: &'a Process) -> Option<Self> {
        let certificates = process.snapshot.as_ref().ok()?.certificates.as_slice();
        let mut by_serial: HashMap<String, Vec<&ServedCertificate>> = HashMap::new();
        for served in certificates {
            by_serial.entry(plain_serial(&served.serial)).or_default().push(served);
        }
        let by_name = certificates.iter().map(|served| (served.name.as_str(), served)).collect();
        Some(Index { by_name, by_serial })
    }

    /// The loaded certificate of the item's name, if it is this certificate; otherwise all that are this certificate;
    /// otherwise the one that is loaded from the path.
    fn find(&self, item: &Item, contents: Option<&Contents>) -> Vec<&'a ServedCertificate> {
        let by_name = self.by_name.get(item.name.as_str()).copied();
        let Some(certificate) = contents.and_then(Contents::end_entity) else { return by_name.into_iter().collect() };
        if by_name.is_some_and(|served| served.is(certificate)) {
            return by_name.into_iter().collect();
        }
        let same = self.by_serial.get(&plain_serial(&certificate.serial_hex())).into_iter().flatten().copied();
        let same: Vec<_> = same.filter(|served| served.is(certificate)).take(MAX_NAMES).collect();
        if same.is_empty() { by_name.into_iter().collect() } else { same }
    }
}
