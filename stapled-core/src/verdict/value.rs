//! The verdict itself.

use bytes::Bytes;

use crate::chain::CertChain;
use crate::ocsp::{CertStatus, OcspResponse};
use crate::reason::ReasonCode;
use crate::sink::Requirements;
use crate::staple::{Judgement, Refusal};
use crate::time::Timestamp;

/// The verdict on a response for one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The status of the certificate, where the response is believed; otherwise the reason code of its refusal.
    pub status: Result<CertStatus, ReasonCode>,
    /// Whether the response can be stapled now.
    pub stapleable: bool,
    /// The verdict in words.
    pub detail: String,
    /// thisUpdate: the time at which the CA knew the status.
    pub this_update: Option<Timestamp>,
    /// Until when the response holds.
    pub next_update: Option<Timestamp>,
    /// When the response was signed.
    pub produced_at: Option<Timestamp>,
    /// The signer, where the response is believed.
    pub responder: Option<String>,
    /// Whether the signer is a delegate of the issuer.
    pub delegated: bool,
    /// The algorithm of the signature.
    pub signature_algorithm: Option<String>,
    /// The serial number of the certificate in question, in hexadecimal.
    pub serial: Option<String>,
    /// The name of the certificate in question.
    pub certificate: Option<String>,
    /// What is unusual about the response and no reason to refuse it.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// The fields of the JSON object and their meaning, as text for a manual.
    pub const FIELDS: &str = "\
verdict              \"valid\" or \"invalid\"
  status               \"good\", \"revoked\" or \"unknown\"; null where it is invalid
  reason               a stable word such as \"expired\"; null where it is valid
  stapleable           whether HAProxy would be given it now
  detail               the same in words
  this_update, next_update, produced_at
                       RFC 3339; of an invalid response, what it says itself
  responder            who signed; null where it is invalid
  delegated            whether that is a delegate of the issuer
  signature_algorithm  such as \"ecdsa-with-SHA256\"
  serial               of the certificate, in hexadecimal";

    /// The verdict on a response that was judged for `chain` at `at`; `requirements` are those of the server that would
    /// staple it.
    pub fn of(
        judged: &Result<Judgement, Refusal>,
        response: &Bytes,
        chain: &CertChain,
        at: Timestamp,
        requirements: &Requirements,
    ) -> Self {
        match judged {
            Ok(judgement) => Verdict::valid(judgement, chain, at, requirements),
            Err(refusal) => {
                let invalid = Verdict::invalid(refusal.code(), refusal.to_string()).about(chain);
                invalid.with_claims(response, chain)
            }
        }
    }

    /// The verdict on a response that was refused or could not be judged.
    pub fn invalid(code: ReasonCode, detail: impl Into<String>) -> Self {
        Verdict {
            status: Err(code),
            stapleable: false,
            detail: detail.into(),
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

    fn valid(judgement: &Judgement, chain: &CertChain, at: Timestamp, requirements: &Requirements) -> Self {
        let facts = &judgement.facts;
        let unfit = match judgement.staple() {
            Some(staple) => requirements.check(staple, at).err().map(|unfit| unfit.to_string()),
            None if facts.foreign_delegate => {
                Some("the responder's certificate is not in the response, so clients could not verify it".to_owned())
            }
            None => None,
        };
        let detail = match judgement.status {
            CertStatus::Good => match &unfit {
                None => "the certificate is good".to_owned(),
                Some(unfit) => format!("the certificate is good, but this cannot be stapled: {unfit}"),
            },
            CertStatus::Revoked { at, reason } => {
                let reason = match reason.map(|number| (number, CertStatus::reason_name(number))) {
                    None => String::new(),
                    Some((_, Some(name))) => format!(" ({name})"),
                    Some((number, None)) => format!(" (reason {number})"),
                };
                format!("the certificate was revoked at {at}{reason}")
            }
            _ => "the responder does not know the certificate".to_owned(),
        };
        Verdict {
            status: Ok(judgement.status),
            stapleable: judgement.status == CertStatus::Good && unfit.is_none(),
            detail,
            this_update: Some(facts.this_update),
            next_update: facts.next_update,
            produced_at: Some(facts.produced_at),
            responder: Some(facts.responder.to_string()),
            delegated: facts.delegated,
            signature_algorithm: Some(facts.signature_algorithm.to_owned()),
            serial: None,
            certificate: None,
            warnings: facts.warnings.to_vec(),
        }
        .about(chain)
    }

    /// The same verdict, with the name and serial number of this certificate.
    #[must_use]
    pub fn about(mut self, chain: &CertChain) -> Self {
        self.serial = Some(chain.end_entity().serial_hex());
        self.certificate = Some(chain.end_entity().name().to_owned());
        self
    }

    /// The same verdict, with the unverified times of a refused response, if the response can be read and has one
    /// SingleResponse about the certificate. The signer stays unknown.
    fn with_claims(mut self, response: &Bytes, chain: &CertChain) -> Self {
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { return self };
        self.produced_at = Some(basic.produced_at);
        self.signature_algorithm = Some(basic.signature_algorithm_name());
        let mut answers = basic.responses.iter().filter(|single| chain.is_named_by(&single.cert_id));
        if let (Some(answer), None) = (answers.next(), answers.next()) {
            self.this_update = Some(answer.this_update);
            self.next_update = answer.next_update;
        }
        self
    }
}
