//! Asks a running HAProxy for its identity, its environment and its certificates, and reads the configuration that it was
//! started with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use stapled_core::source::SourceError;

use crate::cli::address::Address;
use crate::cli::connection::Connection;
use crate::cli::error::Error;
use crate::cli::failure::Failure;
use crate::cli::level::Level;
use crate::cli::process::Process;
use crate::cli::reply::certificate::Loaded;
use crate::cli::reply::environment::Environment;
use crate::cli::route::Route;
use crate::codes;
use crate::instance::channel::Channel;
use crate::instance::lock::lock;
use crate::instance::settings::Settings;
use crate::instance::survey::Survey;
use crate::running::layout::Layout;
use crate::running::matching::{bases, starts};

/// Reads one HAProxy.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) address: Address,
    pub(crate) settings: Settings,
    known: Arc<Mutex<Known>>,
}

/// Facts that do not change while a process runs.
#[derive(Debug, Default)]
struct Known {
    environment: Option<(Process, Environment)>,
    layout: Option<(Process, Arc<Layout>)>,
}

/// A process and its loaded certificates.
pub(crate) struct Seen {
    pub(crate) process: Process,
    pub(crate) environment: Environment,
    pub(crate) loaded: Vec<(Arc<str>, Loaded)>,
    /// The name of the certificate that an open transaction changes.
    pub(crate) transaction: Option<String>,
    /// The generation of the loaded certificates.
    pub(crate) generation: u64,
    /// The directories that the process may have been started in, likeliest first.
    pub(crate) starts: Vec<PathBuf>,
    /// The directories in which its relative names may begin, likeliest first.
    pub(crate) bases: Vec<PathBuf>,
}

impl Reader {
    pub(crate) fn new(address: &Address) -> Self {
        Reader { address: address.clone(), settings: Settings::default(), known: Arc::default() }
    }

    /// The channel to the process at the address; behind a master, to its current worker.
    pub(crate) async fn channel(&self) -> Result<Channel, Failure> {
        let timeouts = self.settings.timeouts;
        let route = match &self.address {
            Address::Master(_) => {
                let master = Route::to(self.address.clone());
                let workers = Connection::workers(&master, timeouts).await.map_err(|error| error.at(&master))?;
                let current = workers.iter().find(|worker| !worker.is_old);
                let current = current.ok_or_else(|| Error::NoWorker.at(&master))?;
                Route::to_worker(self.address.clone(), current.pid)
            }
            address => Route::to(address.clone()),
        };
        Ok(Channel::of(&route, timeouts))
    }

    /// Asks for the process and for its certificates.
    pub(crate) async fn see(&self) -> Result<Seen, Failure> {
        let channel = self.channel().await?;
        let survey = Survey::of(channel.clone());
        let at = |error: Error| error.at(channel.route());
        let process = channel.process().await.map_err(at)?;
        survey.look_at_new().await.map_err(at)?;
        let environment = self.environment(&channel, &process).await.map_err(at)?;
        let (loaded, generation) = survey.loaded(|loaded| {
            let certificates = loaded.certificates().map(|(name, loaded)| (Arc::clone(name), loaded.clone()));
            (certificates.collect(), loaded.identities())
        });
        let starts = starts(&process, &environment);
        let bases = bases(&starts, &environment);
        Ok(Seen { transaction: survey.transaction(), process, environment, loaded, generation, starts, bases })
    }

    /// The level of the socket, if HAProxy shows it.
    pub(crate) async fn level(&self) -> Result<Option<Level>, Failure> {
        let channel = self.channel().await?;
        channel.level().await.map_err(|error| error.at(channel.route()))
    }

    /// The environment of a process, which does not change.
    async fn environment(&self, channel: &Channel, process: &Process) -> Result<Environment, Error> {
        if let Some((of, environment)) = &lock(&self.known).environment
            && of.is_same(process)
        {
            return Ok(environment.clone());
        }
        let (lines, process) = channel.environment().await?;
        let environment = Environment::read(lines.iter().map(String::as_str));
        lock(&self.known).environment = Some((process, environment.clone()));
        Ok(environment)
    }

    /// The configuration that the process was started with, as far as it can be read now.
    pub(crate) async fn layout_now(&self) -> Result<Arc<Layout>, SourceError> {
        let channel = self.channel().await?;
        let at = |error: Error| error.at(channel.route());
        let process = channel.process().await.map_err(at)?;
        let environment = self.environment(&channel, &process).await.map_err(at)?;
        self.layout(&process, &starts(&process, &environment)).await
    }

    /// The configuration that the process was started with. It is read again for another process, and after its files
    /// changed: they may not have been readable before.
    pub(crate) async fn layout(&self, process: &Process, starts: &[PathBuf]) -> Result<Arc<Layout>, SourceError> {
        let known = lock(&self.known).layout.clone();
        if let Some((of, layout)) = known
            && of.is_same(process)
        {
            let known = Arc::clone(&layout);
            if self.blocking(move || known.is_current()).await? {
                return Ok(layout);
            }
        }
        let channel = self.channel().await?;
        let (lines, process) = channel.environment().await.map_err(|error| error.at(channel.route()))?;
        let (starts, reporters) = (starts.to_vec(), self.settings.reporters.clone());
        // The environment may hold secrets: it is dropped as soon as the configuration is read.
        let read = move || {
            let environment = Environment::read(lines.iter().map(String::as_str));
            let variables = lines.iter().filter_map(|line| line.split_once('='));
            let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
            Layout::read(&environment, variables.collect(), &starts, &reporters)
        };
        let layout = Arc::new(self.blocking(read).await?);
        lock(&self.known).layout = Some((process, Arc::clone(&layout)));
        Ok(layout)
    }

    /// Runs work that blocks.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SourceError> {
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            let what = format!("{}: the search for its files ended early: {error}", self.address);
            SourceError::new(codes::SCAN_FAILED, what)
        })
    }
}
