//! Servers that read staples from files: each has a layout, perhaps one with a name, and no file belongs to two of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::layout::{Layout, LayoutError};
use super::{FileSink, WithdrawFiles};
#[cfg(feature = "hook")]
use crate::hook::reload::ReloadSettings;
use crate::io::directory::{DirectorySource, IgnoreError};

/// A layout that has a name: what a kind of servers needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Preset {
    /// The name of the staple, a template.
    pub staple: String,
    /// The name of a second file, a template.
    pub companion: Option<String>,
    /// The template of the second file's contents.
    pub contents: String,
    /// Whether the staples must have a directory of their own.
    pub needs_directory: bool,
    /// Whether all files of the directory change at once.
    pub swapped: bool,
    /// Whether the servers do not start without the file ([`WithdrawFiles::Replace`]).
    pub replace: bool,
    /// Whether the servers notice new files, and are to be told of withdrawals alone.
    pub reload_after_withdrawals: bool,
    /// Why such servers take no staples from files.
    pub refused: Option<String>,
}

/// A server that reads staples from files.
#[derive(Clone, Debug)]
pub struct FileServer {
    name: String,
    preset: Preset,
    layout: Layout,
    sink: FileSink,
    /// Whether it has only some of the certificates.
    is_partial: bool,
}

/// Why there is no such server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileServerError {
    /// No layout has this name.
    #[error("there is no layout {layout:?}; there are {}, and names with placeholders, such as {{name}}.ocsp", .known.join(", "))]
    Unknown {
        /// The name.
        layout: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Such servers take no staples from files.
    #[error("{why}")]
    Refused {
        /// Why, and what they do.
        why: String,
    },
    /// The template cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The layout needs a directory of its own.
    #[error("the layout {layout:?} needs a directory")]
    NoDirectory {
        /// The name of the layout.
        layout: String,
    },
    /// Another server has the same name.
    #[error("another server has this name; give this one a `name`")]
    SameName,
    /// Another server would have the same files.
    #[error(
        "it would have the same files as {other}; give it a `directory`, another `layout`, or each of both its `certificates`"
    )]
    SameFiles {
        /// The name of the other one.
        other: String,
    },
}

impl FileServer {
    /// A server of this name, or of that of its layout: one of the presets, or a template for the names of staples. Its staples
    /// are beside their certificates, or in the directory.
    ///
    /// # Errors
    ///
    /// There is no such layout, or it cannot be used so.
    pub fn new(
        presets: &BTreeMap<String, Preset>,
        name: Option<&str>,
        layout: &str,
        directory: Option<PathBuf>,
    ) -> Result<Self, FileServerError> {
        let preset = preset(presets, layout)?;
        let name = name.unwrap_or(layout).to_owned();
        let mut by = Layout::new(&preset.staple)?;
        if let Some(companion) = &preset.companion {
            by = by.companion(companion, &preset.contents)?;
        }
        match directory {
            Some(directory) => by = by.directory(directory)?,
            None if preset.needs_directory => {
                return Err(FileServerError::NoDirectory { layout: layout.to_owned() });
            }
            None => {}
        }
        if preset.swapped {
            by = by.swapped()?;
        }
        let withdraw = if preset.replace { WithdrawFiles::Replace } else { WithdrawFiles::Remove };
        let sink = FileSink::new().named(&name).layout(by.clone()).withdraw_files(withdraw);
        Ok(FileServer { name, preset, layout: by, sink, is_partial: false })
    }

    /// The same with those certificates only for whose file this function returns true.
    #[must_use]
    pub fn only(self, wanted: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        FileServer { sink: self.sink.only(wanted), is_partial: true, ..self }
    }

    /// The same with those certificates only whose file fits one of these patterns, which are as those of
    /// [`DirectorySource::ignore`].
    ///
    /// # Errors
    ///
    /// A pattern is malformed.
    pub fn only_matching(self, patterns: &[String]) -> Result<Self, IgnoreError> {
        let wanted = DirectorySource::new("/").ignore(patterns)?;
        Ok(self.only(move |file| wanted.ignores(file)))
    }

    /// The settings of a reload command as those of the command that tells this server.
    #[cfg(feature = "hook")]
    pub fn told_by(&self, reload: ReloadSettings) -> ReloadSettings {
        let reload = reload.of_server(&self.name);
        if self.preset.reload_after_withdrawals { reload.after_withdrawals() } else { reload }
    }

    /// The same beside others, whose files it must not have.
    ///
    /// # Errors
    ///
    /// Another one has the same name, or would have the same files.
    pub fn beside(self, others: &[FileServer]) -> Result<Self, FileServerError> {
        let mut server = self;
        for other in others {
            if other.name == server.name {
                return Err(FileServerError::SameName);
            }
            if other.layout.overlaps(&server.layout) && !(server.is_partial && other.is_partial) {
                return Err(FileServerError::SameFiles { other: other.name.clone() });
            }
            server.sink = server.sink.apart_from(&other.sink);
        }
        Ok(server)
    }

    /// The same beside the files of a [`FileSink`] without a layout, in this staple directory if it has one.
    ///
    /// # Errors
    ///
    /// It would have the same files.
    pub fn apart_from_files(&self, of: &str, staple_dir: Option<&Path>) -> Result<(), FileServerError> {
        let beside = Layout::new("{file}.ocsp")?;
        let apart = staple_dir.map(|directory| beside.clone().directory(directory)).transpose()?;
        match [Some(beside), apart].iter().flatten().any(|layout| layout.overlaps(&self.layout)) {
            true => Err(FileServerError::SameFiles { other: of.to_owned() }),
            false => Ok(()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parts of its layout besides names.
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// The directory of its staples, if they have one.
    pub fn directory(&self) -> Option<&Path> {
        self.layout.common()
    }

    /// The sink that writes its files.
    pub fn sink(&self) -> FileSink {
        self.sink.clone()
    }
}

/// The preset of this name, or one with this template.
fn preset(presets: &BTreeMap<String, Preset>, layout: &str) -> Result<Preset, FileServerError> {
    match presets.get(layout) {
        Some(Preset { refused: Some(why), .. }) => Err(FileServerError::Refused { why: why.clone() }),
        Some(preset) => Ok(preset.clone()),
        None if layout.contains(['{', '.']) => Ok(Preset { staple: layout.to_owned(), ..Preset::default() }),
        None => {
            let usable = presets.iter().filter(|(_, preset)| preset.refused.is_none());
            let known = usable.map(|(name, _)| name.clone()).collect();
            Err(FileServerError::Unknown { layout: layout.to_owned(), known })
        }
    }
}
