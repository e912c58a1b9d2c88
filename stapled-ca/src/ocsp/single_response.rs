//! SingleResponse: the status of one certificate.

use crate::clock::DAY;
use crate::der;

/// The default time from thisUpdate to nextUpdate, in seconds.
const VALIDITY: i64 = 7 * DAY;

/// The fields of a SingleResponse (RFC 6960, 4.2.1), DER.
#[derive(Clone, Debug, Default)]
pub(crate) struct SingleResponse {
    pub(crate) cert_id: Vec<u8>,
    pub(crate) cert_status: Vec<u8>,
    pub(crate) this_update: Option<Vec<u8>>,
    pub(crate) this_update_seconds: Option<i64>,
    pub(crate) next_update: NextUpdate,
    pub(crate) extensions: Vec<Vec<u8>>,
}

/// The nextUpdate of a SingleResponse.
#[derive(Clone, Debug, Default)]
pub(crate) enum NextUpdate {
    /// [`VALIDITY`] after thisUpdate.
    #[default]
    Default,
    At(Vec<u8>),
    Absent,
}

impl SingleResponse {
    /// The SingleResponse, DER. Times that are not set count from `now`.
    pub(crate) fn to_der(&self, now: i64) -> Vec<u8> {
        let this_update = self.this_update_seconds.unwrap_or(now);
        let mut fields = vec![
            self.cert_id.clone(),
            self.cert_status.clone(),
            self.this_update.clone().unwrap_or_else(|| der::generalized_time(this_update)),
        ];
        match &self.next_update {
            NextUpdate::Default => fields.push(der::explicit(0, &der::generalized_time(this_update + VALIDITY))),
            NextUpdate::At(bytes) => fields.push(der::explicit(0, bytes)),
            NextUpdate::Absent => {}
        }
        if !self.extensions.is_empty() {
            fields.push(der::explicit(1, &der::sequence(&self.extensions)));
        }
        der::sequence(&fields)
    }
}
