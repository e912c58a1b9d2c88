//! The staples that one process was given, and those that it refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertIdHash;
use stapled_core::sink::Site;
use stapled_core::sink::lost::Change;
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::time::Instant;

use crate::cli::identity::{Identity, plain_serial};
use crate::cli::process::Process;
use crate::cli::reply::certificate::Loaded;
use crate::cli::withdrawal_token::WithdrawalToken;
use crate::sink::comparison::Expected;

/// The staples of one process. Keys of type `Bytes` are the DER of CertIDs.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The process that was given these.
    pub(crate) process: Option<Process>,
    /// The delivered staples.
    pub(crate) delivered: HashMap<Bytes, Delivered>,
    /// The delivered staples that HAProxy said to have taken and has not shown yet.
    pub(crate) unshown: HashSet<Bytes>,
    /// The withdrawals of revoked certificates' staples.
    pub(crate) withdrawn: HashMap<Bytes, Withdrawn>,
    /// thisUpdate and nextUpdate of foreign responses that were replaced once because HAProxy does not show their bytes.
    /// If the same response comes back, it stays.
    pub(crate) replaced: HashMap<Bytes, (Timestamp, Timestamp)>,
    /// Staples that the process refused because it has not loaded the certificate, by serial number, and since when.
    pub(crate) refused: HashMap<String, (Identity, Instant)>,
    /// The names under which HAProxy takes another certificate for the issuer, and how their certificates were loaded then.
    /// Only another chain ends that.
    pub(crate) wrong_issuer: HashMap<Arc<str>, Loaded>,
    /// The generation of the loaded certificates that was compared last.
    pub(crate) compared: u64,
    /// Changes by other clients that have not been reported yet.
    pub(crate) changes: Vec<Change>,
    /// The time of the next comparison of shown with delivered staples.
    pub(crate) compare_at: Option<Instant>,
    /// Whether a delivery reached no process since the last report.
    pub(crate) unreachable: bool,
    /// Whether a foreign transaction was in the way of a delivery.
    pub(crate) blocked: bool,
    /// When it was last reported that deliveries can be retried.
    pub(crate) reported_at: Option<Instant>,
}

/// A delivered staple.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) identity: Identity,
    /// The names under which the caller knows the certificate.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) response: Bytes,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
}

/// The withdrawal of a revoked certificate's staple.
#[derive(Clone, Debug)]
pub(crate) struct Withdrawn {
    pub(crate) chain: CertChain,
    pub(crate) token: Arc<WithdrawalToken>,
}

impl Memory {
    /// Forgets the staples of another process. Returns whether `current` is another process than the one before.
    pub(crate) fn is_replaced_by(&mut self, current: &Process) -> bool {
        let is_replaced = self.process.as_ref().is_some_and(|known| !known.is_same(current));
        if is_replaced {
            let Memory { compared, compare_at, reported_at, .. } = std::mem::take(self);
            *self = Memory { compared, compare_at, reported_at, ..Memory::default() };
        }
        self.process = Some(current.clone());
        is_replaced
    }

    /// Forgets a certificate that gets no staples any more.
    pub(crate) fn forget(&mut self, chain: &CertChain) {
        let cert_id = chain.cert_id(CertIdHash::Sha1).to_der();
        self.delivered.remove(cert_id.as_slice());
        self.withdrawn.remove(cert_id.as_slice());
        self.replaced.remove(cert_id.as_slice());
        self.refused.remove(&plain_serial(&Identity::of(chain.end_entity()).serial));
    }
}

impl Delivered {
    pub(crate) fn of(staple: &Staple, sites: &[Site], identity: Identity) -> Self {
        Delivered {
            chain: Arc::new(staple.chain().clone()),
            identity,
            names: names_of(sites),
            response: staple.response().clone(),
            this_update: staple.this_update(),
            next_update: next_update(staple),
        }
    }
}

impl<'a> From<&'a Delivered> for Expected<'a> {
    fn from(delivered: &'a Delivered) -> Self {
        let Delivered { response, this_update, next_update, .. } = delivered;
        Expected { response, this_update: *this_update, next_update: *next_update }
    }
}

impl<'a> From<&'a Staple> for Expected<'a> {
    fn from(staple: &'a Staple) -> Self {
        let next_update = next_update(staple);
        Expected { response: staple.response(), this_update: staple.this_update(), next_update }
    }
}

impl<'a> From<&'a WithdrawalToken> for Expected<'a> {
    fn from(token: &'a WithdrawalToken) -> Self {
        Expected { response: token.as_der(), this_update: token.this_update(), next_update: token.next_update() }
    }
}

fn next_update(staple: &Staple) -> Timestamp {
    staple.facts().next_update.unwrap_or_else(|| staple.expires())
}

/// The names of these sites, each once.
pub(crate) fn names_of(sites: &[Site]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::with_capacity(sites.len());
    for site in sites {
        if !names.contains(&site.served_as) {
            names.push(Arc::clone(&site.served_as));
        }
    }
    names
}
