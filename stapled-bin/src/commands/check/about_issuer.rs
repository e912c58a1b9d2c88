//! What there is to say of a certificate's issuer, and of whom HAProxy takes for it. Pure.

use std::path::Path;
use std::sync::Arc;

use stapled_core::certificate::{Certificate, name_in_full};
use stapled_core::io::file::codes as files;
use stapled_core::issuance::{Issuance, seems_issued};
use stapled_core::ocsp::CertIdHash;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::IssuerPlace;
use stapled_haproxy::ServedCertificate;

use super::certificate::Case;
use super::contents::IssuerFile;
use super::finding::{Finding, codes};
use super::issuer::{Issuer, Unsupported};
use super::items::Origin;
use super::row::is_found;
use crate::configuration::StapleFiles;

impl Case<'_> {
    pub(super) fn about_issuer(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let path = self.item.path_or_name();
        findings.extend(self.wrong_issuer_file().map(|file| self.about_wrong_file(file)));
        if self.is_staple_there() && self.is_issuer_hidden() {
            let staple = self.item.staple.as_deref().unwrap_or(Path::new("")).display();
            let mut remedy = format!("remove {staple}, or append the issuer's certificate to {path}");
            if self.item.origin != Origin::Configuration {
                remedy.push_str(
                    "; where `issuers-chain-path` has it, name HAProxy's configuration with --haproxy-config",
                );
            }
            findings.push(Finding::problem(
                codes::STAPLE_WITHOUT_ISSUER,
                format!("{staple} is there, and HAProxy does not find the issuer of {path}: it will not start"),
                remedy,
            ));
        }
        if !self.wants_staple() || self.unusable().is_some() {
            return findings;
        }
        match self.issuer {
            Err(_) => match self.unsupported() {
                Some(unsupported) => findings.push(unsupported_issuer(unsupported)),
                None => findings.push(self.missing_issuer(&path)),
            },
            Ok(issuer) => match &issuer.place {
                IssuerPlace::Mistaken { chains } => {
                    findings.extend(self.mistaken_issuer(&path, issuer, chains.as_deref()));
                }
                IssuerPlace::Elsewhere if self.wrong_issuer_file().is_none() => {
                    findings.extend(self.hidden_issuer(&path, issuer));
                }
                _ => findings.extend(self.item.processes.iter().filter_map(|&number| self.mistaken_at(number))),
            },
        }
        findings
    }

    /// HAProxy takes another certificate for the issuer, and is given no staple then.
    fn mistaken_issuer(&self, path: &str, issuer: &Issuer, chains: Option<&Path>) -> Option<Finding> {
        self.item.file.as_ref()?;
        let found = issuer.found_in.display();
        let (what, remedy) = match chains {
            Some(directory) => (
                format!("takes a certificate in {} for its issuer", directory.display()),
                format!("append the issuer's certificate (from {found}) to {path}, or remove the other one there"),
            ),
            None if issuer.found_in == Path::new(path) => (
                "takes the first certificate of its issuer's name in it for the issuer".to_owned(),
                "put the issuer's certificate before the other one of that name, or remove the other one".to_owned(),
            ),
            None => (
                "takes a certificate in it for the issuer".to_owned(),
                format!("put the issuer's certificate (from {found}) in the place of the other one of that name"),
            ),
        };
        Some(Finding::problem(
            files::WRONG_ISSUER_FIRST,
            format!(
                "HAProxy {what}, which has the issuer's name and did not sign it (as after a CA was renewed with another key): \
                 no staple fits, neither in a file nor over a socket"
            ),
            format!("{remedy}; then reload HAProxy"),
        ))
    }

    /// The file is right, and a running HAProxy has another certificate for the issuer.
    fn mistaken_at(&self, number: usize) -> Option<Finding> {
        let process = self.processes.get(number)?;
        let served = self.loaded_by(number).filter(|served| !self.differs(served) && self.is_mistaken(served))?;
        let what = format!(
            "HAProxy has loaded {} with another certificate of its issuer's name before the issuer: no staple fits",
            served.name
        );
        let remedy = "reload HAProxy; the file is right";
        Some(Finding::problem(files::WRONG_ISSUER_FIRST, what, remedy).about(&process.address))
    }

    /// Whether a running HAProxy looks for its staples by another CertID than they have.
    pub(super) fn is_mistaken(&self, served: &ServedCertificate) -> bool {
        let right = |issuer: &Issuer| issuer.chain.cert_id(CertIdHash::Sha1).to_der();
        !served.cert_id.is_empty() && self.issuer.is_ok_and(|issuer| right(issuer) != served.cert_id)
    }

    pub(super) fn unsupported(&self) -> Option<&Unsupported> {
        self.issuer.err()?.unsupported.as_deref()
    }

    fn about_wrong_file(&self, file: &IssuerFile) -> Finding {
        let path = file.path.display();
        let is_named_so = |first: &Certificate| seems_issued(self.end_entity, first);
        let what = match &file.first {
            Some(first) if is_named_so(first) => format!(
                "{path} holds {}, which has its issuer's name and did not issue it; where no chain in its own file says \
                 otherwise, HAProxy takes it for the issuer, and no staple in a file fits",
                first.name()
            ),
            Some(first) => format!(
                "{path} holds {}, which did not issue it; HAProxy does not start with that and a staple, whatever the chain \
                 says",
                first.name()
            ),
            None => format!(
                "{path} does not begin with a certificate in PEM; HAProxy does not start with that and a staple, whatever the \
                 chain says"
            ),
        };
        let remedy = "put the issuer's certificate into it, or remove it";
        let finding = Finding::problem(codes::WRONG_ISSUER_FILE, what, remedy);
        // The chain in the certificate's file comes first, and is right.
        let is_harmless = self.issuer.is_ok_and(|issuer| is_found(&issuer.place));
        if is_harmless { finding.noted() } else { finding }
    }

    fn missing_issuer(&self, path: &str) -> Finding {
        let issuer = name_in_full(self.end_entity.issuer());
        let beside = self.contents.beside_path.as_deref().map(|beside| format!(", not in {}", beside.display()));
        let chains = self.contents.chains.as_ref().map(|(directory, _)| format!(", not in {}", directory.display()));
        let what = format!(
            "the certificate of its issuer \"{issuer}\" is not in {path}{}{}, not among the other certificates here, and not \
             in {}",
            beside.unwrap_or_default(),
            chains.unwrap_or_default(),
            self.rules.issuer_directory
        );
        let urls = self.end_entity.ca_issuers_urls();
        // What is behind it in the file is never looked at.
        let other = self.contents.certificates.iter().find(|one| seems_issued(self.end_entity, one));
        let append = match other {
            Some(other) => format!(
                "put it in the place of the other certificate of that name in {path} (serial number {})",
                other.serial_hex()
            ),
            None => format!("append it to {path}"),
        };
        match urls.first() {
            Some(url) if self.rules.fetch_issuers => {
                let what = format!("{what}; stapled will fetch it from {url}, where the certificate says it is");
                let remedy = format!("{append}, if HAProxy shall have a staple from its start on");
                Finding::note(codes::ISSUER_TO_BE_FETCHED, what).remedy(remedy)
            }
            _ => Finding::problem(
                ReasonCode::new("issuer_missing"),
                format!("{what}: without it nothing can be asked"),
                match other {
                    Some(_) => append,
                    None => format!("{append}, or write it to {path}.issuer"),
                },
            ),
        }
    }

    /// The daemon knows the issuer, and HAProxy would not find it.
    fn hidden_issuer(&self, path: &str, issuer: &Issuer) -> Option<Finding> {
        // Of what does not lie in a file, nothing is written.
        self.item.file.as_ref()?;
        let found = issuer.found_in.display();
        let instead = match &self.rules.staple_files {
            StapleFiles::In(directory) => format!("writes its staple to {} only", directory.display()),
            _ => "writes no .ocsp file beside it".to_owned(),
        };
        let remedy = format!("append the issuer's certificate to {path}, or write it to {path}.issuer");
        let beginning = format!(
            "HAProxy does not find its issuer, which stapled has from {found}: stapled {instead}, since \
                                 HAProxy would not start"
        );
        Some(match self.item.processes.is_empty() {
            true => Finding::problem(
                files::ISSUER_NOT_FOUND_BY_SERVER,
                format!("{beginning}; and there is no socket, so HAProxy never gets one"),
                remedy,
            ),
            false => Finding::note(
                files::ISSUER_NOT_FOUND_BY_SERVER,
                format!("{beginning}, and brings the issuer with the first staple over the socket"),
            )
            .remedy(format!("{remedy}, if HAProxy shall have a staple from its start on")),
        })
    }

    fn wrong_issuer_file(&self) -> Option<&IssuerFile> {
        let file = self.contents.issuer_file.as_ref()?;
        // What cannot be checked is not wrong: without it, HAProxy may have no issuer.
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

/// Nobody can say whether it is the issuer: so nothing is advised that could take HAProxy's issuer away.
fn unsupported_issuer(unsupported: &Unsupported) -> Finding {
    Finding::problem(
        unsupported.error.code(),
        format!("{}: nothing is asked, since no answer could be checked", unsupported.error),
        "leave the files as they are, and have it issued by a CA that signs with RSA, ECDSA (P-256, P-384, P-521) or Ed25519, if \
         it shall be stapled",
    )
}
