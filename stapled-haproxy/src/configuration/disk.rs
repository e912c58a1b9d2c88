//! The file system that a configuration is read from.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use stapled_core::io::open::regular_file;

/// The operations on a file system that reading a configuration needs.
pub(super) trait Disk {
    /// The bytes of a text file.
    fn read(&mut self, path: &Path, text: Text) -> io::Result<Vec<u8>>;
    /// The names in a directory, sorted by their bytes.
    fn list(&mut self, path: &Path) -> io::Result<Vec<Vec<u8>>>;
    /// The kind of a file, behind links.
    fn kind(&mut self, path: &Path) -> io::Result<Kind>;
    /// The addresses of a host.
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Other,
}

/// The kind of text in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Configuration,
    List,
}

impl Text {
    /// Whether HAProxy would accept it as a whole file.
    fn is_finished(self, text: &[u8]) -> bool {
        match text.last() {
            Some(last) => *last == b'\n',
            None => self == Text::List,
        }
    }
}

/// The largest configuration or crt-list, in bytes: 1,000,000 certificates fit.
const MAX_TEXT: u64 = 128 * 1024 * 1024;
/// The largest number of entries of a directory.
const MAX_ENTRIES: usize = 1_000_000;

/// The machine's files, and their last readable contents.
///
/// HAProxy keeps the configuration that it read when it started. So if a file cannot be read any more, or is being written,
/// its last contents count.
#[derive(Debug, Default)]
pub(super) struct Machine {
    texts: HashMap<PathBuf, Remembered<Vec<u8>>>,
    lists: HashMap<PathBuf, Remembered<Vec<Vec<u8>>>>,
    /// The files whose last contents were used in this round.
    kept: Vec<(PathBuf, Kept)>,
    /// The number of the reading.
    round: u64,
}

/// Contents, and the last round that used them.
#[derive(Debug)]
struct Remembered<T> {
    value: T,
    round: u64,
}

/// Why last contents were used.
#[derive(Debug)]
pub(super) enum Kept {
    Unreadable(io::Error),
    /// The file is empty, or its last line does not end: HAProxy would not accept it.
    Unfinished,
}

impl Machine {
    /// Begins a reading of the configuration.
    pub(super) fn begin(&mut self) {
        self.kept.clear();
        self.round += 1;
    }

    /// Ends the reading, and forgets the files that it did not use. Returns the files whose last contents were used.
    pub(super) fn end(&mut self) -> Vec<(PathBuf, Kept)> {
        let round = self.round;
        self.texts.retain(|_, remembered| remembered.round == round);
        self.lists.retain(|_, remembered| remembered.round == round);
        std::mem::take(&mut self.kept)
    }
}

impl Disk for Machine {
    fn read(&mut self, path: &Path, text: Text) -> io::Result<Vec<u8>> {
        let before = self.texts.get(path).map(|before| before.value.clone());
        let (value, kept) = match (read(path), before) {
            (Ok(now), Some(before)) if !text.is_finished(&now) && text.is_finished(&before) => {
                (before, Some(Kept::Unfinished))
            }
            (Ok(now), _) => (now, None),
            (Err(error), Some(before)) => (before, Some(Kept::Unreadable(error))),
            (Err(error), None) => return Err(error),
        };
        self.kept.extend(kept.map(|kept| (path.to_owned(), kept)));
        self.texts.insert(path.to_owned(), Remembered { value: value.clone(), round: self.round });
        Ok(value)
    }

    fn list(&mut self, path: &Path) -> io::Result<Vec<Vec<u8>>> {
        match (list(path), self.lists.get_mut(path)) {
            (Ok(names), _) => {
                let remembered = Remembered { value: names.clone(), round: self.round };
                self.lists.insert(path.to_owned(), remembered);
                Ok(names)
            }
            (Err(error), Some(before)) => {
                before.round = self.round;
                self.kept.push((path.to_owned(), Kept::Unreadable(error)));
                Ok(before.value.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    fn kind(&mut self, path: &Path) -> io::Result<Kind> {
        let metadata = fs::metadata(path)?;
        Ok(if metadata.is_file() {
            Kind::File
        } else if metadata.is_dir() {
            Kind::Directory
        } else {
            Kind::Other
        })
    }

    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (host, port).to_socket_addrs().map(Iterator::collect)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    regular_file(path)?.take(MAX_TEXT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_TEXT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MAX_TEXT} bytes")));
    }
    Ok(text)
}

fn list(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        if names.len() >= MAX_ENTRIES {
            return Err(io::Error::other(format!("more than {MAX_ENTRIES} entries")));
        }
        names.push(entry?.file_name().into_vec());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one file in one round; returns its contents and the kinds of kept contents.
    fn round(machine: &mut Machine, path: &Path, text: Text) -> (Option<String>, Vec<&'static str>) {
        machine.begin();
        let read = machine.read(path, text).ok().map(|text| String::from_utf8(text).unwrap());
        let kept = machine.end().into_iter().map(|(_, kept)| match kept {
            Kept::Unreadable(_) => "unreadable",
            Kept::Unfinished => "unfinished",
        });
        (read, kept.collect())
    }

    #[test]
    fn an_unreadable_file_keeps_its_last_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut machine = Machine::default();
        let mut after = |contents: Option<&str>, text| {
            match contents {
                Some(contents) => fs::write(&path, contents).unwrap(),
                None => fs::remove_file(&path).unwrap_or_default(),
            }
            round(&mut machine, &path, text)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(after(None, Text::Configuration), (None, vec![]));
        assert_eq!(after(Some("half"), Text::Configuration), (text("half"), vec![]), "better than nothing");
        assert_eq!(after(Some("one\n"), Text::Configuration), (text("one\n"), vec![]));
        assert_eq!(after(Some("one\ntw"), Text::Configuration), (text("one\n"), vec!["unfinished"]));
        assert_eq!(after(Some(""), Text::Configuration), (text("one\n"), vec!["unfinished"]));
        assert_eq!(after(None, Text::Configuration), (text("one\n"), vec!["unreadable"]));
        assert_eq!(after(Some("two\n"), Text::Configuration), (text("two\n"), vec![]));
        // An empty list is valid.
        assert_eq!(after(Some(""), Text::List), (text(""), vec![]));
    }

    #[test]
    fn an_unused_file_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let [x, y] = ["x", "y"].map(|name| folder.path().join(name));
        fs::write(&x, "x\n").unwrap();
        fs::write(&y, "y\n").unwrap();
        let mut machine = Machine::default();
        round(&mut machine, &x, Text::Configuration);
        round(&mut machine, &y, Text::Configuration);
        fs::remove_file(&x).unwrap();
        assert_eq!(round(&mut machine, &x, Text::Configuration), (None, vec![]));
    }

    #[test]
    fn a_special_file_is_not_opened() {
        let mut machine = Machine::default();
        for path in ["/dev/zero", "/"] {
            assert!(machine.read(Path::new(path), Text::List).is_err(), "{path}");
        }
        assert_eq!(machine.kind(Path::new("/dev/zero")).unwrap(), Kind::Other);
    }
}
