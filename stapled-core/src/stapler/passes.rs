//! Single passes, one after the other, until nothing is missing that can still come.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::owner::Stapler;
use crate::inventory::Inventory;
use crate::overview::Summary;
use crate::scheduler::SchedulerError;

/// The pause after the first pass that left something missing. It doubles after each pass, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How passes ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Passed {
    /// Everything was processed.
    Done(Arc<Inventory>),
    /// The time was up before everything was processed.
    CutOff(Arc<Inventory>),
    /// They were stopped.
    Stopped,
}

/// Makes one pass ([`Stapler::run_once`]) with the stapler that `make` returns. With a time limit, as many as are needed until
/// every certificate that should have a staple has one and every server has confirmed, or the time is up; each begins with what
/// the one before knew. Before each pause, `told` gets how many certificates still miss something, and the time that is left.
///
/// ```no_run
/// use std::time::Duration;
///
/// use stapled_core::stapler::BuildError;
/// use stapled_core::stapler::passes::{Passed, passes};
/// # use stapled_core::scheduler::SchedulerError;
/// # use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let make = || {
///     let stapler = Stapler::builder().source(DirectorySource::new("/etc/ssl/private")).sink(FileSink::new()).build();
///     stapler.map_err(Box::<dyn std::error::Error>::from)
/// };
/// let told = |missing, left: Duration| println!("{missing} missing, {} s left", left.as_secs());
/// let passed = passes(make, Some(Duration::from_secs(60)), told, std::future::pending()).await?;
/// println!("{}", matches!(passed, Passed::Done(_)));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// A stapler cannot be made, or its scheduler failed.
pub async fn passes<E: From<SchedulerError>>(
    mut make: impl FnMut() -> Result<Stapler, E>,
    limit: Option<Duration>,
    mut told: impl FnMut(usize, Duration),
    stop: impl Future<Output = ()>,
) -> Result<Passed, E> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut stop = pin!(stop);
    let mut pause = FIRST_PAUSE;
    let mut before: Option<Arc<Inventory>> = None;
    loop {
        let stapler = make()?;
        if let Some(before) = &before {
            stapler.inherit(before);
        }
        let inventory = match pass(stapler, deadline, stop.as_mut()).await? {
            Passed::Done(inventory) => inventory,
            Passed::CutOff(inventory) => {
                // The pass before, if it found more certificates.
                let count = |inventory: &Inventory| inventory.known_certificates().len();
                let more = before.filter(|before| count(before) > count(&inventory));
                return Ok(Passed::CutOff(more.unwrap_or(inventory)));
            }
            Passed::Stopped => return Ok(Passed::Stopped),
        };
        let Some(deadline) = deadline else { return Ok(Passed::Done(inventory)) };
        let missing = Summary::of(&inventory).count_recoverable();
        let left = deadline.saturating_duration_since(Instant::now());
        if missing == 0 || left.is_zero() {
            return Ok(Passed::Done(inventory));
        }
        told(missing, left);
        tokio::select! {
            () = &mut stop => return Ok(Passed::Stopped),
            () = tokio::time::sleep(pause.min(left)) => {}
        }
        if Instant::now() >= deadline {
            return Ok(Passed::Done(inventory));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        before = Some(inventory);
    }
}

/// One pass. If it is stopped, it finishes its running deliveries.
async fn pass(
    stapler: Stapler,
    deadline: Option<Instant>,
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Passed, SchedulerError> {
    let (mut is_stopped, mut is_cut_off) = (false, false);
    let until = async {
        tokio::select! {
            () = stop => is_stopped = true,
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => is_cut_off = true,
        }
    };
    let inventory = stapler.run_once(until).await?;
    Ok(match (is_stopped, is_cut_off) {
        (true, _) => Passed::Stopped,
        (false, true) => Passed::CutOff(inventory),
        (false, false) => Passed::Done(inventory),
    })
}
