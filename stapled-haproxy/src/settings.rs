//! How a sink or a source was adjusted.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::clock::{Clock, SystemClock};

use crate::connection::Patience;

/// What HAProxy takes with its default `tune.bufsize` of 16,384 in every version, with room for the command.
pub(crate) const MAX_SIZE: usize = 11 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) patience: Patience,
    pub(crate) max_size: usize,
    pub(crate) look_interval: Duration,
    pub(crate) compare_interval: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            patience: Patience {
                connect: Duration::from_secs(2),
                reply: Duration::from_secs(5),
                keepalive: Duration::from_secs(10),
            },
            max_size: MAX_SIZE,
            look_interval: Duration::from_secs(1),
            compare_interval: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
        }
    }
}
