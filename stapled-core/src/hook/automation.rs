//! The programs of an administrator together: the hook, which runs for events, and the reload commands, which run after
//! deliveries to files.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Hook;
use super::reload::{Reload, ReloadSettings};
use super::settings::HookSettings;
use crate::event::Observer;
use crate::sink::StapleSink;

/// The programs of an administrator, and the log that tells what becomes of them.
pub struct Automation {
    log: Arc<dyn Observer>,
    hook: Option<Hook>,
    reloads: Vec<Option<Reload>>,
}

impl Automation {
    /// Starts what has settings: the hook, and for each sink that writes files the command that tells its server. To be called
    /// inside a tokio runtime. Failures of the hook go to the log alone, those of a reload command to the hook as well.
    pub fn start(log: Arc<dyn Observer>, hook: Option<&HookSettings>, reloads: &[Option<ReloadSettings>]) -> Self {
        let hook = hook.map(|settings| Hook::start(settings, Arc::clone(&log)));
        let mut automation = Automation { log, hook, reloads: Vec::new() };
        let start = |settings: &ReloadSettings| Reload::start(settings, automation.observers());
        automation.reloads = reloads.iter().map(|settings| settings.as_ref().map(start)).collect();
        automation
    }

    /// Starts what has these settings, with the same log, if one of them has changed.
    pub fn changed(&self, hook: Option<&HookSettings>, reloads: &[Option<ReloadSettings>]) -> Option<Self> {
        let running = self.reloads.iter().map(|reload| reload.as_ref().map(Reload::settings));
        let is_same = self.hook.as_ref().map(Hook::settings) == hook && running.eq(reloads.iter().map(Option::as_ref));
        (!is_same).then(|| Automation::start(Arc::clone(&self.log), hook, reloads))
    }

    /// The log, and the hook.
    pub fn observers(&self) -> Vec<Arc<dyn Observer>> {
        std::iter::once(Arc::clone(&self.log)).chain(self.hook.as_ref().map(Hook::observer)).collect()
    }

    /// A sink that writes files, and after whose changes its command runs, if it has one: the one with this number among the
    /// settings.
    pub fn telling(&self, number: usize, sink: impl StapleSink + 'static) -> Arc<dyn StapleSink> {
        match self.reloads.get(number).and_then(Option::as_ref) {
            Some(reload) => Arc::new(reload.sink(sink)),
            None => Arc::new(sink),
        }
    }

    /// Runs the programs for what is left, each for no longer than this or, without it, than its timeout. Returns whether
    /// servers were told of all files.
    pub async fn finish(self, patience: Option<Duration>) -> bool {
        // A command that hangs does not hold up those of other servers.
        let finish = |reload: Reload| {
            let patience = patience.unwrap_or(reload.settings().timeout);
            reload.finish(patience)
        };
        let told = join_all(self.reloads.into_iter().flatten().map(finish)).await;
        if let Some(hook) = self.hook {
            let patience = patience.unwrap_or(hook.settings().timeout);
            hook.finish(patience).await;
        }
        told.into_iter().all(|is_told| is_told)
    }
}
