//! Judges where a certificate's issuer lies, and which certificate HAProxy takes for it. Pure.

use std::path::Path;
use std::sync::Arc;

use stapled_core::certificate::Certificate;
use stapled_core::chain::issuance::Issuance;
use stapled_core::io::certificate_file::IssuerFile;
use stapled_core::lookup::IssuerPlace;
use stapled_core::ocsp::CertIdHash;

use super::certificate::{Case, is_found};
use super::finding::Finding;
use super::issuer::{Issuer, Unsupported};
use super::items::Origin;
use super::problem::{IssuerProblem, OtherIssuer};
use super::rules::StapleFiles;
use crate::running::snapshot::ServedCertificate;

impl Case<'_> {
    pub(super) fn about_issuer(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        findings.extend(self.wrong_issuer_file().map(|file| self.about_wrong_file(file).into()));
        if self.is_staple_there() && self.is_issuer_hidden() {
            let problem = IssuerProblem::StapleWithoutIssuer {
                staple: self.item.staple.clone().unwrap_or_default(),
                certificate: self.item.path_or_name(),
                is_configured: self.item.origin == Origin::Configuration,
            };
            findings.push(problem.into());
        }
        if !self.wants_staple() || self.unusable().is_some() {
            return findings;
        }
        match self.issuer {
            Err(_) => findings.push(match self.unsupported() {
                // Nothing is advised that could take HAProxy's issuer away.
                Some(unsupported) => IssuerProblem::Unsupported { error: unsupported.error.clone() }.into(),
                None => self.missing_issuer().into(),
            }),
            Ok(issuer) => match &issuer.place {
                IssuerPlace::Mistaken { chains } => {
                    findings.extend(self.mistaken_issuer(issuer, chains.as_deref()));
                }
                IssuerPlace::Elsewhere if self.wrong_issuer_file().is_none() => {
                    findings.extend(self.hidden_issuer(issuer));
                }
                _ => findings.extend(self.item.processes.iter().filter_map(|&number| self.mistaken_at(number))),
            },
        }
        findings
    }

    /// HAProxy takes another certificate for the issuer, so no staple fits.
    fn mistaken_issuer(&self, issuer: &Issuer, chains: Option<&Path>) -> Option<Finding> {
        let file = self.item.file.clone()?;
        let (found_in, chains) = (issuer.found_in.clone(), chains.map(Path::to_owned));
        Some(IssuerProblem::MistakenInFile { file, found_in, chains }.into())
    }

    /// The file is right, and a running HAProxy has another certificate for the issuer.
    fn mistaken_at(&self, number: usize) -> Option<Finding> {
        let process = self.processes.get(number)?;
        let served = self.loaded_by(number).filter(|served| !self.differs(served) && self.is_mistaken(served))?;
        Some(Finding::at(&process.address, IssuerProblem::MistakenByProcess { name: served.name.clone() }))
    }

    /// Whether a running HAProxy looks for its staples by another CertID than they have.
    pub(super) fn is_mistaken(&self, served: &ServedCertificate) -> bool {
        let right = |issuer: &Issuer| issuer.chain.cert_id(CertIdHash::Sha1).to_der();
        !served.cert_id.is_empty() && self.issuer.is_ok_and(|issuer| right(issuer) != served.cert_id)
    }

    pub(super) fn unsupported(&self) -> Option<&Unsupported> {
        self.issuer.err()?.unsupported.as_deref()
    }

    fn about_wrong_file(&self, file: &IssuerFile) -> IssuerProblem {
        let first = file.first.as_ref().map(|first| match self.end_entity.seems_issued_by(first) {
            true => OtherIssuer::SameName(first.name().to_owned()),
            false => OtherIssuer::OtherName(first.name().to_owned()),
        });
        // The chain in the certificate's file comes first, and is right.
        let is_harmless = self.issuer.is_ok_and(|issuer| is_found(&issuer.place));
        IssuerProblem::WrongIssuerFile { file: file.path.clone(), first, is_harmless }
    }

    fn missing_issuer(&self) -> IssuerProblem {
        let other = self.contents.certificates.iter().find(|one| self.end_entity.seems_issued_by(one));
        let url = self.end_entity.ca_issuers_urls().first().filter(|_| self.rules.fetch_issuers);
        IssuerProblem::Missing {
            issuer: self.end_entity.issuer_in_full(),
            certificate: self.item.path_or_name(),
            beside: self.contents.around.beside_path.clone(),
            chains: self.contents.around.chains.as_ref().map(|(directory, _)| directory.clone()),
            fetched: self.rules.issuer_directory.clone(),
            other: other.map(|other| other.serial_hex()),
            url: url.cloned(),
        }
    }

    /// The stapler knows the issuer, and HAProxy would not find it. A certificate without a file has no staple file.
    fn hidden_issuer(&self, issuer: &Issuer) -> Option<Finding> {
        let file = self.item.file.clone()?;
        let staple_dir = match &self.rules.staple_files {
            StapleFiles::In(directory) => Some(directory.clone()),
            _ => None,
        };
        let (found_in, has_socket) = (issuer.found_in.clone(), !self.item.processes.is_empty());
        Some(IssuerProblem::Hidden { file, found_in, staple_dir, has_socket }.into())
    }

    fn wrong_issuer_file(&self) -> Option<&IssuerFile> {
        let file = self.contents.around.issuer_file.as_ref()?;
        // An issuer that cannot be checked is not wrong: without it, HAProxy may have none.
        let is_wrong = |first: &Arc<Certificate>| Issuance::of(self.end_entity, first) == Issuance::Wrong;
        file.first.as_ref().is_none_or(is_wrong).then_some(file)
    }

    /// Whether HAProxy would not find the issuer when it loads the file.
    pub(super) fn is_issuer_hidden(&self) -> bool {
        let place = match (self.issuer, self.unsupported()) {
            (Ok(issuer), _) => Some(&issuer.place),
            (Err(_), unsupported) => unsupported.map(|unsupported| &unsupported.place),
        };
        self.item.file.is_some() && place.is_none_or(|place| *place == IssuerPlace::Elsewhere)
    }

    /// Whether HAProxy takes another certificate for the issuer when it loads the file.
    pub(super) fn is_mistaken_in_file(&self) -> bool {
        self.issuer.is_ok_and(|issuer| matches!(issuer.place, IssuerPlace::Mistaken { .. }))
    }
}
