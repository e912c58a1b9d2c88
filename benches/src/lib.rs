//! Benches. Each program in `benches/` prints its figures, with a bare limit from the same run for comparison. This library has the
//! parts that several of them need.

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::sync::Arc;

use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;

pub mod arguments;
pub mod counting_sink;
pub mod growth;
pub mod list;
pub mod usage;

/// The same chain, with an issuer that remembers no delegate from earlier judgements.
pub fn afresh(chain: &CertChain) -> CertChain {
    let issuer = Arc::new(Certificate::clone(chain.issuer()));
    CertChain::new(Arc::clone(chain.end_entity()), issuer).unwrap()
}
