//! How the program was called: remembered, so that the same arguments meet a changed configuration file.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::arguments::Arguments;
use crate::configuration::Configuration;
use crate::fault::ConfigurationError;
use crate::file::File;

/// The words it was called with, and where.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    words: Vec<OsString>,
    directory: Option<PathBuf>,
}

impl Invocation {
    pub(crate) fn new() -> Self {
        Invocation { words: std::env::args_os().collect(), directory: std::env::current_dir().ok() }
    }

    /// The arguments. Ends the program where they ask for help, or where clap finds them wrong.
    pub(crate) fn arguments(&self) -> Result<Arguments, ConfigurationError> {
        Arguments::said(&self.words)
    }

    /// The configuration as it is now, by the same arguments and what the file says now.
    pub(crate) fn configuration_now(&self) -> Result<Configuration, ConfigurationError> {
        let mut arguments = self.arguments()?;
        // In the background, the current directory is another one by now.
        if let Some(directory) = &self.directory {
            arguments.settings = arguments.settings.relative_to(directory);
            arguments.config = arguments.config.map(|file| directory.join(file));
        }
        let mut configuration = configuration(arguments)?;
        if let Some(directory) = &self.directory {
            configuration.surroundings = configuration.surroundings.directory(directory);
        }
        Ok(configuration)
    }
}

/// The configuration by arguments and file.
pub(crate) fn configuration(arguments: Arguments) -> Result<Configuration, ConfigurationError> {
    let file = File::find(arguments.config.as_deref())?;
    Configuration::of(arguments, file)
}
