//! What is to be done with the file of a staple.

use stapled_core::reason::ReasonCode;

/// The judgement of a staple's file, and what identifies the file and its certificate.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    pub(super) verdict: Verdict,
    /// The hash of the contents that were judged.
    pub(super) hash: [u8; 32],
    /// The hash of the certificate's DER.
    pub(super) fingerprint: [u8; 32],
}

/// What is to be done with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file is good, or harmless.
    InOrder,
    /// No server may read it: it is removed.
    Remove(Why),
    /// It stays, and the operator must see to it.
    Keep(Why),
}

/// Why a file is removed or stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) code: ReasonCode,
    pub(super) what: String,
}

impl Why {
    pub(super) fn new(code: &'static str, what: impl Into<String>) -> Self {
        Why { code: ReasonCode::new(code), what: what.into() }
    }
}
