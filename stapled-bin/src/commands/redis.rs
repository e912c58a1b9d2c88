//! `stapled redis`: a scheduler in Redis, looked at and repaired. The library makes the answers and their text.

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use stapled_core::overview::json::json_line;
use stapled_core::task::{Queue, Subject};
use stapled_core::time::span::Span;
use stapled_redis::{Recovery, RedisAddress, RedisError, RedisScheduler, Retry};

use super::answer::{CommandError, GOOD, UNANSWERED, answer};
use super::input;
use crate::fault::ConfigurationError;
use crate::options::arguments::{durations, numbers};
use crate::text::nearest;

/// Look at a scheduler in Redis, and repair it
///
/// For programs that keep their tasks in Redis (`stapled-redis`). The daemon keeps its tasks in memory.
#[derive(Args, Debug)]
pub(crate) struct Redis {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show the queues, what is leased and parked, and what is wrong
    #[command(after_long_help = AFTER_HELP)]
    Status {
        /// How many leases and parked tasks to list of each queue, at most 1000
        #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = numbers("a whole number", 0, 1000))]
        list: u64,
        /// Look twice, this long apart, and show how much is done per second instead of in all
        #[arg(long, value_name = "DURATION", value_parser = durations(1, 3600))]
        interval: Option<Span>,
        /// Print one object on a line; docs/redis.md lists its fields
        #[arg(long)]
        json: bool,
    },
    /// Put tasks again that Redis lost
    ///
    /// Puts the tasks that are in no order of their queue, because a key was lost. With --state, also a task for each subject
    /// on record that has none. Other subjects without a task are counted, and some are named: only the program that owns them
    /// knows whether they wait for something. May run at any time, and twice.
    #[command(after_long_help = AFTER_HELP)]
    Recover {
        /// Show what would be put, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Subjects in STATE that have no task get one in QUEUE; may be given several times
        #[arg(long = "state", value_name = "STATE=QUEUE", value_parser = mapping)]
        states: Vec<(String, Queue)>,
    },
    /// Make parked tasks due again, with no failed attempts
    #[command(after_long_help = AFTER_HELP, group = ArgGroup::new("which").required(true).args(["subjects", "all"]))]
    Retry {
        /// The queue
        queue: String,
        /// The subjects of the tasks
        subjects: Vec<String>,
        /// All parked tasks of the queue
        #[arg(long)]
        all: bool,
    },
}

/// Where the scheduler is.
#[derive(Args, Debug)]
struct Place {
    /// The server, without a password: redis://HOST:PORT/DB or redis+unix:///PATH [default: the environment variable
    /// STAPLED_REDIS]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "address_file")]
    address: Option<String>,
    /// A file with the address, which may contain a password: redis://USER:PASSWORD@HOST:PORT/DB
    #[arg(long, global = true, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// The prefix of the scheduler's keys
    #[arg(long, global = true, value_name = "PREFIX", default_value = "stapled")]
    prefix: String,
}

impl Redis {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Start)?;
        let (text, code) = runtime.block_on(self.action.run(&self.place))?;
        answer(out, &text, code)
    }
}

impl Action {
    /// The answer and its exit code.
    async fn run(self, place: &Place) -> Result<(String, u8), CommandError> {
        let scheduler = RedisScheduler::connect_existing(&place.address()?, &place.prefix).await?;
        let ended = |text, is_good| Ok((text, if is_good { GOOD } else { UNANSWERED }));
        match self {
            Action::Status { list, interval, json } => {
                let list = usize::try_from(list).unwrap_or(usize::MAX);
                let mut status = scheduler.status(list).await?;
                if let Some(interval) = interval {
                    tokio::time::sleep(interval.into()).await;
                    status = scheduler.status(list).await?.with_rates_since(&status);
                }
                let report = status.report();
                ended(if json { json_line(&report) } else { report.to_string() }, !report.needs_operator())
            }
            Action::Recover { dry_run, states } => {
                let mode = if dry_run { Recovery::DryRun } else { Recovery::Run };
                let repair = scheduler.repair(mode, &states.into_iter().collect()).await?;
                ended(repair.to_string(), !dry_run || repair.recovered.is_empty())
            }
            Action::Retry { queue, subjects, all } => {
                let subjects = subjects.iter().map(|name| Subject::from(name.as_str())).collect();
                let which = if all { Retry::All } else { Retry::Subjects(subjects) };
                let queue = queue.as_str().into();
                let retried = scheduler.retry(&queue, which).await.map_err(with_nearest_queue)?;
                ended(retried.to_string(), retried.not_parked.is_empty())
            }
        }
    }
}

impl Place {
    fn address(&self) -> Result<RedisAddress, CommandError> {
        let refused = |what: String| ConfigurationError::Setting { place: "--address".into(), what };
        let address = match (&self.address, &self.address_file) {
            (Some(address), _) => RedisAddress::from_argument(address, INSTEAD),
            (None, Some(file)) => String::from_utf8_lossy(&input::read(file)?.unwrap_or_default()).trim().parse(),
            (None, None) => std::env::var("STAPLED_REDIS").map_err(|_| refused(NO_ADDRESS.into()))?.parse(),
        };
        Ok(address.map_err(|error| refused(error.to_string()))?)
    }
}

/// The error about a queue that does not exist, with the name that is probably meant.
fn with_nearest_queue(error: RedisError) -> CommandError {
    let RedisError::NoQueue { queue, known } = &error else { return error.into() };
    let what = match nearest(queue.as_str(), known.iter().map(String::as_str)) {
        Some(near) => format!("there is no such queue; did you mean {near}?"),
        None => "there is no such queue; `stapled redis status` lists them".to_owned(),
    };
    ConfigurationError::Setting { place: queue.to_string(), what }.into()
}

fn mapping(text: &str) -> Result<(String, Queue), String> {
    let (state, queue) = text.split_once('=').ok_or("STATE=QUEUE is needed, such as issuing=issue")?;
    Ok((state.to_owned(), queue.into()))
}

const INSTEAD: &str = "use --address-file FILE, or set STAPLED_REDIS";
const NO_ADDRESS: &str = "no server is named; give --address redis://127.0.0.1/, or set STAPLED_REDIS";

const AFTER_HELP: &str = "\
Examples:
  stapled redis status --address redis://127.0.0.1/ --prefix ca
  How much is done per second, measured for ten seconds, with a password in a file:
    stapled redis status --address-file /etc/ca/redis --prefix ca --interval 10
  Show the tasks that Redis lost, and then put them again. The owner says which queue works off which state:
    stapled redis recover --prefix ca --dry-run
    stapled redis recover --prefix ca --state issuing=issue --state testing=testchallenge
  stapled redis retry issue --all --prefix ca

Exit codes:
  0  status: nothing needs you; recover: what was missing was put; retry: the tasks are due
  1  status: there is a problem; recover --dry-run: something is missing; retry: a subject has no parked task there
  2  wrong arguments, or retry: there is no such queue
  4  the server does not answer, or no scheduler has this prefix";
