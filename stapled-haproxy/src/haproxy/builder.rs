//! How a [`Haproxy`] is built.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stapled_core::overrides::ResponderOverrides;
use stapled_core::source::CertSource;
use stapled_core::staple::JudgePolicy;

use super::grouping::Options;
use super::named_sockets::NamedSockets;
use super::one::{Haproxy, Origin};
use super::processes::Processes;
use crate::cli::address::Address;
use crate::cli::transactions::Transactions;
use crate::configuration::{ConfigurationError, HaproxyConfiguration, Surroundings};
use crate::running::ignored::Ignored;

/// Builds a [`Haproxy`]; [`Haproxy::builder`] makes one.
#[derive(Clone, Default)]
#[must_use]
pub struct HaproxyBuilder {
    configuration: Vec<PathBuf>,
    surroundings: Surroundings,
    named_sockets: NamedSockets,
    certificates: Option<Arc<dyn CertSource>>,
    sockets: Vec<Address>,
    processes: Processes,
    options: Options,
}

impl Haproxy {
    /// A HAProxy of which nothing is known yet.
    pub fn builder() -> HaproxyBuilder {
        HaproxyBuilder::default()
    }

    /// The HAProxy that is started with this configuration (its `-f` options: files and directories), served over the
    /// admin sockets that the configuration names.
    ///
    /// # Errors
    ///
    /// A file or directory of `paths` cannot be read.
    pub fn with_configuration<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, ConfigurationError> {
        Haproxy::builder().configuration(paths).open()
    }
}

impl HaproxyBuilder {
    /// The configuration that HAProxy is started with: its `-f` options, files and directories. It says which
    /// certificates there are and where the admin sockets are.
    pub fn configuration<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.configuration.extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        self
    }

    /// What the configuration is read with besides its files. Default: directory and environment of this process.
    pub fn surroundings(self, surroundings: Surroundings) -> Self {
        HaproxyBuilder { surroundings, ..self }
    }

    /// Whether the admin sockets are used that the configuration names. Default: they are.
    pub fn named_sockets(self, named_sockets: NamedSockets) -> Self {
        HaproxyBuilder { named_sockets, ..self }
    }

    /// Ignores the certificates of the files for which this function returns true, whichever configuration or process names
    /// them: they get no staple from here, and no list has them. For the patterns of a directory source, the function is
    /// [`DirectorySource::ignores`](stapled_core::io::directory::DirectorySource::ignores). A source that is given as
    /// [`certificates`](HaproxyBuilder::certificates) decides for itself.
    pub fn ignore(mut self, ignores: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.options.ignored = Ignored::by(ignores);
        self
    }

    /// The overrides of the stapler: a certificate that they turn off is not reported as one that HAProxy serves and that needs a
    /// staple. Default: none.
    pub fn responder_overrides(mut self, overrides: ResponderOverrides) -> Self {
        self.options.overrides = overrides;
        self
    }

    /// Another source of the certificates that HAProxy serves, such as a directory. It counts where no configuration is
    /// given. Without either, the running HAProxy is asked for what it has loaded.
    pub fn certificates(self, source: impl CertSource + 'static) -> Self {
        self.shared_certificates(Arc::new(source))
    }

    /// The same, for a source that the program shares with others.
    pub fn shared_certificates(self, source: Arc<dyn CertSource>) -> Self {
        HaproxyBuilder { certificates: Some(source), ..self }
    }

    /// Adds an admin socket.
    pub fn socket(mut self, address: Address) -> Self {
        if !self.sockets.contains(&address) {
            self.sockets.push(address);
        }
        self
    }

    /// Adds admin sockets.
    pub fn sockets(self, addresses: impl IntoIterator<Item = Address>) -> Self {
        addresses.into_iter().fold(self, HaproxyBuilder::socket)
    }

    /// The processes that this program knows already. Default: none.
    pub fn processes(self, processes: &Processes) -> Self {
        HaproxyBuilder { processes: processes.clone(), ..self }
    }

    /// How long an idle connection to an admin socket is kept. Default: 10 s.
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.options.keepalive = Some(keepalive);
        self
    }

    /// Where first staples are brought while HAProxy runs. Default: [everywhere](Transactions::Always).
    pub fn transactions(mut self, transactions: Transactions) -> Self {
        self.options.transactions = transactions;
        self
    }

    /// The rules by which a response is judged that another client has given to HAProxy.
    pub fn judge_policy(mut self, policy: JudgePolicy) -> Self {
        self.options.judge_policy = policy;
        self
    }

    /// Reads the configuration, where one is given. No socket is connected yet.
    ///
    /// # Errors
    ///
    /// A file or directory of the configuration cannot be read.
    pub fn open(self) -> Result<Haproxy, ConfigurationError> {
        let origin = if !self.configuration.is_empty() {
            let source = HaproxyConfiguration::open_in(&self.surroundings, &self.configuration)?;
            Origin::configuration(source, self.configuration, self.named_sockets)
        } else {
            self.certificates.map_or(Origin::Process, Origin::Elsewhere)
        };
        Ok(Haproxy::new(origin, self.sockets, self.processes, self.options))
    }
}
