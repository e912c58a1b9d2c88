//! What the declarations come to in the configuration file and in its example.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};

use super::arguments::{Daemon, Options};
use super::declarations::*;
use super::example::example;
use super::file::parse;
use super::kind::{PATHS, SOCKETS};
use super::option::{Declaration, Example, Place, Section, Shape};
use super::settings::Settings;
use stapled_core::time::span::Span;

fn arguments(words: &[&str]) -> Settings {
    let command = Options::<Daemon>::augment_args(Command::new("stapled").no_binary_name(true));
    Options::<Daemon>::from_arg_matches(&command.get_matches_from(words)).unwrap().settings
}

fn file(text: &str) -> Settings {
    parse(Path::new("x.conf"), text).unwrap()
}

#[test]
fn the_file_takes_hyphens_or_underscores_and_one_value_or_many() {
    let settings = file(
        "cert_paths = \"/a\"\nhaproxy-sockets = [\"/s\", \"/t\"]\nminimum_validity = 5\nlogdir = true\n\n\
         [[group]]\npaths = [\"/b\"]\nsockets = \"/u,/v\"\n",
    );
    assert_eq!(settings.get(&CERT_PATHS), [PathBuf::from("/a")]);
    assert_eq!(settings.get(&HAPROXY_SOCKETS), ["/s", "/t"]);
    assert_eq!(settings.get(&MINIMUM_VALIDITY), Duration::from_secs(5));
    let durations = file("minimum-validity = \"1h30m\"\nclock-skew = \"90\"\nrefresh-interval = 0x10\nwait = \"7d\"");
    assert_eq!(durations.get(&MINIMUM_VALIDITY), Duration::from_secs(5_400));
    assert_eq!(durations.get(&CLOCK_SKEW), Duration::from_secs(90));
    assert_eq!(durations.get(&REFRESH_INTERVAL), Duration::from_secs(16));
    assert_eq!(durations.get(&WAIT), Some(Duration::from_secs(604_800)));
    assert_eq!(settings.get(&LOGDIR), Some("/var/log/stapled/".into()));
    let groups = settings.get(&GROUP);
    let group = groups.first().unwrap();
    let sockets = SOCKETS.of(group, "sockets");
    assert_eq!((PATHS.of(group, "paths").len(), sockets), (1, vec!["/u,/v".to_owned()]));
    assert_eq!(settings.origin(&MINIMUM_VALIDITY), "x.conf:3:1: minimum-validity");
    assert_eq!(settings.origin(&MINIMUM_INTERVAL), "--minimum-interval");
}

#[test]
fn errors_in_the_file_have_a_position_and_advice() {
    for (text, expected) in [
        (
            "recursive = true\nminimum-validty = 3\n",
            "2:1: there is no setting \"minimum-validty\"; did you mean \"minimum-validity\"?",
        ),
        ("cert-path = \"/a\"", "1:1: there is no setting \"cert-path\"; did you mean \"cert-paths\"?"),
        ("colour = 1", "1:1: there is no setting \"colour\"; `stapled --help` lists them"),
        ("config = \"x\"", "1:1: there is no setting \"config\": --config is for the command line only"),
        ("[stapled]\nrecursive = true", "1:2: there is no setting \"stapled\": settings stand at the top"),
        ("\nminimum-validity = \"long\"", "2:20: minimum-validity: \"long\": not a duration such as 90, 90s"),
        ("refresh-interval = 0", "1:20: refresh-interval: 0: at least 1s is needed"),
        ("refresh-interval = \"36501d\"", "1:20: refresh-interval: \"36501d\": a duration of more than 36500d"),
        (
            "refresh-interval = 1.5",
            "refresh-interval: a number of seconds, or a duration in double quotes such as \"15m\", is needed, not 1.5",
        ),
        ("recursive = 1", "1:13: recursive: true or false is needed, not 1"),
        (
            "cert-paths = 1",
            "1:14: cert-paths: a text in double quotes, or a list of such texts in [ ], is needed, not 1",
        ),
        ("cert-paths = [\"/a\", \"\"]", "1:14: cert-paths: an empty path"),
        ("pid-file = \"\"", "1:12: pid-file: an empty path"),
        ("[[group]]\npaths = [\"\"]", "2:9: group: paths: an empty path"),
        ("hash = \"md5\"", "1:8: hash: \"sha1\" or \"sha256\" is needed, not \"md5\""),
        ("verbosity = 7", "1:13: verbosity: a whole number from 0 to 4 is needed, not 7"),
        ("no-recycle = true\nno_recycle = true", "2:1: \"no-recycle\" is set twice"),
        ("cert-paths = /etc/ssl", "1:14: "),
        ("refresh-interval = 2h", "durations such as \"2h\" in double quotes"),
        ("[[group]]\npaths = \"/a\"\nsocket = \"/s\"", "3:1: group: a group has no \"socket\", only paths and sockets"),
        ("[[group]]\nsockets = \"/s\"", "group: a group needs paths"),
    ] {
        let fault = parse(Path::new("x.conf"), text).unwrap_err();
        let fault = format!("{}: {}", fault.at, fault.what);
        assert!(fault.contains(expected), "{text:?}\n  said {fault}\n  not  {expected}");
    }
}

#[test]
fn the_command_line_replaces_all_that_the_file_says_about_a_topic() {
    let text = "cert-paths = \"/f\"\nhaproxy-sockets = \"/s\"\nno-proxy = \"x\"\ndaemon = true\nwait = 9\n[[group]]\npaths = \"/g\"";
    let settings = arguments(&["-d", "/a", "--no-haproxy-sockets", "--http-proxy", "http://p:1"]).over(file(text));
    assert!(!settings.has(&CERT_PATHS) && !settings.has(&GROUP) && settings.has(&DIRECTORIES));
    assert!(!settings.has(&HAPROXY_SOCKETS) && settings.has(&NO_HAPROXY_SOCKETS));
    assert!(!settings.has(&NO_PROXY) && settings.has(&HTTP_PROXY));
    assert!(settings.get(&DAEMON));
    assert_eq!(settings.get(&WAIT), Some(Duration::from_secs(9)));
}

#[test]
fn relative_paths_are_resolved_by_the_kind_of_option() {
    let text = "cert-paths = \"a\"\nhaproxy-sockets = \"s, master@t,ipv4@h:1\"\nhaproxy-config = \"x,/y\"\npid-file = \"p\"\n\
                http-proxy = \"u\"\n[[group]]\npaths = \"g\"\nsockets = \"v\"";
    let settings = file(text).relative_to(Path::new("/base"));
    assert_eq!(settings.get(&CERT_PATHS), [PathBuf::from("/base/a")]);
    assert_eq!(settings.get(&HAPROXY_SOCKETS), ["/base/s,master@/base/t,ipv4@h:1"]);
    assert_eq!(settings.get(&HAPROXY_CONFIG), [PathBuf::from("/base/x,/y")]);
    assert_eq!(settings.get(&PID_FILE), Some("/base/p".into()));
    assert_eq!(settings.get(&HTTP_PROXY), Some("u".to_owned()));
    let groups = settings.get(&GROUP);
    assert_eq!(PATHS.of(groups.first().unwrap(), "paths"), [PathBuf::from("/base/g")]);
    assert_eq!(SOCKETS.of(groups.first().unwrap(), "sockets"), ["/base/v"]);
}

#[test]
fn every_key_of_the_file_is_read() {
    for option in ALL.iter().filter(|option| option.is_key() && option.place != Place::File) {
        let value = match option.example {
            Example::On(value) | Example::Off(value) => value,
            Example::OldName => "\"/a\"",
            Example::Default => match option.default_in_words() {
                Some(number) if number.parse::<Span>().is_ok() => "7",
                _ => "true",
            },
        };
        let settings = file(&format!("{} = {value}", option.name));
        assert!(format!("{settings:?}").contains(option.name), "{}: {settings:?}", option.name);
    }
}

#[test]
fn the_committed_example_is_the_generated_one() {
    let committed = include_str!("../../dist/stapled.conf");
    assert!(committed == example(), "write it anew: stapled --example-config >stapled-bin/dist/stapled.conf");
}

/// A page of the documentation: every option, made from the declarations.
fn page() -> String {
    let mut page = "# Every option\n\nMade from the declarations of the program; `stapled --help` says the same. A setting of the file has \
                    the name of its\noption without the dashes. [Options and the configuration file](options.md) explains how they belong \
                    together.\n"
        .to_owned();
    for (section, heading) in Section::ALL {
        page.push_str(&format!("\n## {heading}\n"));
        for option in ALL.iter().filter(|option| option.section == section) {
            page.push_str(&entry(option));
        }
    }
    page
}

fn entry(option: &Declaration) -> String {
    let dashes = |name: &str| format!("--{name}");
    let long = option.long().map(dashes).filter(|_| option.place != Place::File);
    let names = option.short.map(|short| format!("-{short}")).into_iter().chain(long).chain(option.alias.map(dashes));
    let names = match option.place {
        Place::File => format!("`[[{}]]`", option.name),
        _ => names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let value = if option.value_name.is_empty() { String::new() } else { format!(" {}", option.value_name) };
    let mut text = format!("\n### {names}{value}\n\n{}.", escaped(option.doc));
    if let Shape::Choice(choices) = option.shape {
        text.extend(choices().iter().map(|(word, what)| format!(" `{word}`: {}.", escaped(what))));
    }
    if !option.note.is_empty() {
        text.push_str(&format!(" {}", escaped(option.note)));
    }
    if let Some(default) = option.default_in_words() {
        text.push_str(&format!("\n\nDefault: {}.", escaped(&default)));
    }
    match (option.place, option.example) {
        (Place::CommandLine, _) => text.push_str("\n\nOn the command line only."),
        (_, Example::On(value) | Example::Off(value)) if matches!(option.shape, Shape::Tables { .. }) => {
            let lines = format!("[[{}]]\n{value}", option.name).replace('\n', "\n    ");
            text.push_str(&format!("\n\nIn the file:\n\n    {lines}"))
        }
        (_, Example::On(value) | Example::Off(value)) => {
            text.push_str(&format!("\n\nIn the file: `{} = {value}`", option.name))
        }
        _ => {}
    }
    text + "\n"
}

/// Text whose stars and angle brackets mean nothing in Markdown, outside of code spans.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(number, part)| match number % 2 {
        0 => part.replace('*', "\\*").replace('<', "\\<"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

#[test]
fn the_committed_page_of_options_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/every-option.md");
    if std::env::var_os("STAPLED_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page(),
        "write it anew: STAPLED_WRITE_DOCS=1 cargo test -p stapled-bin --bin stapled the_committed_page"
    );
}
