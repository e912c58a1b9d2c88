//! The words for what cannot be watched.

use crate::reason::ReasonCode;

/// Changes cannot be watched: they are noticed at the regular scan only.
pub(crate) const WATCH_UNAVAILABLE: ReasonCode = ReasonCode::new("watch_unavailable");
