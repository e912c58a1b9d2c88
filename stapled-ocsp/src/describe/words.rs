//! The objects of a file as lines for people: a name and a value, aligned.

use std::fmt::Write;
use std::time::Duration;

use super::object::{Basic, Certificate, Embedded, Extension, Id, Object, Request, Responder, Response, Single};
use super::visible::Visible;
use crate::time::Timestamp;

/// The column of the values.
const COLUMN: usize = 24;
const INDENT: usize = 2;

impl Object {
    /// The whole object as lines of text. Each time is followed by its distance from `now`.
    pub fn in_words(&self, now: Timestamp) -> String {
        let mut lines = Lines { text: String::new(), depth: 0, now };
        match self {
            Object::OcspResponse(response) => response.write(&mut lines),
            Object::OcspRequest(request) => request.write(&mut lines),
            Object::Certificate(certificate) => {
                lines.head(&format!("certificate, {} bytes", certificate.size));
                certificate.write(&mut lines);
            }
            Object::PassedOver { label } => lines.head(&format!("{label}: passed over")),
            Object::Malformed { label: Some(label), detail } => lines.head(&format!("{label}: malformed: {detail}")),
            Object::Malformed { label: None, detail } => lines.head(&format!("malformed: {detail}")),
        }
        lines.text
    }
}

/// A value that is written as lines.
trait InWords {
    fn write(&self, lines: &mut Lines);
}

struct Lines {
    text: String,
    depth: usize,
    now: Timestamp,
}

impl Lines {
    /// The title of the lines that follow.
    fn head(&mut self, what: &str) {
        let _ = writeln!(self.text, "{:indent$}{}", "", Visible::new(what), indent = self.depth * INDENT);
    }

    fn line(&mut self, name: &str, says: &str) {
        let indent = (self.depth + 1) * INDENT;
        let width = COLUMN.saturating_sub(indent);
        let _ = writeln!(self.text, "{:indent$}{name:<width$} {}", "", Visible::new(says));
    }

    /// Several of one name: a line each.
    fn list(&mut self, name: &str, says: &[String]) {
        for (number, says) in says.iter().enumerate() {
            self.line(if number == 0 { name } else { "" }, says);
        }
    }

    fn list_or_none(&mut self, name: &str, says: &[String]) {
        if says.is_empty() { self.line(name, "none") } else { self.list(name, says) }
    }

    fn time(&mut self, name: &str, at: Timestamp) {
        let says = format!("{at} ({})", relative(at, self.now));
        self.line(name, &says);
    }

    fn inside(&mut self, write: impl FnOnce(&mut Lines)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }
}

impl InWords for Response {
    fn write(&self, lines: &mut Lines) {
        lines.head(&format!("OCSP response, {} bytes", self.size));
        lines.line("responseStatus", self.status);
        if let Some(response_type) = &self.response_type {
            lines.line("responseType", response_type);
        }
        if let Some(basic) = &self.basic {
            basic.write(lines);
        }
    }
}

impl InWords for Basic {
    fn write(&self, lines: &mut Lines) {
        lines.line("version", &version(self.version.into()));
        lines.line(
            "responderID",
            &match &self.responder_id {
                Responder::ByName(name) => format!("byName {name}"),
                Responder::ByKey(hash) => format!("byKey {hash}"),
            },
        );
        lines.time("producedAt", self.produced_at);
        lines.line("signatureAlgorithm", &self.signature_algorithm);
        write_nonce(self.nonce.as_deref(), lines);
        write_extensions(&self.extensions, lines);
        if self.responses.is_empty() {
            lines.line("responses", "none");
        }
        for (number, single) in self.responses.iter().enumerate() {
            lines.inside(|lines| {
                lines.head(&format!("response {} of {}", number + 1, self.responses.len()));
                single.write(lines);
            });
        }
        write_embedded(&self.certificates, lines);
    }
}

impl InWords for Single {
    fn write(&self, lines: &mut Lines) {
        lines.line("serialNumber", &self.cert_id.serial);
        let reason = self.revocation_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        lines.line("certStatus", &format!("{}{reason}", self.status));
        if let Some(at) = self.revoked_at {
            lines.time("revocationTime", at);
        }
        lines.time("thisUpdate", self.this_update);
        match self.next_update {
            Some(at) => lines.time("nextUpdate", at),
            None => lines.line("nextUpdate", "none"),
        }
        self.cert_id.write(lines);
        write_extensions(&self.extensions, lines);
    }
}

impl InWords for Id {
    fn write(&self, lines: &mut Lines) {
        let parameters = if self.null_parameters { "with NULL parameters" } else { "without parameters" };
        lines.line("CertID hash", &format!("{}, {parameters}", self.hash));
        lines.line("issuerNameHash", &self.issuer_name_hash);
        lines.line("issuerKeyHash", &self.issuer_key_hash);
    }
}

impl InWords for Request {
    fn write(&self, lines: &mut Lines) {
        lines.head(&format!("OCSP request, {} bytes", self.size));
        lines.line("version", &version(self.version.into()));
        lines.line("requestorName", self.requestor_name.as_deref().unwrap_or("none"));
        lines.line("signature", self.signature_algorithm.as_deref().unwrap_or("none"));
        write_nonce(self.nonce.as_deref(), lines);
        write_extensions(&self.extensions, lines);
        if self.requests.is_empty() {
            lines.line("requests", "none");
        }
        for (number, question) in self.requests.iter().enumerate() {
            lines.inside(|lines| {
                lines.head(&format!("request {} of {}", number + 1, self.requests.len()));
                lines.line("serialNumber", &question.cert_id.serial);
                question.cert_id.write(lines);
                write_extensions(&question.extensions, lines);
            });
        }
        write_embedded(&self.certificates, lines);
    }
}

impl InWords for Certificate {
    fn write(&self, lines: &mut Lines) {
        let yes_or_no = |yes| if yes { "yes" } else { "no" };
        let usages = |usages: Option<String>| match usages {
            None => "not restricted".to_owned(),
            Some(none) if none.is_empty() => "nothing".to_owned(),
            Some(usages) => usages,
        };
        lines.line("subject", &self.subject);
        lines.list("subjectAltName", &self.names);
        lines.line("issuer", &self.issuer);
        lines.line("serialNumber", &self.serial);
        lines.line("version", &version(self.version));
        lines.time("notBefore", self.not_before);
        lines.time("notAfter", self.not_after);
        lines.line("key", &self.public_key);
        lines.line("signatureAlgorithm", &self.signature_algorithm);
        lines.line("CA", yes_or_no(self.is_ca));
        lines.line("keyUsage", &usages(self.key_usage.as_ref().map(|usages| usages.join(", "))));
        lines.line("extKeyUsage", &usages(self.extended_key_usage.as_ref().map(|usages| usages.join(", "))));
        lines.list_or_none("OCSP URL", &self.ocsp_urls);
        lines.list_or_none("caIssuers URL", &self.ca_issuers_urls);
        lines.line("must-staple", yes_or_no(self.must_staple));
        lines.line("ocsp-nocheck", yes_or_no(self.ocsp_no_check));
        lines.list("unknown and critical", &self.unknown_critical_extensions);
        lines.line("SHA-256 fingerprint", &self.sha256_fingerprint);
        self.cert_ids.iter().for_each(|id| id.write(lines));
    }
}

fn write_embedded(certificates: &[Embedded], lines: &mut Lines) {
    for (number, certificate) in certificates.iter().enumerate() {
        let head = format!("certificate {} of {}", number + 1, certificates.len());
        lines.inside(|lines| match certificate {
            Embedded::Certificate(certificate) => {
                lines.head(&format!("{head}, {} bytes", certificate.size));
                certificate.write(lines);
            }
            Embedded::Malformed { detail } => lines.head(&format!("{head}: malformed: {detail}")),
        });
    }
}

fn write_nonce(nonce: Option<&str>, lines: &mut Lines) {
    lines.line("nonce", nonce.unwrap_or("none"));
}

fn write_extensions(extensions: &[Extension], lines: &mut Lines) {
    for extension in extensions {
        let name = extension.name.map(|name| format!("{name}, ")).unwrap_or_default();
        let critical = if extension.critical { ", critical" } else { "" };
        lines.line("extension", &format!("{name}{}{critical}: {}", extension.oid, extension.value));
    }
}

/// Versions are counted from 0 and called from 1.
fn version(number: u32) -> String {
    format!("{number} (v{})", u64::from(number) + 1)
}

/// `3 hours ago`, `in 5 days`.
fn relative(at: Timestamp, now: Timestamp) -> String {
    let (distance, is_past) = if at <= now { (now.since(at), true) } else { (at.since(now), false) };
    let words = in_words(distance);
    if is_past { format!("{words} ago") } else { format!("in {words}") }
}

/// A duration in the largest unit of which there are two, rounded down.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, name) in [(86_400, "days"), (3600, "hours"), (60, "minutes")] {
        if seconds >= 2 * unit {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_where_one_stands() {
        let now = Timestamp::from_unix(1_000_000);
        for (seconds, words) in [
            (0, "0 s ago"),
            (-119, "119 s ago"),
            (119, "in 119 s"),
            (120, "in 2 minutes"),
            (-7199, "119 minutes ago"),
            (7200, "in 2 hours"),
            (172_799, "in 47 hours"),
            (-172_800, "2 days ago"),
        ] {
            assert_eq!(relative(Timestamp::from_unix(1_000_000 + seconds), now), words);
        }
        assert!(relative(Timestamp::MAX, Timestamp::MIN).starts_with("in 106751991167"));
        assert!(relative(Timestamp::MIN, Timestamp::MAX).ends_with(" ago"));
    }
}
