//! What a check can find: one enum for each subject, with the facts. Severity, reason code, wording and remedy of a
//! problem are made from its variant, here and nowhere else.
//!
//! Remedies name options of the program `stapled`; a program that embeds the library has the same settings under the
//! names of its builders.

mod certificate;
mod configuration;
mod issuer;
mod process;
mod reported;
mod severity;
mod staple_file;

use std::fmt;

use stapled_core::reason::ReasonCode;

pub use certificate::{CertificateProblem, Unreadable};
pub use configuration::{ConfigurationProblem, Standing};
pub use issuer::{IssuerProblem, OtherIssuer};
pub use process::{HeldBy, ProcessProblem};
pub use reported::Reported;
pub use severity::Severity;
pub use staple_file::StapleFileProblem;

/// A problem, or something worth a note, by its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// About the certificate and its file.
    Certificate(CertificateProblem),
    /// About the certificate's issuer.
    Issuer(IssuerProblem),
    /// About the file that HAProxy reads the staple from when it starts.
    StapleFile(StapleFileProblem),
    /// About a running HAProxy and its admin sockets.
    Process(ProcessProblem),
    /// About a line of HAProxy's configuration.
    Configuration(ConfigurationProblem),
    /// As a source of certificates reported it.
    Reported(Reported),
}

impl Problem {
    /// Whether it needs the operator.
    pub fn severity(&self) -> Severity {
        match self {
            Problem::Certificate(problem) => problem.severity(),
            Problem::Issuer(problem) => problem.severity(),
            Problem::StapleFile(problem) => problem.severity(),
            Problem::Process(problem) => problem.severity(),
            Problem::Configuration(problem) => problem.severity(),
            Problem::Reported(_) => Severity::Problem,
        }
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            Problem::Certificate(problem) => problem.code(),
            Problem::Issuer(problem) => problem.code(),
            Problem::StapleFile(problem) => problem.code(),
            Problem::Process(problem) => problem.code(),
            Problem::Configuration(problem) => problem.code(),
            Problem::Reported(problem) => problem.code,
        }
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Problem::Certificate(problem) => problem.remedy(),
            Problem::Issuer(problem) => problem.remedy(),
            Problem::StapleFile(problem) => problem.remedy(),
            Problem::Process(problem) => problem.remedy(),
            Problem::Configuration(problem) => problem.remedy(),
            Problem::Reported(problem) => Some(problem.remedy.clone()),
        }
    }
}

/// What was found, in words.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Certificate(problem) => problem.fmt(f),
            Problem::Issuer(problem) => problem.fmt(f),
            Problem::StapleFile(problem) => problem.fmt(f),
            Problem::Process(problem) => problem.fmt(f),
            Problem::Configuration(problem) => problem.fmt(f),
            Problem::Reported(problem) => problem.what.fmt(f),
        }
    }
}

impl From<CertificateProblem> for Problem {
    fn from(problem: CertificateProblem) -> Self {
        Problem::Certificate(problem)
    }
}

impl From<IssuerProblem> for Problem {
    fn from(problem: IssuerProblem) -> Self {
        Problem::Issuer(problem)
    }
}

impl From<StapleFileProblem> for Problem {
    fn from(problem: StapleFileProblem) -> Self {
        Problem::StapleFile(problem)
    }
}

impl From<ProcessProblem> for Problem {
    fn from(problem: ProcessProblem) -> Self {
        Problem::Process(problem)
    }
}

impl From<ConfigurationProblem> for Problem {
    fn from(problem: ConfigurationProblem) -> Self {
        Problem::Configuration(problem)
    }
}

impl From<Reported> for Problem {
    fn from(problem: Reported) -> Self {
        Problem::Reported(problem)
    }
}
