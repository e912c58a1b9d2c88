//! Whether a certificate will get its first staple while HAProxy runs. Pure.

use stapled_core::event::faults::PlaceFault;
use stapled_core::io::file::codes as files;

use super::certificate::Case;
use super::finding::Finding;
use super::inputs::Process;
use super::problem::ProcessProblem;
use super::report::Acceptance;
use crate::codes;
use crate::running::forecast::{FirstStaple, NoFirstStaple};

impl Case<'_> {
    /// Whether HAProxy will accept a first staple while it runs.
    pub(super) fn first_staple(&self) -> Acceptance {
        if self.is_off() {
            return Acceptance::not_needed("its stapling is turned off");
        }
        if !self.wants_staple() {
            let what = "it names no OCSP responder";
            return match self.end_entity.must_staple() {
                true => Acceptance::no(codes::MUST_STAPLE_WITHOUT_URL, what),
                false => Acceptance::not_needed(what),
            };
        }
        if let Some(error) = self.unusable() {
            return Acceptance::no(error.code(), error.to_string());
        }
        let is_fetched = self.rules.fetch_issuers && !self.end_entity.ca_issuers_urls().is_empty();
        if let Some(unsupported) = self.unsupported() {
            return Acceptance::no(unsupported.error.code(), "its issuer's signatures cannot be checked");
        }
        if self.issuer.is_err() && !is_fetched {
            return Acceptance::no(PlaceFault::IssuerMissing.code(), "its issuer is not known");
        }
        if self.item.processes.is_empty() {
            let what = "nothing goes to a running HAProxy: staples are in files, which HAProxy reads when it starts";
            return Acceptance::no(codes::NO_SOCKET, what);
        }
        let firsts = self.item.processes.iter().filter_map(|&number| {
            let process = self.processes.get(number)?;
            Some(Acceptance { socket: Some(process.address.clone()), ..self.at(number, process) })
        });
        // The worst answer of all its HAProxys.
        firsts
            .max_by_key(|first| first.answer)
            .unwrap_or_else(|| Acceptance::unknown(codes::NO_SOCKET, "there is no socket"))
    }

    fn at(&self, number: usize, process: &Process) -> Acceptance {
        let snapshot = match &process.snapshot {
            Ok(snapshot) => snapshot,
            Err(error) => return Acceptance::unknown(error.code, "this HAProxy cannot be asked"),
        };
        let Some(served) = self.loaded_by(number) else {
            return Acceptance::no(codes::NOT_LOADED, "this HAProxy has not loaded it");
        };
        if !served.is(self.end_entity) {
            return Acceptance::no(codes::SERVED_DIFFERS, "this HAProxy has loaded another certificate from its file");
        }
        let fetched = if self.issuer.is_err() { ", once its issuer is fetched" } else { "" };
        let Some(first) = snapshot.first_staple(served, process.transactions) else {
            return Acceptance::unknown(codes::SOCKET_LEVEL, "this HAProxy does not tell the level of the socket");
        };
        let other = "HAProxy takes another certificate of the issuer's name for the issuer";
        match first {
            FirstStaple::TakesResponses if self.is_mistaken(served) => Acceptance::no(files::WRONG_ISSUER_FIRST, other),
            FirstStaple::Transaction { .. } if self.is_mistaken_in_file() => {
                Acceptance::no(files::WRONG_ISSUER_FIRST, other)
            }
            FirstStaple::TakesResponses => Acceptance::already("HAProxy takes responses for it already"),
            FirstStaple::Transaction { .. } if snapshot.transaction.is_some() => {
                Acceptance::no(codes::FOREIGN_TRANSACTION, "another client is changing certificates of this HAProxy")
            }
            FirstStaple::Transaction { with_issuer: false } => Acceptance::yes(format!("by a transaction{fetched}")),
            FirstStaple::Transaction { with_issuer: true } => {
                Acceptance::yes(format!("by a transaction that brings the issuer along{fetched}"))
            }
            FirstStaple::Refused(why) => Acceptance::refused(why),
        }
    }

    /// A first staple that is not to be brought while HAProxy runs.
    pub(super) fn transactions_off(&self, first: &Acceptance) -> Option<Finding> {
        let Some(NoFirstStaple::TransactionsOff(transactions)) = first.refusal else { return None };
        let problem = ProcessProblem::TransactionsOff { transactions };
        Some(match &first.socket {
            Some(socket) => Finding::at(socket, problem),
            None => Finding::new(problem),
        })
    }
}
