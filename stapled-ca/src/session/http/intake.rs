//! The intake: what clients do with sessions.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use super::answer::{Answer, KEY, session_id};
use super::client::Shown;
use crate::http_server::{self, Limits, Received};
use crate::session::intake::{Fetched, Sessions};
use crate::session::submit_key::SubmitKey;
use hyper::StatusCode;

/// Takes the calls of clients over HTTP.
#[derive(Debug)]
pub struct Intake {
    sessions: Sessions,
    /// The certificates of the issuers, PEM, which follow each certificate.
    chain: String,
}

/// The body of `ready`: the numbers of the challenges, or nothing for all.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    challenges: Option<Vec<usize>>,
}

impl Intake {
    /// The intake of these sessions. `chain` is the PEM of the issuers' certificates, which follow each certificate.
    #[must_use]
    pub fn new(sessions: Sessions, chain: String) -> Self {
        Intake { sessions, chain }
    }

    /// Answers on a listener until `shutdown` ends. Then open connections have a second to finish.
    pub async fn serve(self, listener: TcpListener, limits: Limits, shutdown: impl Future<Output = ()>) {
        let intake = Arc::new(self);
        let answer = move |received| {
            let intake = Arc::clone(&intake);
            async move { intake.answer(received).await }
        };
        http_server::serve_with(listener, limits, shutdown, answer, Answer::refused).await;
    }

    /// The answer to a call: its method, its path, and the body of a POST.
    pub async fn call(&self, client: IpAddr, method: &Method, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
        self.call_with_key(client, method, path, body, None).await
    }

    /// The same with the header that has the key of a submission.
    async fn call_with_key(
        &self,
        client: IpAddr,
        method: &Method,
        path: &str,
        body: &[u8],
        key: Option<&HeaderValue>,
    ) -> Response<Full<Bytes>> {
        let steps: Vec<&str> = path.split('/').skip(1).take(4).collect();
        let answer = match (method, steps.as_slice()) {
            (&Method::POST, ["session"]) => self.submit(client, body, key).await,
            (&Method::GET, ["session", id]) => self.show(id).await,
            (&Method::POST, ["session", id, "ready"]) => self.ready(id, body).await,
            (&Method::POST, ["session", id, "thanks"]) => self.thanks(id).await,
            (&Method::GET, ["session", id, "certificate"]) => match self.certificate(id).await {
                Ok(certificate) => return pem(certificate),
                Err(answer) => Err(answer),
            },
            _ => Err(Answer::no_path()),
        };
        answer.unwrap_or_else(|refusal| refusal).into_response()
    }

    async fn answer(&self, received: Received) -> Response<Full<Bytes>> {
        let Received { client, head, body } = received;
        self.call_with_key(client, &head.method, head.uri.path(), &body, head.headers.get(KEY)).await
    }

    async fn submit(&self, client: IpAddr, body: &[u8], key: Option<&HeaderValue>) -> Result<Answer, Answer> {
        let client = client.to_canonical().to_string();
        let key = key
            .map(|key| key.to_str().ok().and_then(|text| text.parse::<SubmitKey>().ok()).ok_or_else(Answer::bad_key));
        let id = match key.transpose()? {
            Some(key) => self.sessions.submit_with_key(body, &client, &key).await?,
            None => self.sessions.submit(body, &client).await?,
        };
        Ok(Answer(StatusCode::CREATED, json!({ "session": id.as_str() })))
    }

    async fn show(&self, id: &str) -> Result<Answer, Answer> {
        let id = session_id(id)?;
        let is_issued = match self.sessions.fetch(&id).await {
            Ok(Fetched::Certificate(_)) => true,
            Ok(Fetched::Nothing(session)) => return Ok(shown(&Shown::of(&session, false))),
            Err(error) => return Err(error.into()),
        };
        // The session may be forgotten, and its certificate is not.
        let session = self.sessions.session(&id).await?;
        let found = session.map_or_else(|| Shown::forgotten(&id), |session| Shown::of(&session, is_issued));
        Ok(shown(&found))
    }

    async fn ready(&self, id: &str, body: &[u8]) -> Result<Answer, Answer> {
        let id = session_id(id)?;
        let ready = match body.is_empty() {
            true => Ready::default(),
            false => serde_json::from_slice(body).map_err(|error| Answer::malformed(&error))?,
        };
        self.sessions.ready(&id, ready.challenges.as_deref()).await?;
        Ok(Answer(StatusCode::ACCEPTED, json!({ "session": id.as_str() })))
    }

    async fn thanks(&self, id: &str) -> Result<Answer, Answer> {
        let id = session_id(id)?;
        self.sessions.thanks(&id).await?;
        Ok(Answer(StatusCode::OK, json!({ "session": id.as_str() })))
    }

    /// The certificate with those of its issuers.
    async fn certificate(&self, id: &str) -> Result<String, Answer> {
        match self.sessions.fetch(&session_id(id)?).await? {
            Fetched::Certificate(certificate) => Ok(certificate + &self.chain),
            Fetched::Nothing(session) => {
                let message = format!("there is no certificate yet: the session is in state {}", session.state);
                Err(Answer(StatusCode::NOT_FOUND, json!({ "error": "no_certificate", "message": message })))
            }
        }
    }
}

fn shown(session: &Shown) -> Answer {
    Answer(StatusCode::OK, serde_json::to_value(session).unwrap_or_default())
}

fn pem(certificate: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(certificate)));
    let kind = HeaderValue::from_static("application/pem-certificate-chain");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
