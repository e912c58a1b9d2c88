//! The findings of a check, in words and as JSON.

use std::io::{self, Write};

use stapled_haproxy::check::{CertificateReport, Finding, ProcessReport, Report};

use crate::text::{json_line, visible};

/// One object a line for each certificate.
pub(super) fn write_json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    report.lines().try_for_each(|line| out.write_all(json_line(&line).as_bytes()))
}

/// For people: a block for each certificate, those that need the operator last; then the HAProxys, what else was found,
/// and a summary.
pub(super) fn write_words(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (needing, fine): (Vec<_>, Vec<_>) = report.certificates.iter().partition(|of| of.needs_operator());
    fine.into_iter().chain(needing).try_for_each(|of| write_certificate(of, out))?;
    report.processes.iter().try_for_each(|process| write_process(process, out))?;
    let general: Vec<&Finding> = report.general().collect();
    if !general.is_empty() {
        writeln!(out, "Besides:")?;
        let (needing, fine): (Vec<_>, Vec<_>) = general.into_iter().partition(|finding| finding.needs_operator());
        fine.into_iter().chain(needing).try_for_each(|finding| write_finding(finding, out))?;
        writeln!(out)?;
    }
    writeln!(out, "{}", summary(report))
}

/// What concerns no certificate alone, each on a line.
pub(super) fn remarks(report: &Report) -> impl Iterator<Item = String> {
    report.general().map(|finding| on_a_line(finding, None))
}

/// Everything that needs the operator, each on a line.
pub(super) fn problems(report: &Report) -> impl Iterator<Item = String> {
    let of_certificates = report.certificates.iter().flat_map(|of| {
        let problems = of.findings.iter().filter(|finding| finding.needs_operator());
        problems.map(|finding| on_a_line(finding, Some(&of.certificate)))
    });
    let others = report.general().filter(|finding| finding.needs_operator());
    of_certificates.chain(others.map(|finding| on_a_line(finding, None)))
}

/// The whole report in a line.
fn summary(report: &Report) -> String {
    let certificates = &report.certificates;
    let needing = certificates.iter().filter(|of| of.needs_operator()).count();
    let others = report.general().filter(|finding| finding.needs_operator()).count();
    let all = certificates.iter().flat_map(|of| &of.findings).chain(report.general());
    let notes = all.filter(|finding| !finding.needs_operator()).count();
    let mut summary = count(certificates.len(), "certificate");
    match (needing, others) {
        (0, 0) => summary.push_str(": nothing needs you"),
        (0, others) if certificates.is_empty() => summary.push_str(&format!("; {}", needs(others, "thing"))),
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

fn write_certificate(of: &CertificateReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", visible(&of.certificate))?;
    let about = of.description.as_ref().map(|description| {
        let must_staple = if description.must_staple { ", must-staple" } else { "" };
        let (serial, until) = (&description.serial, description.not_after);
        format!("{}, serial number {serial}, valid until {until}{must_staple}", description.name)
    });
    let file = of.file.as_ref().map(|file| match &of.named_at {
        Some(place) => format!("{} (named at {place})", file.display()),
        None => file.display().to_string(),
    });
    let issuer = of.description.as_ref().map(|description| match (&of.issuer_found_in, &of.file) {
        (Some(found), Some(file)) if found == file => format!("{}, in the same file", description.issuer),
        (Some(found), _) => format!("{}, in {}", description.issuer, found.display()),
        (None, _) => format!("{}, not found", description.issuer),
    });
    let urls = of.description.as_ref().map(|description| match description.ocsp_urls.as_slice() {
        [] => "none".to_owned(),
        urls => urls.join(" "),
    });
    let others = of.description.as_ref().filter(|description| description.asked_urls != description.ocsp_urls);
    let sockets: Vec<String> = of.sockets.iter().map(ToString::to_string).collect();
    for (name, value) in [
        ("certificate", about),
        ("file", file),
        ("sockets", Some(if sockets.is_empty() { "none".to_owned() } else { sockets.join(", ") })),
        ("issuer", issuer),
        ("OCSP URLs", urls),
        ("asked at", others.map(|description| description.asked_urls.join(" "))),
        ("staple file", staple(of)),
        ("first staple", Some(first_staple(of))),
    ] {
        if let Some(value) = value {
            writeln!(out, "  {name:<12} {}", visible(&value))?;
        }
    }
    of.findings.iter().try_for_each(|finding| write_finding(finding, out))?;
    writeln!(out)
}

fn staple(of: &CertificateReport) -> Option<String> {
    let file = of.staple_file.as_ref()?.display();
    Some(match of.staple.map(|staple| (staple.as_str(), staple.until())) {
        None => format!("{file}: none there"),
        Some((staple, Some(until))) => format!("{file}: {staple} until {until}"),
        Some((staple, None)) => format!("{file}: {}", staple.replace('_', " ")),
    })
}

fn on_a_line(finding: &Finding, certificate: Option<&str>) -> String {
    let kind = if finding.needs_operator() { "problem" } else { "note" };
    let certificate = certificate.map(|certificate| format!("{certificate}: ")).unwrap_or_default();
    let remedy = finding.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("{kind} {}: {certificate}{}{remedy}", finding.code(), finding.problem)
}

fn first_staple(of: &CertificateReport) -> String {
    let first = &of.first_staple;
    let answer = first.answer.as_str().replace('_', " ");
    match (&first.code, &first.socket) {
        (Some(code), Some(socket)) if of.sockets.len() > 1 => format!("{answer}, at {socket} ({code}): {}", first.what),
        (Some(code), _) => format!("{answer} ({code}): {}", first.what),
        (None, _) => format!("{answer}: {}", first.what),
    }
}

fn write_finding(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let kind = if finding.needs_operator() { "PROBLEM" } else { "note" };
    writeln!(out, "  {kind:<12} {}: {}", finding.code(), visible(&finding.what()))?;
    match finding.remedy() {
        Some(remedy) => writeln!(out, "  {:<12} {}", "  remedy", visible(&remedy)),
        None => Ok(()),
    }
}

fn write_process(process: &ProcessReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", visible(&process.socket.to_string()))?;
    let text = match &process.snapshot {
        Ok(snapshot) => {
            let files: Vec<String> =
                snapshot.configuration_files.iter().map(|file| file.display().to_string()).collect();
            let level = snapshot.level.map_or_else(|| "unknown".to_owned(), |level| level.to_string());
            format!(
                "{}, process {}, socket of level {level}, started with {}, {} loaded",
                snapshot.version,
                snapshot.pid,
                if files.is_empty() { "unknown files".to_owned() } else { files.join(",") },
                count(snapshot.certificates.len(), "certificate")
            )
        }
        Err(error) => format!("does not answer ({})", error.code),
    };
    writeln!(out, "  {:<12} {}", "HAProxy", visible(&text))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use stapled_core::reason::ReasonCode;
    use stapled_haproxy::check::{CertificateProblem, Reported};

    use super::*;

    fn certificate(name: &str, findings: Vec<Finding>) -> CertificateReport {
        let mut report = CertificateReport::new(name);
        report.findings = findings;
        report
    }

    fn problem() -> Finding {
        Reported::new(ReasonCode::new("bad"), "it is bad: mend it").into()
    }

    fn note() -> Finding {
        CertificateProblem::OnlyAuthorities.into()
    }

    fn report(certificates: Vec<CertificateReport>, others: Vec<Finding>) -> Report {
        let mut report = Report::default();
        (report.certificates, report.others) = (certificates, others);
        report
    }

    #[test]
    fn the_summary_counts_certificates_and_findings() {
        let fine = || certificate("fine", vec![note()]);
        let bad = || certificate("bad", vec![problem(), note()]);
        for (rows, others, expected, needs_operator) in [
            (vec![], vec![], "no certificates: nothing needs you", false),
            (vec![], vec![problem()], "no certificates; 1 thing needs you", true),
            (vec![certificate("a", vec![])], vec![], "1 certificate: nothing needs you", false),
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
            let report = report(rows, others);
            assert_eq!(summary(&report), expected);
            assert_eq!(report.needs_operator(), needs_operator, "{expected}");
        }
    }

    #[test]
    fn certificates_that_need_the_operator_come_last() -> Result<(), Box<dyn Error>> {
        let certificates = vec![certificate("a", vec![problem()]), certificate("b\n", vec![note()])];
        let report = report(certificates, vec![problem(), note()]);
        let mut words = Vec::new();
        write_words(&report, &mut words)?;
        let expected = "\
b\\n
  sockets      none
  first staple not needed:\x20
  note         only_ca_certificates: it has certificates of authorities only, which get no staples

a
  sockets      none
  first staple not needed:\x20
  PROBLEM      bad: it is bad
    remedy     mend it

Besides:
  note         only_ca_certificates: it has certificates of authorities only, which get no staples
  PROBLEM      bad: it is bad
    remedy     mend it

2 certificates, of which 1 needs you; 1 thing needs you beside them; 2 notes
";
        assert_eq!(String::from_utf8(words)?, expected);
        let problems: Vec<String> = problems(&report).collect();
        assert_eq!(problems, ["problem bad: a: it is bad; mend it", "problem bad: it is bad; mend it"]);
        let note = "note only_ca_certificates: it has certificates of authorities only, which get no staples";
        let remarks: Vec<String> = remarks(&report).collect();
        assert_eq!(remarks, ["problem bad: it is bad; mend it", note]);
        Ok(())
    }
}
