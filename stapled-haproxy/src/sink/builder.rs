//! The settings of a sink.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::clock::Clock;
use stapled_core::sink::Requirements;
use stapled_core::staple::JudgePolicy;

use crate::cli::address::Address;
use crate::cli::transactions::Transactions;
use crate::instance::settings::{MAX_SIZE, Settings};
use crate::sink::haproxy_sink::HaproxySink;
use crate::sink::requirements::requirements;

/// The longest time that can be set; it stands for "never".
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// The largest response, in bytes, for a HAProxy with a `tune.bufsize` of 64 KiB: three quarters of it, for base64.
const LARGEST_MAX_SIZE: usize = 48 * 1024;

/// The settings of a [`HaproxySink`]; [`HaproxySink::builder`] makes one.
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

    /// The requirements of a sink with the defaults of [`HaproxySink::builder`]. They tell without a HAProxy whether a staple
    /// could be delivered.
    ///
    /// ```
    /// use stapled_haproxy::HaproxySink;
    ///
    /// assert_eq!(HaproxySink::default_requirements().margin.as_secs(), 300);
    /// ```
    pub fn default_requirements() -> Requirements {
        requirements(MAX_SIZE)
    }

    /// The builder of a sink for the admin socket at this address.
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

    /// How long an idle connection is kept: 10 s by default, at least 1 s.
    ///
    /// Sinks of one socket share a connection; its timeouts are those of the sink that was made first.
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.settings.timeouts.keepalive = keepalive.clamp(Duration::from_secs(1), LONGEST);
        self
    }

    /// How long connecting may take: 2 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.connect = timeout.min(LONGEST);
        self
    }

    /// How long each reply may take: 5 s by default.
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.reply = timeout.min(LONGEST);
        self
    }

    /// The largest response, in bytes of DER, that is sent: 11 KiB by default, which fits into HAProxy's default
    /// `tune.bufsize`; at most 48 KiB.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.settings.max_size = bytes.min(LARGEST_MAX_SIZE);
        self
    }

    /// The time between two looks at which process answers, on a new connection, and at some of its certificates: 1 s by
    /// default, at least 10 ms. After a restart or reload everything is delivered again; a certificate that another client
    /// has replaced, and with it the staple, gets its staple again. Looks at certificates take at most one part in forty
    /// of the time, so that thousands of certificates need several looks.
    pub fn look_interval(mut self, interval: Duration) -> Self {
        self.settings.look_interval = interval.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// The time between two comparisons of the staples that HAProxy shows with the delivered ones, since other clients may
    /// replace them: 1 min by default, at least 100 ms.
    pub fn compare_interval(mut self, interval: Duration) -> Self {
        self.settings.compare_interval = interval.clamp(Duration::from_millis(100), LONGEST);
        self
    }

    /// Where first staples are delivered while HAProxy runs: [everywhere](Transactions::Always) by default.
    pub fn transactions(mut self, transactions: Transactions) -> Self {
        self.settings.transactions = transactions;
        self
    }

    /// The rules by which a response is judged that another client has given HAProxy.
    pub fn judge_policy(mut self, policy: JudgePolicy) -> Self {
        self.settings.judge_policy = policy;
        self
    }

    /// The clock that tells whether a staple lasts long enough: the machine's by default.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    /// The same, for a clock that the program shares with others.
    pub fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Builds the sink. It connects with the first delivery.
    pub fn build(self) -> HaproxySink {
        HaproxySink::with(&self.address, self.settings)
    }
}
