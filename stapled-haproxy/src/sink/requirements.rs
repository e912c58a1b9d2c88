//! Which staples HAProxy takes and serves.

use std::time::Duration;

use stapled_core::ocsp::CertIdHash;
use stapled_core::sink::Requirements;

use crate::instance::writer::BATCH;

/// How long before nextUpdate HAProxy stops stapling a response.
pub(crate) const MARGIN: Duration = Duration::from_secs(300);

/// The requirements of a HAProxy whose buffer takes responses of this size in bytes.
pub(crate) fn requirements(max_size: usize) -> Requirements {
    let mut requirements = Requirements::default();
    requirements.cert_id_hash = Some(CertIdHash::Sha1);
    requirements.single_response = true;
    requirements.next_update = true;
    requirements.max_size = max_size;
    requirements.margin = MARGIN;
    requirements.concurrency = BATCH;
    requirements
}
