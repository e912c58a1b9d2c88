//! The URLs under `/lab/`, for scripts that change faults while the lab runs.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use crate::lab::fault::Fault;
use crate::lab::message::{HttpRequest, Reply};
use crate::lab::shared::Shared;
use crate::responder::percent_decode;
use crate::serial::Serial;

const USAGE: &str = "\
POST   /lab/fault?serial=SERIAL|all&fault=KIND[:ARGUMENT][&times=N]
DELETE /lab/fault[?serial=SERIAL|all]
POST   /lab/revoke?serial=SERIAL[&reason=REASON]
POST   /lab/validity?seconds=N
GET    /lab/requests
DELETE /lab/requests
";

/// Handles a request to `/lab/…`.
pub(crate) fn handle(shared: &Shared, request: &HttpRequest) -> Reply {
    let outcome = match (&request.method, request.path()) {
        (&Method::POST, "/lab/fault") => set_fault(shared, request),
        (&Method::DELETE, "/lab/fault") => clear_fault(shared, request),
        (&Method::POST, "/lab/revoke") => revoke(shared, request),
        (&Method::POST, "/lab/validity") => set_validity(shared, request),
        (&Method::DELETE, "/lab/requests") => {
            shared.state.forget_requests();
            Ok("forgotten\n".into())
        }
        (&Method::GET, "/lab/requests") => return requests(shared),
        _ => return Reply::new(404, "text/plain", USAGE),
    };
    match outcome {
        Ok(text) => Reply::new(200, "text/plain", text),
        Err(text) => Reply::new(400, "text/plain", format!("{text}\n")),
    }
}

fn set_fault(shared: &Shared, request: &HttpRequest) -> Result<String, String> {
    let fault: Fault = required(request, "fault")?.parse().map_err(text)?;
    let times = parameter(request, "times").map(|times| times.parse::<u32>().map_err(text)).transpose()?;
    let target = target(request)?;
    shared.state.set(target.as_ref(), fault.clone(), times);
    Ok(format!("{fault}\n"))
}

fn clear_fault(shared: &Shared, request: &HttpRequest) -> Result<String, String> {
    match parameter(request, "serial") {
        None => shared.state.clear_all(),
        Some(_) => match target(request)? {
            Some(serial) => shared.state.clear(&serial),
            None => shared.state.clear_for_all(),
        },
    }
    Ok("cleared\n".into())
}

fn revoke(shared: &Shared, request: &HttpRequest) -> Result<String, String> {
    let serial: Serial = required(request, "serial")?.parse().map_err(text)?;
    let reason = parameter(request, "reason").map(|reason| reason.parse().map_err(text)).transpose()?;
    shared.issuer_of(&serial).and_then(|issuer| issuer.revoke(&serial, reason)).map_err(text)?;
    Ok(format!("revoked {serial}\n"))
}

fn set_validity(shared: &Shared, request: &HttpRequest) -> Result<String, String> {
    let seconds: u64 = required(request, "seconds")?.parse().map_err(text)?;
    shared.responder.set_validity(Duration::from_secs(seconds));
    Ok(format!("{seconds} seconds\n"))
}

fn requests(shared: &Shared) -> Reply {
    match serde_json::to_vec(&shared.state.requests()) {
        Ok(json) => Reply::new(200, "application/json", json),
        Err(error) => Reply::new(500, "text/plain", error.to_string()),
    }
}

/// The certificate that a request names; `None` for all certificates.
fn target(request: &HttpRequest) -> Result<Option<Serial>, String> {
    match required(request, "serial")?.as_ref() {
        "all" => Ok(None),
        serial => serial.parse().map(Some).map_err(text),
    }
}

/// The value of a parameter that must be there.
fn required<'r>(request: &'r HttpRequest, name: &str) -> Result<Cow<'r, str>, String> {
    parameter(request, name).ok_or_else(|| format!("the parameter {name} is missing; the requests are\n{USAGE}"))
}

/// The value of a parameter, percent-decoded.
fn parameter<'r>(request: &'r HttpRequest, name: &str) -> Option<Cow<'r, str>> {
    let (_, query) = request.target.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    if !value.contains('%') {
        return Some(value.into());
    }
    Some(String::from_utf8(percent_decode(value.as_bytes())?).ok()?.into())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
