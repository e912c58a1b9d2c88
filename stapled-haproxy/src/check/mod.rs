//! What an operator wants to know before and after a stapler is pointed at a HAProxy: for each certificate, whether it
//! will be stapled, and what prevents it. A check changes nothing; `clean` removes files that would hinder HAProxy's start.
//!
//! From the ground up:
//!
//! - `problem`: what can be found, one enum for each subject, with severity, reason code, wording and remedy; `finding`
//!   is one problem and its admin socket; `report` is everything that was found; `json` is that as JSON, `words`
//!   as text for people.
//! - `rules`: the settings of the stapler that count; `sandbox`: where systemd lets it write.
//! - `inputs` scans the stapler's sources and asks the running HAProxys; `contents` reads files; `items` compares sources
//!   with running HAProxys; `names` has the names under which these list certificates.
//! - Pure: `issuer` finds a certificate's issuer; `at_start` says which responses HAProxy takes when it starts;
//!   `certificate`, `about_issuer`, `staple_file` and `first_staple` judge a certificate, `general` the rest.
//! - `run` is the whole.
//! - `leftover` judges whether the file of a staple hinders HAProxy's start, `remove` removes one, and `clean` all of them.

mod about_issuer;
mod at_start;
mod certificate;
mod clean;
mod contents;
mod finding;
mod first_staple;
mod general;
mod inputs;
mod issuer;
mod items;
#[cfg(feature = "serde")]
mod json;
mod leftover;
mod names;
mod problem;
mod remove;
mod report;
mod rules;
mod run;
mod sandbox;
mod staple_file;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

pub use clean::{Action, Cleaned, CleanedFile};
pub use finding::Finding;
#[cfg(feature = "serde")]
pub use json::Line;
pub use problem::{
    CertificateProblem, ConfigurationProblem, HeldBy, IssuerProblem, OtherIssuer, Problem, ProcessProblem, Reported,
    Severity, Standing, StapleFileProblem, Unreadable,
};
pub use remove::Removal;
pub use report::{Acceptance, Answer, CertificateReport, Description, KeptStaple, ProcessReport, Report, SourceReport};
pub use rules::StapleFiles;
pub use run::Check;
