//! The report of a check: its findings about certificates, sources, running HAProxys, and in general.

use std::path::PathBuf;

use stapled_core::reason::ReasonCode;
use stapled_core::source::SourceError;
use stapled_core::time::Timestamp;

use super::finding::Finding;
use super::verdict::Leftover;
use crate::cli::address::Address;
use crate::configuration::Place;
use crate::running::forecast::NoFirstStaple;
use crate::running::snapshot::ProcessSnapshot;

/// The report of a check.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The certificates, one for each name under which a HAProxy lists or would list it.
    pub certificates: Vec<CertificateReport>,
    /// The sources of certificates.
    pub sources: Vec<SourceReport>,
    /// The running HAProxys.
    pub processes: Vec<ProcessReport>,
    /// What concerns no certificate.
    pub others: Vec<Finding>,
}

/// The findings of a check about a certificate.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CertificateReport {
    /// The name under which HAProxy lists or would list it; the file, where there is no HAProxy.
    pub certificate: String,
    /// The file that it lies in.
    pub file: Option<PathBuf>,
    /// The line of the configuration that names it.
    pub named_at: Option<Place>,
    /// Its source, by its place in [`Report::sources`].
    pub source: usize,
    /// The running HAProxys that its staples go to, by their places in [`Report::processes`].
    pub processes: Vec<usize>,
    /// The admin sockets of these.
    pub sockets: Vec<Address>,
    /// What the certificate says; `None` where it cannot be read.
    pub description: Option<Description>,
    /// The file or directory in which its issuer was found.
    pub issuer_found_in: Option<PathBuf>,
    /// Whether HAProxy finds the issuer, too; `None` where that is not known.
    pub issuer_found_by_haproxy: Option<bool>,
    /// The file in which HAProxy looks for a staple when it starts.
    pub staple_file: Option<PathBuf>,
    /// What that file holds; `None` where there is no such file.
    pub staple: Option<KeptStaple>,
    /// Whether HAProxy will accept a first staple while it runs.
    pub first_staple: Acceptance,
    /// What was found of this certificate alone.
    pub findings: Vec<Finding>,
    /// Whether the staple's file hinders HAProxy.
    pub(super) leftover: Option<Leftover>,
}

/// What a certificate says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Description {
    /// Its first name.
    pub name: String,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Whether clients refuse it without a staple.
    pub must_staple: bool,
    /// The name of its issuer.
    pub issuer: String,
    /// The OCSP URLs that it names.
    pub ocsp_urls: Vec<String>,
    /// The URLs that are asked: the same, but for overrides.
    pub asked_urls: Vec<String>,
}

/// What the file holds that HAProxy reads a staple from when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeptStaple {
    /// A staple that is good until this time.
    Good(Timestamp),
    /// Nothing: an empty file, by which HAProxy takes responses from its start on.
    Empty,
    /// A response by which the certificate is revoked.
    Revoked,
    /// A response by which the CA does not know the certificate.
    Unknown,
    /// A good response that clients could not verify.
    NotStapleable,
    /// The issuer is not known, so the contents were not judged.
    NotJudged,
    /// The file cannot be read.
    Unreadable,
    /// Something that was refused for this reason.
    Refused(ReasonCode),
}

impl KeptStaple {
    /// The stable word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            KeptStaple::Good(_) => "good",
            KeptStaple::Empty => "empty",
            KeptStaple::Revoked => "revoked",
            KeptStaple::Unknown => "unknown",
            KeptStaple::NotStapleable => "not_stapleable",
            KeptStaple::NotJudged => "not_judged",
            KeptStaple::Unreadable => "unreadable_file",
            KeptStaple::Refused(code) => code.as_str(),
        }
    }

    /// When the staple ends.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            KeptStaple::Good(until) => Some(*until),
            _ => None,
        }
    }
}

/// Whether HAProxy will accept a first staple while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acceptance {
    /// The answer.
    pub answer: Answer,
    /// The stable word for why not.
    pub code: Option<ReasonCode>,
    /// Why, in words.
    pub what: String,
    /// The admin socket for which it is so.
    pub socket: Option<Address>,
    /// Why HAProxy cannot get it, where that is the reason.
    pub(super) refusal: Option<NoFirstStaple>,
}

/// Whether HAProxy will accept a first staple, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Answer {
    /// The certificate gets no staple.
    #[default]
    NotNeeded,
    /// HAProxy takes responses for the certificate.
    Already,
    /// By a transaction.
    Yes,
    /// HAProxy could not be asked.
    Unknown,
    /// It will not.
    No,
}

impl Answer {
    /// The stable word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::NotNeeded => "not_needed",
            Answer::Already => "already",
            Answer::Yes => "yes",
            Answer::Unknown => "unknown",
            Answer::No => "no",
        }
    }
}

impl Acceptance {
    fn new(answer: Answer, code: Option<ReasonCode>, what: impl Into<String>) -> Self {
        Acceptance { answer, code, what: what.into(), socket: None, refusal: None }
    }

    pub(super) fn refused(why: NoFirstStaple) -> Self {
        Acceptance { refusal: Some(why), ..Acceptance::no(why.code(), why.to_string()) }
    }

    pub(super) fn no(code: ReasonCode, what: impl Into<String>) -> Self {
        Acceptance::new(Answer::No, Some(code), what)
    }

    pub(super) fn unknown(code: ReasonCode, what: impl Into<String>) -> Self {
        Acceptance::new(Answer::Unknown, Some(code), what)
    }

    pub(super) fn yes(what: impl Into<String>) -> Self {
        Acceptance::new(Answer::Yes, None, what)
    }

    pub(super) fn already(what: impl Into<String>) -> Self {
        Acceptance::new(Answer::Already, None, what)
    }

    pub(super) fn not_needed(what: impl Into<String>) -> Self {
        Acceptance::new(Answer::NotNeeded, None, what)
    }
}

/// The findings of a check about a source of certificates.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SourceReport {
    /// Its name: a path, a configuration, or an admin socket.
    pub name: String,
    /// What concerns all of its certificates.
    pub findings: Vec<Finding>,
}

/// The findings of a check about a running HAProxy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessReport {
    /// The admin socket over which it was asked.
    pub socket: Address,
    /// What the process tells of itself, or why it was not asked.
    pub snapshot: Result<ProcessSnapshot, SourceError>,
    /// What concerns all certificates whose staples go to it.
    pub findings: Vec<Finding>,
}

impl CertificateReport {
    /// A report of which only the certificate's name is known.
    pub fn new(certificate: impl Into<String>) -> Self {
        CertificateReport { certificate: certificate.into(), ..CertificateReport::default() }
    }

    /// Whether something about this certificate alone needs the operator.
    pub fn needs_operator(&self) -> bool {
        self.findings.iter().any(Finding::needs_operator)
    }
}

impl Report {
    /// Whether something needs the operator.
    pub fn needs_operator(&self) -> bool {
        self.certificates.iter().any(CertificateReport::needs_operator) || self.general().any(Finding::needs_operator)
    }

    /// What concerns a certificate: its own findings, those of its running HAProxys and that of its source.
    pub fn about<'a>(&'a self, certificate: &'a CertificateReport) -> impl Iterator<Item = &'a Finding> {
        let processes = certificate.processes.iter().filter_map(|&number| self.processes.get(number));
        let source = self.sources.get(certificate.source);
        let own = certificate.findings.iter();
        own.chain(processes.flat_map(|process| &process.findings)).chain(source.into_iter().flat_map(|of| &of.findings))
    }

    /// What was found beside single certificates, each once.
    pub fn general(&self) -> impl Iterator<Item = &Finding> {
        let processes = self.processes.iter().flat_map(|process| &process.findings);
        processes.chain(self.sources.iter().flat_map(|source| &source.findings)).chain(&self.others)
    }
}
