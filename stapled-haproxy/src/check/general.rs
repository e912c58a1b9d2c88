//! Judges HAProxys, their sockets and their configurations. Pure, but for resolving paths.

use std::collections::{BTreeSet, HashSet};

use super::finding::Finding;
use super::inputs::{Group, Inputs, Kind, Process};
use super::items::Item;
use super::problem::{ConfigurationProblem, Problem, ProcessProblem, Reported, Standing};
use super::report::{CertificateReport, ProcessReport, Report, SourceReport};
use crate::cli::process;
use crate::configuration::{Configuration, Effect, Level, LineProblem, Warning, ZeroWarning};
use crate::haproxy::NamedSockets;
use crate::running::difference::Difference;

/// How many names are reported as examples.
const EXAMPLES: usize = 3;

/// The report of everything but single certificates, which `items` and `certificates` are.
pub(super) fn report(inputs: Inputs, items: &[&Item], certificates: &[CertificateReport]) -> Report {
    let mut of_processes: Vec<Vec<Finding>> = inputs.processes.iter().map(of_process).collect();
    for (group, latest) in configurations(&inputs) {
        for &number in &group.processes {
            let finding = inputs.processes.get(number).and_then(|process| other_configuration(latest, process));
            if let Some(of_process) = of_processes.get_mut(number) {
                of_process.extend(finding);
            }
        }
    }
    let mut others = others(&inputs, items, certificates);
    let source =
        |group: &Group| SourceReport { name: group.name.clone(), findings: no_socket(group).into_iter().collect() };
    let sources: Vec<SourceReport> = inputs.groups.iter().map(source).collect();
    // Another problem explains why there is no certificate.
    let is_quiet = of_processes.iter().all(Vec::is_empty) && sources.iter().all(|source| source.findings.is_empty());
    if items.is_empty() && is_quiet && others.is_empty() {
        let sources = inputs.groups.iter().map(|group| group.name.clone()).collect();
        others.push(ProcessProblem::NoCertificates { sources }.into());
    }
    let processes = inputs.processes.into_iter().zip(of_processes);
    let process = |(process, findings): (Process, Vec<Finding>)| ProcessReport {
        socket: process.address,
        snapshot: process.snapshot,
        findings,
    };
    Report { certificates: Vec::new(), sources, processes: processes.map(process).collect(), others }
}

fn configurations(inputs: &Inputs) -> impl Iterator<Item = (&Group, &Configuration)> {
    inputs.groups.iter().filter_map(|group| Some((group, group.configuration()?)))
}

/// What concerns no certificate that was found.
fn others(inputs: &Inputs, items: &[&Item], certificates: &[CertificateReport]) -> Vec<Finding> {
    let mut others = Vec::new();
    let differing = differing(certificates);
    for group in &inputs.groups {
        others.extend(group.failure().map(|(code, what)| Reported::new(code, what).into()));
        others.extend(problems(group, &inputs.processes));
        if let Some(configuration) = group.configuration() {
            let of_warning = |warning| of_warning(warning, group, &inputs.processes, &differing);
            others.extend(configuration.warnings.iter().filter_map(of_warning));
        }
    }
    let numbered = inputs.processes.iter().enumerate();
    others.extend(numbered.filter_map(|(number, process)| not_in_paths(inputs, number, process, items)));
    others.extend(inputs.processes.iter().flat_map(missed));
    others.extend(zero_warnings(inputs).into_iter().map(|by| ProcessProblem::ZeroWarning { by }.into()));
    others
}

/// By what HAProxys refuse to start after a warning, each once.
fn zero_warnings(inputs: &Inputs) -> BTreeSet<ZeroWarning> {
    let configured = configurations(inputs).filter_map(|(_, latest)| latest.refuses_warnings());
    configured.chain(inputs.processes.iter().filter_map(Process::refuses_warnings).cloned()).collect()
}

/// The processes that have loaded other certificates than the sources name.
fn differing(certificates: &[CertificateReport]) -> HashSet<usize> {
    let is_difference = |problem: &Problem| {
        matches!(
            problem,
            Problem::Process(
                ProcessProblem::NotLoaded { .. }
                    | ProcessProblem::ServedDiffers { .. }
                    | ProcessProblem::NotInConfiguration { .. }
            )
        )
    };
    let differs = |report: &&CertificateReport| report.findings.iter().any(|finding| is_difference(&finding.problem));
    certificates.iter().filter(differs).flat_map(|report| report.processes.iter().copied()).collect()
}

fn of_process(process: &Process) -> Vec<Finding> {
    let socket = &process.address;
    let snapshot = match &process.snapshot {
        Err(error) => return vec![Finding::at(socket, Reported::new(error.code, &error.what))],
        Ok(snapshot) => snapshot,
    };
    let level = snapshot.level.filter(|level| *level < Level::Admin);
    let takes_none = process::pushes_need_admin(process::version(&snapshot.version).unwrap_or_default());
    let too_low = level.map(|level| ProcessProblem::SocketLevel { socket: socket.clone(), level, takes_none });
    let version = || ProcessProblem::ResponseRace { version: snapshot.version.clone() };
    let race = snapshot.has_response_race.then(version);
    // HAProxy has one transaction at a time.
    let under_way = snapshot.transaction.clone();
    let under_way = under_way.map(|name| ProcessProblem::ForeignTransaction { socket: socket.clone(), name });
    too_low.into_iter().chain(under_way).chain(race).map(|problem| Finding::at(socket, problem)).collect()
}

fn other_configuration(latest: &Configuration, process: &Process) -> Option<Finding> {
    let differences = latest.differences(process.snapshot.as_ref().ok()?);
    let other = differences.into_iter().find(|found| matches!(found, Difference::OtherConfiguration { .. }))?;
    let socket = process.address.clone();
    Some(Finding::at(&process.address, ProcessProblem::OtherConfiguration { socket, difference: other }))
}

/// A configuration without a socket.
fn no_socket(group: &Group) -> Option<Finding> {
    let Kind::Configuration { latest, named_sockets: NamedSockets::Used } = &group.kind else { return None };
    let is_it = |warning: &&Warning| warning.problem == LineProblem::NoSocket;
    let warning = latest.warnings.iter().find(is_it).filter(|_| group.processes.is_empty())?;
    Some(ConfigurationProblem::new(warning, Standing::Open).into())
}

/// A problem of a line. `differing` has the processes that have loaded other certificates than the sources name.
fn of_warning(warning: &Warning, group: &Group, processes: &[Process], differing: &HashSet<usize>) -> Option<Finding> {
    let standing = match &warning.problem {
        // A finding of the source: see `no_socket`.
        LineProblem::NoSocket => return None,
        // The process that was asked reports its own level.
        LineProblem::LowLevel { socket } if asked(group, processes).any(|process| process.has_told_level(socket)) => {
            return None;
        }
        LineProblem::LowLevel { .. } => Standing::Open,
        problem if problem.effect() == Effect::LeftOut => Standing::Open,
        LineProblem::UnusableSocket { .. } if group.processes.is_empty() => Standing::Open,
        LineProblem::UnusableSocket { .. } => Standing::Harmless,
        _ if is_confirmed(group, processes, differing) => Standing::Confirmed,
        LineProblem::RelativePath { .. } => {
            let mut snapshots = asked(group, processes).filter_map(|process| process.snapshot.as_ref().ok());
            let directory = snapshots.find_map(|snapshot| snapshot.working_directory.clone());
            directory.map_or(Standing::Harmless, Standing::WorksIn)
        }
        _ => Standing::Harmless,
    };
    Some(ConfigurationProblem::new(warning, standing).into())
}

/// Whether all running HAProxys of a configuration have just the certificates that it names.
fn is_confirmed(group: &Group, processes: &[Process], differing: &HashSet<usize>) -> bool {
    let is_it = |number: &usize| {
        !differing.contains(number) && processes.get(*number).is_some_and(|process| process.snapshot.is_ok())
    };
    !group.processes.is_empty() && group.processes.iter().all(is_it)
}

/// The processes that the staples of a source go to.
fn asked<'a>(group: &'a Group, processes: &'a [Process]) -> impl Iterator<Item = &'a Process> {
    group.processes.iter().filter_map(|&number| processes.get(number))
}

/// The places that a source could not scan, without those that are reported otherwise.
fn problems(group: &Group, processes: &[Process]) -> Vec<Finding> {
    let is_told = |place: &str| match &group.kind {
        Kind::Configuration { latest, .. } => latest.warnings.iter().any(|warning| warning.place.to_string() == place),
        Kind::Process => group.processes.iter().any(|number| {
            let snapshot = processes.get(*number).and_then(|process| process.snapshot.as_ref().ok());
            snapshot.is_some_and(|snapshot| snapshot.certificates.iter().any(|served| served.name == place))
        }),
        Kind::Path => false,
    };
    let problems = group.problems().iter().filter(|problem| !is_told(&problem.place));
    problems.map(|problem| Reported::new(problem.error.code, &problem.error.what).into()).collect()
}

/// The certificates that a HAProxy serves, that need a staple and lie in none of the paths.
fn missed(process: &Process) -> impl Iterator<Item = Finding> {
    let name = process.address.to_string();
    let problems = process.missed.iter().map(move |missed| missed.problem(&name));
    problems.map(|problem| Finding::at(&process.address, Reported::new(problem.error.code, &problem.error.what)))
}

/// Other certificates that a HAProxy has loaded and that lie in none of the paths whose staples go to it.
fn not_in_paths(inputs: &Inputs, number: usize, process: &Process, items: &[&Item]) -> Option<Finding> {
    let snapshot = process.snapshot.as_ref().ok()?;
    let of = |group: &&Group| group.processes.contains(&number);
    if !inputs.groups.iter().filter(of).all(|group| matches!(group.kind, Kind::Path)) {
        return None;
    }
    let is_of = |item: &&&Item| item.loaded.iter().any(|(of, _)| *of == number);
    let missed = process.missed.iter().map(|missed| &*missed.name);
    let found: HashSet<&str> = items.iter().filter(is_of).map(|item| item.name.as_str()).chain(missed).collect();
    let names = snapshot.certificates.iter().filter(|served| !served.is_clients).map(|served| served.name.as_str());
    let others: Vec<&str> = names.filter(|name| !found.contains(name)).collect();
    if others.is_empty() {
        return None;
    }
    let examples = others.iter().take(EXAMPLES).map(|&name| name.to_owned()).collect();
    let socket = process.address.clone();
    Some(Finding::at(&process.address, ProcessProblem::NotInPaths { socket, count: others.len(), examples }))
}
