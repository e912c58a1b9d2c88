//! What is shown of a certificate.

use serde::Serialize;
use stapled_core::certificate::name_in_full;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::IssuerPlace;
use stapled_core::time::Timestamp;

use super::certificate::Case;
use super::finding::Finding;
use super::inputs::Process;
use super::items::Item;

/// A certificate, and what there is to say of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) certificate: String,
    pub(super) file: Option<String>,
    pub(super) named_at: Option<String>,
    /// By their places among the processes.
    pub(super) processes: Vec<usize>,
    pub(super) group: usize,
    pub(super) sockets: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
    pub(super) must_staple: bool,
    pub(super) issuer: Option<String>,
    pub(super) issuer_found_in: Option<String>,
    pub(super) issuer_found_by_haproxy: Option<bool>,
    pub(super) ocsp_urls: Vec<String>,
    /// The URLs that are asked, where these are others.
    pub(super) asked_urls: Option<Vec<String>>,
    pub(super) staple_file: Option<String>,
    /// What that holds; none: it is not there.
    pub(super) staple: Option<&'static str>,
    pub(super) staple_until: Option<Timestamp>,
    pub(super) first_staple: First,
    pub(super) problems: Vec<Finding>,
}

/// Whether HAProxy will accept a first staple at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) answer: Answer,
    pub(super) code: Option<ReasonCode>,
    pub(super) what: String,
    /// The socket at which it stands so.
    pub(super) about: Option<String>,
}

/// In order: what comes last is worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    NotNeeded,
    Already,
    Yes,
    Unknown,
    No,
}

impl First {
    fn of(answer: Answer, code: Option<ReasonCode>, what: impl Into<String>) -> Self {
        First { answer, code, what: what.into(), about: None }
    }

    pub(super) fn no(code: ReasonCode, what: impl Into<String>) -> Self {
        First::of(Answer::No, Some(code), what)
    }

    pub(super) fn unknown(code: ReasonCode, what: impl Into<String>) -> Self {
        First::of(Answer::Unknown, Some(code), what)
    }

    pub(super) fn yes(what: impl Into<String>) -> Self {
        First::of(Answer::Yes, None, what)
    }

    pub(super) fn already(what: impl Into<String>) -> Self {
        First::of(Answer::Already, None, what)
    }

    pub(super) fn not_needed(what: impl Into<String>) -> Self {
        First::of(Answer::NotNeeded, None, what)
    }
}

impl Row {
    /// Of a certificate of which nothing is known yet but where it is.
    pub(super) fn of(item: &Item, processes: &[Process]) -> Self {
        let address = |number: &usize| processes.get(*number).map(|process| process.address.to_string());
        Row {
            certificate: item.name.clone(),
            file: item.file.as_ref().map(|file| file.display().to_string()),
            named_at: item.named_at.clone(),
            processes: item.processes.clone(),
            group: item.group,
            sockets: item.processes.iter().filter_map(address).collect(),
            name: None,
            serial: None,
            not_before: None,
            not_after: None,
            must_staple: false,
            issuer: None,
            issuer_found_in: None,
            issuer_found_by_haproxy: None,
            ocsp_urls: Vec::new(),
            asked_urls: None,
            staple_file: item.staple.as_ref().map(|staple| staple.display().to_string()),
            staple: None,
            staple_until: None,
            first_staple: First::not_needed(""),
            problems: item.findings.clone(),
        }
    }

    /// Takes what the certificate says, and who issued it.
    pub(super) fn describe(&mut self, case: &Case<'_>) {
        let certificate = case.end_entity;
        self.name = Some(certificate.name().to_owned());
        self.serial = Some(certificate.serial_hex());
        self.not_before = Some(certificate.not_before());
        self.not_after = Some(certificate.not_after());
        self.must_staple = certificate.must_staple();
        self.ocsp_urls = certificate.ocsp_urls().to_vec();
        let asked = case.rules.overrides.urls_of(certificate);
        self.asked_urls = (asked != self.ocsp_urls).then_some(asked);
        self.issuer = Some(name_in_full(certificate.issuer()));
        if let Ok(issuer) = case.issuer {
            self.issuer_found_in = Some(issuer.found_in.display().to_string());
            self.issuer_found_by_haproxy = self.file.is_some().then_some(is_found(&issuer.place));
        }
    }

    /// Whether something about it alone needs the operator.
    pub(super) fn needs_operator(&self) -> bool {
        self.problems.iter().any(|finding| finding.needs_operator)
    }
}

/// Whether HAProxy finds the issuer where it looks.
pub(super) fn is_found(place: &IssuerPlace) -> bool {
    !matches!(place, IssuerPlace::Elsewhere | IssuerPlace::Mistaken { .. })
}

impl Item {
    /// How it is called in messages.
    pub(super) fn path_or_name(&self) -> String {
        self.file.as_ref().map_or_else(|| self.name.clone(), |file| file.display().to_string())
    }
}
