//! A report as JSON (feature `serde`): one object for each certificate.

use std::path::PathBuf;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use stapled_core::reason::ReasonCode;
use stapled_core::time::Timestamp;

use super::finding::Finding;
use super::report::{CertificateReport, Report};

/// One certificate of a report as JSON: its own fields and every finding that concerns it. What is not known is null.
#[derive(serde::Serialize)]
pub struct Line<'a> {
    certificate: &'a str,
    name: Option<&'a str>,
    serial: Option<&'a str>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    must_staple: bool,
    file: Option<String>,
    named_at: Option<String>,
    sockets: Vec<String>,
    issuer: Option<&'a str>,
    issuer_found_in: Option<String>,
    issuer_found_by_haproxy: Option<bool>,
    ocsp_urls: &'a [String],
    asked_urls: &'a [String],
    staple_file: Option<String>,
    staple: Option<&'a str>,
    staple_until: Option<Timestamp>,
    first_staple: &'static str,
    first_staple_reason: Option<&'static str>,
    first_staple_what: &'a str,
    needs_operator: bool,
    problems: Vec<&'a Finding>,
}

impl Report {
    /// The fields of the JSON object of a certificate, as text for a manual.
    pub const FIELDS: &str = "\
certificate (its name in HAProxy's `show ssl cert`), name, serial, not_before, not_after,
  must_staple, file, named_at (the line of the configuration), sockets, issuer, issuer_found_in,
  issuer_found_by_haproxy, ocsp_urls, asked_urls (the same, but for --responder and
  --default-responder), staple_file (where HAProxy looks for one when it starts),
  staple (null: none there; good, empty, revoked, or a reason), staple_until, first_staple (already,
  yes, no, unknown, not_needed), first_staple_reason, first_staple_what, needs_operator, and problems:
  a list of reason (a stable word), needs_operator, what, remedy, socket.";

    /// Each certificate with everything that concerns it, to be written as JSON.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.certificates.iter().map(|certificate| Line::of(self, certificate))
    }
}

impl<'a> Line<'a> {
    fn of(report: &'a Report, of: &'a CertificateReport) -> Self {
        let description = of.description.as_ref();
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let problems: Vec<&Finding> = report.about(of).collect();
        Line {
            certificate: &of.certificate,
            name: description.map(|description| description.name.as_str()),
            serial: description.map(|description| description.serial.as_str()),
            not_before: description.map(|description| description.not_before),
            not_after: description.map(|description| description.not_after),
            must_staple: description.is_some_and(|description| description.must_staple),
            file: path(&of.file),
            named_at: of.named_at.as_ref().map(ToString::to_string),
            sockets: of.sockets.iter().map(ToString::to_string).collect(),
            issuer: description.map(|description| description.issuer.as_str()),
            issuer_found_in: path(&of.issuer_found_in),
            issuer_found_by_haproxy: of.issuer_found_by_haproxy,
            ocsp_urls: description.map(|description| description.ocsp_urls.as_slice()).unwrap_or_default(),
            asked_urls: description.map(|description| description.asked_urls.as_slice()).unwrap_or_default(),
            staple_file: path(&of.staple_file),
            staple: of.staple.as_ref().map(|staple| staple.as_str()),
            staple_until: of.staple.and_then(|staple| staple.until()),
            first_staple: of.first_staple.answer.as_str(),
            first_staple_reason: of.first_staple.code.map(|code| code.as_str()),
            first_staple_what: &of.first_staple.what,
            needs_operator: problems.iter().any(|finding| finding.needs_operator()),
            problems,
        }
    }
}

/// Writes the word of a reason code.
pub(super) fn code<S: Serializer>(code: &ReasonCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

/// An object with `reason`, `needs_operator`, `what`, `remedy` and `socket`.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Finding", 5)?;
        object.serialize_field("reason", self.code().as_str())?;
        object.serialize_field("needs_operator", &self.needs_operator())?;
        object.serialize_field("what", &self.what())?;
        object.serialize_field("remedy", &self.remedy())?;
        object.serialize_field("socket", &self.socket.as_ref().map(ToString::to_string))?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use stapled_core::overview::json::json_line;

    use super::*;

    #[test]
    fn the_text_for_manuals_names_every_field() {
        let line = Line {
            certificate: "",
            name: None,
            serial: None,
            not_before: None,
            not_after: None,
            must_staple: false,
            file: None,
            named_at: None,
            sockets: Vec::new(),
            issuer: None,
            issuer_found_in: None,
            issuer_found_by_haproxy: None,
            ocsp_urls: &[],
            asked_urls: &[],
            staple_file: None,
            staple: None,
            staple_until: None,
            first_staple: "yes",
            first_staple_reason: None,
            first_staple_what: "",
            needs_operator: false,
            problems: Vec::new(),
        };
        let line = json_line(&line);
        let (fields, _) = line.rsplit_once("\":").unwrap();
        for field in fields.split("\":").filter_map(|field| field.rsplit('"').next()) {
            assert!(Report::FIELDS.contains(field), "{field}");
        }
    }
}
