//! What operators do with sessions, over a unix socket beside the sessions, or in the process that has them open.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use stapled_redis::Recovery;
use tokio::net::UnixListener;

use super::answer::{Answer, session_id};
use super::client::Shown;
use crate::http_server::{self, Limits, Received};
use crate::session::contents::Session;
use crate::session::intake::{Ended, Sessions};
use crate::session::state::End;

/// The most sessions of one list.
const LISTED: usize = 10_000;

/// Takes the calls of operators.
#[derive(Clone, Debug)]
pub struct Operators {
    sessions: Sessions,
}

/// The body of `kill`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    reason: Option<String>,
}

impl Operators {
    /// The operators of these sessions.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Operators { sessions }
    }

    /// Answers on a unix socket until `shutdown` ends. Who may open the socket may do everything.
    pub async fn serve(self, listener: UnixListener, limits: Limits, shutdown: impl Future<Output = ()>) {
        let operators = Arc::new(self);
        let answer = move |received: Received<()>| {
            let operators = Arc::clone(&operators);
            async move {
                let (path, body) = (received.head.uri.path().to_owned(), received.body);
                operators.call(&received.head.method, &path, &body).await
            }
        };
        http_server::serve_with(listener, limits, shutdown, answer, Answer::refused).await;
    }

    /// The answer to a call: its method, its path, and the body of a POST.
    pub async fn call(&self, method: &Method, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let steps: Vec<&str> = path.split('/').skip(1).take(4).collect();
        let answer = match (method, steps.as_slice()) {
            (&Method::GET, ["sessions"]) => self.list().await,
            (&Method::GET, ["sessions", id]) => self.show(id).await,
            (&Method::POST, ["sessions", id, "kill"]) => self.kill(id, body).await,
            (&Method::POST, ["sessions", id, "retry"]) => self.retry(id).await,
            (&Method::POST, ["retry"]) => self.retry_all().await,
            (&Method::GET, ["status"]) => self.status().await,
            (&Method::GET, ["recover"]) => self.recover(Recovery::DryRun).await,
            (&Method::POST, ["recover"]) => self.recover(Recovery::Run).await,
            _ => Err(Answer::no_path()),
        };
        answer.unwrap_or_else(|refusal| refusal).into_response()
    }

    /// The active sessions, the oldest first, and how many there are.
    async fn list(&self) -> Result<Answer, Answer> {
        let active = self.sessions.active().await?;
        let mut sessions = Vec::new();
        for id in active.iter().take(LISTED) {
            sessions.push(match self.sessions.session(id).await {
                Ok(Some(session)) => seen(&session),
                // It ended meanwhile.
                Ok(None) => continue,
                Err(error) => json!({ "session": id.as_str(), "state": "damaged", "reason": error.to_string() }),
            });
        }
        Ok(Answer(StatusCode::OK, json!({ "active": active.len(), "sessions": sessions })))
    }

    async fn show(&self, id: &str) -> Result<Answer, Answer> {
        let session = self.sessions.session(&session_id(id)?).await?.ok_or_else(Answer::none)?;
        Ok(Answer(StatusCode::OK, seen(&session)))
    }

    async fn kill(&self, id: &str, body: &[u8]) -> Result<Answer, Answer> {
        let id = session_id(id)?;
        let kill = match body.is_empty() {
            true => Kill::default(),
            false => serde_json::from_slice(body).map_err(|error| Answer::malformed(&error))?,
        };
        let reason = kill.reason.as_deref().unwrap_or("ended by an operator");
        match self.sessions.end(&id, End::Killed, reason).await? {
            Ended::Dead => self.show(id.as_str()).await,
            Ended::Removed(damage) => {
                let removed = json!({ "session": id.as_str(), "state": "removed", "reason": damage.to_string() });
                Ok(Answer(StatusCode::OK, removed))
            }
        }
    }

    async fn retry(&self, id: &str) -> Result<Answer, Answer> {
        let id = session_id(id)?;
        let count = self.sessions.retry(&id).await?;
        Ok(Answer(StatusCode::OK, json!({ "session": id.as_str(), "retried": count })))
    }

    async fn retry_all(&self) -> Result<Answer, Answer> {
        Ok(Answer(StatusCode::OK, json!({ "retried": self.sessions.retry_all().await? })))
    }

    async fn recover(&self, recovery: Recovery) -> Result<Answer, Answer> {
        let put = self.sessions.recover(recovery).await?;
        let put: Vec<Value> = put
            .iter()
            .map(|(queue, subject)| json!({ "queue": queue.to_string(), "session": subject.as_str() }))
            .collect();
        Ok(Answer(StatusCode::OK, json!({ "dry_run": recovery == Recovery::DryRun, "put": put })))
    }

    async fn status(&self) -> Result<Answer, Answer> {
        Ok(Answer(StatusCode::OK, serde_json::to_value(self.sessions.status().await?).unwrap_or_default()))
    }
}

/// A session as operators see it: without the tokens, which are for its client alone.
fn seen(session: &Session) -> Value {
    let mut shown = Shown::of(session, session.entered_at.is_some());
    for challenge in &mut shown.challenges {
        (challenge.token, challenge.authorization) = (String::new(), String::new());
    }
    let mut value = serde_json::to_value(shown).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("created".to_owned(), session.created.into());
        fields.insert("client".to_owned(), session.client.clone().into());
        fields.insert("serial".to_owned(), session.serial.as_ref().map(ToString::to_string).into());
    }
    value
}
