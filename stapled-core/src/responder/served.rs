//! The responder as a program uses it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use prometheus_client::collector::Collector;

use super::allowed::AllowedIssuer;
use super::parts::Parts;
use crate::chain::CertChain;
use crate::clock::{Clock, SystemClock};
use crate::reason::ReasonCode;
use crate::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::Staple;
use crate::stapler::Handle;
use crate::web::Web;
use crate::web::listener::{Connections, Further};

/// The largest request, in bytes.
const REQUEST: usize = 16 * 1024;
/// The limits of connections.
const CONNECTIONS: Connections = Connections { most: 256, further: Further::ReplaceIdle, body: REQUEST };

/// A local OCSP responder. It is a sink, and answers with the staples that it gets. About other certificates of the same
/// issuers, it asks the CA with the stapler's fetcher, policy and limits. Clones are the same responder.
///
/// It never answers with a response that it would not staple: a revoked certificate gets the error `unauthorized`, as does a
/// certificate of an issuer that is not allowed. Where there is no staple now, the error is `tryLater`. A nonce in a request is
/// ignored, since responses are signed in advance (RFC 9919 §4).
///
/// ```no_run
/// use stapled_core::responder::Responder;
/// use stapled_core::web::Web;
/// use stapled_core::{DirectorySource, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let responder = Responder::new();
/// let source = DirectorySource::new("/etc/ssl/private");
/// let stapler = Stapler::builder().source(source).sink(responder.clone()).build()?;
/// responder.watch(stapler.handle());
/// let listening = Web::listen(&"127.0.0.1:8888".parse()?).await?;
/// tokio::spawn(async move { responder.serve(listening).await });
/// stapler.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Responder(Arc<Parts>);

impl Responder {
    /// A responder without staples.
    pub fn new() -> Self {
        Responder::with_clock(SystemClock)
    }

    /// The same, by another clock.
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        Responder(Arc::new(Parts::new(Arc::new(clock))))
    }

    /// Sets issuers about whose certificates the CA is asked, whether the stapler has certificates of them or not. Those of the
    /// stapler's certificates are always allowed.
    pub fn allow(&self, issuers: impl IntoIterator<Item = AllowedIssuer>) {
        self.0.indexes.allow(issuers.into_iter().collect());
    }

    /// Uses this stapler from now on, in place of another one. The responder is one of its sinks.
    pub fn watch(&self, handle: Handle) {
        self.0.watched.send_replace(Some(handle));
    }

    /// Answers on a socket until it is dropped. May be called for several sockets.
    pub async fn serve(&self, listening: Web) {
        let parts = Arc::clone(&self.0);
        let answer = move |_, request| {
            let parts = Arc::clone(&parts);
            async move { parts.respond(request).await }
        };
        tokio::join!(listening.each(CONNECTIONS, answer), self.0.forget_departed());
    }

    /// The numbers of questions, for [`Metrics::add`](crate::metrics::Metrics::add).
    pub fn numbers(&self) -> Arc<dyn Collector> {
        self.0.tally.clone()
    }

    /// The numbers of questions by their result: `good`, `not_modified`, `unauthorized`, `try_later`, `malformed`, `not_ocsp`.
    pub fn questions(&self) -> BTreeMap<String, u64> {
        self.0.tally.questions().map(|(result, number)| (result.to_owned(), number)).collect()
    }
}

impl Default for Responder {
    fn default() -> Self {
        Responder::new()
    }
}

#[async_trait]
impl StapleSink for Responder {
    async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        if self.0.take(staple) {
            return Ok(Delivered::Confirmed);
        }
        let what = "its serial number is too long for questions".to_owned();
        Ok(Delivered::NotWanted { code: ReasonCode::new("not_servable"), what })
    }

    async fn withdraw(&self, chain: &CertChain, _: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        self.0.withdraw(chain, why);
        Ok(Withdrawn::Confirmed)
    }

    fn name(&self) -> String {
        "responder".to_owned()
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("questions", &self.questions()).finish_non_exhaustive()
    }
}
