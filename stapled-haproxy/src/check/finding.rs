//! One thing that a check found.

use stapled_core::reason::ReasonCode;

use super::problem::{Problem, Severity};
use crate::cli::address::Address;

/// One thing that a check found: the problem, and the admin socket that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was found, with the facts.
    pub problem: Problem,
    /// The admin socket that it concerns, where it concerns one.
    pub socket: Option<Address>,
}

impl Finding {
    /// A finding that concerns no socket.
    pub fn new(problem: impl Into<Problem>) -> Self {
        Finding { problem: problem.into(), socket: None }
    }

    /// A finding that concerns this admin socket.
    pub fn at(socket: &Address, problem: impl Into<Problem>) -> Self {
        Finding { socket: Some(socket.clone()), ..Finding::new(problem) }
    }

    /// Whether the operator has to do something.
    pub fn needs_operator(&self) -> bool {
        self.problem.severity() == Severity::Problem
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        self.problem.code()
    }

    /// What was found, in words.
    pub fn what(&self) -> String {
        self.problem.to_string()
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        self.problem.remedy()
    }
}

impl<P: Into<Problem>> From<P> for Finding {
    fn from(problem: P) -> Self {
        Finding::new(problem)
    }
}
