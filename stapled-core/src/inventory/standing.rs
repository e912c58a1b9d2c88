//! How places, certificates and deliveries stand: what the inventory tells.

use std::sync::Arc;

use crate::chain::CertChain;
use crate::event::About;
use crate::ocsp::CertStatus;
use crate::place_fault::PlaceFault;
use crate::reason::ReasonCode;
use crate::sink::SinkFailure;
use crate::source::SourceProblem;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// How a place stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlaceStatus {
    /// Its name; for a file, its path.
    pub name: Arc<str>,
    /// What is there.
    pub state: PlaceState,
    /// Since when.
    pub since: Timestamp,
    /// When it is looked at again, if not only when it changes.
    pub again: Option<Timestamp>,
}

/// A part of a source that cannot be looked at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProblemStatus {
    /// Which part, and why.
    pub problem: SourceProblem,
    /// Since when.
    pub since: Timestamp,
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceState {
    /// It was found and not looked into yet.
    Pending,
    /// Certificates of CAs only.
    OnlyCaCertificates,
    /// A certificate without an OCSP URL: no staple, and no need of one.
    NotApplicable(Arc<About>),
    /// A must-staple certificate without an OCSP URL.
    MustStapleWithoutUrl(Arc<About>),
    /// A certificate whose validity is over.
    Expired(Arc<About>),
    /// Something that gets no staple, and should.
    Problem {
        /// The certificate, as far as it could be read.
        about: Option<Arc<About>>,
        /// What is wrong.
        fault: PlaceFault,
        /// The same in words, and what to do.
        what: String,
    },
    /// This certificate.
    Holds(Subject),
}

/// How a certificate stands that wants a staple.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// Which.
    pub about: Arc<About>,
    /// The certificate and its issuer.
    pub chain: Arc<CertChain>,
    /// How it stands.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// When its CA is asked next.
    pub next: Option<Timestamp>,
    /// The staple that is held.
    pub staple: Option<Arc<Staple>>,
    /// What each of its sinks has.
    pub deliveries: Vec<DeliveryStatus>,
}

/// What one sink has of a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliveryStatus {
    /// The sink's name.
    pub sink: Arc<str>,
    /// How it stands.
    pub state: DeliveryState,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again, after a failure.
    pub again: Option<Timestamp>,
    /// Until when the staple lasts that is in service there, if one is.
    pub served_until: Option<Timestamp>,
}

/// How a certificate stands with its CA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing was asked yet.
    Waiting,
    /// The last renewal brought a staple, or the kept one is still good.
    Good,
    /// The last renewal failed; a staple may be held all the same.
    Failing {
        /// The stable word for why.
        code: ReasonCode,
        /// Why.
        what: String,
        /// How many tries in a row.
        attempts: u32,
    },
    /// Its CA has revoked it.
    Revoked {
        /// What the CA says.
        status: CertStatus,
    },
    /// Its validity is over.
    Expired,
    /// It lies nowhere any more.
    Retired,
}

/// What a sink has of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// Nothing yet.
    #[default]
    Pending,
    /// The staple is in service.
    Confirmed,
    /// The sink has nothing to do with it.
    NotWanted {
        /// The stable word for why.
        code: ReasonCode,
        /// Why.
        what: String,
    },
    /// The last delivery or withdrawal failed.
    Failed {
        /// The kind of the failure.
        failure: SinkFailure,
        /// The stable word for why.
        code: ReasonCode,
        /// Why, and what to do.
        what: String,
    },
    /// The staple was taken out of service.
    Withdrawn,
}
