//! What was found, in words and in JSON. Pure.

use std::io::{self, Write};

use serde::Serialize;

use super::finding::Finding;
use super::general::{General, in_words};
use super::inputs::Process;
use super::row::{Answer, Row};
use crate::text::{json_line, visible};

/// Everything, and whether it needs the operator.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) rows: Vec<Row>,
    pub(super) general: General,
    pub(super) processes: Vec<Process>,
}

/// A row as JSON.
#[derive(Serialize)]
struct Line<'a> {
    certificate: &'a str,
    name: Option<&'a str>,
    serial: Option<&'a str>,
    not_before: Option<String>,
    not_after: Option<String>,
    must_staple: bool,
    file: Option<&'a str>,
    named_at: Option<&'a str>,
    sockets: &'a [String],
    issuer: Option<&'a str>,
    issuer_found_in: Option<&'a str>,
    issuer_found_by_haproxy: Option<bool>,
    ocsp_urls: &'a [String],
    asked_urls: &'a [String],
    staple_file: Option<&'a str>,
    staple: Option<&'a str>,
    staple_until: Option<String>,
    first_staple: Answer,
    first_staple_reason: Option<&'static str>,
    first_staple_what: &'a str,
    needs_operator: bool,
    problems: Vec<&'a Finding>,
}

impl Answered {
    /// Whether something needs the operator.
    pub(super) fn needs_operator(&self) -> bool {
        self.rows.iter().any(Row::needs_operator) || self.general.all().any(|finding| finding.needs_operator)
    }

    /// One object a line for each certificate.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            let problems: Vec<&Finding> = row.problems.iter().chain(self.general.about(row)).collect();
            let line = Line {
                certificate: &row.certificate,
                name: row.name.as_deref(),
                serial: row.serial.as_deref(),
                not_before: row.not_before.map(|at| at.to_string()),
                not_after: row.not_after.map(|at| at.to_string()),
                must_staple: row.must_staple,
                file: row.file.as_deref(),
                named_at: row.named_at.as_deref(),
                sockets: &row.sockets,
                issuer: row.issuer.as_deref(),
                issuer_found_in: row.issuer_found_in.as_deref(),
                issuer_found_by_haproxy: row.issuer_found_by_haproxy,
                ocsp_urls: &row.ocsp_urls,
                asked_urls: row.asked_urls.as_ref().unwrap_or(&row.ocsp_urls),
                staple_file: row.staple_file.as_deref(),
                staple: row.staple,
                staple_until: row.staple_until.map(|at| at.to_string()),
                first_staple: row.first_staple.answer,
                first_staple_reason: row.first_staple.code.map(|code| code.as_str()),
                first_staple_what: &row.first_staple.what,
                needs_operator: problems.iter().any(|finding| finding.needs_operator),
                problems,
            };
            out.write_all(json_line(&line).as_bytes())?;
        }
        Ok(())
    }

    /// For people: a block for each certificate, those that need something last; then HAProxys, what else there is, and
    /// what it comes to.
    pub(super) fn write_words(&self, out: &mut dyn Write) -> io::Result<()> {
        let (needing, fine): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| row.needs_operator());
        for row in fine.into_iter().chain(needing) {
            write_row(row, out)?;
        }
        for process in &self.processes {
            write_process(process, out)?;
        }
        let general: Vec<&Finding> = self.general.all().collect();
        if !general.is_empty() {
            writeln!(out, "Besides:")?;
            let (needing, fine): (Vec<&Finding>, Vec<&Finding>) =
                general.into_iter().partition(|finding| finding.needs_operator);
            fine.into_iter().chain(needing).try_for_each(|finding| write_finding(finding, out))?;
            writeln!(out)?;
        }
        writeln!(out, "{}", self.summary())
    }

    /// What concerns no certificate alone, each on a line.
    pub(super) fn remarks(&self) -> impl Iterator<Item = String> {
        self.general.all().map(|finding| on_a_line(finding, None))
    }

    /// Everything that needs the operator, each on a line.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let of_row = |row: &'_ Row| {
            let problems = row.problems.iter().filter(|finding| finding.needs_operator);
            problems.map(|finding| on_a_line(finding, Some(&row.certificate))).collect::<Vec<_>>()
        };
        let others = self.general.all().filter(|finding| finding.needs_operator);
        self.rows.iter().flat_map(of_row).chain(others.map(|finding| on_a_line(finding, None)))
    }

    /// What it comes to, in a line.
    fn summary(&self) -> String {
        let needing = self.rows.iter().filter(|row| row.needs_operator()).count();
        let others = self.general.all().filter(|finding| finding.needs_operator).count();
        let all = self.rows.iter().flat_map(|row| &row.problems).chain(self.general.all());
        let notes = all.filter(|finding| !finding.needs_operator).count();
        let mut summary = count(self.rows.len(), "certificate");
        match (needing, others) {
            (0, 0) => summary.push_str(": nothing needs you"),
            (0, others) if self.rows.is_empty() => summary.push_str(&format!("; {}", needs(others, "thing"))),
            (0, others) => summary.push_str(&format!("; {} beside them", needs(others, "thing"))),
            (needing, 0) => summary.push_str(&format!(", of which {}", needs(needing, ""))),
            (needing, others) => {
                summary.push_str(&format!(", of which {}; {} beside them", needs(needing, ""), needs(others, "thing")));
            }
        }
        if notes > 0 {
            summary.push_str(&format!("; {}", count(notes, "note")));
        }
        summary
    }
}

fn count(count: usize, of: &str) -> String {
    match count {
        0 => format!("no {of}s"),
        1 => format!("1 {of}"),
        count => format!("{count} {of}s"),
    }
}

fn needs(count: usize, of: &str) -> String {
    match (count, of) {
        (1, "") => "1 needs you".to_owned(),
        (count, "") => format!("{count} need you"),
        (1, of) => format!("1 {of} needs you"),
        (count, of) => format!("{count} {of}s need you"),
    }
}

fn write_row(row: &Row, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", visible(&row.certificate))?;
    let about = row.name.as_ref().map(|name| {
        let serial = row.serial.as_deref().unwrap_or_default();
        let until = row.not_after.map(|until| format!(", valid until {until}")).unwrap_or_default();
        format!("{name}, serial number {serial}{until}{}", if row.must_staple { ", must-staple" } else { "" })
    });
    let file = row.file.as_ref().map(|file| match &row.named_at {
        Some(place) => format!("{file} (named at {place})"),
        None => file.clone(),
    });
    let issuer = row.issuer.as_ref().map(|issuer| match (&row.issuer_found_in, &row.file) {
        (Some(found), Some(file)) if found == file => format!("{issuer}, in the same file"),
        (Some(found), _) => format!("{issuer}, in {found}"),
        (None, _) => format!("{issuer}, not found"),
    });
    let staple = row.staple_file.as_ref().map(|file| match (row.staple, row.staple_until) {
        (None, _) => format!("{file}: none there"),
        (Some(staple), Some(until)) => format!("{file}: {staple} until {until}"),
        (Some(staple), None) => format!("{file}: {}", staple.replace('_', " ")),
    });
    let sockets = if row.sockets.is_empty() { "none".to_owned() } else { row.sockets.join(", ") };
    let urls = row.ocsp_urls.join(" ");
    let known = row.name.is_some();
    for (name, value) in [
        ("certificate", about),
        ("file", file),
        ("sockets", Some(sockets)),
        ("issuer", issuer),
        ("OCSP URLs", known.then(|| if urls.is_empty() { "none".to_owned() } else { urls })),
        ("asked at", row.asked_urls.as_ref().map(|asked| asked.join(" "))),
        ("staple file", staple),
        ("first staple", Some(first_staple(row))),
    ] {
        if let Some(value) = value {
            writeln!(out, "  {name:<12} {}", visible(&value))?;
        }
    }
    row.problems.iter().try_for_each(|finding| write_finding(finding, out))?;
    writeln!(out)
}

fn on_a_line(finding: &Finding, certificate: Option<&str>) -> String {
    let kind = if finding.needs_operator { "problem" } else { "note" };
    let certificate = certificate.map(|certificate| format!("{certificate}: ")).unwrap_or_default();
    let remedy = finding.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("{kind} {}: {certificate}{}{remedy}", finding.reason, finding.what)
}

fn first_staple(row: &Row) -> String {
    let first = &row.first_staple;
    let answer = match first.answer {
        Answer::NotNeeded => "not needed",
        Answer::Already => "already",
        Answer::Yes => "yes",
        Answer::Unknown => "unknown",
        Answer::No => "no",
    };
    match (&first.code, &first.about) {
        (Some(code), Some(about)) if row.sockets.len() > 1 => format!("{answer}, at {about} ({code}): {}", first.what),
        (Some(code), _) => format!("{answer} ({code}): {}", first.what),
        (None, _) => format!("{answer}: {}", first.what),
    }
}

fn write_finding(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let kind = if finding.needs_operator { "PROBLEM" } else { "note" };
    writeln!(out, "  {kind:<12} {}: {}", finding.reason, visible(&finding.what))?;
    match &finding.remedy {
        Some(remedy) => writeln!(out, "  {:<12} {}", "  remedy", visible(remedy)),
        None => Ok(()),
    }
}

fn write_process(process: &Process, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", visible(&process.address.to_string()))?;
    let text = match &process.picture {
        Ok(picture) => {
            let files: Vec<String> =
                picture.configuration_files.iter().map(|file| file.display().to_string()).collect();
            let level = picture.level.map_or("unknown", in_words);
            format!(
                "{}, process {}, socket of level {level}, started with {}, {} loaded",
                picture.version,
                picture.pid,
                if files.is_empty() { "unknown files".to_owned() } else { files.join(",") },
                count(picture.certificates.len(), "certificate")
            )
        }
        Err(error) => format!("does not answer ({})", error.code),
    };
    writeln!(out, "  {:<12} {}", "HAProxy", visible(&text))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use stapled_core::reason::ReasonCode;

    use super::*;
    use crate::commands::check::row::First;

    fn row(name: &str, problems: Vec<Finding>) -> Row {
        Row {
            certificate: name.to_owned(),
            file: None,
            named_at: None,
            processes: Vec::new(),
            group: 0,
            sockets: Vec::new(),
            name: None,
            serial: None,
            not_before: None,
            not_after: None,
            must_staple: false,
            issuer: None,
            issuer_found_in: None,
            issuer_found_by_haproxy: None,
            ocsp_urls: Vec::new(),
            asked_urls: None,
            staple_file: None,
            staple: None,
            staple_until: None,
            first_staple: First::yes("by a transaction"),
            problems,
        }
    }

    fn problem() -> Finding {
        Finding::problem(ReasonCode::new("bad"), "it is bad", "mend it")
    }

    fn note() -> Finding {
        Finding::note(ReasonCode::new("odd"), "it is odd")
    }

    fn answered(rows: Vec<Row>, others: Vec<Finding>) -> Answered {
        Answered { rows, general: General { others, ..General::default() }, processes: Vec::new() }
    }

    #[test]
    fn what_it_comes_to() {
        let fine = || row("fine", vec![note()]);
        let bad = || row("bad", vec![problem(), note()]);
        for (rows, others, expected, needs_operator) in [
            (vec![], vec![], "no certificates: nothing needs you", false),
            (vec![], vec![problem()], "no certificates; 1 thing needs you", true),
            (vec![row("a", vec![])], vec![], "1 certificate: nothing needs you", false),
            (vec![fine(), fine()], vec![note()], "2 certificates: nothing needs you; 3 notes", false),
            (vec![fine(), bad()], vec![], "2 certificates, of which 1 needs you; 2 notes", true),
            (vec![bad(), bad()], vec![], "2 certificates, of which 2 need you; 2 notes", true),
            (vec![fine()], vec![problem(), problem()], "1 certificate; 2 things need you beside them; 1 note", true),
            (
                vec![bad()],
                vec![problem()],
                "1 certificate, of which 1 needs you; 1 thing needs you beside them; 1 note",
                true,
            ),
        ] {
            let answered = answered(rows, others);
            assert_eq!(answered.summary(), expected);
            assert_eq!(answered.needs_operator(), needs_operator, "{expected}");
        }
    }

    #[test]
    fn what_needs_somebody_comes_last() {
        let answered = answered(vec![row("a", vec![problem()]), row("b\n", vec![note()])], vec![problem(), note()]);
        let mut words = Vec::new();
        answered.write_words(&mut words).unwrap();
        let expected = "\
b\\n
  sockets      none
  first staple yes: by a transaction
  note         odd: it is odd

a
  sockets      none
  first staple yes: by a transaction
  PROBLEM      bad: it is bad
    remedy     mend it

Besides:
  note         odd: it is odd
  PROBLEM      bad: it is bad
    remedy     mend it

2 certificates, of which 1 needs you; 1 thing needs you beside them; 2 notes
";
        assert_eq!(String::from_utf8(words).unwrap(), expected);
        let problems: Vec<String> = answered.problems().collect();
        assert_eq!(problems, ["problem bad: a: it is bad; mend it", "problem bad: it is bad; mend it"]);
        let remarks: Vec<String> = answered.remarks().collect();
        assert_eq!(remarks, ["problem bad: it is bad; mend it", "note odd: it is odd"]);
    }
}
