//! The files that a sink has written. Each record is small, since there may be a million files: it has what a check needs to find that
//! another program has changed the file.

use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::Hash as Hashable;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::hash::Sha256;
use crate::io::certificate_file::{STAPLE, staple_file_of};
use crate::io::stamp::{Mark, Stat};
use crate::staple::Staple;
use crate::task::Subject;

/// The first half of the SHA-256 of a file's contents: nobody can make other contents for it.
pub(super) type Hash = [u8; 16];

/// The hash of these contents.
pub(super) fn hash_of(contents: &[u8]) -> Hash {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = Sha256::of(contents);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// The contents of a file that the sink wrote.
#[derive(Debug)]
pub(super) struct Written {
    /// The hash of the written bytes. A file with another hash was changed by another program.
    pub(super) hash: Hash,
    /// The file's identity and times at the last check; none when they could hide a change.
    pub(super) stat: Option<Mark>,
    /// The certificate of the staple.
    pub(super) subject: Subject,
}

impl Written {
    /// The file of this staple, whose response has this hash.
    pub(super) fn of(staple: &Staple, hash: Hash, stat: Option<Stat>) -> Self {
        Written { hash, subject: staple.chain().subject().clone(), stat: stat.map(Stat::mark) }
    }
}

/// The written files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// `CERTIFICATE.ocsp`, by the paths of the certificates, which are shared with others that know the certificate.
    beside: HashMap<Arc<Path>, Box<Written>>,
    /// The others, by their own paths.
    elsewhere: HashMap<Box<Path>, Box<Written>>,
}

impl Files {
    /// Records a file at this path. `certificate` is the file of its certificate, if it is known.
    pub(super) fn insert(&mut self, path: &Path, certificate: Option<&Arc<Path>>, written: Written) {
        self.remove(path);
        let written = Box::new(written);
        match certificate.filter(|certificate| certificate_of(path) == Some(certificate)) {
            Some(certificate) => _ = self.beside.insert(Arc::clone(certificate), written),
            None => _ = self.elsewhere.insert(path.into(), written),
        }
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Written> {
        let beside = certificate_of(path).and_then(|certificate| look(&self.beside, certificate));
        beside.or_else(|| look(&self.elsewhere, path))
    }

    pub(super) fn get_mut(&mut self, path: &Path) -> Option<&mut Written> {
        let beside = certificate_of(path).and_then(|certificate| self.beside.get_mut(certificate));
        beside.or_else(|| self.elsewhere.get_mut(path)).map(|written| &mut **written)
    }

    pub(super) fn remove(&mut self, path: &Path) {
        if let Some(certificate) = certificate_of(path) {
            self.beside.remove(certificate);
        }
        if !self.elsewhere.is_empty() {
            self.elsewhere.remove(path);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Cow<'_, Path>, &Written)> {
        let beside = self.beside.iter().map(|(path, written)| (Cow::from(staple_file_of(path)), &**written));
        beside.chain(self.elsewhere.iter().map(|(path, written)| (Cow::from(&**path), &**written)))
    }
}

fn look<'a, K: Borrow<Path> + Eq + Hashable>(files: &'a HashMap<K, Box<Written>>, path: &Path) -> Option<&'a Written> {
    files.get(path).map(|written| &**written)
}

/// The certificate beside which this is the path of a staple.
fn certificate_of(path: &Path) -> Option<&Path> {
    let name = path.as_os_str().as_bytes().strip_suffix(STAPLE.as_bytes())?;
    Some(Path::new(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_one_record_wherever_it_is_kept() {
        let written = |number: u8| Written { hash: [number; 16], stat: None, subject: Subject::from("a") };
        let certificate: Arc<Path> = Path::new("/a/x.pem").into();
        let (beside, odd) = (Path::new("/a/x.pem.ocsp"), Path::new("/b/staple"));
        let mut files = Files::default();
        let number = |files: &Files, path: &Path| files.get(path).map(|written| written.hash[0]);
        files.insert(beside, None, written(1));
        files.insert(beside, Some(&certificate), written(2));
        files.insert(odd, Some(&certificate), written(3));
        assert_eq!((files.beside.len(), files.elsewhere.len()), (1, 1));
        assert_eq!((number(&files, beside), number(&files, odd)), (Some(2), Some(3)));
        let mut paths: Vec<_> = files.iter().map(|(path, written)| (path.into_owned(), written.hash[0])).collect();
        paths.sort();
        assert_eq!(paths, [(beside.to_owned(), 2), (odd.to_owned(), 3)]);
        files.get_mut(odd).unwrap().hash = [4; 16];
        files.get_mut(beside).unwrap().hash = [5; 16];
        assert_eq!((number(&files, beside), number(&files, odd)), (Some(5), Some(4)));
        files.insert(beside, None, written(6));
        assert_eq!((files.beside.len(), number(&files, beside)), (0, Some(6)));
        files.remove(beside);
        files.remove(odd);
        assert_eq!((number(&files, beside), number(&files, odd)), (None, None));
    }
}
