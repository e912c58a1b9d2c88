//! One HAProxy process: the channel to it, and the certificates that it has loaded.
//!
//! From the bottom up: `transaction` and `first_staple` change a certificate over a connection; `worker_socket` finds a
//! connection that bypasses a master. `jobs`, `state` and `writer` are the parts of the `channel`, through which every
//! command goes. `names`, `loaded` and `survey_state` hold the findings of the `survey`.

pub(crate) mod channel;
pub(crate) mod deadline;
pub(crate) mod first_staple;
pub(crate) mod jobs;
pub(crate) mod loaded;
pub(crate) mod lock;
pub(crate) mod names;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod survey;
pub(crate) mod survey_state;
pub(crate) mod transaction;
pub(crate) mod turns;
pub(crate) mod worker_socket;
pub(crate) mod writer;
