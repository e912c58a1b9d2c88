//! File work that may never end: a network file system whose server is gone answers no read, and no system call on it can be
//! cancelled.
//!
//! A few threads of the runtime do such work, one piece after the other: more of them make nothing faster, and a thread that is woken
//! for each piece costs more than most pieces, so one of them rests for a moment before it ends. Work that has waited for a moment,
//! because earlier work takes long or hangs, goes on at a thread of its own. The caller waits for a limited time, and the thread stays
//! until the file system answers. Limits apply to each place, such as a source of certificates or a directory: work that hangs in one
//! place delays no other place. Where work hangs, callers wait for further work of the same place for two seconds at most.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
#[cfg(feature = "files")]
use tokio::time::sleep;
use tokio::time::{Instant, timeout};

/// The time after which work counts as slow.
#[cfg(feature = "files")]
const SLOW: Duration = Duration::from_secs(1);
/// How much slow work of one place is waited for at once by callers that have other places.
#[cfg(feature = "files")]
const SLOW_AT_ONCE: usize = 8;
/// How long work is waited for in a place where other work hangs.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// The pause before work that waits for its turn asks again.
#[cfg(feature = "files")]
const TURN: Duration = Duration::from_millis(50);
/// How much work may hang before places where work hangs get no more threads. Other places still do.
const MOST_HANGING: usize = 1024;
/// How many threads of a runtime do such work for each processor. Two, since work that waits for the disk needs no processor.
const THREADS: usize = 2;
const MOST_THREADS: usize = 16;
/// How long one of them rests when no work waits. What comes meanwhile is done together: a switch between threads takes longer than most
/// pieces of work.
const REST: Duration = Duration::from_millis(1);
/// How long work waits for one of these threads before it gets a thread of its own.
const TO_A_THREAD: Duration = Duration::from_millis(10);
/// A job that takes no longer than this reads what is in memory.
const FAST: Duration = Duration::from_micros(250);
/// How many fast jobs are left to one thread: waking another one takes as long as several of them.
const FAST_IN_A_ROW: usize = 8;
/// After so many slow jobs in a row, the next ones are not taken for fast.
const SLOW_IN_A_ROW: u8 = 2;
/// The stack of a thread, in bytes.
const STACK: usize = 512 * 1024;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// Why work has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockedError {
    /// Other work of the place takes long. This one was not begun, and is to be tried again soon.
    #[cfg(feature = "files")]
    #[error("other file operations in the same place take long")]
    Busy,
    /// The work took too long. It may still end.
    #[error("no answer within {} s: does its file system hang?", .0.as_secs())]
    Late(Duration),
    /// Earlier work on the same file hangs, or so much work hangs that this one was not begun.
    #[error("{0} earlier file operations in the same place hang: does its file system hang?")]
    Hangs(usize),
    /// The work panicked, or there is no thread for it.
    #[error("broke off: {0}")]
    BrokenOff(String),
}

/// All work on files in this process. A place is a source of certificates, or a directory that staples are written to, by its name: a
/// stapler that takes the place of another one knows what hangs.
pub(crate) static FILES: LazyLock<Blocking<String>> = LazyLock::new(Blocking::default);

/// The work that goes on in each place.
#[derive(Debug)]
pub(crate) struct Blocking<P>(Arc<Mutex<Running<P>>>);

type Running<P> = HashMap<P, Vec<Work>>;

/// Work on one file that goes on.
#[derive(Debug)]
struct Work {
    path: PathBuf,
    begun: Instant,
    /// The end of the wait for it.
    deadline: Instant,
}

impl<P> Default for Blocking<P> {
    fn default() -> Self {
        Blocking(Arc::default())
    }
}

impl<P: Clone + Eq + Hash + Send + 'static> Blocking<P> {
    /// Does work on a file of a place, and waits for it no longer than `patience`. May be dropped at any time: then work that has
    /// begun goes on without a listener.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &P,
        path: &Path,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockedError> {
        let (ticket, patience) = self.begin(place, path, patience, Instant::now())?;
        wait(ticket, patience, work).await
    }

    /// The same. If other work of the place takes long, it waits for a moment before it says so.
    #[cfg(feature = "files")]
    pub(crate) async fn run_in_turn<T: Send + 'static>(
        &self,
        place: &P,
        path: &Path,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockedError> {
        let began = Instant::now();
        while self.count_waited_for(place, Instant::now()) >= SLOW_AT_ONCE {
            if began.elapsed() >= SLOW {
                return Err(BlockedError::Busy);
            }
            sleep(TURN).await;
        }
        self.run(place, path, patience, work).await
    }

    /// How much slow work of a place is waited for, or any work where other work hangs.
    #[cfg(feature = "files")]
    fn count_waited_for(&self, place: &P, now: Instant) -> usize {
        let running = lock(&self.0);
        let Some(here) = running.get(place) else { return 0 };
        let is_late = |work: &&Work| work.deadline <= now;
        let is_slow = |work: &&Work| !is_late(work) && now.duration_since(work.begun) >= SLOW;
        match here.iter().filter(is_late).count() {
            0 => here.iter().filter(is_slow).count(),
            late => here.len() - late,
        }
    }

    /// Decides whether work may begin, and how long it is waited for.
    fn begin(
        &self,
        place: &P,
        path: &Path,
        patience: Duration,
        now: Instant,
    ) -> Result<(Ticket<P>, Duration), BlockedError> {
        let mut running = lock(&self.0);
        let is_late = |work: &&Work| work.deadline <= now;
        let late_in_all = running.values().flatten().filter(is_late).count();
        let here = running.entry(place.clone()).or_default();
        let late = here.iter().filter(is_late).count();
        if late > 0 && (late_in_all >= MOST_HANGING || here.iter().any(|work| is_late(&work) && work.path == path)) {
            return Err(BlockedError::Hangs(late));
        }
        let patience = if late > 0 { patience.min(SHORT_PATIENCE) } else { patience };
        here.push(Work { path: path.to_owned(), begun: now, deadline: now + patience });
        let (running, place, path) = (Arc::clone(&self.0), place.clone(), path.to_owned());
        let ticket = Ticket { running, place, path, begun: now };
        Ok((ticket, patience))
    }
}

/// Does work, and waits for its result.
async fn wait<P, T>(
    ticket: Ticket<P>,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockedError>
where
    P: Eq + Hash + Send + 'static,
    T: Send + 'static,
{
    let (sender, mut done) = oneshot::channel();
    let job = move || {
        let ticket = ticket;
        let result = work();
        drop(ticket);
        // The caller may be gone.
        let _ = sender.send(result);
    };
    let waiting = Line::join(Box::new(job));
    let began = Instant::now();
    let soon = timeout(TO_A_THREAD.min(patience), &mut done).await;
    let done = match soon {
        Ok(done) => Ok(done),
        Err(_) => {
            // Earlier work takes long.
            if let Some(job) = waiting.overdue() {
                start(job).map_err(|error| BlockedError::BrokenOff(error.to_string()))?;
            }
            timeout(patience.saturating_sub(began.elapsed()), done).await
        }
    };
    match done {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(BlockedError::BrokenOff("a panic".to_owned())),
        Err(_) => Err(BlockedError::Late(patience)),
    }
}

/// The work that waits for a thread of each runtime.
static LINES: LazyLock<Mutex<HashMap<runtime::Id, Line>>> = LazyLock::new(Mutex::default);

/// The work that waits for a thread of one runtime.
#[derive(Default)]
struct Line {
    jobs: VecDeque<Arc<Waiting>>,
    /// The threads that do this work, by their numbers, and when each began its last job.
    threads: Vec<(u64, std::time::Instant)>,
    /// The thread that rests for a moment, and then takes what waits.
    resting: Option<u64>,
    /// How many slow jobs in a row may follow before the next ones are not taken for fast.
    fast: u8,
}

/// A job that has not begun.
struct Waiting {
    job: Mutex<Option<Job>>,
    since: std::time::Instant,
}

impl Waiting {
    fn take(&self) -> Option<Job> {
        lock(&self.job).take()
    }

    fn is_taken(&self) -> bool {
        lock(&self.job).is_none()
    }
}

/// A caller's place in the line. A job that has not begun when the caller is gone is not done.
struct InLine(Arc<Waiting>);

impl InLine {
    /// The job, if it has waited for long.
    fn overdue(&self) -> Option<Job> {
        // Where time is simulated, it passes at once, but not while a thread of the runtime works.
        if self.0.since.elapsed() < TO_A_THREAD { None } else { self.0.take() }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

impl Line {
    /// Has a job done by a thread of this runtime.
    fn join(job: Job) -> InLine {
        let waiting = Arc::new(Waiting { job: Mutex::new(Some(job)), since: std::time::Instant::now() });
        let id = runtime::Handle::current().id();
        let mut lines = lock(&LINES);
        let line = lines.entry(id).or_default();
        // While all threads hang, none of them removes the jobs that went on elsewhere.
        while line.jobs.front().is_some_and(|job| job.is_taken()) {
            line.jobs.pop_front();
        }
        line.jobs.push_back(Arc::clone(&waiting));
        let thread = line.another(id, std::time::Instant::now());
        // A runtime that ends drops the work here and now, which takes the lock.
        drop(lines);
        OneOfThem::begin(thread);
        InLine(waiting)
    }

    /// Learns from the job that a thread has done by now.
    fn done(&mut self, thread: u64, now: std::time::Instant) {
        let since = self.threads.iter().find(|(number, _)| *number == thread).map(|(_, since)| *since);
        match since.map(|since| now.saturating_duration_since(since) <= FAST) {
            Some(true) => self.fast = SLOW_IN_A_ROW,
            _ => self.fast = self.fast.saturating_sub(1),
        }
    }

    /// Another thread, if those that are at work will not do soon what waits. Most jobs take less time than waking a thread.
    fn another(&mut self, id: runtime::Id, now: std::time::Instant) -> Option<OneOfThem> {
        if self.resting.is_some() || self.threads.len() >= threads_of_a_runtime() {
            return None;
        }
        let each = if self.fast > 0 { FAST_IN_A_ROW } else { 1 };
        let soon_done = self.threads.iter().map(|(_, since)| match now.saturating_duration_since(*since) {
            short if short <= FAST => each,
            long if long < TO_A_THREAD => 1,
            // A thread whose job has taken long may hang.
            _ => 0,
        });
        if self.jobs.len() <= soon_done.sum() {
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.threads.push((number, now));
        Some(OneOfThem { id, number, has_worked: false, has_ended: false })
    }
}

fn threads_of_a_runtime() -> usize {
    // Counting processors reads several files.
    static NUMBER: LazyLock<usize> = LazyLock::new(|| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        processors.saturating_mul(THREADS).min(MOST_THREADS)
    });
    *NUMBER
}

/// One of the threads that do the work of a runtime.
struct OneOfThem {
    id: runtime::Id,
    number: u64,
    /// Whether it had a job since it began or rested.
    has_worked: bool,
    has_ended: bool,
}

/// The next step of a thread.
enum Next {
    Work(Arc<Waiting>),
    Rest,
    End,
}

impl OneOfThem {
    fn begin(thread: Option<Self>) {
        if let Some(thread) = thread {
            spawn_blocking(move || thread.work());
        }
    }

    /// Does the work that waits, until there is none.
    fn work(mut self) {
        loop {
            match self.next() {
                Next::Work(next) => {
                    if let Some(job) = next.take() {
                        // The panic hook reports a panic, and the caller notices that there is no result.
                        let _ = catch_unwind(AssertUnwindSafe(job));
                    }
                }
                Next::Rest => thread::sleep(REST),
                Next::End => return,
            }
        }
    }

    /// Takes the next job, or decides whether the thread rests or ends. A thread that ends does not count any more.
    fn next(&mut self) -> Next {
        let mut lines = lock(&LINES);
        let Some(line) = lines.get_mut(&self.id) else { return Next::End };
        line.resting.take_if(|resting| *resting == self.number);
        if let Some(job) = line.jobs.pop_front() {
            let now = std::time::Instant::now();
            if std::mem::replace(&mut self.has_worked, true) {
                line.done(self.number, now);
            }
            if let Some((_, since)) = line.threads.iter_mut().find(|(number, _)| *number == self.number) {
                *since = now;
            }
            let another = line.another(self.id, now);
            drop(lines);
            OneOfThem::begin(another);
            return Next::Work(job);
        }
        if std::mem::take(&mut self.has_worked) && line.resting.is_none() {
            line.resting = Some(self.number);
            return Next::Rest;
        }
        self.has_ended = true;
        line.threads.retain(|(number, _)| *number != self.number);
        if line.threads.is_empty() {
            lines.remove(&self.id);
        }
        Next::End
    }
}

impl Drop for OneOfThem {
    /// The runtime has ended without this work: no thread does the work that waits.
    fn drop(&mut self) {
        if !self.has_ended {
            let line = lock(&LINES).remove(&self.id);
            // The callers get no result.
            drop(line);
        }
    }
}

/// The entry of work that goes on. It is removed when the work ends, whether by its result or by a panic.
struct Ticket<P: Eq + Hash> {
    running: Arc<Mutex<Running<P>>>,
    place: P,
    path: PathBuf,
    begun: Instant,
}

impl<P: Eq + Hash> Drop for Ticket<P> {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        if let Some(here) = running.get_mut(&self.place) {
            let own = here.iter().position(|work| work.begun == self.begun && work.path == self.path);
            own.map(|own| here.swap_remove(own));
            if here.is_empty() {
                running.remove(&self.place);
            }
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads without work, by their numbers, for all places of the process.
static IDLE_THREADS: Mutex<Vec<(u64, Sender<Job>)>> = Mutex::new(Vec::new());
/// The number of the latest thread.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Starts a job on a thread without work, or on a new one.
fn start(mut job: Job) -> io::Result<()> {
    loop {
        let Some((_, thread)) = lock(&IDLE_THREADS).pop() else { break };
        match thread.send(job) {
            Ok(()) => return Ok(()),
            Err(mpsc::SendError(back)) => job = back,
        }
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let work = move || {
        let (sender, jobs) = mpsc::channel();
        let mut next = Some(job);
        while let Some(job) = next {
            // The panic hook reports a panic, and the caller notices that there is no result.
            let _ = catch_unwind(AssertUnwindSafe(job));
            lock(&IDLE_THREADS).push((number, sender.clone()));
            next = jobs.recv_timeout(IDLE).ok().or_else(|| {
                let mut idle = lock(&IDLE_THREADS);
                match idle.iter().position(|(other, _)| *other == number) {
                    Some(own) => {
                        idle.swap_remove(own);
                        None
                    }
                    // A job is on its way here.
                    None => {
                        drop(idle);
                        jobs.recv().ok()
                    }
                }
            });
        }
    };
    thread::Builder::new().name("stapled-files".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one step, so a panic elsewhere leaves the value usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// How many of these files can be begun at this time, and why the next one cannot.
    fn begin(
        work: &Blocking<u8>,
        place: u8,
        files: std::ops::Range<usize>,
        now: Instant,
    ) -> (Vec<Ticket<u8>>, Option<BlockedError>) {
        let mut begun = Vec::new();
        for file in files {
            match work.begin(&place, Path::new(&file.to_string()), PATIENCE, now) {
                Ok((ticket, _)) => begun.push(ticket),
                Err(error) => return (begun, Some(error)),
            }
        }
        (begun, None)
    }

    #[tokio::test]
    async fn what_hangs_in_one_place_delays_no_other() {
        let work = Blocking::default();
        let mut now = Instant::now();
        // Fast work has no limit.
        let (first, refused) = begin(&work, 1, 0..600, now);
        assert_eq!((first.len(), refused), (600, None));
        assert_eq!(work.count_waited_for(&1, now), 0);
        now += SLOW;
        assert_eq!((work.count_waited_for(&1, now), work.count_waited_for(&2, now)), (600, 0));
        // They count as hanging. Further ones are tried for a short while, but not the same again.
        now += PATIENCE;
        assert_eq!(begin(&work, 1, 0..1, now).1, Some(BlockedError::Hangs(600)));
        assert!(matches!(work.begin(&1, Path::new("good"), PATIENCE, now), Ok((_, SHORT_PATIENCE))));
        let (more, refused) = begin(&work, 1, 600..700, now);
        assert_eq!((more.len(), refused, work.count_waited_for(&1, now)), (100, None, 100));
        now += SHORT_PATIENCE;
        assert_eq!(work.count_waited_for(&1, now), 0);
        assert!(matches!(work.begin(&2, Path::new("good"), PATIENCE, now), Ok((_, PATIENCE))));
        // When the file system answers, everything is as before.
        drop((first, more));
        assert!(matches!(work.begin(&1, Path::new("0"), PATIENCE, now), Ok((_, PATIENCE))));
        assert!(lock(&work.0).is_empty());
    }

    #[tokio::test]
    async fn the_number_of_threads_that_hang_has_a_limit() {
        let work = Blocking::default();
        let mut now = Instant::now();
        let (hanging, _) = begin(&work, 1, 0..MOST_HANGING, now);
        now += PATIENCE;
        assert_eq!(begin(&work, 1, MOST_HANGING..MOST_HANGING + 1, now).1, Some(BlockedError::Hangs(MOST_HANGING)));
        assert_eq!(begin(&work, 2, 0..1, now).1, None);
        drop(hanging);
    }

    /// Work at all threads of the runtime, which ends when this is dropped.
    async fn take_threads() -> Vec<Sender<()>> {
        let mut senders = Vec::new();
        for number in 0..threads_of_a_runtime() {
            let (sender, receiver) = mpsc::channel::<()>();
            let (began, begun) = oneshot::channel();
            let work = move || {
                began.send(()).unwrap();
                _ = receiver.recv();
            };
            tokio::spawn(async move {
                Blocking::default().run(&2, &PathBuf::from(number.to_string()), PATIENCE, work).await
            });
            begun.await.unwrap();
            senders.push(sender);
            // From now on, this thread is not soon free.
            thread::sleep(TO_A_THREAD);
        }
        senders
    }

    #[tokio::test]
    async fn work_is_waited_for_and_a_panic_is_an_error() {
        waits_for(Blocking::default()).await;
        // At threads of its own, where the threads of the runtime are taken.
        let taken = take_threads().await;
        waits_for(Blocking::default()).await;
        drop(taken);
        waits_for(Blocking::default()).await;
    }

    #[tokio::test]
    async fn work_whose_caller_is_gone_before_it_begins_is_not_done() {
        let taken = take_threads().await;
        let (sender, receiver) = mpsc::channel();
        let work = Blocking::default();
        let mut run = Box::pin(work.run(&1, Path::new("x"), PATIENCE, move || sender.send(())));
        assert!(futures_util::poll!(&mut run).is_pending());
        drop(run);
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Disconnected), "the job is dropped");
        assert!(lock(&work.0).is_empty(), "with its entry");
        drop(taken);
    }

    #[tokio::test]
    async fn work_that_went_on_elsewhere_leaves_nothing_in_the_line() {
        let taken = take_threads().await;
        let work = Blocking::default();
        for _ in 0..20 {
            assert_eq!(work.run(&1, Path::new("x"), PATIENCE, || ()).await, Ok(()));
        }
        let length = lock(&LINES)[&runtime::Handle::current().id()].jobs.len();
        assert!(length <= 1, "{length}");
        drop(taken);
    }

    #[tokio::test]
    async fn more_fast_jobs_than_slow_ones_are_left_to_one_thread() {
        let id = runtime::Handle::current().id();
        let now = std::time::Instant::now();
        let before = |time| now.checked_sub(time).unwrap();
        // One thread is at work, for so long, and so many jobs wait.
        let begins_another = |since, jobs, fast| {
            let jobs = (0..jobs).map(|_| Arc::new(Waiting { job: Mutex::new(None), since: now })).collect();
            let mut line = Line { jobs, threads: vec![(0, before(since))], resting: None, fast };
            line.another(id, now).map(|mut thread| thread.has_ended = true).is_some()
        };
        for (since, fast, left_to_it) in [
            (Duration::ZERO, 0, 1),
            (Duration::ZERO, 1, FAST_IN_A_ROW),
            (FAST, 1, FAST_IN_A_ROW),
            // Its job is slow after all, or hangs.
            (FAST * 2, 1, 1),
            (TO_A_THREAD, 1, 0),
        ] {
            assert!(!begins_another(since, left_to_it, fast), "{since:?}");
            assert!(begins_another(since, left_to_it + 1, fast), "{since:?}");
        }

        // The jobs that were done say whether the next ones are fast.
        let mut line = Line::default();
        let after = [FAST * 2, FAST, FAST * 2, FAST * 2, FAST * 2].map(|took| {
            line.threads = vec![(1, before(took))];
            line.done(1, now);
            line.fast
        });
        assert_eq!(after, [0, SLOW_IN_A_ROW, 1, 0, 0]);
    }

    #[tokio::test]
    async fn one_thread_rests_before_it_ends() {
        let id = runtime::Handle::current().id();
        let is_resting = || lock(&LINES).get(&id).is_some_and(|line| line.resting.is_some());
        let began = Instant::now();
        // The rest is short, so that this thread may miss it.
        while !is_resting() {
            assert!(began.elapsed() < PATIENCE, "no thread rests");
            Blocking::default().run(&1, Path::new("x"), PATIENCE, || ()).await.unwrap();
        }
        // A job that comes meanwhile is done, and no thread stays.
        Blocking::default().run(&1, Path::new("x"), PATIENCE, || ()).await.unwrap();
        while lock(&LINES).contains_key(&id) {
            assert!(began.elapsed() < PATIENCE, "a thread stays");
            thread::yield_now();
        }
    }

    #[test]
    fn work_of_a_runtime_that_has_ended_is_dropped() {
        let (sender, receiver) = mpsc::channel::<()>();
        let one_thread = || runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let runtime = one_thread();
        let id = runtime.handle().id();
        let (began, begun) = mpsc::channel();
        runtime.block_on(async {
            spawn_blocking(move || {
                began.send(()).unwrap();
                _ = receiver.recv();
            });
            let _waits = Line::join(Box::new(|| ()));
            assert!(lock(&LINES).contains_key(&id));
        });
        begun.recv().unwrap();
        runtime.shutdown_background();
        drop(sender);
        while lock(&LINES).contains_key(&id) {
            thread::yield_now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_time_does_not_pass_while_work_goes_on() {
        let began = Instant::now();
        let work = Blocking::default();
        let names: Vec<PathBuf> = (0..3 * threads_of_a_runtime()).map(|number| number.to_string().into()).collect();
        let all = names.iter().map(|name| work.run(&1, name, PATIENCE, || thread::sleep(TO_A_THREAD)));
        for done in futures_util::future::join_all(all).await {
            assert_eq!(done, Ok(()));
        }
        assert!(began.elapsed() < TO_A_THREAD);
    }

    async fn waits_for(work: Blocking<u8>) {
        let run = |patience, job: Job| work.run(&1, Path::new("x"), patience, job);
        assert_eq!(run(PATIENCE, Box::new(|| ())).await, Ok(()));
        let broken = run(PATIENCE, Box::new(|| panic!("of the test"))).await;
        assert!(matches!(broken, Err(BlockedError::BrokenOff(_))), "{broken:?}");
        let (sender, receiver) = mpsc::channel::<()>();
        let short = Duration::from_millis(20);
        let late = run(short, Box::new(move || _ = receiver.recv())).await;
        assert_eq!(late, Err(BlockedError::Late(short)));
        assert_eq!(run(short, Box::new(|| ())).await, Err(BlockedError::Hangs(1)));
        drop(sender);
        while lock(&work.0).contains_key(&1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(run(PATIENCE, Box::new(|| ())).await, Ok(()));
    }
}
