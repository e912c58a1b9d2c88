//! The files that HAProxy looks for beside a certificate (`ssl-load-extra-files`, `ssl-load-extra-del-ext`).

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use stapled_core::io::certificate_file::{issuer_file_of, staple_file_of};

use super::blocks::Read;

/// A set of kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds {
    bundle: bool,
    staple: bool,
    issuer: bool,
}

impl Kinds {
    const ALL: Kinds = Kinds { bundle: true, staple: true, issuer: true };
    const NONE: Kinds = Kinds { bundle: false, staple: false, issuer: false };
}

/// The kinds of files that HAProxy looks for beside certificates. If HAProxy may not read a line, both cases are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtraFiles {
    surely: Kinds,
    perhaps: Kinds,
    without_extension: bool,
}

impl Default for ExtraFiles {
    fn default() -> Self {
        ExtraFiles { surely: Kinds::ALL, perhaps: Kinds::ALL, without_extension: false }
    }
}

impl ExtraFiles {
    /// `ssl-load-extra-files`: each line replaces the ones before.
    pub(super) fn set<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>, read: Read) {
        let mut kinds = Kinds::NONE;
        for word in words {
            match word {
                b"all" => kinds = Kinds::ALL,
                b"bundle" => kinds.bundle = true,
                b"ocsp" => kinds.staple = true,
                b"issuer" => kinds.issuer = true,
                _ => {}
            }
        }
        if read == Read::Perhaps {
            let before = (self.surely, self.perhaps);
            let both = |one: bool, other: bool| one && other;
            let either = |one: bool, other: bool| one || other;
            let join = |a: Kinds, b: Kinds, how: fn(bool, bool) -> bool| Kinds {
                bundle: how(a.bundle, b.bundle),
                staple: how(a.staple, b.staple),
                issuer: how(a.issuer, b.issuer),
            };
            self.surely = join(before.0, kinds, both);
            self.perhaps = join(before.1, kinds, either);
        } else {
            (self.surely, self.perhaps) = (kinds, kinds);
        }
    }

    /// `ssl-load-extra-del-ext`.
    pub(super) fn drop_extension(&mut self) {
        self.without_extension = true;
    }

    /// Whether HAProxy looks for `x.rsa`, `x.ecdsa` and `x.dsa` if there is no `x`.
    pub(super) fn bundles(&self) -> bool {
        self.perhaps.bundle
    }

    /// The file where HAProxy looks for the response of a certificate.
    pub(crate) fn staple(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        // A file too many is better than a start without staples.
        self.perhaps.staple.then(|| beside(self.stem(certificate), staple_file_of))
    }

    /// The file where HAProxy looks for the issuer of a certificate.
    pub(crate) fn issuer(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        // Only if it is certain: HAProxy does not start with a response whose issuer it does not find.
        self.surely.issuer.then(|| beside(self.stem(certificate), issuer_file_of))
    }

    /// The name that the names of the files beside a certificate are made from.
    fn stem<'a>(&self, certificate: &'a [u8]) -> &'a [u8] {
        match certificate.strip_suffix(b".crt") {
            Some(stem) if self.without_extension => stem,
            _ => certificate,
        }
    }
}

fn beside(stem: &[u8], name_of: fn(&Path) -> PathBuf) -> Vec<u8> {
    name_of(Path::new(OsStr::from_bytes(stem))).into_os_string().into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(extra: &mut ExtraFiles, words: &[&str], read: Read) {
        extra.set(words.iter().map(|word| word.as_bytes()), read);
    }

    #[test]
    fn each_line_replaces_the_ones_before() {
        let mut extra = ExtraFiles::default();
        assert_eq!(extra.staple(b"a.crt"), Some(b"a.crt.ocsp".to_vec()));
        set(&mut extra, &["bundle", "issuer"], Read::Yes);
        assert!(extra.bundles() && extra.issuer(b"a").is_some() && extra.staple(b"a").is_none());
        set(&mut extra, &["none"], Read::Yes);
        assert!(!extra.bundles() && extra.issuer(b"a").is_none() && extra.staple(b"a").is_none());
        set(&mut extra, &["all"], Read::Yes);
        assert!(extra.bundles() && extra.issuer(b"a").is_some() && extra.staple(b"a").is_some());
    }

    #[test]
    fn an_undecided_line_allows_a_response_and_no_issuer() {
        let mut extra = ExtraFiles::default();
        set(&mut extra, &["none"], Read::Perhaps);
        assert!(extra.bundles() && extra.issuer(b"a").is_none() && extra.staple(b"a").is_some());
    }

    #[test]
    fn only_the_extension_crt_is_dropped() {
        let mut extra = ExtraFiles::default();
        extra.drop_extension();
        for (certificate, staple) in [
            ("/d/a.crt", "/d/a.ocsp"),
            ("/d/a.pem", "/d/a.pem.ocsp"),
            ("/d/a.CRT", "/d/a.CRT.ocsp"),
            ("/d/a.crt.rsa", "/d/a.crt.rsa.ocsp"),
        ] {
            assert_eq!(extra.staple(certificate.as_bytes()), Some(staple.as_bytes().to_vec()), "{certificate}");
        }
    }
}
