//! The reports that sinks and sources send to the observer by themselves.

use std::fmt::Display;

use stapled_core::event::Severity;
use stapled_core::reason::ReasonCode;
use stapled_core::report::Report;
use stapled_core::source::SourceError;

use crate::cli::address::Address;
use crate::cli::failure::Failure;
use crate::cli::route::Route;
use crate::codes;

/// Another client stapled a revoked certificate, and the staple was withdrawn again.
pub(crate) fn withdrawn_again(route: &Route) -> Report {
    let what = format!(
        "{route}: another client pushed a staple for this certificate, which is revoked; the staple was taken out of \
         service again"
    );
    Report::new(codes::WITHDRAWN_AGAIN, Severity::Warning, what)
}

/// Another client stapled a revoked certificate, and the staple could not be withdrawn.
pub(crate) fn not_withdrawn_again(route: &Route, failure: &Failure) -> Report {
    let what = format!(
        "{route}: another client pushed a staple for this certificate, which is revoked; the staple may still be in \
         service: {failure}"
    );
    Report::new(codes::WITHDRAWN_AGAIN, Severity::Error, what).code(failure.error.code())
}

/// HAProxy has another certificate under this one's name since a commit.
pub(crate) fn mixed_up(failure: &Failure) -> Report {
    Report::new(codes::CERTIFICATE_MIXED_UP, Severity::Error, failure.to_string()).code(failure.error.code())
}

/// A change of the certificate `name` that another client began was committed with its first staple.
pub(crate) fn foreign_change_committed(route: &Route, name: &str) -> Report {
    let what = format!(
        "{route}: a change of {name} that another client began was committed with its first staple; check the \
         certificate, or allow transactions only where HAProxy keeps its clients' transactions apart (3.0 and newer)"
    );
    Report::new(codes::FOREIGN_CHANGE_COMMITTED, Severity::Warning, what)
}

/// Advice about a configuration.
pub(crate) fn advice(code: ReasonCode, what: String) -> Report {
    Report::new(codes::CONFIGURATION_ADVICE, Severity::Warning, what).code(code)
}

/// The HAProxy at this socket differs from its configuration.
pub(crate) fn configuration_differs(socket: &Address, code: ReasonCode, difference: &dyn Display) -> Report {
    Report::new(codes::CONFIGURATION_DIFFERS, Severity::Warning, format!("{socket}: {difference}")).code(code)
}

/// The HAProxy at this socket differs in this many more points.
pub(crate) fn more_differ(socket: &Address, more: usize) -> Report {
    let what = format!(
        "{socket}: {more} more differences between the running HAProxy and its configuration: `stapled check` shows them"
    );
    Report::new(codes::CONFIGURATION_DIFFERS, Severity::Warning, what)
}

/// The HAProxy at this socket no longer differs from its configuration.
pub(crate) fn configuration_agrees(socket: &Address) -> Report {
    let what = format!("{socket}: the running HAProxy has what its configuration names");
    Report::new(codes::CONFIGURATION_AGREES, Severity::Info, what)
}

/// A process could not be asked what it has; the next survey asks again.
pub(crate) fn not_surveyed(failure: &Failure) -> Report {
    Report::new(codes::NOT_SURVEYED, Severity::Debug, failure.to_string()).code(failure.error.code())
}

/// What a process serves beside its configuration is not known until it answers again.
pub(crate) fn not_compared(error: &SourceError) -> Report {
    let what = format!("certificates that only the running HAProxy has are not known now: {error}");
    Report::new(codes::NOT_SURVEYED, Severity::Debug, what).code(error.code)
}

/// A worker that only finishes its connections did not take a staple.
pub(crate) fn old_worker_without(failure: &Failure) -> Report {
    let what = format!("a worker of before the reload keeps its old staple: {failure}");
    Report::new(codes::OLD_WORKER_WITHOUT, Severity::Debug, what).code(failure.error.code())
}

/// A configuration that a process names could not be read: files are looked for by the names of the certificates alone.
pub(crate) fn configuration_not_read(error: &dyn Display) -> Report {
    let what = format!("{error}: the files of certificates are looked for without this configuration");
    Report::new(codes::CONFIGURATION_NOT_READ, Severity::Debug, what)
}
