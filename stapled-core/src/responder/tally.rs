//! Counts questions by their result.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// The result of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A staple was sent.
    Good,
    /// The client holds the staple already.
    NotModified,
    /// The issuer may not be asked, or the certificate gets no staple.
    Unauthorized,
    /// There is no staple now.
    TryLater,
    /// The request cannot be read.
    Malformed,
    /// The HTTP request has no OCSP request.
    NotOcsp,
}

/// The results with their names.
const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Good, "good"),
    (Outcome::NotModified, "not_modified"),
    (Outcome::Unauthorized, "unauthorized"),
    (Outcome::TryLater, "try_later"),
    (Outcome::Malformed, "malformed"),
    (Outcome::NotOcsp, "not_ocsp"),
];

/// The numbers of questions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    questions: [AtomicU64; OUTCOMES.len()],
    /// The questions to CAs about certificates that no source has.
    pub(super) asked: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(number) = self.questions.get(outcome as usize) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of questions with each result.
    pub(super) fn questions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.iter().zip(&self.questions).map(|((_, name), number)| (*name, number.load(Ordering::Relaxed)))
    }
}

impl Collector for Tally {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Questions that the responder of `stapled serve` has answered, by their result";
        let mut family = encoder.encode_descriptor("responder_questions", help, None, MetricType::Counter)?;
        for (result, number) in self.questions() {
            let labels = [("result", result)];
            ConstCounter::new(number).encode(family.encode_family(&labels)?)?;
        }
        let help = "Questions to CAs about certificates that no source has";
        let asked = encoder.encode_descriptor("responder_asked", help, None, MetricType::Counter)?;
        ConstCounter::new(self.asked.load(Ordering::Relaxed)).encode(asked)
    }
}
