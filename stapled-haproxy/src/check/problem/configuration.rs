//! Problems of the lines of a configuration.

use std::fmt;
use std::path::PathBuf;

use stapled_core::reason::ReasonCode;

use super::severity::Severity;
use crate::configuration::Warning;

/// A problem of a configuration's line, and what the running HAProxys say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigurationProblem {
    /// The line and its problem.
    pub warning: Warning,
    /// What is known about it from the running HAProxys.
    pub standing: Standing,
}

/// What is known about a problem of a line from the running HAProxys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing: the operator has to look.
    Open,
    /// The problem does no harm by itself: it is a note.
    Harmless,
    /// The running HAProxys have just the certificates of the configuration.
    Confirmed,
    /// The running HAProxy works in this directory: relative paths begin there.
    WorksIn(PathBuf),
}

impl ConfigurationProblem {
    /// A problem of a line.
    pub fn new(warning: &Warning, standing: Standing) -> Self {
        ConfigurationProblem { warning: warning.clone(), standing }
    }

    /// Whether it needs the operator.
    pub fn severity(&self) -> Severity {
        match self.standing {
            Standing::Open | Standing::WorksIn(_) => Severity::Problem,
            Standing::Harmless | Standing::Confirmed => Severity::Note,
        }
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        self.warning.problem.code()
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        match &self.standing {
            Standing::Open | Standing::Harmless => Some(self.warning.problem.remedy().to_owned()),
            Standing::Confirmed => None,
            Standing::WorksIn(directory) => Some(format!(
                "start stapled in {}, too, where HAProxy works (systemd: WorkingDirectory=), or have absolute paths in its \
                 configuration",
                directory.display()
            )),
        }
    }
}

impl fmt::Display for ConfigurationProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.warning.place, self.warning.problem.what())?;
        match self.standing {
            Standing::Confirmed => f.write_str("; the running HAProxy has just these certificates, so it is well"),
            _ => Ok(()),
        }
    }
}
