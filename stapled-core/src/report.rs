//! Reports: facts that a sink or a source sends to the observer of its stapler, outside of deliveries and scans.
//!
//! A delivery or a scan returns its own result. A report is for everything else that an operator must know, such as
//! another client of a server that staples a revoked certificate again. When a stapler begins to run it hands a
//! [`Reporter`] to each of its sinks and sources; they keep it in [`Reporters`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chain::CertChain;
use crate::reason::ReasonCode;
use crate::severity::Severity;

/// How many reports wait for a stapler to run. With more, the oldest is dropped.
const MAX_WAITING: usize = 100;

/// A fact that a sink or a source noticed and that an operator must know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The stable word for what happened: the name of the event.
    pub name: ReasonCode,
    /// How much it matters.
    pub severity: Severity,
    /// The stable word for why, if there is one.
    pub code: Option<ReasonCode>,
    /// The same in words: what happened, on which object, and what to do.
    pub what: String,
}

impl Report {
    /// A report by the name of its event, how much it matters, and what happened in words.
    pub fn new(name: ReasonCode, severity: Severity, what: impl Into<String>) -> Self {
        Report { name, severity, code: None, what: what.into() }
    }

    /// The same, with the reason code for why.
    pub fn code(self, code: ReasonCode) -> Self {
        Report { code: Some(code), ..self }
    }
}

/// Sends reports of one sink or source to the observer of one stapler.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Receiver>);

/// The stapler's end of a reporter.
pub(crate) trait Receiver: Send + Sync {
    /// Takes a report, with the certificate that it concerns, if it concerns one.
    fn receive(&self, about: Option<&CertChain>, report: Report);

    /// Whether the stapler has ended.
    fn has_ended(&self) -> bool;

    /// A number of the stapler. No two running staplers have the same one.
    fn stapler(&self) -> usize;
}

impl Reporter {
    pub(crate) fn new(receiver: impl Receiver + 'static) -> Self {
        Reporter(Arc::new(receiver))
    }

    /// Sends a report that concerns no single certificate.
    pub fn tell(&self, report: Report) {
        self.0.receive(None, report);
    }

    /// Sends a report about this certificate.
    pub fn tell_of(&self, certificate: &CertChain, report: Report) {
        self.0.receive(Some(certificate), report);
    }

    /// Whether the stapler of this reporter has ended. Later reports still reach its observer.
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

/// The reporters that a sink or a source was given: it serves one stapler, several at once, or one after the other.
///
/// A report goes to every stapler that runs. While none runs, the newest 100 reports wait for the next one. Clones share
/// their reporters.
///
/// ```
/// use stapled_core::event::Severity;
/// use stapled_core::reason::ReasonCode;
/// use stapled_core::report::{Report, Reporters};
///
/// let reporters = Reporters::new();
/// let what = "the table staples was altered by another program";
/// reporters.tell(Report::new(ReasonCode::new("table_altered"), Severity::Warning, what));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reporters(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    reporters: Vec<Reporter>,
    waiting: VecDeque<(Option<CertChain>, Report)>,
}

impl Reporters {
    /// No reporter yet.
    pub fn new() -> Self {
        Reporters::default()
    }

    /// Adds the reporter of a stapler, in place of another one of the same stapler. The new reporter receives the waiting
    /// reports.
    pub fn add(&self, reporter: Reporter) {
        let waiting = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let stapler = reporter.0.stapler();
            state.reporters.retain(|known| !known.has_ended() && known.0.stapler() != stapler);
            state.reporters.push(reporter.clone());
            std::mem::take(&mut state.waiting)
        };
        for (about, report) in waiting {
            reporter.0.receive(about.as_ref(), report);
        }
    }

    /// Sends a report that concerns no single certificate.
    pub fn tell(&self, report: Report) {
        self.send(None, report);
    }

    /// Sends a report about this certificate.
    pub fn tell_of(&self, certificate: &CertChain, report: Report) {
        self.send(Some(certificate), report);
    }

    fn send(&self, about: Option<&CertChain>, report: Report) {
        let running: Vec<Reporter> = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.reporters.retain(|known| !known.has_ended());
            if state.reporters.is_empty() {
                if state.waiting.len() >= MAX_WAITING {
                    state.waiting.pop_front();
                }
                state.waiting.push_back((about.cloned(), report));
                return;
            }
            state.reporters.clone()
        };
        // The lock is released before the calls, because an observer may call the sink.
        for reporter in running {
            reporter.0.receive(about, report.clone());
        }
    }
}
