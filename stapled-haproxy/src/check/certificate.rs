//! Judges one certificate. Pure.

use std::sync::Arc;

use stapled_core::certificate::Certificate;
use stapled_core::chain::{CertChain, ChainError};
use stapled_core::lookup::IssuerPlace;
use stapled_core::time::Timestamp;

use super::contents::Contents;
use super::finding::Finding;
use super::inputs::Process;
use super::issuer::{Issuer, NotFound};
use super::items::{Item, Origin};
use super::problem::{CertificateProblem, HeldBy, ProcessProblem};
use super::report::{Acceptance, CertificateReport, Description};
use super::rules::Rules;
use crate::cli::name::NameError;
use crate::running::snapshot::ServedCertificate;

/// How many further certificates of a file are named.
const MAX_NAMED: usize = 8;

/// A certificate and everything that was found around it.
pub(super) struct Case<'a> {
    pub(super) item: &'a Item,
    pub(super) contents: &'a Contents,
    pub(super) end_entity: &'a Certificate,
    pub(super) issuer: Result<&'a Issuer, &'a NotFound>,
    pub(super) processes: &'a [Process],
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

/// The report about a certificate.
pub(super) fn report(
    item: &Item,
    contents: &Result<Arc<Contents>, CertificateProblem>,
    issuer: Result<&Issuer, &NotFound>,
    processes: &[Process],
    rules: &Rules,
    now: Timestamp,
) -> CertificateReport {
    let mut report = begun(item, processes);
    let contents = match contents {
        Ok(contents) => contents,
        Err(problem) => {
            report.first_staple = Acceptance::no(problem.code(), "the certificate cannot be read");
            // A directory may hold other files; HAProxy does not load those.
            let problem = match problem.clone() {
                CertificateProblem::NoCertificate { file, error, .. } => {
                    CertificateProblem::NoCertificate { file, error, is_wanted: item.is_served() || !item.is_listed() }
                }
                problem => problem,
            };
            if !item.findings.iter().any(Finding::needs_operator) {
                report.findings.push(problem.into());
            }
            return report;
        }
    };
    let Some(end_entity) = contents.end_entity() else {
        match &contents.broken {
            Some(error) => {
                let problem = CertificateProblem::Malformed { file: item.path_or_name(), error: error.clone() };
                report.first_staple = Acceptance::no(problem.code(), "the certificate cannot be read");
                report.findings.push(problem.into());
            }
            None => {
                report.first_staple = Acceptance::not_needed("it is an authority's, which gets no staple");
                report.findings.push(CertificateProblem::OnlyAuthorities.into());
            }
        }
        return report;
    };
    Case { item, contents, end_entity, issuer, processes, rules, now }.complete(report)
}

/// The report about a certificate of which only the place is known yet.
fn begun(item: &Item, processes: &[Process]) -> CertificateReport {
    let address = |number: &usize| processes.get(*number).map(|process| process.address.clone());
    CertificateReport {
        file: item.file.clone(),
        named_at: item.named_at.clone(),
        source: item.group,
        processes: item.processes.clone(),
        sockets: item.processes.iter().filter_map(address).collect(),
        staple_file: item.staple.clone(),
        findings: item.findings.clone(),
        ..CertificateReport::new(item.name.as_str())
    }
}

/// Whether HAProxy finds the issuer where it looks.
pub(super) fn is_found(place: &IssuerPlace) -> bool {
    !matches!(place, IssuerPlace::Elsewhere | IssuerPlace::Mistaken { .. })
}

impl Case<'_> {
    fn complete(&self, mut report: CertificateReport) -> CertificateReport {
        report.description = Some(self.describe());
        if let Ok(issuer) = self.issuer {
            report.issuer_found_in = Some(issuer.found_in.clone());
            report.issuer_found_by_haproxy = self.item.file.is_some().then(|| is_found(&issuer.place));
        }
        let findings = &mut report.findings;
        findings.extend(self.validity());
        findings.extend(self.url());
        findings.extend(self.several());
        findings.extend(self.name());
        findings.extend(self.item.processes.iter().filter_map(|&number| self.difference(number)));
        findings.extend(self.about_issuer());
        findings.extend(self.writers());
        let (staple, problem) = self.staple();
        findings.extend(problem.map(Finding::new));
        findings.extend(self.writing());
        report.staple = staple;
        report.leftover = self.leftover();
        report.first_staple = self.first_staple();
        report.findings.extend(self.transactions_off(&report.first_staple));
        report
    }

    fn describe(&self) -> Description {
        let certificate = self.end_entity;
        Description {
            name: certificate.name().to_owned(),
            serial: certificate.serial_hex(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            must_staple: certificate.must_staple(),
            issuer: certificate.issuer_in_full(),
            ocsp_urls: certificate.ocsp_urls().to_vec(),
            asked_urls: self.rules.overrides.urls_of(certificate),
        }
    }

    pub(super) fn is_off(&self) -> bool {
        self.rules.overrides.is_off(self.end_entity)
    }

    pub(super) fn wants_staple(&self) -> bool {
        !self.is_off() && !self.rules.overrides.urls_of(self.end_entity).is_empty()
    }

    /// Why the certificate gets no staple.
    pub(super) fn unusable(&self) -> Option<ChainError> {
        CertChain::check_certificate(self.end_entity, self.now).err()
    }

    fn validity(&self) -> Option<Finding> {
        let error = self.unusable()?;
        if matches!(error, ChainError::NotForServers { .. }) && !self.wants_staple() {
            return None;
        }
        let (name, is_served) = (self.end_entity.name().to_owned(), self.item.is_served());
        Some(CertificateProblem::Unusable { error, name, is_served }.into())
    }

    fn url(&self) -> Option<Finding> {
        if self.is_off() {
            return Some(CertificateProblem::Off.into());
        }
        let problem = match self.end_entity.must_staple() {
            true => CertificateProblem::MustStapleWithoutUrl,
            false => CertificateProblem::NoOcspUrl,
        };
        (!self.wants_staple()).then(|| problem.into())
    }

    /// Further end-entity certificates in the file.
    fn several(&self) -> Option<Finding> {
        let is_other = |one: &&Arc<Certificate>| !one.is_ca() && one.fingerprint() != self.end_entity.fingerprint();
        let others: Vec<String> = self
            .contents
            .certificates
            .iter()
            .filter(is_other)
            .map(|one| one.name().to_owned())
            .take(MAX_NAMED)
            .collect();
        let served = self.end_entity.name().to_owned();
        (!others.is_empty()).then(|| CertificateProblem::Several { served, others }.into())
    }

    fn name(&self) -> Option<Finding> {
        let error = NameError::check(&self.item.name).err().filter(|_| !self.item.processes.is_empty())?;
        Some(CertificateProblem::UnusableName { error }.into())
    }

    /// The difference between a running HAProxy and the file.
    fn difference(&self, number: usize) -> Option<Finding> {
        let process = self.processes.get(number)?;
        let snapshot = process.snapshot.as_ref().ok()?;
        let at = |problem: ProcessProblem| Finding::at(&process.address, problem);
        let Some(served) = self.loaded_by(number) else {
            let is_configured = self.item.origin == Origin::Configuration;
            let named_at = self.item.named_at.clone().filter(|_| is_configured);
            let is_listed = NameError::check(&self.item.name).is_ok();
            return is_listed.then(|| at(ProcessProblem::NotLoaded { pid: snapshot.pid, named_at }));
        };
        if !served.is_used {
            // A certificate that only the process has is missing nowhere.
            let is_meant = matches!(self.item.origin, Origin::Path | Origin::Configuration) && self.wants_staple();
            return is_meant.then(|| at(ProcessProblem::Unused));
        }
        if !self.differs(served) {
            return None;
        }
        // The certificate that is served is read from whichever file holds it.
        let is_nowhere = match self.item.origin {
            Origin::Process | Origin::NotInConfiguration => !served.is(self.end_entity),
            Origin::Configuration => !process.holds(&served.name),
            Origin::Path => false,
        };
        Some(at(ProcessProblem::ServedDiffers {
            in_file: self.file_serial(),
            served: served.serial.clone(),
            held_by: if is_nowhere { HeldBy::Nothing } else { HeldBy::AnotherFile },
        }))
    }

    pub(super) fn loaded_by(&self, number: usize) -> Option<&ServedCertificate> {
        self.item.loaded.iter().find(|(of, _)| *of == number).map(|(_, served)| served)
    }

    /// Whether the file of a loaded certificate holds another one.
    pub(super) fn differs(&self, served: &ServedCertificate) -> bool {
        match self.item.origin {
            // The contents may be those of a copy of the certificate that is served.
            Origin::Process | Origin::NotInConfiguration => served.file.is_some() && !served.is_in_file,
            _ => !served.is(self.end_entity),
        }
    }

    fn file_serial(&self) -> Option<String> {
        let is_file = !matches!(self.item.origin, Origin::Process | Origin::NotInConfiguration)
            || self.item.loaded.iter().all(|(_, served)| !served.is(self.end_entity));
        is_file.then(|| self.end_entity.serial_hex())
    }

    fn writers(&self) -> Option<Finding> {
        (self.item.updates_itself && self.wants_staple()).then(|| CertificateProblem::TwoWriters.into())
    }
}
