//! A report as text for people.

use std::fmt::{self, Display, Formatter};

use stapled_core::describe::visible::Visible;

use super::finding::Finding;
use super::report::{Acceptance, CertificateReport, KeptStaple, ProcessReport, Report};

/// A block for each certificate, those that need the operator last; then the HAProxys, the findings that concern no
/// certificate alone, and a summary in one line.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (needing, fine): (Vec<_>, Vec<_>) = self.certificates.iter().partition(|of| of.needs_operator());
        fine.into_iter().chain(needing).try_for_each(|of| write!(f, "{of}"))?;
        self.processes.iter().try_for_each(|process| write!(f, "{process}"))?;
        let (needing, fine): (Vec<_>, Vec<_>) = self.general().partition(|finding| finding.needs_operator());
        if !needing.is_empty() || !fine.is_empty() {
            writeln!(f, "Besides:")?;
            fine.into_iter().chain(needing).try_for_each(|finding| write!(f, "{finding}"))?;
            writeln!(f)?;
        }
        writeln!(f, "{}", self.summary())
    }
}

impl Report {
    /// What concerns no certificate alone, each on a line.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        self.general().map(|finding| finding.on_a_line(None))
    }

    /// Everything that needs the operator, each on a line.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let of_certificates = self.certificates.iter().flat_map(|of| {
            let problems = of.findings.iter().filter(|finding| finding.needs_operator());
            problems.map(|finding| finding.on_a_line(Some(&of.certificate)))
        });
        let others = self.general().filter(|finding| finding.needs_operator());
        of_certificates.chain(others.map(|finding| finding.on_a_line(None)))
    }

    /// The whole report in a line.
    fn summary(&self) -> String {
        let certificates = &self.certificates;
        let needing = certificates.iter().filter(|of| of.needs_operator()).count();
        let others = self.general().filter(|finding| finding.needs_operator()).count();
        let all = certificates.iter().flat_map(|of| &of.findings).chain(self.general());
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
}

/// The name, each known fact, and the findings, on a line each; then an empty line.
impl Display for CertificateReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Visible::new(&self.certificate))?;
        let description = self.description.as_ref();
        let about = description.map(|description| {
            let must_staple = if description.must_staple { ", must-staple" } else { "" };
            let (serial, until) = (&description.serial, description.not_after);
            format!("{}, serial number {serial}, valid until {until}{must_staple}", description.name)
        });
        let file = self.file.as_ref().map(|file| match &self.named_at {
            Some(place) => format!("{} (named at {place})", file.display()),
            None => file.display().to_string(),
        });
        let issuer = description.map(|description| match (&self.issuer_found_in, &self.file) {
            (Some(found), Some(file)) if found == file => format!("{}, in the same file", description.issuer),
            (Some(found), _) => format!("{}, in {}", description.issuer, found.display()),
            (None, _) => format!("{}, not found", description.issuer),
        });
        let urls = description.map(|description| match description.ocsp_urls.as_slice() {
            [] => "none".to_owned(),
            urls => urls.join(" "),
        });
        let others = description.filter(|description| description.asked_urls != description.ocsp_urls);
        let sockets: Vec<String> = self.sockets.iter().map(ToString::to_string).collect();
        for (name, value) in [
            ("certificate", about),
            ("file", file),
            ("sockets", Some(if sockets.is_empty() { "none".to_owned() } else { sockets.join(", ") })),
            ("issuer", issuer),
            ("OCSP URLs", urls),
            ("asked at", others.map(|description| description.asked_urls.join(" "))),
            ("staple file", self.staple_in_words()),
            ("first staple", Some(self.first_staple.in_words(self.sockets.len()))),
        ] {
            if let Some(value) = value {
                writeln!(f, "  {name:<12} {}", Visible::new(&value))?;
            }
        }
        self.findings.iter().try_for_each(|finding| write!(f, "{finding}"))?;
        writeln!(f)
    }
}

impl CertificateReport {
    fn staple_in_words(&self) -> Option<String> {
        let file = self.staple_file.as_ref()?.display();
        Some(match self.staple {
            None => format!("{file}: none there"),
            Some(staple @ KeptStaple::Good(until)) => format!("{file}: {} until {until}", staple.as_str()),
            Some(staple) => format!("{file}: {}", staple.as_str().replace('_', " ")),
        })
    }
}

impl Acceptance {
    /// The words of a report and their meaning, as text for a manual.
    pub const IN_WORDS: &str = "\
First staple, whether HAProxy will accept one at run time:
  already      it takes responses for the certificate
  yes          by a transaction (`set ssl cert`, `commit ssl cert`), which takes `level admin`
  no           for the reason that follows
  unknown      HAProxy could not be asked
  not needed   the certificate names no OCSP responder";

    /// The answer, for a certificate whose staples go to this many sockets.
    fn in_words(&self, sockets: usize) -> String {
        let answer = self.answer.as_str().replace('_', " ");
        match (&self.code, &self.socket) {
            (Some(code), Some(socket)) if sockets > 1 => format!("{answer}, at {socket} ({code}): {}", self.what),
            (Some(code), _) => format!("{answer} ({code}): {}", self.what),
            (None, _) => format!("{answer}: {}", self.what),
        }
    }
}

/// The socket and what its HAProxy says of itself, on a line each; then an empty line.
impl Display for ProcessReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Visible::new(&self.socket.to_string()))?;
        let text = match &self.snapshot {
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
        writeln!(f, "  {:<12} {}", "HAProxy", Visible::new(&text))?;
        writeln!(f)
    }
}

/// The problem on a line, and the remedy on another.
impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.needs_operator() { "PROBLEM" } else { "note" };
        writeln!(f, "  {kind:<12} {}: {}", self.code(), Visible::new(&self.what()))?;
        match self.remedy() {
            Some(remedy) => writeln!(f, "  {:<12} {}", "  remedy", Visible::new(&remedy)),
            None => Ok(()),
        }
    }
}

impl Finding {
    /// The problem and its remedy on one line, with the name of the certificate that has it.
    fn on_a_line(&self, certificate: Option<&str>) -> String {
        let kind = if self.needs_operator() { "problem" } else { "note" };
        let certificate = certificate.map(|certificate| format!("{certificate}: ")).unwrap_or_default();
        let remedy = self.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        format!("{kind} {}: {certificate}{}{remedy}", self.code(), self.problem)
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

#[cfg(test)]
mod tests {
    use stapled_core::reason::ReasonCode;

    use super::super::problem::{CertificateProblem, Reported};
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
            assert_eq!(report.summary(), expected);
            assert_eq!(report.needs_operator(), needs_operator, "{expected}");
        }
    }

    #[test]
    fn certificates_that_need_the_operator_come_last() {
        let certificates = vec![certificate("a", vec![problem()]), certificate("b\n", vec![note()])];
        let report = report(certificates, vec![problem(), note()]);
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
        assert_eq!(report.to_string(), expected);
        let problems: Vec<String> = report.problems().collect();
        assert_eq!(problems, ["problem bad: a: it is bad; mend it", "problem bad: it is bad; mend it"]);
        let note = "note only_ca_certificates: it has certificates of authorities only, which get no staples";
        let remarks: Vec<String> = report.remarks().collect();
        assert_eq!(remarks, ["problem bad: it is bad; mend it", note]);
    }
}
