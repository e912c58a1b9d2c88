//! The other side: calls of clients and operators.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::answer::KEY;
use crate::session::contents::{Session, SessionId};
use crate::session::state::State;
use crate::session::submit_key::SubmitKey;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is said of an answer that does not come from an intake.
const NO_INTAKE: &str = "is not that of an intake; is this the address that `stapled-ca serve --intake` names?";
/// The most octets of an answer: a list of 20,000 sessions has fewer.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this host and port.
    Host(String),
    /// At this unix socket.
    Socket(PathBuf),
}

/// A text that is not the URL of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the URL of an intake; write http://ADDRESS:PORT")]
pub struct CallError {
    text: String,
}

impl FromStr for Place {
    type Err = CallError;

    fn from_str(text: &str) -> Result<Self, CallError> {
        let wrong = || CallError { text: text.to_owned() };
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let has_path = url.path_and_query().is_some_and(|path| path.as_str() != "/");
        if url.scheme_str() != Some("http") || has_path {
            return Err(wrong());
        }
        Ok(Place::Host(match authority.port() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{authority}:80"),
        }))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Host(host) => write!(f, "http://{host}"),
            Place::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no server at the place.
    #[error("cannot connect to {place}: {source}")]
    Connect {
        /// The place.
        place: Place,
        /// The error of the system.
        source: io::Error,
    },
    /// The server did not answer, or not in HTTP.
    #[error("{place} does not answer: {reason}")]
    Exchange {
        /// The place.
        place: Place,
        /// What went wrong.
        reason: String,
    },
    /// The server refused the call.
    #[error("{message} ({code})")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// A code for programs, such as `wrong_state`; docs/ca.md lists them.
        code: String,
        /// What is wrong and what to do.
        message: String,
    },
}

impl ClientError {
    /// Whether the same call may succeed later: the server is away or overloaded.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Connect { .. } | ClientError::Exchange { .. } => true,
            ClientError::Refused { status, .. } => matches!(status, 429 | 503),
        }
    }
}

/// A session as its client sees it: the JSON of the intake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shown {
    /// Its name.
    pub session: String,
    /// Its state.
    pub state: String,
    /// Whether it is not dead.
    pub live: bool,
    /// Whether its certificate can be fetched.
    pub issued: bool,
    /// Why it is dead, or why the last round of tests failed.
    pub reason: Option<String>,
    /// The names asked for.
    pub names: Vec<String>,
    /// How many rounds of tests failed.
    pub attempts: u32,
    /// Its challenges.
    pub challenges: Vec<ShownChallenge>,
}

/// A challenge as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShownChallenge {
    /// Its number, from 1.
    pub number: usize,
    /// `http-01` or `tls-alpn-01`.
    pub r#type: String,
    /// The name to prove.
    pub name: String,
    /// The token: the file name of http-01.
    pub token: String,
    /// The key authorization: the contents of the file of http-01.
    pub authorization: String,
    /// Whether the client passed it.
    pub satisfied: bool,
    /// Whether it was given up.
    pub failed: bool,
    /// Why the last test failed.
    pub reason: Option<String>,
}

impl Shown {
    /// How a client sees this session.
    pub(crate) fn of(session: &Session, is_issued: bool) -> Self {
        let challenges = (1..).zip(&session.challenges).map(|(number, challenge)| ShownChallenge {
            number,
            r#type: challenge.kind.to_string(),
            name: challenge.name.clone(),
            token: challenge.token.clone(),
            authorization: challenge.authorization.clone(),
            satisfied: challenge.is_satisfied,
            failed: challenge.has_failed,
            reason: challenge.reason.clone(),
        });
        Shown {
            session: session.id.to_string(),
            state: session.state.to_string(),
            live: session.state.is_live(),
            issued: is_issued,
            reason: session.reason.clone(),
            names: session.names.clone(),
            attempts: session.attempts,
            challenges: challenges.collect(),
        }
    }

    /// A session of which only the certificate is left.
    pub(crate) fn forgotten(id: &SessionId) -> Self {
        Shown {
            session: id.to_string(),
            state: State::Done.to_string(),
            live: true,
            issued: true,
            reason: None,
            names: Vec::new(),
            attempts: 0,
            challenges: Vec::new(),
        }
    }
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Submitted {
    session: String,
}

/// Calls an intake, or the socket of operators.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
}

impl Client {
    /// A client of the server at this place.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Client { place }
    }

    /// Makes a session for a certificate request, PEM or DER. Returns its name. If the answer is lost, the same call with the
    /// same key returns the name of the same session.
    ///
    /// # Errors
    /// When there is no answer, or the request is refused.
    pub async fn submit(&self, request: Vec<u8>, key: &SubmitKey) -> Result<SessionId, ClientError> {
        let answer = self.call_with_key(Method::POST, "/session", request, Some(key)).await?;
        let name = self.read::<Submitted>(&answer)?.session;
        name.parse().map_err(|error| ClientError::Exchange { place: self.place.clone(), reason: format!("{error}") })
    }

    /// The session.
    ///
    /// # Errors
    /// When there is no answer, or no such session.
    pub async fn show(&self, session: &SessionId) -> Result<Shown, ClientError> {
        let answer = self.call(Method::GET, &format!("/session/{session}"), Vec::new()).await?;
        self.read(&answer)
    }

    /// Says that the client is ready for the tests of these challenges, or of all.
    ///
    /// # Errors
    /// When there is no answer, no such session, or its challenges are not to be tested.
    pub async fn ready(&self, session: &SessionId, challenges: Option<&[usize]>) -> Result<(), ClientError> {
        let body = challenges
            .map_or_else(Vec::new, |numbers| serde_json::json!({ "challenges": numbers }).to_string().into_bytes());
        self.call(Method::POST, &format!("/session/{session}/ready"), body).await?;
        Ok(())
    }

    /// The certificate with those of its issuers, PEM; `None` while there is none.
    ///
    /// # Errors
    /// When there is no answer, or no such session.
    pub async fn certificate(&self, session: &SessionId) -> Result<Option<Bytes>, ClientError> {
        match self.call(Method::GET, &format!("/session/{session}/certificate"), Vec::new()).await {
            Ok(certificate) => Ok(Some(certificate)),
            Err(ClientError::Refused { code, .. }) if code == "no_certificate" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says thanks for the certificate.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn thanks(&self, session: &SessionId) -> Result<(), ClientError> {
        self.call(Method::POST, &format!("/session/{session}/thanks"), Vec::new()).await?;
        Ok(())
    }

    /// The body of the answer to a call.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, ClientError> {
        self.call_with_key(method, path, body, None).await
    }

    async fn call_with_key(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        key: Option<&SubmitKey>,
    ) -> Result<Bytes, ClientError> {
        let failed = |reason: String| ClientError::Exchange { place: self.place.clone(), reason };
        let mut request = Request::builder().method(method).uri(path).header(USER_AGENT, "stapled-ca");
        request = request.header(CONTENT_TYPE, "application/octet-stream");
        if let Some(key) = key {
            request = request.header(KEY, key.as_str());
        }
        let exchange = self.exchange(request, body);
        let late = |_| failed(format!("no answer within {} s", DEADLINE.as_secs()));
        let (status, answer) = tokio::time::timeout(DEADLINE, exchange).await.map_err(late)??;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        Err(match serde_json::from_slice::<Refused>(&answer) {
            Ok(Refused { error: code, message }) => ClientError::Refused { status, code, message },
            Err(_) => failed(format!("its answer has status {status}, and {NO_INTAKE}")),
        })
    }

    async fn exchange(&self, request: Builder, body: Vec<u8>) -> Result<(u16, Bytes), ClientError> {
        let cannot = |source| ClientError::Connect { place: self.place.clone(), source };
        match &self.place {
            Place::Host(host) => {
                let stream = TcpStream::connect(host).await.map_err(cannot)?;
                self.exchange_over(stream, request.header(HOST, host), body).await
            }
            Place::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(cannot)?;
                self.exchange_over(stream, request.header(HOST, "localhost"), body).await
            }
        }
    }

    async fn exchange_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Builder,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes), ClientError> {
        let failed = |error: &dyn std::error::Error| ClientError::Exchange {
            place: self.place.clone(),
            reason: error.to_string(),
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // The connection ends with its sender.
        tokio::spawn(connection);
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| failed(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        Ok((status, body.map_err(|error| failed(&*error))?.to_bytes()))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(answer)
            .map_err(|_| ClientError::Exchange { place: self.place.clone(), reason: format!("its answer {NO_INTAKE}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_urls_of_hosts() {
        assert_eq!("http://ca.test".parse(), Ok(Place::Host("ca.test:80".into())));
        assert_eq!("http://127.0.0.1:8080/".parse(), Ok(Place::Host("127.0.0.1:8080".into())));
        assert_eq!("http://[::1]:8080".parse(), Ok(Place::Host("[::1]:8080".into())));
        for text in ["", "ca.test:80", "https://ca.test", "http://ca.test/path", "http://user@ca.test", "http://"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
