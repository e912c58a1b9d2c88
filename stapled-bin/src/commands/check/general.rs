//! What there is to say of HAProxys, their sockets and their configurations. Pure, but for looking where paths lead.

use std::collections::HashSet;

use stapled_haproxy::configuration::{Configuration, Effect, Level, Warning};
use stapled_haproxy::{Address, Difference, Picture, codes as haproxy};

use super::finding::{Finding, codes};
use super::inputs::{Group, Inputs, Kind, Process};
use super::items::{Item, Origin};
use super::row::Row;

/// What is found once and concerns many certificates.
#[derive(Debug, Default)]
pub(super) struct General {
    /// Of each process, and so of the certificates whose staples go to it.
    pub(super) of_processes: Vec<Vec<Finding>>,
    /// Of each group, and so of its certificates.
    pub(super) of_groups: Vec<Vec<Finding>>,
    /// Of nobody's certificates.
    pub(super) others: Vec<Finding>,
}

/// Names that are told as examples.
const EXAMPLES: usize = 3;

impl General {
    /// Of everything but single certificates; of these, `items` and `rows` say what was found.
    pub(super) fn of(inputs: &Inputs, items: &[&Item], rows: &[Row]) -> Self {
        let mut general = General {
            of_processes: inputs.processes.iter().map(of_process).collect(),
            of_groups: inputs.groups.iter().map(|group| no_socket(group).into_iter().collect()).collect(),
            others: Vec::new(),
        };
        for group in &inputs.groups {
            if let Some(latest) = group.configuration() {
                for &number in &group.processes {
                    let finding = inputs.processes.get(number).and_then(|process| other_configuration(latest, process));
                    if let Some(of_process) = general.of_processes.get_mut(number) {
                        of_process.extend(finding);
                    }
                }
            }
        }
        let differing = differing(rows);
        for group in &inputs.groups {
            general.others.extend(group.failure().map(|(code, what)| Finding::told(code, what)));
            general.others.extend(problems(group, &inputs.processes));
            if let Some(configuration) = group.configuration() {
                let is_confirmed = !group.processes.is_empty()
                    && group.processes.iter().all(|number| {
                        !differing.contains(number)
                            && inputs.processes.get(*number).is_some_and(|process| process.picture.is_ok())
                    });
                let told = configuration
                    .warnings
                    .iter()
                    .filter_map(|warning| of_warning(warning, group, &inputs.processes, is_confirmed));
                general.others.extend(told);
            }
        }
        general.others.extend(
            inputs
                .processes
                .iter()
                .enumerate()
                .filter_map(|(number, process)| not_in_paths(inputs, number, process, items)),
        );
        // Where something could not be looked at, that is what is wrong.
        if items.is_empty() && general.all().next().is_none() {
            let names: Vec<&str> = inputs.groups.iter().map(|group| group.name.as_str()).collect();
            let what = format!("there is no certificate in {}", names.join(", "));
            let remedy = "name paths with certificates (--cert-paths), HAProxy's configuration (--haproxy-config) or its admin \
                          socket (--haproxy-sockets)";
            general.others.push(Finding::problem(codes::NO_CERTIFICATES, what, remedy));
        }
        general
    }

    /// What concerns one certificate beside what is said of itself.
    pub(super) fn about<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a Finding> {
        let of_processes = row.processes.iter().filter_map(|&number| self.of_processes.get(number)).flatten();
        of_processes.chain(self.of_groups.get(row.group).into_iter().flatten())
    }

    /// All of it, once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Finding> {
        self.of_processes.iter().chain(&self.of_groups).flatten().chain(&self.others)
    }
}

/// The processes that have something else loaded than was found.
fn differing(rows: &[Row]) -> HashSet<usize> {
    let differences =
        [haproxy::NOT_LOADED, haproxy::SERVED_DIFFERS, haproxy::NOT_IN_CONFIGURATION].map(|code| code.as_str());
    let differs = |row: &&Row| row.problems.iter().any(|finding| differences.contains(&finding.reason));
    rows.iter().filter(differs).flat_map(|row| row.processes.iter().copied()).collect()
}

fn of_process(process: &Process) -> Vec<Finding> {
    let address = &process.address;
    match &process.picture {
        Err(error) => vec![Finding::told(error.code, &error.what).about(address)],
        Ok(picture) => too_low(address, picture).into_iter().chain(under_way(address, picture)).collect(),
    }
}

/// HAProxy has one transaction at a time.
fn under_way(address: &Address, picture: &Picture) -> Option<Finding> {
    let name = picture.transaction.as_ref()?;
    let what = format!(
        "{address}: somebody is changing the certificate {name} and has not finished: until then, no certificate can get its \
         first staple"
    );
    let remedy = format!("end that with `commit ssl cert {name}` or `abort ssl cert {name}`");
    Some(Finding::problem(haproxy::FOREIGN_TRANSACTION, what, remedy).about(address))
}

fn too_low(address: &Address, picture: &Picture) -> Option<Finding> {
    let level = picture.level.filter(|level| *level < Level::Admin)?;
    let what = format!("{address} has level {}: no certificate can get its first staple over it", in_words(level));
    let remedy = "write `level admin` on its `stats socket` line, and reload HAProxy";
    Some(Finding::problem(haproxy::SOCKET_LEVEL, what, remedy).about(address))
}

pub(super) fn in_words(level: Level) -> &'static str {
    match level {
        Level::User => "user",
        Level::Operator => "operator",
        _ => "admin",
    }
}

fn other_configuration(latest: &Configuration, process: &Process) -> Option<Finding> {
    let differences = latest.differences(process.picture.as_ref().ok()?);
    let other = differences.into_iter().find(|found| matches!(found, Difference::OtherConfiguration { .. }))?;
    let finding = Finding::told(other.code(), &format!("{}: {other}", process.address));
    Some(finding.about(&process.address))
}

/// A configuration without a socket.
fn no_socket(group: &Group) -> Option<Finding> {
    let Kind::Configuration { latest, own_sockets: true, .. } = &group.kind else { return None };
    let is_it = |warning: &&Warning| warning.code == haproxy::SOCKET_MISSING_IN_CONFIGURATION;
    let warning = latest.warnings.iter().find(is_it).filter(|_| group.processes.is_empty())?;
    Some(Finding::told(warning.code, &warning.to_string()))
}

fn of_warning(warning: &Warning, group: &Group, processes: &[Process], is_confirmed: bool) -> Option<Finding> {
    let code = warning.code;
    if code == haproxy::SOCKET_MISSING_IN_CONFIGURATION {
        return None;
    }
    // Whoever was asked has told it.
    let has_told = |number: &usize| {
        processes.get(*number).is_some_and(|process| {
            let address = process.address.to_string();
            let is_told = match &process.picture {
                Ok(picture) => picture.level.is_some(),
                Err(error) => error.code == haproxy::PERMISSION_DENIED,
            };
            is_told && warning.what.contains(&address)
        })
    };
    if code == haproxy::SOCKET_LEVEL && group.processes.iter().any(has_told) {
        return None;
    }
    let finding = Finding::told(code, &warning.to_string());
    if warning.effect == Effect::LeftOut || code == haproxy::SOCKET_LEVEL {
        return Some(finding);
    }
    if code == haproxy::SOCKET_UNUSABLE {
        return Some(if group.processes.is_empty() { finding } else { finding.noted() });
    }
    if is_confirmed {
        let what = format!("{}; the running HAProxy has just these certificates, so it is well", finding.what);
        return Some(Finding { what, remedy: None, ..finding.noted() });
    }
    let pictures = group.processes.iter().filter_map(|number| processes.get(*number)?.picture.as_ref().ok());
    let directory = pictures.filter_map(|picture| picture.working_directory.as_ref()).next();
    Some(match directory.filter(|_| code == haproxy::RELATIVE_PATH) {
        Some(directory) => finding.remedy(format!(
            "start stapled in {}, too, where HAProxy works (systemd: WorkingDirectory=), or have absolute paths in its \
             configuration",
            directory.display()
        )),
        None => finding.noted(),
    })
}

/// What a source could not look at; of a running HAProxy and of configurations, what is not told otherwise.
fn problems(group: &Group, processes: &[Process]) -> Vec<Finding> {
    let is_told = |place: &str, what: &str| match &group.kind {
        Kind::Configuration { latest, .. } => latest.warnings.iter().any(|warning| warning.to_string() == what),
        Kind::Process => group.processes.iter().any(|number| {
            let picture = processes.get(*number).and_then(|process| process.picture.as_ref().ok());
            picture.is_some_and(|picture| picture.certificates.iter().any(|served| served.name == place))
        }),
        Kind::Path => false,
    };
    let problems = group.problems().iter().filter(|problem| !is_told(&problem.place, &problem.error.what));
    problems.map(|problem| Finding::told(problem.error.code, &problem.error.what)).collect()
}

/// Certificates of a HAProxy that is given those of paths, and that lie in none of them.
fn not_in_paths(inputs: &Inputs, number: usize, process: &Process, items: &[&Item]) -> Option<Finding> {
    let picture = process.picture.as_ref().ok()?;
    let of = |group: &&Group| group.processes.contains(&number);
    if !inputs.groups.iter().filter(of).all(|group| matches!(group.kind, Kind::Path)) {
        return None;
    }
    let is_of = |item: &&&Item| item.origin == Origin::Path && item.loaded.iter().any(|(of, _)| *of == number);
    let found: HashSet<&str> = items.iter().filter(is_of).map(|item| item.name.as_str()).collect();
    let names = picture.certificates.iter().filter(|served| !served.is_clients).map(|served| served.name.as_str());
    let others: Vec<&str> = names.filter(|name| !found.contains(name)).collect();
    if others.is_empty() {
        return None;
    }
    let examples = others.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", ");
    let more = if others.len() > EXAMPLES { ", …" } else { "" };
    let what = format!(
        "{} has loaded {} that lie in none of the paths ({examples}{more}): they get no staples from here",
        process.address,
        match others.len() {
            1 => "1 certificate".to_owned(),
            count => format!("{count} certificates"),
        }
    );
    let remedy = "leave --cert-paths out, if they shall have some: HAProxy is asked then what it has loaded";
    Some(Finding::note(codes::NOT_IN_PATHS, what).remedy(remedy).about(&process.address))
}
