//! Where staples go: the trait of sinks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::chain::CertChain;
use crate::ocsp::CertIdHash;
use crate::reason::ReasonCode;
use crate::refresh::Usable;
use crate::report::Reporter;
use crate::staple::Staple;
use crate::time::Timestamp;

/// Delivers staples: to a server, a file, a table in memory.
///
/// Deliveries of one certificate never overlap; deliveries of several do, as many at once as
/// [`Requirements::concurrency`] allows. Delivering the same staple again must be harmless. What fails is tried again,
/// without another question to the CA.
///
/// Every future of these methods may be dropped before it is ready: one that takes too long, or when the program ends. Each
/// method says what holds then.
#[async_trait]
pub trait StapleSink: Send + Sync {
    /// Delivers a staple for the certificate that lies at these places (one certificate may lie in several). Returns
    /// when it is in service, or why it is not.
    ///
    /// Dropped, it may have delivered or not: the caller takes the certificate for one in doubt, and delivers or withdraws
    /// again. What is left of the work must not undo what that does.
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError>;

    /// A name for messages, such as `/run/haproxy/admin.sock`.
    fn name(&self) -> String {
        "sink".to_owned()
    }

    /// Takes a reporter: what an operator must know and no delivery returns goes to the observer of a stapler through
    /// it. A stapler hands one over when it begins to run. A sink of several staplers, or one that outlives its
    /// stapler, gets several: [`Reporters`](crate::report::Reporters) keeps them.
    fn report_to(&self, reporter: Reporter) {
        let _ = reporter;
    }

    /// What a staple must be like for this sink.
    fn requirements(&self) -> Requirements {
        Requirements::default()
    }

    /// Takes the staple of a certificate out of service.
    ///
    /// Dropped, it may have done so or not, as with [`deliver`](StapleSink::deliver).
    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        let _ = (chain, sites, why);
        Ok(Withdrawn::Unsupported)
    }

    /// The response that this sink still keeps for a certificate from before, if it keeps any: it is verified as if it
    /// came from the network. It changes nothing, and may be dropped.
    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        let _ = (chain, sites);
        None
    }

    /// Returns when the server has lost staples: it gets them again from memory. A sink that cannot tell never returns.
    /// It is called again after each return, by one caller at a time.
    ///
    /// Dropped, it has lost nothing: what it noticed and had not returned yet, the next call returns.
    async fn lost(&self) -> Lost {
        std::future::pending().await
    }
}

/// A place where a certificate lies, as far as sinks care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The name under which servers know the certificate there: for a file, its path.
    pub served_as: Arc<str>,
    /// The certificate's file, where there is one.
    pub file: Option<PathBuf>,
    /// Where servers look for the staple, when that is not the file's name plus `.ocsp`.
    pub staple_file: Option<PathBuf>,
    /// Whether servers do not start without that file: then it is emptied where it would be removed.
    pub staple_file_needed: bool,
    /// How a server that loads the file finds the issuer.
    pub issuer: IssuerPlace,
}

/// How a server that loads a certificate's file finds the issuer's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerPlace {
    /// It is in the same file.
    SameFile,
    /// It is in the file that servers look in: the certificate's name plus `.issuer`, or the configured one.
    IssuerFile(PathBuf),
    /// It begins a chain in the directory that servers take chains from.
    Chains(PathBuf),
    /// The server does not find it; or it would look first where it finds another, which a sink can put right.
    Elsewhere,
    /// The server takes another certificate for it, which has the issuer's name and comes first: it computes another CertID,
    /// and no staple fits, whatever a sink brings. Only the file can be mended.
    Mistaken {
        /// The directory of chains that the other one comes from; `None`: it lies in the certificate's own file.
        chains: Option<PathBuf>,
    },
}

/// What a sink asks of a staple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirements {
    /// The one CertID hash by which the server finds a staple, with NULL parameters; `None`: any.
    pub cert_id_hash: Option<CertIdHash>,
    /// Whether the response must have just one SingleResponse.
    pub single_response: bool,
    /// Whether nextUpdate must be there.
    pub next_update: bool,
    /// The largest response, in bytes.
    pub max_size: usize,
    /// How long before nextUpdate the server stops serving the staple.
    pub margin: Duration,
    /// How many deliveries may be under way at once.
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

    /// The same, for responses of this size in bytes at most.
    pub fn max_size(self, max_size: usize) -> Self {
        Requirements { max_size, ..self }
    }

    /// The same, for a server that stops serving a staple so long before nextUpdate.
    pub fn margin(self, margin: Duration) -> Self {
        Requirements { margin, ..self }
    }

    /// The same, with so many deliveries at once.
    pub fn concurrency(self, concurrency: usize) -> Self {
        Requirements { concurrency, ..self }
    }

    /// The same, with this deadline of one delivery or withdrawal. Default: 60 seconds.
    pub fn deadline(self, deadline: Duration) -> Self {
        Requirements { deadline, ..self }
    }

    /// Whether a staple can be delivered at this time.
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

    /// Whether a staple is of a kind that can be delivered, at whatever time.
    pub(crate) fn fits(&self, staple: &Staple) -> bool {
        self.check(staple, Timestamp::MIN).is_ok()
    }

    /// What satisfies both.
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

/// A delivery that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivered {
    /// The staple is in service: the server said so.
    Confirmed,
    /// This sink has nothing to do with this certificate, by its settings.
    NotWanted {
        /// The stable word for why.
        code: ReasonCode,
        /// Why, and what to do if that is not wanted.
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
    /// The certificate is gone from its place, or does not want a staple any more.
    Retired,
}

/// How a withdrawal went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withdrawn {
    /// The staple is out of service, or was not in service.
    Confirmed,
    /// This sink cannot take staples back: the server serves it until it expires.
    Unsupported,
}

/// What a server has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Nothing that it was given; but it is back, and what could not be delivered is tried at once.
    Nothing,
    /// All that it was given, as after a restart.
    Everything,
    /// The staples of these certificates, by the names under which the server knows them. They are delivered again from
    /// memory.
    Certificates(Vec<Arc<str>>),
    /// Staples that somebody else took away or replaced. Nothing is brought back blindly: what was found is judged, and
    /// the CA is asked.
    Changed(Vec<Change>),
}

/// What somebody else made of the staple of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The name under which the server knows the certificate.
    pub served_as: Arc<str>,
    /// What is there now.
    pub found: Found,
}

impl Change {
    /// A change of the certificate that the server knows under this name.
    pub fn new(served_as: impl Into<Arc<str>>, found: Found) -> Self {
        Change { served_as: served_as.into(), found }
    }
}

/// What was found in place of a staple.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// No staple, or a response that the server does not staple: somebody withdrew the staple, and may know of a
    /// revocation. It stays away until the CA says that the certificate is good.
    Withdrawn,
    /// This response. It is judged: a newer one is taken over, a revocation is heeded, anything else is replaced.
    Response(Bytes),
    /// Something that cannot be judged. It is replaced, and the CA is asked.
    Unreadable,
}

/// Why a staple was not delivered, or not withdrawn. All are tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The server cannot take this staple; another response might do.
    #[error("{what}")]
    Unfit {
        /// The stable word for it.
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
    /// The server is not there, or hangs.
    #[error("{what}")]
    Unreachable {
        /// The stable word for it.
        code: ReasonCode,
        /// Who, why, and what to do.
        what: String,
    },
    /// The server has not what this is for, yet: as it is while it is being told of a renewed file. It is told only when
    /// that lasts.
    #[error("{what}")]
    NotYet {
        /// The stable word for it.
        code: ReasonCode,
        /// What it has, and what to do if it stays so.
        what: String,
    },
    /// The server said no.
    #[error("{what}")]
    Refused {
        /// The stable word for it.
        code: ReasonCode,
        /// What it said, and what to do.
        what: String,
    },
}

/// The kind of a failure at a sink: which variant of [`SinkError`] it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SinkFailure {
    /// [`SinkError::Unfit`].
    Unfit,
    /// [`SinkError::ExpiresTooSoon`].
    ExpiresTooSoon,
    /// [`SinkError::Unreachable`].
    Unreachable,
    /// [`SinkError::NotYet`].
    NotYet,
    /// [`SinkError::Refused`].
    Refused,
}

impl Delivered {
    /// Nothing to do, by the sink's settings.
    pub fn not_wanted(code: ReasonCode, what: impl Into<String>) -> Self {
        Delivered::NotWanted { code, what: what.into() }
    }
}

impl SinkError {
    /// The server is not there, or hangs.
    pub fn unreachable(code: ReasonCode, what: impl Into<String>) -> Self {
        SinkError::Unreachable { code, what: what.into() }
    }

    /// The server said no.
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

    /// The stable word for it.
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

/// Why a staple cannot be served by a server that stops serving it `margin` before its end.
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

/// The reason of a staple that a server does not serve, since its end is too near.
pub(crate) const EXPIRES_TOO_SOON: ReasonCode = ReasonCode::new("expires_too_soon");

/// During which time a staple can be served by those of these sinks that have one of these numbers. A sink that serves
/// no response of so short a life does not shorten it for the others.
pub(crate) fn usable_by(sinks: &[Arc<dyn StapleSink>], numbers: &BTreeSet<usize>, staple: &Staple) -> Usable {
    let (from, ends) = (staple.this_update(), staple.expires());
    let margins = numbers.iter().filter_map(|&number| sinks.get(number)).map(|sink| sink.requirements().margin);
    let margin = margins.filter(|margin| ends - *margin > from).max().unwrap_or_default();
    Usable { from, until: ends - margin }
}

/// What those of these sinks ask of a staple that have one of these numbers, all together.
pub(crate) fn requirements_of(sinks: &[Arc<dyn StapleSink>], numbers: &BTreeSet<usize>) -> Requirements {
    numbers
        .iter()
        .filter_map(|&number| sinks.get(number))
        .map(|sink| sink.requirements())
        .fold(Requirements::default(), Requirements::and)
}
