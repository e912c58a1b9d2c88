//! The page for people: one document with its style, its script and its facts.
//!
//! The script makes every element from the facts by `textContent`, so that no name is ever read as HTML. The facts are a block
//! of JSON in which `<` is escaped, so that no name ends the block.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde::Serialize;
use stapled_ocsp::hash::Sha256;

use super::conclusion::{Conclude, Conclusion};
use crate::metrics::Metrics;
use crate::overview::row::Verdict;
use crate::overview::{Row, Totals};
use crate::stapler::Handle;
use crate::stapler::responders::ResponderStatus;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const DOCUMENT: &str = include_str!("page/page.html");
/// How many rows a page shows at most. Of more, those with problems come first.
const ROWS: usize = 20_000;

/// The parts of the page that never change.
pub(super) struct Page {
    /// What a browser may load and run: the style and the script of the page itself.
    policy: HeaderValue,
}

/// The facts on the page.
#[derive(Serialize)]
pub(super) struct State {
    version: String,
    at: String,
    is_healthy: bool,
    scanning: bool,
    totals: Totals,
    rows: Vec<Shown>,
    /// How many rows are left out.
    omitted: usize,
    responders: Vec<Responder>,
}

/// A row, with the times of its bars.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    /// Whether an operator must act.
    problem: bool,
    /// The beginning of the staple's validity.
    staple_from: Option<String>,
    certificate_from: Option<String>,
}

/// A responder that was asked.
#[derive(Serialize)]
struct Responder {
    responder: String,
    down: bool,
    /// How many certificates name it.
    certificates: usize,
    /// How many renewals are due and wait for it.
    waiting: usize,
    requests: u64,
    failures: u64,
    /// The mean time of a request, in milliseconds.
    milliseconds: Option<u64>,
    /// The last question without a believed answer, and its time.
    error: Option<String>,
    error_at: Option<String>,
}

impl Page {
    pub(super) fn new() -> Self {
        let hash = |text: &str| STANDARD.encode(Sha256::of(text.as_bytes()));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        // It has no characters that a header cannot have.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Page { policy }
    }

    /// The Content-Security-Policy of the page.
    pub(super) fn policy(&self) -> &HeaderValue {
        &self.policy
    }

    /// The facts of this stapler.
    pub(super) fn read(
        handle: &Handle,
        responders: Vec<ResponderStatus>,
        metrics: &Metrics,
        conclude: &Conclude,
    ) -> State {
        let inventory = handle.inventory();
        let shown = |row: Row| {
            let problem = row.verdict() != Verdict::Fine;
            Shown { row, problem, staple_from: None, certificate_from: None }
        };
        let mut rows: Vec<Shown> = Row::of_places(&inventory).into_iter().map(shown).collect();
        for status in inventory.certificates() {
            let Some(row) = Row::of_certificate(&status) else { continue };
            let certificate = status.chain.end_entity();
            rows.push(Shown {
                staple_from: status.staple.as_ref().map(|staple| staple.this_update().to_string()),
                certificate_from: Some(certificate.not_before().to_string()),
                ..shown(row)
            });
        }
        let mut totals = Totals::default();
        rows.iter().for_each(|shown| totals.count(&shown.row));
        // Outages first, then other problems, then the staple that ends first.
        rows.sort_by(|a, b| {
            let key = |shown: &Shown| (!shown.row.outage, !shown.problem);
            key(a).cmp(&key(b)).then_with(|| a.row.staple_until.cmp(&b.row.staple_until))
        });
        let omitted = rows.len().saturating_sub(ROWS);
        rows.truncate(ROWS);
        let Conclusion { is_healthy, .. } = conclude(totals);
        let responder = |status: ResponderStatus| {
            let (requests, failures, mean) = metrics.requests_to(&status.host);
            let error = status.last_error.as_ref();
            Responder {
                down: status.left_alone_until.is_some(),
                certificates: status.certificates,
                waiting: status.waiting,
                requests,
                failures,
                milliseconds: mean.map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX)),
                error: error.map(|error| error.what.clone()),
                error_at: error.map(|error| error.since.to_string()),
                responder: status.host,
            }
        };
        State {
            version: metrics.version().to_owned(),
            at: metrics.now().to_string(),
            is_healthy,
            scanning: !handle.has_scanned(),
            totals,
            rows,
            omitted,
            responders: responders.into_iter().map(responder).collect(),
        }
    }

    /// The document with these facts.
    pub(super) fn html(&self, state: &State) -> String {
        // Facts are texts, numbers and lists: writing them does not fail.
        let facts = serde_json::to_string(state).unwrap_or_default().replace('<', "\\u003c");
        let mut html = String::with_capacity(facts.len() + DOCUMENT.len() + STYLE.len() + SCRIPT.len());
        let mut rest = DOCUMENT;
        for (mark, part) in [("{{style}}", STYLE), ("{{facts}}", facts.as_str()), ("{{script}}", SCRIPT)] {
            let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
            html.push_str(before);
            html.push_str(part);
            rest = after;
        }
        html.push_str(rest);
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn no_name_ends_the_block_of_facts() {
        let certificate = Some("</script><script>alert(1)</script><!--".to_owned());
        let row = Row { certificate, ..Row::default() };
        let shown = Shown { row, problem: false, staple_from: None, certificate_from: None };
        let state = State {
            version: "{{script}}".to_owned(),
            at: Timestamp::from_unix(0).to_string(),
            is_healthy: true,
            scanning: false,
            totals: Totals::default(),
            rows: vec![shown],
            omitted: 0,
            responders: Vec::new(),
        };
        let html = Page::new().html(&state);
        assert_eq!(html.matches("</script").count(), 2, "{html}");
        assert!(!html.contains("<!--") && html.contains("\\u003c/script>\\u003cscript>alert(1)"), "{html}");
        assert!(html.contains("\"version\":\"{{script}}\""), "facts are no template: {html}");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let all = [DOCUMENT, STYLE, SCRIPT].concat();
        for word in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "eval("] {
            assert!(!all.contains(word), "{word}");
        }
        let handlers = all.split_whitespace().filter(|word| word.starts_with("on") && word.contains("=\""));
        assert_eq!(handlers.count(), 0, "the policy forbids scripts in attributes");
    }
}
