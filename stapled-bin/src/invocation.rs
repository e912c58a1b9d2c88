//! The command line of this process, kept so that a reload combines the same arguments with the changed file.

use std::path::PathBuf;

use crate::configuration::Configuration;
use crate::fault::ConfigurationError;
use crate::options::settings::Settings;

/// The arguments, and the directory in which the process was started.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    arguments: Settings,
    directory: Option<PathBuf>,
}

impl Invocation {
    pub(crate) fn new(arguments: Settings) -> Self {
        Invocation { arguments, directory: std::env::current_dir().ok() }
    }

    /// The configuration by these arguments and the present contents of the file.
    pub(crate) fn configuration_now(&self) -> Result<Configuration, ConfigurationError> {
        // A process in the background has left its directory.
        let Some(directory) = &self.directory else { return Configuration::load(self.arguments.clone()) };
        let mut configuration = Configuration::load(self.arguments.clone().relative_to(directory))?;
        configuration.surroundings = configuration.surroundings.directory(directory);
        Ok(configuration)
    }
}
