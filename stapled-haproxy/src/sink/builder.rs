//! How a sink is adjusted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::clock::Clock;
use stapled_core::sink::Requirements;
use stapled_core::staple::JudgePolicy;

use crate::cli::address::Address;
use crate::instance::settings::{MAX_SIZE, Settings, Transactions};
use crate::sink::haproxy_sink::{HaproxySink, requirements};

/// No time that can be set is longer: it stands for "never".
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// HAProxy's largest `tune.bufsize` that is sensible here, times three quarters for base64.
const LARGEST_MAX_SIZE: usize = 48 * 1024;

/// Adjusts a [`HaproxySink`]; [`HaproxySink::builder`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct HaproxySinkBuilder {
    address: Address,
    settings: Settings,
}

impl HaproxySink {
    /// A sink for the admin socket at this path, with the defaults of [`HaproxySink::builder`].
    pub fn new(path: impl AsRef<Path>) -> Self {
        HaproxySinkBuilder::new(Address::unix(path)).build()
    }

    /// What a HAProxy with the defaults of [`HaproxySink::builder`] asks of a staple: for whoever wants to know without
    /// a HAProxy at hand whether one would be delivered.
    ///
    /// ```
    /// use stapled_haproxy::HaproxySink;
    ///
    /// assert_eq!(HaproxySink::default_requirements().margin.as_secs(), 300);
    /// ```
    pub fn default_requirements() -> Requirements {
        requirements(MAX_SIZE)
    }

    /// A sink for the admin socket at this address, to be adjusted.
    ///
    /// ```
    /// use stapled_haproxy::{Address, HaproxySink};
    ///
    /// let address: Address = "ipv4@127.0.0.1:9999".parse()?;
    /// let sink = HaproxySink::builder(address).max_size(4096).build();
    /// # Ok::<(), stapled_haproxy::AddressError>(())
    /// ```
    pub fn builder(address: Address) -> HaproxySinkBuilder {
        HaproxySinkBuilder::new(address)
    }
}

impl HaproxySinkBuilder {
    pub(crate) fn new(address: Address) -> Self {
        HaproxySinkBuilder { address, settings: Settings::default() }
    }

    /// How long an idle connection is kept: 10 s unless said otherwise, at least 1 s.
    ///
    /// Sinks of one socket share a connection; its times are those of the sink that was made first.
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.settings.patience.keepalive = keepalive.clamp(Duration::from_secs(1), LONGEST);
        self
    }

    /// How long connecting may take: 2 s unless said otherwise.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.patience.connect = timeout.min(LONGEST);
        self
    }

    /// How long each reply may take: 5 s unless said otherwise.
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.settings.patience.reply = timeout.min(LONGEST);
        self
    }

    /// The largest response, in bytes of DER, that is sent: 11 KiB unless said otherwise, which fits into HAProxy's
    /// default `tune.bufsize`; at most 48 KiB.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.settings.max_size = bytes.min(LARGEST_MAX_SIZE);
        self
    }

    /// How often to ask which process answers, on a new connection, and for some of the certificates that it has loaded:
    /// every second unless said otherwise, at least every 10 ms. After a restart or reload everything is delivered again;
    /// a certificate that others have replaced, and with it the staple, gets it again. Looking at certificates takes up
    /// one part in forty of the time, so that thousands of them need several looks.
    pub fn look_interval(mut self, interval: Duration) -> Self {
        self.settings.look_interval = interval.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// How often to compare, staple by staple, what HAProxy shows with what it was given, since others may give it
    /// others: every minute unless said otherwise, at least every 100 ms.
    pub fn compare_interval(mut self, interval: Duration) -> Self {
        self.settings.compare_interval = interval.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// Where first staples are brought while HAProxy runs: [everywhere](Transactions::Always) unless said otherwise.
    pub fn transactions(mut self, transactions: Transactions) -> Self {
        self.settings.transactions = transactions;
        self
    }

    /// The rules by which a response is judged that somebody else has given HAProxy.
    pub fn judge_policy(mut self, policy: JudgePolicy) -> Self {
        self.settings.judge_policy = policy;
        self
    }

    /// The clock that tells whether a staple still lasts long enough: the machine's unless said otherwise.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// The sink. Nothing is connected yet.
    pub fn build(self) -> HaproxySink {
        HaproxySink::with(&self.address, self.settings)
    }
}
