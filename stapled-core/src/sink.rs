//! Sinks deliver staples to servers, files and tables.

pub mod failure;
#[cfg(feature = "files")]
pub(crate) mod leftover;
pub mod lost;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::chain::CertChain;
use crate::lookup::IssuerPlace;
use crate::ocsp::CertIdHash;
use crate::reason::ReasonCode;
use crate::refresh::inputs::Usable;
use crate::report::Reporter;
use crate::staple::Staple;
use crate::time::Timestamp;
use failure::SinkFailure;
pub use lost::Lost;

/// How long before its end a staple is withdrawn, where the server does not stop serving it earlier by itself.
const LEAD: Duration = Duration::from_secs(5);

/// Delivers staples to a server, a file, or a table in memory.
///
/// Deliveries of one certificate never overlap. Deliveries of different certificates do, as many at once as
/// [`Requirements::concurrency`] allows. Delivering the same staple again must be harmless. A failed delivery is tried
/// again, without another request to the CA.
///
/// Each future of these methods may be dropped before it is ready: when it exceeds [`Requirements::deadline`], or when
/// the program ends. Each method says what that means.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Mutex, PoisonError};
///
/// use stapled_core::chain::CertChain;
/// use stapled_core::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
/// use stapled_core::staple::Staple;
///
/// /// The responses that a server sends, by the serial number of the certificate.
/// #[derive(Default)]
/// struct Table(Mutex<HashMap<String, Vec<u8>>>);
///
/// #[async_trait::async_trait]
/// impl StapleSink for Table {
///     async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
///         let serial = staple.chain().end_entity().serial_hex();
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(serial, staple.response().to_vec());
///         Ok(Delivered::Confirmed)
///     }
///
///     async fn withdraw(&self, chain: &CertChain, _: &[Site], _: Withdrawal) -> Result<Withdrawn, SinkError> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&chain.end_entity().serial_hex());
///         Ok(Withdrawn::Confirmed)
///     }
/// }
/// ```
#[async_trait]
pub trait StapleSink: Send + Sync {
    /// Delivers a staple for a certificate at these sites. One certificate may have several sites. Returns when the
    /// staple is in service.
    ///
    /// A dropped delivery may have succeeded or not: the caller delivers or withdraws again. Remaining work of the dropped
    /// one must not undo that.
    ///
    /// # Errors
    ///
    /// Why the staple is not in service.
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError>;

    /// The name of the sink in messages, such as `/run/haproxy/admin.sock`.
    fn name(&self) -> String {
        "sink".to_owned()
    }

    /// Takes a reporter. Through it, the sink sends facts to a stapler's observer that an operator must know and that no
    /// delivery returns. A stapler calls this method when it begins to run. A sink of several staplers, or one that outlives
    /// its stapler, gets several reporters: [`Reporters`](crate::report::Reporters) keeps them.
    fn report_to(&self, reporter: Reporter) {
        let _ = reporter;
    }

    /// What this sink requires of a staple, and of deliveries.
    fn requirements(&self) -> Requirements {
        Requirements::default()
    }

    /// Whether clients notice at once if this sink lacks a staple. A sink that only keeps staples for the next start of
    /// servers, such as one that writes files beside certificates, returns false: while another sink has the staple in
    /// service, what is missing here is no outage. Default: yes.
    fn is_live(&self) -> bool {
        true
    }

    /// Takes the staple of a certificate out of service.
    ///
    /// A dropped withdrawal may have succeeded or not, as with [`deliver`](StapleSink::deliver).
    ///
    /// # Errors
    ///
    /// Why the staple may still be in service.
    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        let _ = (chain, sites, why);
        Ok(Withdrawn::Unsupported)
    }

    /// Reads ahead what [`clear_leftover`](Self::clear_leftover) and [`recall`](Self::recall) will need for the certificate in this file,
    /// which the calling thread has just read. `staple_file` is the staple's file by the configuration of the server. The call may block
    /// no longer than the read of the certificate's own directory, so what lies elsewhere is left to those methods. It only saves
    /// time, and may do nothing, which is the default.
    fn read_ahead(&self, file: &Path, staple_file: Option<&Path>) {
        let _ = (file, staple_file);
    }

    /// The response that this sink has kept for a certificate since an earlier run, if it keeps responses. The caller
    /// verifies it like one from the network. The method changes nothing and may be dropped.
    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        let _ = (chain, sites);
        None
    }

    /// Whether the sink has this staple in service since before, at these sites: it is the response that [`recall`](Self::recall)
    /// of this or another sink returned a moment ago, and nothing is to be done. Otherwise the staple is delivered, as it is by default. Must not block.
    fn has_recalled(&self, staple: &Staple, sites: &[Site]) -> bool {
        let _ = (staple, sites);
        false
    }

    /// Removes the response that servers would read for this certificate at their next start, if it can be no staple of it at the
    /// time `now`: it has ended, or it is about another certificate. Called when a certificate is found, whether it wants a staple or
    /// not. A sink that keeps nothing for the next start of servers does nothing, which is the default.
    async fn clear_leftover(&self, chain: &CertChain, sites: &[Site], now: Timestamp) {
        let _ = (chain, sites, now);
    }

    /// Returns when the server has lost staples, which are then delivered again. A sink that cannot notice losses never
    /// returns. The method is called again after each return, by one caller at a time.
    ///
    /// A dropped call loses nothing: what the sink noticed and had not returned, the next call returns.
    async fn lost(&self) -> Lost {
        std::future::pending().await
    }
}

/// A place that holds a certificate, as sinks see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The name by which servers know the certificate: for a file, its path.
    pub served_as: Arc<str>,
    /// The certificate's file, where there is one.
    pub file: Option<Arc<Path>>,
    /// The file in which servers look for the staple, if that is not the file's name plus `.ocsp`.
    pub staple_file: Option<Arc<Path>>,
    /// Whether servers need that file to start. It is then emptied instead of removed.
    pub staple_file_needed: bool,
    /// How a server that loads the file finds the issuer.
    pub issuer: IssuerPlace,
}

impl Site {
    /// A file, known to servers by its path. It holds the issuer's certificate, too.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let named = Site::named(path.to_string_lossy());
        Site { file: Some(path.into()), ..named }
    }

    /// A certificate without a file, known to servers by this name. Servers have its issuer.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Site {
            served_as: name.into(),
            file: None,
            staple_file: None,
            staple_file_needed: false,
            issuer: IssuerPlace::SameFile,
        }
    }

    /// The same, known to servers by this name.
    pub fn served_as(self, name: impl Into<Arc<str>>) -> Self {
        Site { served_as: name.into(), ..self }
    }

    /// The same, for servers that look for the staple in this file.
    pub fn staple_file(self, path: impl Into<PathBuf>) -> Self {
        Site { staple_file: Some(path.into().into()), ..self }
    }

    /// The same, for servers that look for the staple in this file and do not start without it.
    pub fn needed_staple_file(self, path: impl Into<PathBuf>) -> Self {
        Site { staple_file_needed: true, ..self.staple_file(path) }
    }

    /// The same, for servers that find the issuer in this place.
    pub fn issuer(self, issuer: IssuerPlace) -> Self {
        Site { issuer, ..self }
    }
}

/// What a sink requires of staples and of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// The only CertID hash by which the server finds a staple, with NULL parameters. `None`: any hash.
    pub cert_id_hash: Option<CertIdHash>,
    /// Whether the response must have just one SingleResponse.
    pub single_response: bool,
    /// Whether the response must have a nextUpdate.
    pub next_update: bool,
    /// The largest response that the server takes, in bytes.
    pub max_size: usize,
    /// How long before nextUpdate the server stops serving the staple.
    pub margin: Duration,
    /// How many deliveries may run at once.
    pub concurrency: usize,
    /// How long one delivery or withdrawal may take. One that takes longer is dropped, and tried again later.
    pub deadline: Duration,
}

impl Default for Requirements {
    fn default() -> Self {
        Requirements {
            cert_id_hash: None,
            single_response: false,
            next_update: false,
            max_size: 64 * 1024,
            margin: Duration::ZERO,
            concurrency: 16,
            deadline: Duration::from_secs(60),
        }
    }
}

impl Requirements {
    /// The same, with this CertID hash and no other.
    pub fn cert_id_hash(self, hash: CertIdHash) -> Self {
        Requirements { cert_id_hash: Some(hash), ..self }
    }

    /// The same, for responses with just one SingleResponse.
    pub fn one_single_response(self) -> Self {
        Requirements { single_response: true, ..self }
    }

    /// The same, for responses with a nextUpdate.
    pub fn with_next_update(self) -> Self {
        Requirements { next_update: true, ..self }
    }

    /// The same, for responses of this size in bytes at most.
    pub fn max_size(self, max_size: usize) -> Self {
        Requirements { max_size, ..self }
    }

    /// The same, for a server that stops serving a staple this long before nextUpdate.
    pub fn margin(self, margin: Duration) -> Self {
        Requirements { margin, ..self }
    }

    /// The same, with this many deliveries at once.
    pub fn concurrency(self, concurrency: usize) -> Self {
        Requirements { concurrency, ..self }
    }

    /// The same, with this deadline of one delivery or withdrawal. Default: 60 seconds.
    pub fn deadline(self, deadline: Duration) -> Self {
        Requirements { deadline, ..self }
    }

    /// Checks that a staple can be delivered at this time.
    ///
    /// # Errors
    ///
    /// Which requirement the staple does not meet.
    pub fn check(&self, staple: &Staple, at: Timestamp) -> Result<(), SinkError> {
        let facts = staple.facts();
        let unfit = |code, what: String| Err(SinkError::Unfit { code: ReasonCode::new(code), what });
        let size = staple.response().len();
        if size > self.max_size {
            return unfit("too_large", format!("the response has {size} bytes; the server takes {}", self.max_size));
        }
        if let Some(hash) = self.cert_id_hash
            && (facts.cert_id.hash() != Some(hash) || !facts.cert_id.has_null_parameters())
        {
            return unfit(
                "unfit_certid",
                format!("the server finds a staple by a {} CertID with NULL parameters only", hash.name()),
            );
        }
        if self.single_response && facts.single_responses != 1 {
            return unfit(
                "several_responses",
                format!("the response has {} single responses; the server takes one", facts.single_responses),
            );
        }
        if self.next_update && facts.next_update.is_none() {
            return unfit("missing_next_update", "the server takes no response without nextUpdate".to_owned());
        }
        if staple.expires() <= at + self.margin {
            return Err(too_short(staple, self.margin));
        }
        Ok(())
    }

    /// The same, for a staple that is in service: it is withdrawn a little before its end, where the sink does not stop
    /// serving it earlier by itself.
    pub(crate) fn in_service(self) -> Requirements {
        Requirements { margin: self.margin.max(LEAD), ..self }
    }

    /// Whether a staple meets the requirements that do not depend on the time.
    pub(crate) fn fits(&self, staple: &Staple) -> bool {
        self.check(staple, Timestamp::MIN).is_ok()
    }

    /// The requirements of both sinks together.
    pub fn and(self, other: Requirements) -> Requirements {
        Requirements {
            cert_id_hash: self.cert_id_hash.or(other.cert_id_hash),
            single_response: self.single_response || other.single_response,
            next_update: self.next_update || other.next_update,
            max_size: self.max_size.min(other.max_size),
            margin: self.margin.max(other.margin),
            concurrency: self.concurrency.min(other.concurrency),
            deadline: self.deadline.min(other.deadline),
        }
    }
}

/// The outcome of a delivery that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivered {
    /// The staple is in service: the server said so.
    Confirmed,
    /// By its settings, this sink does not serve this certificate.
    NotWanted {
        /// The reason code.
        code: ReasonCode,
        /// The reason in words, and what to do if that is not wanted.
        what: String,
    },
}

/// Why a staple is taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withdrawal {
    /// The certificate was revoked.
    Revoked,
    /// The staple ends and could not be renewed.
    Expiring,
    /// The certificate is gone from its place, or wants no staple any more.
    Retired,
}

/// The outcome of a withdrawal that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withdrawn {
    /// The staple is out of service, or was not in service.
    Confirmed,
    /// This sink cannot withdraw staples: the server serves it until it expires.
    Unsupported,
}

/// Why a staple was not delivered, or not withdrawn. The stapler tries again after each of them.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The server cannot take this staple; another response might do.
    #[error("{what}")]
    Unfit {
        /// The reason code.
        code: ReasonCode,
        /// What does not fit.
        what: String,
    },
    /// The server serves no staple so close to its end; a response that lives longer would do.
    #[error("{what}")]
    ExpiresTooSoon {
        /// When the staple ends, and what to do.
        what: String,
    },
    /// The server does not answer.
    #[error("{what}")]
    Unreachable {
        /// The reason code.
        code: ReasonCode,
        /// Which server, why, and what to do.
        what: String,
    },
    /// The server does not have the certificate yet, as between the renewal of a file and the reload of the server. The
    /// observer receives an event only if this lasts.
    #[error("{what}")]
    NotYet {
        /// The reason code.
        code: ReasonCode,
        /// What the server has, and what to do if that lasts.
        what: String,
    },
    /// The server refused.
    #[error("{what}")]
    Refused {
        /// The reason code.
        code: ReasonCode,
        /// What the server said, and what to do.
        what: String,
    },
}

impl Delivered {
    /// A delivery that the sink's settings exclude.
    pub fn not_wanted(code: ReasonCode, what: impl Into<String>) -> Self {
        Delivered::NotWanted { code, what: what.into() }
    }
}

impl SinkError {
    /// A staple that the server cannot take.
    pub fn unfit(code: ReasonCode, what: impl Into<String>) -> Self {
        SinkError::Unfit { code, what: what.into() }
    }

    /// A staple whose end is too near for the server to serve it.
    pub fn expires_too_soon(what: impl Into<String>) -> Self {
        SinkError::ExpiresTooSoon { what: what.into() }
    }

    /// A certificate that the server does not have yet.
    pub fn not_yet(code: ReasonCode, what: impl Into<String>) -> Self {
        SinkError::NotYet { code, what: what.into() }
    }

    /// A server that does not answer.
    pub fn unreachable(code: ReasonCode, what: impl Into<String>) -> Self {
        SinkError::Unreachable { code, what: what.into() }
    }

    /// A server that refused.
    pub fn refused(code: ReasonCode, what: impl Into<String>) -> Self {
        SinkError::Refused { code, what: what.into() }
    }

    /// The kind of the failure.
    pub fn failure(&self) -> SinkFailure {
        match self {
            SinkError::Unfit { .. } => SinkFailure::Unfit,
            SinkError::ExpiresTooSoon { .. } => SinkFailure::ExpiresTooSoon,
            SinkError::Unreachable { .. } => SinkFailure::Unreachable,
            SinkError::NotYet { .. } => SinkFailure::NotYet,
            SinkError::Refused { .. } => SinkFailure::Refused,
        }
    }

    /// The reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            SinkError::Unfit { code, .. }
            | SinkError::Unreachable { code, .. }
            | SinkError::NotYet { code, .. }
            | SinkError::Refused { code, .. } => *code,
            SinkError::ExpiresTooSoon { .. } => EXPIRES_TOO_SOON,
        }
    }
}

/// The error of a staple for a server that stops serving it `margin` before its end.
pub(crate) fn too_short(staple: &Staple, margin: Duration) -> SinkError {
    let (ends, margin) = (staple.expires(), margin.as_secs());
    let life = ends.since(staple.this_update()).as_secs();
    let what = match life <= margin {
        true => format!(
            "the CA's responses live too short: {life} s from thisUpdate on, and the server serves none in its last \
             {margin} s; ask the CA for responses that live longer"
        ),
        false => format!("the response ends at {ends}, and the server does not serve it in its last {margin} s"),
    };
    SinkError::ExpiresTooSoon { what }
}

/// The code of a staple whose end is too near for a server to serve it.
pub(crate) const EXPIRES_TOO_SOON: ReasonCode = ReasonCode::new("expires_too_soon");

/// The time during which the sinks with these numbers can serve a staple. A sink that serves no response of such a short
/// life does not shorten the time for the others.
pub(crate) fn usable_by(
    sinks: &[Arc<dyn StapleSink>],
    numbers: impl IntoIterator<Item = usize>,
    staple: &Staple,
) -> Usable {
    let (from, ends) = (staple.this_update(), staple.expires());
    let margins = numbers.into_iter().filter_map(|number| sinks.get(number)).map(|sink| sink.requirements().margin);
    let margin = margins.filter(|margin| ends - *margin > from).max().unwrap_or_default();
    Usable { from, until: ends - margin }
}

/// The requirements of the sinks with these numbers, all together.
pub(crate) fn requirements_of(sinks: &[Arc<dyn StapleSink>], numbers: impl IntoIterator<Item = usize>) -> Requirements {
    numbers
        .into_iter()
        .filter_map(|number| sinks.get(number))
        .map(|sink| sink.requirements())
        .fold(Requirements::default(), Requirements::and)
}
