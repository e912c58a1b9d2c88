//! The channel to one HAProxy process: every command of this program goes through it, one batch after the other.
//!
//! Sinks and sources of one socket share a channel, and channels whose sockets lead to one process take turns: HAProxy
//! expects that one client at a time changes its certificates. A task (`writer`) does the exchanges; it starts with the
//! first command and ends when its connection has been idle.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::cli::command::Command;
use crate::cli::connection::{Connection, Timeouts};
use crate::cli::error::Error;
use crate::cli::level::Level;
use crate::cli::name::CliName;
use crate::cli::payload::Payload;
use crate::cli::process::Process;
use crate::cli::reply::certificate::{self, ListReply, ShowReply};
use crate::cli::reply::level::level;
use crate::cli::reply::response::ShownResponse;
use crate::cli::reply::transaction::{self, ProbeReply};
use crate::cli::route::Route;
use crate::instance::deadline::Deadline;
use crate::instance::first_staple::{FirstDelivery, LoadedNames};
use crate::instance::jobs::{Answer, Job, Push, Pushed, Said};
use crate::instance::lock::lock;
use crate::instance::state::ChannelState;
use crate::instance::writer::{Writer, shown};

/// A handle of the channel to one process.
#[derive(Clone)]
pub(crate) struct Channel {
    state: Arc<ChannelState>,
}

impl Channel {
    /// The channel of this route. Of several callers at one time, the first decides on the timeouts.
    pub(crate) fn of(route: &Route, timeouts: Timeouts) -> Self {
        Channel { state: ChannelState::of(route, timeouts) }
    }

    pub(crate) fn route(&self) -> &Route {
        &self.state.route
    }

    pub(crate) fn state(&self) -> &ChannelState {
        &self.state
    }

    /// The process that answered last, and its successors.
    pub(crate) fn processes(&self) -> watch::Receiver<Option<Process>> {
        self.state.process.subscribe()
    }

    /// Sends a response; returns HAProxy's reply.
    pub(crate) async fn push(&self, payload: Payload, deadline: Deadline) -> Result<Pushed, Error> {
        self.submit(|answer| Job::Push(Push { payload, deadline, answer })).await
    }

    /// Delivers the first staple of a certificate; returns the names under which it is loaded, and the process.
    pub(crate) async fn deliver_first(
        &self,
        first: FirstDelivery,
        deadline: Deadline,
    ) -> Result<(LoadedNames, Process), Error> {
        self.submit(|answer| Job::First { first: Box::new(first), deadline, answer }).await
    }

    /// Asks for the process itself, on a kept connection.
    pub(crate) async fn process(&self) -> Result<Process, Error> {
        Ok(self.ask(vec![Command::show_info()]).await?.1)
    }

    /// Asks which process answers, on a new connection: a kept one leads to the process that accepted it, even after a
    /// reload.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let connection = Connection::open(&self.state.route, self.state.timeouts).await?;
        if self.state.is_current(connection.process()) {
            self.state.saw(connection.process());
        }
        Ok(())
    }

    /// Asks for the level of the socket; `None` if HAProxy does not show it.
    pub(crate) async fn level(&self) -> Result<Option<Level>, Error> {
        let (replies, _) = self.ask(vec![Command::show_level()]).await?;
        Ok(replies.first().and_then(|reply| level(reply)))
    }

    /// Asks for the names of the loaded certificates.
    pub(crate) async fn list_certificates(&self) -> Result<(ListReply, Process), Error> {
        let (lines, process) = self.list(Command::show_certificates()).await?;
        Ok((certificate::list(&lines), process))
    }

    /// Asks for loaded certificates; the replies come in the order of the names.
    pub(crate) async fn show_certificates(&self, names: &[CliName]) -> Result<(Vec<ShowReply>, Process), Error> {
        let commands = names.iter().map(Command::show_certificate).collect();
        let (replies, process) = self.ask(commands).await?;
        Ok((replies.iter().map(|reply| certificate::show(reply)).collect(), process))
    }

    /// Asks which responses `process` has for these CertIDs (DER); the replies come in their order.
    pub(crate) async fn show_responses(
        &self,
        cert_ids: impl Iterator<Item = &[u8]>,
        process: &Process,
    ) -> Result<Vec<ShownResponse>, Error> {
        let commands = cert_ids.map(|cert_id| Command::show_response(cert_id, process)).collect();
        let (replies, process) = self.ask(commands).await?;
        Ok(replies.iter().map(|reply| shown(reply, &process)).collect())
    }

    /// Asks whether a transaction is open.
    pub(crate) async fn probe_transaction(&self) -> Result<Option<ProbeReply>, Error> {
        let (replies, _) = self.ask(vec![Command::probe_transaction()]).await?;
        Ok(replies.first().map(|reply| transaction::probe(reply)))
    }

    /// Asks for HAProxy's environment, a variable a line. It may hold secrets: the caller must not keep it.
    pub(crate) async fn environment(&self) -> Result<Said, Error> {
        self.list(Command::show_environment()).await
    }

    async fn ask(&self, commands: Vec<Command>) -> Result<Said, Error> {
        self.submit(|answer| Job::Ask { commands, answer }).await
    }

    async fn list(&self, command: Command) -> Result<Said, Error> {
        self.submit(|answer| Job::List { command, answer }).await
    }

    async fn submit<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = lock(&self.state.queue);
            queue.jobs.push_back(job(answer));
            if !queue.is_running {
                queue.is_running = true;
                tokio::spawn(Writer::of(Arc::clone(&self.state)).work());
            }
        }
        self.state.wake.notify_one();
        answered.await.unwrap_or(Err(Error::ChannelStopped))
    }
}
