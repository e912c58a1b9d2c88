//! The answers in Redis: each call is one run of the script, within a deadline.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stapled_core::event::Severity;
use stapled_core::fetch::{Answer, Question};
use stapled_core::hash::Sha256;
use stapled_core::hexadecimal::Hexadecimal;
use stapled_core::reason::ReasonCode;
use stapled_core::report::{Report, Reporters};

use crate::address::RedisAddress;
use crate::error::RedisError;
use crate::link::{Deadlines, Link};
use crate::reply::Reply;
use crate::script::Script;

/// How long connecting, and a call, may take: a question may wait as long for nothing. A shorter time would end calls of a
/// process that is short of processor time, and a fleet that starts at once is.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(1), command: Duration::from_secs(2) };
/// The longest response that is shared, in bytes.
const MOST: usize = 65_536;
/// The longest time for which an answer is kept.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// How long Redis is left alone after a failure. The pause doubles with each further failure, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The answers in one Redis.
pub(super) struct Store {
    link: Link,
    script: Script,
    pub(super) prefix: String,
    health: Mutex<Health>,
    pub(super) reporters: Reporters,
}

/// Redis failed, now or shortly before.
#[derive(Debug)]
pub(super) struct Away;

/// How Redis did.
#[derive(Default)]
struct Health {
    /// How many calls in a row failed.
    failures: u32,
    /// When it may be called again.
    until: Option<Instant>,
}

/// Where the answers to one question are, and the name of this question in the lease.
pub(super) struct Place {
    key: String,
    token: String,
}

/// The result of looking for an answer.
pub(super) enum Looked {
    /// An answer that is young enough, not judged yet.
    Answer(Answer),
    /// The lease to ask the responder. What is kept has this version.
    Ask(String),
    /// Another process asks.
    Wait,
}

/// The result of writing an answer.
pub(super) enum Published {
    Done,
    /// A response of this version is kept, and not the one that was to be replaced. It is not judged yet.
    Other(String, Bytes),
}

impl Store {
    pub(super) fn new(address: &RedisAddress) -> Self {
        Store {
            link: Link::lazy(address, DEADLINES),
            script: Script::new(include_str!("../shared_fetcher.lua")),
            prefix: "stapled".to_owned(),
            health: Mutex::default(),
            reporters: Reporters::new(),
        }
    }

    /// The place of a question's answers. The request has no nonce, so its encoding is that of its CertID.
    pub(super) fn place_of(&self, question: &Question<'_>) -> Place {
        let id = format!("{:x}", Hexadecimal::of(&Sha256::of(question.request.as_der())));
        Place { key: format!("{}:answer:{{{id}}}", self.prefix), token: format!("{:032x}", rand::random::<u128>()) }
    }

    /// Looks for an answer that is younger than `max_age` and is not `refused`. Where there is none, the caller may get the
    /// lease to ask.
    pub(super) async fn look(
        &self,
        place: &Place,
        max_age: Option<Duration>,
        refused: Option<&Bytes>,
        lease: Duration,
    ) -> Result<Looked, Away> {
        let mut call = self.script.call(&place.key);
        call.arg("look")
            .arg(max_age.map(millis).unwrap_or_default())
            .arg(refused.map(Bytes::as_ref).unwrap_or_default());
        call.arg(&place.token).arg(millis(lease)).arg(MOST);
        let looked = async {
            let mut reply = Reply::of(call.run(&self.link).await?)?;
            match reply.word() {
                "answer" => {
                    let age = Duration::from_millis(reply.number()?);
                    let caches = String::from_utf8(reply.bytes()?).ok().and_then(|caches| caches.parse().ok());
                    let caches = caches.map(Duration::from_millis);
                    let mut answer = Answer::new(reply.bytes()?).age(age);
                    answer.max_age = caches.map(|caches| caches.saturating_sub(age));
                    Ok(Looked::Answer(answer))
                }
                "ask" => Ok(Looked::Ask(reply.text()?)),
                _ => Ok(Looked::Wait),
            }
        };
        self.within(looked).await
    }

    /// Runs `asking` to its end, and extends the lease meanwhile.
    pub(super) async fn holding<T>(&self, place: &Place, lease: Duration, asking: impl Future<Output = T>) -> T {
        tokio::select! {
            asked = asking => asked,
            never = self.extend(place, lease) => match never {},
        }
    }

    /// Extends the lease again and again.
    async fn extend(&self, place: &Place, lease: Duration) -> Infallible {
        loop {
            tokio::time::sleep(lease / 3).await;
            let mut call = self.script.call(&place.key);
            call.arg("extend").arg(&place.token).arg(millis(lease));
            // If this fails, another process may ask as well.
            let _ = call.run(&self.link).await;
        }
    }

    /// Ends the lease: the next process asks.
    pub(super) async fn release(&self, place: &Place) {
        let mut call = self.script.call(&place.key);
        call.arg("release").arg(&place.token);
        // If this fails, the lease lapses.
        let _ = self.within(async { call.run(&self.link).await.map_err(RedisError::from) }).await;
    }

    /// Writes an answer in place of the one of this version, and ends the lease. The responder was asked this long ago.
    pub(super) async fn publish(
        &self,
        place: &Place,
        version: &str,
        asked_before: Duration,
        answer: &Answer,
        lasts: Duration,
    ) -> Result<Published, Away> {
        let mut call = self.script.call(&place.key);
        call.arg("publish").arg(version).arg(&place.token).arg(millis(asked_before));
        call.arg(answer.body.as_deref().unwrap_or_default()).arg(answer.max_age.map(millis).unwrap_or_default());
        call.arg(millis(lasts.min(LONGEST))).arg(MOST);
        let published = async {
            let mut reply = Reply::of(call.run(&self.link).await?)?;
            match reply.word() {
                "other" => Ok(Published::Other(reply.text()?, reply.bytes()?.into())),
                _ => Ok(Published::Done),
            }
        };
        self.within(published).await
    }

    /// Runs a call, unless Redis is left alone after a failure.
    async fn within<T>(&self, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, Away> {
        if self.health().until.is_some_and(|until| Instant::now() < until) {
            return Err(Away);
        }
        match call.await {
            Ok(result) => {
                self.works();
                Ok(result)
            }
            Err(error) => {
                self.failed(&error);
                Err(Away)
            }
        }
    }

    fn works(&self) {
        let failures = std::mem::take(&mut *self.health()).failures;
        if failures > 0 {
            let what = "the shared cache answers again: answers are shared";
            self.reporters.tell(Report::new(ReasonCode::new("shared_cache_works"), Severity::Info, what));
        }
    }

    fn failed(&self, error: &RedisError) {
        let is_first = {
            let mut health = self.health();
            // Calls that ran at the same time fail together.
            if health.until.is_some_and(|until| Instant::now() < until) {
                return;
            }
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(health.failures)).min(LONGEST_PAUSE);
            health.until = Some(Instant::now() + pause);
            health.failures = health.failures.saturating_add(1);
            health.failures == 1
        };
        if is_first {
            let what = format!("the shared cache fails, so this process asks the CAs itself: {error}");
            self.reporters.tell(Report::new(ReasonCode::new("shared_cache_failed"), Severity::Warning, what));
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds as the script reads them.
fn millis(duration: Duration) -> String {
    duration.as_millis().min(1 << 50).to_string()
}
