//! What a judgement comes to: in words, in JSON, and as an exit code.

use std::fmt::Write;

use bytes::Bytes;
use serde::Serialize;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::{CertStatus, OcspResponse, revocation_reason};
use stapled_core::reason::ReasonCode;
use stapled_core::staple::{Judgement, Refusal};
use stapled_core::time::Timestamp;
use stapled_haproxy::HaproxySink;

use super::answer::{GOOD, INVALID, REVOKED, UNKNOWN};
use crate::text::{json_line, visible};

/// What a response was found to be. As JSON, its fields are those of the README, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) status: Option<Status>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) stapleable: bool,
    pub(crate) detail: String,
    pub(crate) this_update: Option<String>,
    pub(crate) next_update: Option<String>,
    pub(crate) produced_at: Option<String>,
    pub(crate) responder: Option<String>,
    pub(crate) delegated: bool,
    pub(crate) signature_algorithm: Option<String>,
    pub(crate) serial: Option<String>,
    /// The name of the certificate in question.
    #[serde(skip)]
    certificate: Option<String>,
    #[serde(skip)]
    warnings: Vec<String>,
}

/// Whether the response is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Valid,
    Invalid,
}

/// What a response that is believed says of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Good,
    Revoked,
    Unknown,
}

impl Report {
    /// Of a response that was judged for `chain` at `at`.
    pub(crate) fn of(judged: &Result<Judgement, Refusal>, response: &Bytes, chain: &CertChain, at: Timestamp) -> Self {
        match judged {
            Ok(judgement) => Report::valid(judgement, chain, at),
            Err(refusal) => {
                let invalid = Report::invalid(refusal.code(), refusal.to_string()).about(chain);
                invalid.with_claims(response, chain)
            }
        }
    }

    /// Of what was not even judged, or was refused.
    pub(crate) fn invalid(code: ReasonCode, detail: String) -> Self {
        Report {
            verdict: Verdict::Invalid,
            status: None,
            reason: Some(code.as_str()),
            stapleable: false,
            detail,
            this_update: None,
            next_update: None,
            produced_at: None,
            responder: None,
            delegated: false,
            signature_algorithm: None,
            serial: None,
            certificate: None,
            warnings: Vec::new(),
        }
    }

    /// Of a certificate about which nothing was heard.
    pub(crate) fn nothing(code: ReasonCode, detail: String, chain: &CertChain) -> Self {
        Report::invalid(code, detail).about(chain)
    }

    fn valid(judgement: &Judgement, chain: &CertChain, at: Timestamp) -> Self {
        let facts = &judgement.facts;
        let unfit = match judgement.staple() {
            Some(staple) => HaproxySink::default_requirements().check(staple, at).err().map(|unfit| unfit.to_string()),
            None if facts.foreign_delegate => {
                Some("the responder's certificate is not in the response, so clients could not verify it".to_owned())
            }
            None => None,
        };
        let (status, detail) = match judgement.status {
            CertStatus::Good => (
                Status::Good,
                match &unfit {
                    None => "the certificate is good".to_owned(),
                    Some(unfit) => format!("the certificate is good, but this cannot be stapled: {unfit}"),
                },
            ),
            CertStatus::Revoked { at, reason } => {
                let reason = match reason.map(|number| (number, revocation_reason(number))) {
                    None => String::new(),
                    Some((_, Some(name))) => format!(" ({name})"),
                    Some((number, None)) => format!(" (reason {number})"),
                };
                (Status::Revoked, format!("the certificate was revoked at {at}{reason}"))
            }
            _ => (Status::Unknown, "the responder does not know the certificate".to_owned()),
        };
        Report {
            verdict: Verdict::Valid,
            status: Some(status),
            reason: None,
            stapleable: status == Status::Good && unfit.is_none(),
            detail,
            this_update: Some(facts.this_update.to_string()),
            next_update: facts.next_update.map(|at| at.to_string()),
            produced_at: Some(facts.produced_at.to_string()),
            responder: Some(facts.responder.clone()),
            delegated: facts.delegated,
            signature_algorithm: Some(facts.signature_algorithm.to_owned()),
            serial: None,
            certificate: None,
            warnings: facts.warnings.clone(),
        }
        .about(chain)
    }

    fn about(mut self, chain: &CertChain) -> Self {
        self.serial = Some(chain.end_entity().serial_hex());
        self.certificate = Some(chain.end_entity().name().to_owned());
        self
    }

    /// The same, with what a refused response says of itself, where it can be read and says one thing. Who signed it is
    /// not among that: nobody knows.
    fn with_claims(mut self, response: &Bytes, chain: &CertChain) -> Self {
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { return self };
        self.produced_at = Some(basic.produced_at.to_string());
        self.signature_algorithm = Some(basic.signature_algorithm_name());
        let mut answers = basic.responses.iter().filter(|single| chain.is_named_by(&single.cert_id));
        if let (Some(answer), None) = (answers.next(), answers.next()) {
            self.this_update = Some(answer.this_update.to_string());
            self.next_update = answer.next_update.map(|at| at.to_string());
        }
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self.status {
            None => INVALID,
            Some(Status::Good) => GOOD,
            Some(Status::Revoked) => REVOKED,
            Some(Status::Unknown) => UNKNOWN,
        }
    }

    /// As one line of JSON.
    pub(crate) fn json(&self) -> String {
        json_line(self)
    }

    /// As lines for people.
    pub(crate) fn in_words(&self) -> String {
        let verdict = match (self.status, self.reason) {
            (Some(Status::Good), _) => "good".to_owned(),
            (Some(Status::Revoked), _) => "REVOKED".to_owned(),
            (Some(Status::Unknown), _) => "unknown".to_owned(),
            (None, reason) => format!("INVALID ({})", reason.unwrap_or_default()),
        };
        let mut words = format!("{verdict}: {}\n", visible(&self.detail));
        let certificate = self.certificate.as_deref().map(|name| match &self.serial {
            Some(serial) => format!("{name}, serial number {serial}"),
            None => name.to_owned(),
        });
        let responder = self.responder.as_deref().map(|name| match self.delegated {
            true => format!("{name}, a delegate of the issuer"),
            false => format!("{name}, the issuer itself"),
        });
        let stapleable = self.status.map(|_| if self.stapleable { "yes" } else { "no" }.to_owned());
        for (name, value) in [
            ("certificate", certificate),
            ("thisUpdate", self.this_update.clone()),
            ("nextUpdate", self.next_update.clone()),
            ("producedAt", self.produced_at.clone()),
            ("responder", responder),
            ("signature", self.signature_algorithm.clone()),
            ("stapleable", stapleable),
        ] {
            if let Some(value) = value {
                let _ = writeln!(words, "  {name:<12} {}", visible(&value)); // a String takes everything
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(words, "  {:<12} {}", "odd", visible(warning));
        }
        words
    }
}
