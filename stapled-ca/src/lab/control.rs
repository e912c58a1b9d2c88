//! The lab's own URLs, for scripts that change faults while it runs.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use crate::lab::Bench;
use crate::lab::fault::Fault;
use crate::lab::message::{HttpRequest, Reply};
use crate::responder::percent_decode;
use crate::serial::Serial;

/// Does what a request to `/lab/…` says.
pub(crate) fn obey(bench: &Bench, request: &HttpRequest) -> Reply {
    let outcome = match (&request.method, request.path()) {
        (&Method::POST, "/lab/fault") => set_fault(bench, request),
        (&Method::DELETE, "/lab/fault") => clear_fault(bench, request),
        (&Method::POST, "/lab/revoke") => revoke(bench, request),
        (&Method::POST, "/lab/validity") => set_validity(bench, request),
        (&Method::DELETE, "/lab/requests") => {
            bench.state.forget_requests();
            Ok("forgotten\n".into())
        }
        (&Method::GET, "/lab/requests") => return requests(bench),
        _ => return Reply::new(404, "text/plain", USAGE),
    };
    match outcome {
        Ok(text) => Reply::new(200, "text/plain", text),
        Err(text) => Reply::new(400, "text/plain", format!("{text}\n")),
    }
}

fn set_fault(bench: &Bench, request: &HttpRequest) -> Result<String, String> {
    let fault: Fault = required(request, "fault")?.parse().map_err(text)?;
    let times = parameter(request, "times").map(|times| times.parse::<u32>().map_err(text)).transpose()?;
    let whom = whom(request)?;
    bench.state.set(whom.as_ref(), fault.clone(), times);
    Ok(format!("{fault}\n"))
}

fn clear_fault(bench: &Bench, request: &HttpRequest) -> Result<String, String> {
    match parameter(request, "serial") {
        None => bench.state.clear_all(),
        Some(_) => match whom(request)? {
            Some(serial) => bench.state.clear(&serial),
            None => bench.state.clear_for_all(),
        },
    }
    Ok("cleared\n".into())
}

fn revoke(bench: &Bench, request: &HttpRequest) -> Result<String, String> {
    let serial: Serial = required(request, "serial")?.parse().map_err(text)?;
    let reason = parameter(request, "reason").map(|reason| reason.parse().map_err(text)).transpose()?;
    bench.issuer_of(&serial).and_then(|issuer| issuer.revoke(&serial, reason)).map_err(text)?;
    Ok(format!("revoked {serial}\n"))
}

fn set_validity(bench: &Bench, request: &HttpRequest) -> Result<String, String> {
    let seconds: u64 = required(request, "seconds")?.parse().map_err(text)?;
    bench.responder.set_validity(Duration::from_secs(seconds));
    Ok(format!("{seconds} seconds\n"))
}

fn requests(bench: &Bench) -> Reply {
    match serde_json::to_vec(&bench.state.requests()) {
        Ok(json) => Reply::new(200, "application/json", json),
        Err(error) => Reply::new(500, "text/plain", error.to_string()),
    }
}

/// The certificate meant; `None` for all of them.
fn whom(request: &HttpRequest) -> Result<Option<Serial>, String> {
    match required(request, "serial")?.as_ref() {
        "all" => Ok(None),
        serial => serial.parse().map(Some).map_err(text),
    }
}

fn required<'r>(request: &'r HttpRequest, name: &str) -> Result<Cow<'r, str>, String> {
    parameter(request, name).ok_or_else(|| format!("the parameter {name} is missing\n{USAGE}"))
}

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

const USAGE: &str = "\
POST   /lab/fault?serial=SERIAL|all&fault=KIND[:ARGUMENT][&times=N]
DELETE /lab/fault[?serial=SERIAL|all]
POST   /lab/revoke?serial=SERIAL[&reason=REASON]
POST   /lab/validity?seconds=N
GET    /lab/requests
DELETE /lab/requests
";
