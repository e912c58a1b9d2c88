//! The programs of the administrator: the hook, which runs for events, and the reload command, which runs after deliveries to
//! files.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::event::Observer;
use stapled_core::hook::Hook;
use stapled_core::hook::reload::Reload;

use crate::configuration::Configuration;
use crate::logging::LogObserver;

/// The programs of the administrator.
pub(crate) struct Automation {
    hook: Option<Hook>,
    reload: Option<Reload>,
}

impl Automation {
    /// Starts what is configured. To be called inside a tokio runtime.
    pub(crate) fn start(configuration: &Configuration) -> Self {
        // Failures of the hook are logged only: it should not run for them.
        let hook = configuration.hook.as_ref().map(|settings| Hook::start(settings, Arc::new(LogObserver)));
        let observers = observers(hook.as_ref());
        let reload = configuration.reload.as_ref().map(|settings| Reload::start(settings, observers));
        Automation { hook, reload }
    }

    /// Whether it runs as configured.
    pub(crate) fn is_for(&self, configuration: &Configuration) -> bool {
        self.hook.as_ref().map(Hook::settings) == configuration.hook.as_ref()
            && self.reload.as_ref().map(Reload::settings) == configuration.reload.as_ref()
    }

    /// The log, and the hook.
    pub(crate) fn observers(&self) -> Vec<Arc<dyn Observer>> {
        observers(self.hook.as_ref())
    }

    /// What tells servers of files, if a command is configured.
    pub(crate) fn reload(&self) -> Option<&Reload> {
        self.reload.as_ref()
    }

    /// Runs the programs for what is left, each for no longer than this or, without it, than its timeout. Returns whether
    /// servers were told of all files.
    pub(crate) async fn finish(self, patience: Option<Duration>) -> bool {
        let is_told = match self.reload {
            Some(reload) => {
                let patience = patience.unwrap_or(reload.settings().timeout);
                reload.finish(patience).await
            }
            None => true,
        };
        if let Some(hook) = self.hook {
            let patience = patience.unwrap_or(hook.settings().timeout);
            hook.finish(patience).await;
        }
        is_told
    }
}

fn observers(hook: Option<&Hook>) -> Vec<Arc<dyn Observer>> {
    let log: Arc<dyn Observer> = Arc::new(LogObserver);
    std::iter::once(log).chain(hook.map(Hook::observer)).collect()
}
