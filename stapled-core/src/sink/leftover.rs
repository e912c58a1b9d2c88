//! Responses that a former certificate or a former process left behind.

use crate::chain::CertChain;
use crate::ocsp::{CertId, OcspResponse};
use crate::reason::ReasonCode;
use crate::staple::Refusal;
use crate::time::Timestamp;

/// Why a response can be no staple of this certificate at this time, whoever signed it: code and words. `None` if it may be one,
/// and for what is no OCSP response.
pub(crate) fn leftover(chain: &CertChain, response: &[u8], now: Timestamp) -> Option<(ReasonCode, String)> {
    let basic = match OcspResponse::from_der(response) {
        Ok(OcspResponse::Basic(basic)) => basic,
        Ok(OcspResponse::Error(status)) => {
            let what = format!("it is no answer, but the responder's error {}", status.name());
            return Some((Refusal::ErrorStatus(status).code(), what));
        }
        _ => return None,
    };
    // By a hash that is not supported, a CertID may name any certificate of this serial number.
    let may_be_about =
        |id: &CertId| chain.is_named_by(id) || id.hash().is_none() && id.serial_number() == chain.end_entity().serial();
    let about: Vec<_> = basic.responses.iter().filter(|single| may_be_about(&single.cert_id)).collect();
    if about.is_empty() {
        return Some((ReasonCode::new("no_matching_certid"), "it is about another certificate".to_owned()));
    }
    let ends = about.iter().map(|single| single.next_update).max().flatten()?;
    let is_over = about.iter().all(|single| single.next_update.is_some_and(|next_update| next_update <= now));
    is_over.then(|| (ReasonCode::new("expired"), format!("it ended at {ends}")))
}
