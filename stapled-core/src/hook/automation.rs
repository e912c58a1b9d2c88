//! The programs of an administrator together: the hook, which runs for events, and the reload command, which runs after
//! deliveries to files.

use std::sync::Arc;
use std::time::Duration;

use super::Hook;
use super::reload::{Reload, ReloadSettings};
use super::settings::HookSettings;
use crate::event::Observer;

/// The programs of an administrator, and the log that tells what becomes of them.
pub struct Automation {
    log: Arc<dyn Observer>,
    hook: Option<Hook>,
    reload: Option<Reload>,
}

impl Automation {
    /// Starts what has settings. To be called inside a tokio runtime. Failures of the hook go to the log alone, those of the
    /// reload command to the hook as well.
    pub fn start(log: Arc<dyn Observer>, hook: Option<&HookSettings>, reload: Option<&ReloadSettings>) -> Self {
        let hook = hook.map(|settings| Hook::start(settings, Arc::clone(&log)));
        let mut automation = Automation { log, hook, reload: None };
        let observers = automation.observers();
        automation.reload = reload.map(|settings| Reload::start(settings, observers));
        automation
    }

    /// Starts what has these settings, with the same log, if one of them has changed.
    pub fn changed(&self, hook: Option<&HookSettings>, reload: Option<&ReloadSettings>) -> Option<Self> {
        let is_same =
            self.hook.as_ref().map(Hook::settings) == hook && self.reload.as_ref().map(Reload::settings) == reload;
        (!is_same).then(|| Automation::start(Arc::clone(&self.log), hook, reload))
    }

    /// The log, and the hook.
    pub fn observers(&self) -> Vec<Arc<dyn Observer>> {
        std::iter::once(Arc::clone(&self.log)).chain(self.hook.as_ref().map(Hook::observer)).collect()
    }

    /// What tells servers of files, if there is a command.
    pub fn reload(&self) -> Option<&Reload> {
        self.reload.as_ref()
    }

    /// Runs the programs for what is left, each for no longer than this or, without it, than its timeout. Returns whether
    /// servers were told of all files.
    pub async fn finish(self, patience: Option<Duration>) -> bool {
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
