//! The reason code for files that cannot be watched.

use crate::reason::ReasonCode;

/// Changes cannot be watched. Only the regular scan notices them.
pub(crate) const WATCH_UNAVAILABLE: ReasonCode = ReasonCode::new("watch_unavailable");
