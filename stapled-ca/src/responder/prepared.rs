//! A signed response.

use bytes::Bytes;

use crate::ledger::Status;

/// A signed response, with the values of its HTTP headers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) this_update: i64,
    pub(crate) next_update: i64,
    /// When a newer response is signed, in Unix seconds.
    pub(crate) renew_at: i64,
    /// Until when the response is sent, in Unix seconds: later than `renew_at` if another thread signs the newer one.
    pub(crate) usable_until: i64,
    pub(crate) etag: String,
    /// The status of the first certificate.
    pub(crate) status: Option<Status>,
    /// Whether a certificate in the response was never issued.
    pub(crate) is_unknown: bool,
    /// The position of the authority in the responder.
    pub(crate) served: usize,
}
