//! The states of places, certificates and deliveries, as the inventory returns them.

use std::sync::Arc;

use crate::chain::CertChain;
use crate::event::About;
use crate::event::faults::PlaceFault;
use crate::ocsp::CertStatus;
use crate::reason::ReasonCode;
use crate::sink::failure::SinkFailure;
use crate::source::SourceProblem;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// The state of a place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlaceStatus {
    /// Its name; for a file, its path.
    pub name: Arc<str>,
    /// Whether its source listed a directory and found it there, so that it may be a file of another kind.
    pub is_listed: bool,
    /// What the place holds.
    pub state: PlaceState,
    /// Since when.
    pub since: Timestamp,
    /// When the place is read again, if it is read before it changes.
    pub again: Option<Timestamp>,
}

/// A part of a source that cannot be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProblemStatus {
    /// The part, and the reason.
    pub problem: SourceProblem,
    /// Since when.
    pub since: Timestamp,
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceState {
    /// The place was found and is not parsed yet.
    Pending,
    /// The place holds certificates of CAs only.
    OnlyCaCertificates,
    /// A file in a directory that is of another kind, such as that of a private key.
    OtherKind,
    /// A certificate whose stapling is turned off.
    Off(Arc<About>),
    /// A certificate without an OCSP URL: it gets no staple and needs none.
    NotApplicable(Arc<About>),
    /// A must-staple certificate without an OCSP URL.
    MustStapleWithoutUrl(Arc<About>),
    /// A certificate whose validity is over.
    Expired(Arc<About>),
    /// The place should get a staple and gets none.
    Problem {
        /// The certificate, if it could be read.
        about: Option<Arc<About>>,
        /// What is wrong.
        fault: PlaceFault,
        /// The same in words, and what to do.
        what: String,
    },
    /// The certificate with this subject.
    Holds(Subject),
}

impl PlaceState {
    /// The certificate, if this is the state of one that gets no staple.
    pub fn about(&self) -> Option<&Arc<About>> {
        match self {
            PlaceState::Off(about)
            | PlaceState::NotApplicable(about)
            | PlaceState::MustStapleWithoutUrl(about)
            | PlaceState::Expired(about) => Some(about),
            PlaceState::Problem { about, .. } => about.as_ref(),
            PlaceState::Pending | PlaceState::OnlyCaCertificates | PlaceState::OtherKind | PlaceState::Holds(_) => None,
        }
    }
}

/// The state of a certificate that wants a staple.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// The certificate.
    pub about: Arc<About>,
    /// The certificate and its issuer.
    pub chain: Arc<CertChain>,
    /// Its state with the CA.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// When its CA is asked next.
    pub next: Option<Timestamp>,
    /// When its CA last said that the certificate is good. Of a staple from an earlier process, its thisUpdate.
    pub renewed: Option<Timestamp>,
    /// The staple that is held.
    pub staple: Option<Arc<Staple>>,
    /// The state of its delivery to each of its sinks.
    pub deliveries: Vec<DeliveryStatus>,
}

/// The state of a certificate's delivery to one sink.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliveryStatus {
    /// The sink's name.
    pub sink: Arc<str>,
    /// The state.
    pub state: DeliveryState,
    /// Since when.
    pub since: Timestamp,
    /// When the server last took a staple that it was not known to serve.
    pub delivered: Option<Timestamp>,
    /// When the next attempt is due, after a failure.
    pub again: Option<Timestamp>,
    /// Whether clients notice now if the staple is missing there. They do not where only the next start of a server needs
    /// it ([`StapleSink::is_live`](crate::sink::StapleSink::is_live)) and a running server wants the certificate, too.
    pub is_felt: bool,
    /// The end of the staple that is in service there, if there is one.
    pub served_until: Option<Timestamp>,
}

/// The state of a certificate with its CA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// The CA was not asked yet.
    Waiting,
    /// The last renewal brought a staple, or a recycled one is still good.
    Good,
    /// The last renewal failed. A staple may still be held.
    Failing {
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
        /// How many renewals in a row failed.
        attempts: u32,
    },
    /// The CA has revoked the certificate.
    Revoked {
        /// The status in the CA's response.
        status: CertStatus,
    },
    /// Its validity is over.
    Expired,
    /// No place holds the certificate any more.
    Retired,
}

/// What a sink has of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// The sink has nothing yet.
    #[default]
    Pending,
    /// The staple is in service.
    Confirmed,
    /// The sink does not serve the certificate.
    NotWanted {
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
    },
    /// The last delivery or withdrawal failed.
    Failed {
        /// The kind of the failure.
        failure: SinkFailure,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words, and what to do.
        what: String,
    },
    /// The staple was taken out of service.
    Withdrawn,
}
