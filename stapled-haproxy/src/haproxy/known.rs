//! What operators say of HAProxys: paths with certificates, configurations and admin sockets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stapled_core::io::directory::DirectorySource;

use super::builder::HaproxyBuilder;
use crate::cli::address::{Address, AddressError};

/// What is known of one HAProxy, or of files that belong to none: where its certificates are, and its admin sockets.
///
/// ```
/// use stapled_core::DirectorySource;
/// use stapled_haproxy::{Address, Haproxy, Known};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let sockets = Address::all_in(["/run/a.sock,/run/b.sock"])?;
/// for known in Known::paths([("/etc/haproxy/certs".into(), sockets)]) {
///     let haproxy = Haproxy::builder().known(&known, |path| DirectorySource::new(path).ignore(["*.bak.pem"]))?.open()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// Where its certificates are.
    pub certificates: KnownBy,
    /// The admin sockets that staples go to; for a configuration, besides those that it names.
    pub sockets: Vec<Address>,
}

/// Where the certificates of a HAProxy are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnownBy {
    /// In a file or a directory.
    Path(PathBuf),
    /// In the configuration that it is started with: files and directories.
    Configuration(Vec<PathBuf>),
    /// Loaded: the HAProxy is asked for them.
    Sockets,
}

impl Known {
    /// Paths, each with the sockets that its staples go to. A path that comes twice has the sockets of both.
    pub fn paths(paths: impl IntoIterator<Item = (PathBuf, Vec<Address>)>) -> Vec<Known> {
        let mut all: Vec<Known> = Vec::new();
        for (path, sockets) in paths {
            match all.iter_mut().find(|known| known.path() == Some(&path)) {
                Some(known) => known.sockets.extend(sockets),
                None => all.push(Known { certificates: KnownBy::Path(path), sockets }),
            }
        }
        all
    }

    /// The HAProxys that are started with these configurations, each once. Their staples also go to these sockets.
    pub fn configurations(configurations: Vec<Vec<PathBuf>>, sockets: &[Address]) -> Vec<Known> {
        let mut all: Vec<Known> = Vec::new();
        for paths in configurations {
            let known = Known { certificates: KnownBy::Configuration(paths), sockets: sockets.to_vec() };
            if !all.contains(&known) {
                all.push(known);
            }
        }
        all
    }

    /// The HAProxys behind these sockets, of which nothing else is known.
    pub fn loaded(sockets: Vec<Address>) -> Vec<Known> {
        let known = |socket| Known { certificates: KnownBy::Sockets, sockets: vec![socket] };
        sockets.into_iter().map(known).collect()
    }

    /// The files and directories of one configuration, which commas join in an option of a program. The name of an existing file is
    /// not divided.
    pub fn configuration_paths(item: &Path) -> Vec<PathBuf> {
        if item.exists() {
            return vec![item.to_owned()];
        }
        let parts = item.as_os_str().as_bytes().split(|byte| *byte == b',');
        parts.filter(|part| !part.is_empty()).map(|part| PathBuf::from(OsStr::from_bytes(part))).collect()
    }

    /// The path of its certificates, if they are known by a path.
    pub fn path(&self) -> Option<&PathBuf> {
        match &self.certificates {
            KnownBy::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Whether a HAProxy is known, and not files alone.
    pub fn is_haproxy(&self) -> bool {
        !self.sockets.is_empty() || self.path().is_none()
    }
}

impl HaproxyBuilder {
    /// What is known of the HAProxy. `search` makes the source of the certificates at a path; the patterns of files that it ignores count
    /// whatever names the certificates.
    ///
    /// # Errors
    ///
    /// The error of `search`.
    pub fn known<E>(
        self,
        known: &Known,
        search: impl Fn(&Path) -> Result<DirectorySource, E>,
    ) -> Result<HaproxyBuilder, E> {
        let ignoring = search(known.path().map_or(Path::new("/"), PathBuf::as_path))?;
        let builder = self.sockets(known.sockets.clone()).ignore(move |file| ignoring.ignores(file));
        Ok(match &known.certificates {
            KnownBy::Path(path) => builder.certificates(search(path)?),
            KnownBy::Configuration(paths) => builder.configuration(paths),
            KnownBy::Sockets => builder,
        })
    }
}

impl Address {
    /// The addresses in the items of an option; commas join the addresses of an item. Each address once.
    ///
    /// # Errors
    ///
    /// A text is no address.
    pub fn all_in<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Result<Vec<Address>, AddressError> {
        let mut all = Vec::new();
        for item in items {
            for text in item.as_ref().split(',') {
                let address = text.trim().parse()?;
                if !all.contains(&address) {
                    all.push(address);
                }
            }
        }
        Ok(all)
    }

    /// An item with relative paths taken from this directory. An address that cannot be read stays: its use is an error.
    pub fn item_relative_to(item: &str, base: &Path) -> String {
        let address = |text: &str| match text.trim().parse::<Address>() {
            Ok(address) => address.relative_to(base).to_string(),
            Err(_) => text.trim().to_owned(),
        };
        item.split(',').map(address).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(item: &str) -> Vec<Address> {
        Address::all_in([item]).unwrap()
    }

    #[test]
    fn a_path_that_comes_twice_has_the_sockets_of_both() {
        let known = Known::paths([("/a".into(), sockets("/s")), ("/b".into(), vec![]), ("/a".into(), sockets("/t"))]);
        assert_eq!(known.iter().map(|known| known.sockets.len()).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(known.iter().map(Known::is_haproxy).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_configuration_counts_once_and_each_socket_alone() {
        let of = |name: &str| vec![PathBuf::from(name)];
        let known = Known::configurations(vec![of("/x.cfg"), of("/y.cfg"), of("/x.cfg")], &sockets("/s, /t,/s"));
        assert_eq!(known.len(), 2);
        assert!(known.iter().all(|known| known.is_haproxy() && known.sockets == sockets("/s,/t")));
        assert_eq!(Known::loaded(sockets("/s,/t")).len(), 2);
        assert!(Address::all_in(["/s", "/t,"]).is_err());
    }

    #[test]
    fn commas_join_paths_and_addresses() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a,b");
        assert_eq!(Known::configuration_paths(&file).len(), 2);
        std::fs::write(&file, "").unwrap();
        assert_eq!(Known::configuration_paths(&file), [file]);
        assert!(Known::configuration_paths(Path::new(",")).is_empty());
        let item = Address::item_relative_to("s, master@t,ipv4@h:1", Path::new("/base"));
        assert_eq!(item, "/base/s,master@/base/t,ipv4@h:1");
    }
}
