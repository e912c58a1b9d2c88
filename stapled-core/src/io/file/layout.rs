//! Layouts: under which names staples are written, for servers that do not look for `CERTIFICATE.ocsp`.
//!
//! A layout is data: a template for the name of the staple, perhaps a second file that names the first one, and whether all
//! files of a directory change at once. No server is named here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use md5::{Digest, Md5};

use super::swap;
use crate::certificate::Certificate;

/// Each placeholder with its meaning.
const PLACEHOLDERS: [(&str, Part); 5] = [
    ("file", Part::File),
    ("name", Part::Name),
    ("parent", Part::Parent),
    ("serial", Part::Serial),
    ("md5", Part::Md5),
];
/// The placeholder of a companion's contents: the path of the staple.
const STAPLE: &str = "staple";
/// The longest template, and the longest contents of a companion.
const MAX_TEXT: usize = 4096;

/// Where a sink writes staples, and under which names.
///
/// A name is a template. In it stand for a certificate in `/etc/tls/example.org/cert.pem`: `{file}` for `cert.pem`, `{name}` for
/// `cert`, `{parent}` for `example.org`, `{serial}` for the serial number in hexadecimal digits, `{md5}` for the MD5 of the
/// certificate's path. The name is relative to the certificate's directory, or to one that all staples have in common
/// ([`directory`](Layout::directory)). It never leads out of it, whatever certificates and their files are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    directory: Option<PathBuf>,
    staple: Template,
    companion: Option<(Template, Template)>,
    form: Form,
}

/// Whether the files of a directory change one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Separate,
    Swapped,
}

/// Why there is no such layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The template is empty, or longer than 4096 bytes.
    #[error("a name has 1 to {MAX_TEXT} bytes, and this one has {length}")]
    Length {
        /// How many bytes it has.
        length: usize,
    },
    /// A `{` without `}`, or a `}` without `{`.
    #[error("{template}: a brace without its other one")]
    Brace {
        /// The template.
        template: String,
    },
    /// There is no such placeholder.
    #[error(
        "{template}: there is no {{{placeholder}}}; there are {{file}}, {{name}}, {{parent}}, {{serial}} and {{md5}}"
    )]
    Unknown {
        /// The template.
        template: String,
        /// The text between the braces.
        placeholder: String,
    },
    /// The name is absolute, or leads out of the directory.
    #[error("{template}: a name inside of the directory is needed, without `..` and not beginning with `/`")]
    Outside {
        /// The template.
        template: String,
    },
    /// All certificates would have one name in the common directory.
    #[error(
        "{template}: all certificates would have this one file in {directory}: put {{name}}, or another placeholder, \
         into the name"
    )]
    SameForAll {
        /// The template.
        template: String,
        /// The directory.
        directory: PathBuf,
    },
    /// Only a directory of its own can be swapped, and only with plain names in it.
    #[error(
        "{template}: files that change all at once need a directory of their own, and plain names in it, without `/`, companions and a leading `..`"
    )]
    NotSwappable {
        /// The template.
        template: String,
    },
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) staple: PathBuf,
    /// The file that names the staple, and its contents.
    pub(super) companion: Option<(PathBuf, Vec<u8>)>,
}

impl Layout {
    /// A layout whose staples have this name beside their certificates.
    ///
    /// # Errors
    ///
    /// The template cannot be used.
    pub fn new(staple: &str) -> Result<Self, LayoutError> {
        let staple = Template::path(staple)?;
        Ok(Layout { directory: None, staple, companion: None, form: Form::Separate })
    }

    /// The same in this directory, which must exist.
    ///
    /// # Errors
    ///
    /// The names of different certificates would not differ.
    pub fn directory(self, directory: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let directory = directory.into();
        match self.staple.parts.iter().any(|part| !matches!(part, Part::Text(_))) {
            true => Ok(Layout { directory: Some(directory), ..self }),
            false => Err(LayoutError::SameForAll { template: self.staple.text, directory }),
        }
    }

    /// The same with a second file, which exists while the staple does: it is written after the staple, and removed before it. In
    /// the contents, `{staple}` stands for the path of the staple. For servers that can include all files of a pattern and do not
    /// start if a staple is missing.
    ///
    /// # Errors
    ///
    /// A template cannot be used.
    pub fn companion(self, name: &str, contents: &str) -> Result<Self, LayoutError> {
        let companion = Some((Template::path(name)?, Template::contents(contents)?));
        Ok(Layout { companion, ..self })
    }

    /// The same with files that change all at once, as in the mounted volumes of Kubernetes: a new directory has all of them, and a
    /// link `..data` leads to it. A reader that opens files through the link sees whole files, all of one state.
    ///
    /// # Errors
    ///
    /// The layout has no directory of its own, a companion, or names in directories below.
    pub fn swapped(self) -> Result<Self, LayoutError> {
        let is_plain = !self.staple.text.contains('/') && !self.staple.text.starts_with("..");
        match is_plain && self.companion.is_none() && self.directory.is_some() {
            true => Ok(Layout { form: Form::Swapped, ..self }),
            false => Err(LayoutError::NotSwappable { template: self.staple.text }),
        }
    }

    /// Whether this layout gives some certificate the same path as the other one, by the texts of both.
    pub fn overlaps(&self, other: &Layout) -> bool {
        let names = |layout: &Layout| {
            let companion = layout.companion.as_ref().map(|(name, _)| name.text.clone());
            [Some(layout.staple.text.clone()), companion].into_iter().flatten().collect::<Vec<_>>()
        };
        let others = names(other);
        self.directory == other.directory && names(self).iter().any(|name| others.contains(name))
    }

    /// The directory that all staples have in common, if there is one.
    pub(super) fn common(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    pub(super) fn is_swapped(&self) -> bool {
        self.form == Form::Swapped
    }

    /// The files of a certificate; the error says what in its name does not fit.
    pub(super) fn target(&self, file: &Path, certificate: &Certificate) -> Result<Target, String> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => file.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let staple = directory.join(self.staple.filled(file, certificate, None)?);
        let companion = match &self.companion {
            Some((name, contents)) => {
                let path = directory.join(name.filled(file, certificate, None)?);
                Some((path, contents.filled(file, certificate, Some(&staple))?.into_os_string().into_vec()))
            }
            None => None,
        };
        let staple = if self.is_swapped() { swap::inside(&staple) } else { staple };
        Ok(Target { staple, companion })
    }
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template {
    text: String,
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    File,
    Name,
    Parent,
    Serial,
    Md5,
    Staple,
}

impl Template {
    /// A template of a relative path.
    fn path(text: &str) -> Result<Self, LayoutError> {
        let template = Template::parse(text, &[])?;
        let is_inside = Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        match is_inside && !text.ends_with('/') && !text.contains('\0') {
            true => Ok(template),
            false => Err(LayoutError::Outside { template: text.to_owned() }),
        }
    }

    /// A template of contents, which name the staple.
    fn contents(text: &str) -> Result<Self, LayoutError> {
        Template::parse(text, &[(STAPLE, Part::Staple)])
    }

    fn parse(text: &str, further: &[(&str, Part)]) -> Result<Self, LayoutError> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(LayoutError::Length { length: text.len() });
        }
        let brace = || LayoutError::Brace { template: text.to_owned() };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(brace)?;
            let known = PLACEHOLDERS.iter().chain(further).find(|(known, _)| *known == name);
            let (_, part) = known
                .ok_or_else(|| LayoutError::Unknown { template: text.to_owned(), placeholder: name.to_owned() })?;
            parts.extend([Part::Text(before.to_owned()), part.clone()]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        match parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains('}'))) {
            true => Err(brace()),
            false => Ok(Template { text: text.to_owned(), parts }),
        }
    }

    /// The text for a certificate: a path inside of the directory or, with the path of a staple, contents.
    fn filled(&self, file: &Path, certificate: &Certificate, staple: Option<&Path>) -> Result<PathBuf, String> {
        let mut filled = OsString::new();
        for part in &self.parts {
            let value = match part {
                Part::Text(text) => OsString::from(text),
                Part::File => file.file_name().unwrap_or_default().to_owned(),
                Part::Name => file.file_stem().unwrap_or_default().to_owned(),
                Part::Parent => file.parent().and_then(Path::file_name).unwrap_or_default().to_owned(),
                Part::Serial => certificate.serial_hex().into(),
                Part::Md5 => format!("{:x}", Md5::digest(file.as_os_str().as_bytes())).into(),
                Part::Staple => staple.unwrap_or(Path::new("")).as_os_str().to_owned(),
            };
            if value.is_empty() {
                return Err(format!("nothing stands for a placeholder in {}", self.text));
            }
            if staple.is_some() && !matches!(part, Part::Text(_)) && !is_plain(&value) {
                return Err(format!("{:?} cannot stand in a file that a server reads", value.display().to_string()));
            }
            filled.push(value);
        }
        let filled = PathBuf::from(filled);
        let names = |path: &Path| path.components().filter(|part| matches!(part, Component::Normal(_))).count();
        let is_inside = filled.components().count() == names(&filled) && names(&filled) == names(Path::new(&self.text));
        match staple.is_some() || is_inside {
            true => Ok(filled),
            false => Err(format!("{} is no name inside of the directory", filled.display())),
        }
    }
}

/// Whether a value has no character that has a meaning in the configuration of a server.
fn is_plain(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| !text.chars().any(|one| one.is_control() || "\"'\\$`;{}#".contains(one)))
}

#[cfg(test)]
mod tests {
    use stapled_tests::Example;

    use super::*;

    /// The path of a certificate's staple, or what is wrong with it.
    fn staple(layout: &Layout, file: &str) -> Result<String, String> {
        let example = Example::new(&[24]);
        let target = layout.target(Path::new(file), example.staples[0].chain().end_entity())?;
        Ok(target.staple.display().to_string())
    }

    #[test]
    fn placeholders_stand_for_parts_of_the_certificates_path() {
        for (template, expected) in [
            ("{file}.ocsp", "/etc/tls/example.org/cert.pem.ocsp"),
            ("{name}.der", "/etc/tls/example.org/cert.der"),
            ("{parent}-{name}", "/etc/tls/example.org/example.org-cert"),
            ("tls.ocsp-staple", "/etc/tls/example.org/tls.ocsp-staple"),
            // As md5sum says.
            ("sub/{md5}", "/etc/tls/example.org/sub/6344212c0f5c715cc054d3102b56a41f"),
        ] {
            let path = staple(&Layout::new(template).unwrap(), "/etc/tls/example.org/cert.pem").unwrap();
            assert_eq!(path, expected, "{template}");
        }
        let common = Layout::new("{parent}.ocsp").unwrap().directory("/srv").unwrap();
        assert_eq!(staple(&common, "/etc/tls/example.org/cert.pem").unwrap(), "/srv/example.org.ocsp");
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for template in ["/{name}", "../{name}", "a/../{name}", "{name}/", "./{name}", "{name}/..", "a\0{name}"] {
            assert!(matches!(Layout::new(template), Err(LayoutError::Outside { .. })), "{template}");
        }
        let layout = |template: &str| Layout::new(template).unwrap().directory("/srv").unwrap();
        // The name of `...pem` without its extension is `..`; the parent of /x.pem is nothing.
        assert!(staple(&layout("{name}"), "/etc/...pem").unwrap_err().contains("no name inside"));
        assert!(staple(&layout("{name}/x"), "/etc/...pem").unwrap_err().contains("no name inside"));
        assert!(staple(&layout("{parent}/x"), "/x.pem").unwrap_err().contains("nothing stands"));
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        assert!(matches!(Layout::new(""), Err(LayoutError::Length { length: 0 })));
        assert!(matches!(Layout::new(&"x".repeat(MAX_TEXT + 1)), Err(LayoutError::Length { .. })));
        for template in ["{name", "name}", "{name}}"] {
            assert!(matches!(Layout::new(template), Err(LayoutError::Brace { .. })), "{template}");
        }
        for template in ["{nam}", "{}", "{staple}"] {
            let error = Layout::new(template).unwrap_err().to_string();
            assert!(error.contains("there is no {") && error.contains("there are {file}, {name}"), "{error}");
        }
        let same = Layout::new("tls.ocsp-staple").unwrap().directory("/srv").unwrap_err().to_string();
        assert_eq!(
            same,
            "tls.ocsp-staple: all certificates would have this one file in /srv: put {name}, or another placeholder, into the name"
        );
        let beside = Layout::new("{name}.ocsp").unwrap();
        assert!(beside.clone().swapped().is_err(), "a directory of its own is needed");
        for template in ["a/{name}", "..{name}"] {
            assert!(Layout::new(template).unwrap().directory("/srv").unwrap().swapped().is_err(), "{template}");
        }
        let with = beside.directory("/srv").unwrap().companion("{name}.conf", "{staple}").unwrap();
        assert!(with.swapped().is_err(), "no companion");
    }

    #[test]
    fn a_companion_names_the_staple_and_no_name_adds_to_it() {
        let layout = Layout::new("{file}.ocsp").unwrap();
        let layout = layout.companion("{file}.conf", "staple \"{staple}\";\n").unwrap();
        let example = Example::new(&[24]);
        let target = |file: &str| layout.target(Path::new(file), example.staples[0].chain().end_entity());
        let (path, contents) = target("/srv/a b.pem").unwrap().companion.unwrap();
        assert_eq!(path, Path::new("/srv/a b.pem.conf"));
        assert_eq!(contents, b"staple \"/srv/a b.pem.ocsp\";\n");
        for file in ["/srv/a\";x.pem", "/srv/a\nb.pem", "/srv/$a.pem", "/srv/a\\.pem"] {
            assert!(target(file).unwrap_err().contains("cannot stand in a file"), "{file:?}");
        }
    }

    #[test]
    fn layouts_with_the_same_names_overlap() {
        let of = |template: &str| Layout::new(template).unwrap();
        assert!(of("{file}.ocsp").overlaps(&of("{file}.ocsp")));
        assert!(!of("{file}.ocsp").overlaps(&of("{name}.ocsp")));
        assert!(!of("{file}.ocsp").overlaps(&of("{file}.ocsp").directory("/srv").unwrap()));
        assert!(of("{file}.a").companion("{file}.b", "x").unwrap().overlaps(&of("{file}.b")));
    }
}
