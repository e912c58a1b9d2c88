//! The state of the channel to one HAProxy process. The callers' handles and the writer's task share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use tokio::sync::{Notify, watch};

use crate::cli::connection::Timeouts;
use crate::cli::process::Process;
use crate::cli::route::Route;
use crate::instance::jobs::Queue;
use crate::instance::lock::lock;
use crate::instance::survey_state::SurveyState;
use crate::instance::transaction::Unfinished;

/// The state of the channel to one process.
pub(crate) struct ChannelState {
    pub(crate) route: Route,
    pub(crate) timeouts: Timeouts,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) wake: Notify,
    /// The transaction that the last writer's task left open, and its process.
    pub(crate) unfinished: Mutex<(Unfinished, Option<Process>)>,
    /// The process that answered last.
    pub(crate) process: watch::Sender<Option<Process>>,
    pub(crate) survey: SurveyState,
}

impl ChannelState {
    /// The one state for this route. Of several callers at one time, the first decides on the timeouts.
    pub(crate) fn of(route: &Route, timeouts: Timeouts) -> Arc<ChannelState> {
        static STATES: OnceLock<Mutex<HashMap<Route, Weak<ChannelState>>>> = OnceLock::new();
        let mut states = lock(STATES.get_or_init(Mutex::default));
        let key = route.resolved();
        if let Some(state) = states.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        states.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(ChannelState {
            route: route.clone(),
            timeouts,
            queue: Mutex::default(),
            wake: Notify::new(),
            unfinished: Mutex::default(),
            process: watch::Sender::new(None),
            survey: SurveyState::default(),
        });
        states.insert(key, Arc::downgrade(&state));
        state
    }

    /// Whether a process is the one to write to. A process that is about to end has a successor behind the same socket; a
    /// worker that was named by its process id is right as long as it answers.
    pub(crate) fn is_current(&self, process: &Process) -> bool {
        self.route.worker.is_some() || !process.is_stopping
    }

    /// Notes the process that answered.
    pub(crate) fn saw(&self, process: &Process) {
        let is_new = self.process.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|known| !known.is_same(process));
            *known = Some(process.clone());
            is_new
        });
        if is_new {
            self.wake.notify_one();
        }
    }
}
