//! A stapler in a task of its own, which another one can replace.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::handle::Handle;
use super::owner::Stapler;

/// A stapler that runs in a task of its own. Another stapler, such as one with other settings, can replace it. The task ends when
/// this is dropped.
///
/// ```no_run
/// use stapled_core::stapler::running::Running;
/// # use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stapler = |path| Stapler::builder().source(DirectorySource::new(path)).sink(FileSink::new()).build();
/// let running = Running::start(stapler("/etc/ssl/private")?);
/// running.handle().ready().await?;
/// // The settings have changed. Staples are kept, and renewals stay where they were planned.
/// let running = running.replace(stapler("/etc/ssl/other")?).await;
/// running.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// Gets the handle of each stapler that replaces another.
    watch: Option<Watch>,
}

type Watch = Box<dyn Fn(&Handle) + Send + Sync>;

impl Running {
    /// Starts a stapler. To be called inside a tokio runtime.
    pub fn start(stapler: Stapler) -> Self {
        let handle = stapler.handle();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(stapler.run(async {
            // A dropped sender stops it as well.
            let _ = stopped.await;
        }));
        Running { handle, stop, task, watch: None }
    }

    /// Calls `watch` with the handle of each stapler that replaces this one: for what shows the state of the stapler that runs now.
    #[must_use]
    pub fn watched_by(self, watch: impl Fn(&Handle) + Send + Sync + 'static) -> Self {
        Running { watch: Some(Box::new(watch)), ..self }
    }

    /// Stops the stapler, and then starts another one with what this one knew ([`Stapler::inherit`]). Two never run at once.
    #[must_use]
    pub async fn replace(mut self, next: Stapler) -> Self {
        let inventory = self.handle.inventory();
        let watch = self.watch.take();
        self.stop().await;
        next.inherit(&inventory);
        if let Some(watch) = &watch {
            watch(&next.handle());
        }
        Running { watch, ..Running::start(next) }
    }

    /// Stops the stapler, as the end of its shutdown future does, and waits for its end.
    pub async fn stop(self) {
        // If this fails, the stapler has already ended.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }

    /// Returns when the stapler has ended by itself: it has panicked.
    pub async fn broken_off(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// The handle of the stapler that runs now.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}
