//! The faults of a lab.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::ocsp::HashAlgorithm;

/// A fault of a responder.
///
/// Its text is `KIND` or `KIND:ARGUMENT`; [`Fault::KINDS`] lists all kinds.
///
/// ```
/// use stapled_ca::lab::Fault;
/// use std::time::Duration;
///
/// assert_eq!("delay:250".parse(), Ok(Fault::Delay(Duration::from_millis(250))));
/// assert_eq!("http_status:503:120".parse(), Ok(Fault::HttpStatus { code: 503, retry_after: Some(120) }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The right answer, this much later.
    Delay(Duration),
    /// The responder reads the request and never answers.
    Hang,
    /// The responder resets the connection (RST).
    Reset,
    /// The responder closes the connection without an answer.
    Close,
    /// An HTTP status without a body.
    HttpStatus {
        /// The status code.
        code: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// 405 to every GET, and the right answer to POST.
    NoGet,
    /// `unauthorized`, unless the CertID has this hash algorithm.
    OnlyHash(HashAlgorithm),
    /// 200 with bytes that are not an OCSP response.
    Garbage,
    /// 200 with an empty body.
    Empty,
    /// The right answer, which ends after half of its Content-Length.
    Truncated,
    /// The right answer followed by zeros, with this number of octets in total.
    Oversized(u64),
    /// The right answer, with this pause before each octet of the body.
    Drip(Duration),
    /// HTTP headers without an end.
    EndlessHeaders,
    /// The OCSP error tryLater.
    TryLater,
    /// The OCSP error internalError.
    InternalError,
    /// The OCSP error unauthorized.
    Unauthorized,
    /// The OCSP error sigRequired.
    SigRequired,
    /// The OCSP error malformedRequest.
    Malformed,
    /// Good, but nextUpdate was a day ago.
    Expired,
    /// Good, but thisUpdate is tomorrow.
    NotYetValid,
    /// Good, without nextUpdate.
    NoNextUpdate,
    /// Good, for another serial number.
    WrongCertificate,
    /// Good, signed by the delegate of another authority. The delegate's certificate is embedded.
    WrongSigner,
    /// Good, signed with the key of a server's certificate of the same issuer.
    SiblingSigner,
    /// Good, with one flipped bit in the signature.
    BadSignature,
    /// Revoked an hour ago (keyCompromise), independent of the ledger.
    Revoked,
    /// Unknown, independent of the ledger.
    Unknown,
    /// 302 to this URL.
    Redirect(String),
    /// 302 to the URL of the request.
    RedirectLoop,
    /// Good, with another nonce than the request's.
    WrongNonce,
    /// Good, with a second SingleResponse for another serial number.
    Multiple,
    /// 200 with these bytes.
    Answer(Vec<u8>),
    /// Good, with the ResponderID byName, and with further certificates (DER) beside the delegate's. The list of
    /// certificates is not signed.
    Embedding {
        /// The certificates before the delegate's.
        before: Vec<Vec<u8>>,
        /// The certificates after the delegate's.
        after: Vec<Vec<u8>>,
    },
}

/// Why a text is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The kind does not exist.
    #[error("{kind:?} is not a fault; choose one of {}", names())]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// The argument is missing, superfluous or malformed.
    #[error("the argument of fault {kind:?} is wrong; write {usage}")]
    Argument {
        /// The kind.
        kind: String,
        /// How it is written.
        usage: &'static str,
    },
}

impl Fault {
    /// The syntax and the meaning of each kind.
    pub const KINDS: [(&'static str, &'static str); 30] = [
        ("delay:MS", "the right answer, MS milliseconds late"),
        ("hang", "read the request and never answer"),
        ("reset", "reset the connection (TCP RST)"),
        ("close", "close the connection without an answer"),
        ("http_status:CODE[:SECONDS]", "this HTTP status, with Retry-After if SECONDS is given"),
        ("no_get", "405 to every GET, the right answer to POST"),
        ("only_hash:HASH", "unauthorized, unless the CertID uses HASH (sha1, sha256 ...)"),
        ("garbage", "200 with bytes that are not an OCSP response"),
        ("empty", "200 with an empty body"),
        ("truncated", "the right answer, which ends in the middle"),
        ("oversized:N", "the right answer followed by zeros, N octets in total"),
        ("drip[:MS]", "the right answer, one octet each MS milliseconds (1000)"),
        ("endless_headers", "HTTP headers without an end"),
        ("try_later", "OCSP error tryLater (3)"),
        ("internal_error", "OCSP error internalError (2)"),
        ("unauthorized", "OCSP error unauthorized (6)"),
        ("sig_required", "OCSP error sigRequired (5)"),
        ("malformed", "OCSP error malformedRequest (1)"),
        ("expired", "good, but nextUpdate was a day ago"),
        ("not_yet_valid", "good, but thisUpdate is tomorrow"),
        ("no_next_update", "good, without nextUpdate"),
        ("wrong_certificate", "good, for another serial number"),
        ("wrong_signer", "good, signed by the delegate of another CA"),
        ("sibling_signer", "good, signed with a server certificate of the same CA"),
        ("bad_signature", "good, with a flipped bit in the signature"),
        ("revoked", "revoked, independent of the ledger"),
        ("unknown", "unknown, independent of the ledger"),
        ("redirect:URL", "302 to URL; without URL 302 to the URL of the request, a loop"),
        ("wrong_nonce", "good, with another nonce than the request's"),
        ("multiple", "good, with a second SingleResponse for another certificate"),
    ];
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (kind, argument) = match text.split_once(':') {
            Some((kind, argument)) => (kind, Some(argument)),
            None => (text, None),
        };
        let kind = kind.to_ascii_lowercase().replace('-', "_");
        let usage = Self::KINDS.iter().map(|(usage, _)| *usage).find(|usage| name_of(usage) == kind);
        let Some(usage) = usage else {
            // This name is not in the list: a loop is written `redirect` without a URL.
            return match kind.as_str() {
                "redirect_loop" if argument.is_none() => Ok(Self::RedirectLoop),
                _ => Err(FaultError::UnknownKind { kind }),
            };
        };
        let wrong = || FaultError::Argument { kind: kind.clone(), usage };
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let fault = match (kind.as_str(), argument) {
            ("delay", Some(ms)) => return Ok(Self::Delay(Duration::from_millis(number(ms)?))),
            ("http_status", Some(argument)) => {
                let (code, retry_after) = match argument.split_once(':') {
                    Some((code, seconds)) => (code, Some(number(seconds)?)),
                    None => (argument, None),
                };
                let code = code.parse().ok().filter(|code| (100..1000).contains(code)).ok_or_else(wrong)?;
                return Ok(Self::HttpStatus { code, retry_after });
            }
            ("only_hash", Some(hash)) => return Ok(Self::OnlyHash(hash.parse().map_err(|_| wrong())?)),
            ("oversized", Some(size)) => return Ok(Self::Oversized(number(size)?)),
            ("drip", Some(ms)) => return Ok(Self::Drip(Duration::from_millis(number(ms)?))),
            ("redirect", Some(url)) => return Ok(Self::Redirect(url.to_owned())),
            ("drip", None) => Self::Drip(Duration::from_secs(1)),
            ("redirect", None) => Self::RedirectLoop,
            ("hang", None) => Self::Hang,
            ("reset", None) => Self::Reset,
            ("close", None) => Self::Close,
            ("no_get", None) => Self::NoGet,
            ("garbage", None) => Self::Garbage,
            ("empty", None) => Self::Empty,
            ("truncated", None) => Self::Truncated,
            ("endless_headers", None) => Self::EndlessHeaders,
            ("try_later", None) => Self::TryLater,
            ("internal_error", None) => Self::InternalError,
            ("unauthorized", None) => Self::Unauthorized,
            ("sig_required", None) => Self::SigRequired,
            ("malformed", None) => Self::Malformed,
            ("expired", None) => Self::Expired,
            ("not_yet_valid", None) => Self::NotYetValid,
            ("no_next_update", None) => Self::NoNextUpdate,
            ("wrong_certificate", None) => Self::WrongCertificate,
            ("wrong_signer", None) => Self::WrongSigner,
            ("sibling_signer", None) => Self::SiblingSigner,
            ("bad_signature", None) => Self::BadSignature,
            ("revoked", None) => Self::Revoked,
            ("unknown", None) => Self::Unknown,
            ("wrong_nonce", None) => Self::WrongNonce,
            ("multiple", None) => Self::Multiple,
            _ => return Err(wrong()),
        };
        Ok(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Delay(delay) => return write!(f, "delay:{}", delay.as_millis()),
            Self::HttpStatus { code, retry_after: None } => return write!(f, "http_status:{code}"),
            Self::HttpStatus { code, retry_after: Some(seconds) } => {
                return write!(f, "http_status:{code}:{seconds}");
            }
            Self::OnlyHash(hash) => return write!(f, "only_hash:{hash}"),
            Self::Oversized(size) => return write!(f, "oversized:{size}"),
            Self::Drip(pause) => return write!(f, "drip:{}", pause.as_millis()),
            Self::Redirect(url) => return write!(f, "redirect:{url}"),
            Self::Answer(bytes) => return write!(f, "answer of {} octets", bytes.len()),
            Self::Embedding { before, after } => {
                return write!(f, "embedding of {} and {} certificates", before.len(), after.len());
            }
            Self::RedirectLoop => "redirect_loop",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::Close => "close",
            Self::NoGet => "no_get",
            Self::Garbage => "garbage",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::EndlessHeaders => "endless_headers",
            Self::TryLater => "try_later",
            Self::InternalError => "internal_error",
            Self::Unauthorized => "unauthorized",
            Self::SigRequired => "sig_required",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NoNextUpdate => "no_next_update",
            Self::WrongCertificate => "wrong_certificate",
            Self::WrongSigner => "wrong_signer",
            Self::SiblingSigner => "sibling_signer",
            Self::BadSignature => "bad_signature",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
            Self::WrongNonce => "wrong_nonce",
            Self::Multiple => "multiple",
        };
        f.write_str(name)
    }
}

/// The name of the kind in its syntax.
fn name_of(usage: &str) -> &str {
    usage.split([':', '[']).next().unwrap_or(usage)
}

/// The syntax of all kinds.
fn names() -> String {
    let names: Vec<&str> = Fault::KINDS.iter().map(|(usage, _)| *usage).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_written() {
        for (usage, _) in Fault::KINDS {
            let text = match usage {
                "delay:MS" => "delay:5",
                "http_status:CODE[:SECONDS]" => "http_status:503:5",
                "only_hash:HASH" => "only_hash:sha256",
                "oversized:N" => "oversized:70000",
                "drip[:MS]" => "drip:10",
                "redirect:URL" => "redirect:http://127.0.0.1:1/x",
                plain => plain,
            };
            let fault: Fault = text.parse().unwrap_or_else(|error| panic!("{usage}: {error}"));
            assert_eq!(fault.to_string(), text);
        }
        assert_eq!("redirect".parse(), Ok(Fault::RedirectLoop));
        assert_eq!(Fault::RedirectLoop.to_string().parse(), Ok(Fault::RedirectLoop));
    }

    #[test]
    fn errors_say_the_syntax() {
        let wrong = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert!(wrong("explode").contains("delay:MS, hang"));
        assert_eq!(wrong("delay"), "the argument of fault \"delay\" is wrong; write delay:MS");
        assert_eq!(wrong("hang:5"), "the argument of fault \"hang\" is wrong; write hang");
        assert!(wrong("http_status:99").contains("CODE"));
    }
}
