//! Sessions: the way of a certificate request to its certificate, through makechallenge, testchallenge, issue and done.
//!
//! A session is a record in a [store](SessionStore): in a local file, or in Redis. Each state has a [daemon](Daemon) and a queue. The
//! document `docs/ca.md` has the table of all keys. A [`Sessions`] is what clients and operators use:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use stapled_ca::session::{Fetched, Limits, Policy, Sessions};
//! use stapled_ca::LedgerFile;
//! use stapled_embedded::EmbeddedScheduler;
//!
//! # async fn example(csr: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let store = EmbeddedScheduler::open("sessions")?;
//! let ledger = LedgerFile::open("ledger")?;
//! let sessions = Sessions::new(Arc::new(store), Arc::new(ledger), Limits::default(), Policy::default());
//! let id = sessions.submit(csr, "192.0.2.1").await?;
//! // The client puts its files in place, and says that it is ready.
//! sessions.ready(&id, None).await?;
//! if let Fetched::Certificate(pem) = sessions.fetch(&id).await? {
//!     println!("{pem}");
//!     sessions.thanks(&id).await?;
//! }
//! # Ok(()) }
//! ```

mod bad_keys;
mod blocking;
mod challenge;
mod contents;
mod daemon;
mod fields;
mod hook;
mod http;
mod intake;
mod name_suffix;
mod outage;
mod pending;
mod policy;
mod probe;
mod request;
mod rsa;
mod shown;
mod state;
mod status;
mod store;
mod submit;
mod submit_key;

pub use bad_keys::BadKeysError;
pub use challenge::{Challenge, ChallengeType};
pub use contents::{NoSessionId, Session, SessionId};
pub use daemon::{
    CertificateSettings, Daemon, Done, Expire, Failure, Issue, LEASE, LONGEST_WORK, MakeChallenge, Pace, TestChallenge,
    Work, run, work_on,
};
pub use fields::Damaged;
pub use hook::{Hook, HookError};
pub use http::{CallError, Client, ClientError, Intake, Operators, Place, Shown, ShownChallenge};
pub use intake::{Ended, Fetched, SessionError, Sessions};
pub use name_suffix::{NameSuffix, NoNameSuffix};
pub use policy::{Limits, Network, NoNetwork, Policy, Refusal, TooMany};
pub use probe::{AddressRules, Names, NetworkProber, ProbeError, Prober, SystemNames};
pub use request::{CertificateRequest, RequestError, RequestKey};
pub use state::{EXPIRE, End, State, UnknownState};
pub use status::{QueueStatus, SessionsStatus};
pub use store::SessionStore;
pub use submit_key::{NoSubmitKey, SubmitKey};
