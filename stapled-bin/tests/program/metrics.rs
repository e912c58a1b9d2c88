//! Numbers for Prometheus: what the program exposes is what the document says, and what rules and dashboard ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stapled_ca::lab::Fault;
use stapled_tests::{Haproxy, binaries, handshake, version};

use crate::get::{address_of, get, start};
use crate::world::{PATIENCE, Running, World, until};

/// A metric: its type and the names of its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The metrics in the older text format.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.insert(name.to_owned(), Family { kind: kind.to_owned(), labels: BTreeSet::new() });
        }
        if line.starts_with('#') {
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let of = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let name = of.filter(|name| families.contains_key(*name)).unwrap_or(name);
        let family = families.get_mut(name).unwrap_or_else(|| panic!("{line}: no type"));
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
        let names = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name.to_owned());
        family.labels.extend(names.filter(|name| name != "le"));
    }
    families
}

/// The metrics in the table of the document.
fn documented() -> BTreeMap<String, Family> {
    let document = fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| `stapled_"));
    let family = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        (cells[1].trim_matches('`').to_owned(), Family { kind: cells[2].to_owned(), labels })
    };
    rows.map(family).collect()
}

/// A daemon with a good certificate, one that fails and is an outage, and its address.
fn running(world: &World, more: &[&str]) -> (Running, String) {
    world.issue("good.pem", &world.profile("good.example"));
    let must = world.issue("must.pem", &world.profile("must.example").must_staple(true));
    world.lab.fault(must.serial(), Fault::TryLater);
    let (running, address) = start(world, more);
    let is_there = || {
        let text = get(&address, "/metrics").body;
        text.contains("stapled_renewals_total{code=\"error_status:try_later\"}")
            && text.contains("stapled_deliveries_total{server=\"files\",outcome=\"delivered\"} 1")
    };
    assert!(until(PATIENCE, is_there), "{}\n{}", get(&address, "/metrics").body, running.words());
    (running, address)
}

/// Runs promtool, which must succeed.
fn promtool(arguments: &[&str], input: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.current_dir(root().join("stapled-bin/dist/prometheus")).spawn().expect("promtool");
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = promtool.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    assert!(ended.status.success(), "promtool {arguments:?}: {said:?}\n{input}");
}

#[test]
fn the_table_of_the_document_is_what_the_program_exposes_and_promtool_accepts_it() {
    let world = World::new();
    let (running, address) = running(&world, &["--listen", "127.0.0.1:0"]);
    let got = get(&address, "/metrics");
    assert_eq!(got.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    promtool(&["check", "metrics"], &got.body);
    // Those of HAProxy have a test of their own, since their series need one.
    let of_stapled = |(name, _): &(String, Family)| !name.starts_with("stapled_haproxy_");
    let [exposed, documented]: [BTreeMap<String, Family>; 2] =
        [families(&got.body), documented()].map(|all| all.into_iter().filter(of_stapled).collect());
    assert_eq!(exposed, documented);

    let asked = format!(
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n"
    );
    let openmetrics = crate::get::request(&address, &asked);
    assert!(openmetrics.headers["content-type"].starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(openmetrics.body.ends_with("# EOF\n"), "{openmetrics:?}");
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn the_numbers_are_written_into_a_file_that_all_users_may_read() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    fs::create_dir(world.path("node")).unwrap();
    let running = Running::start(world.command(&["--cert-paths", "certs", "--metrics-file", "node/stapled.prom"]));
    let file = world.path("node/stapled.prom");
    assert!(until(PATIENCE, || file.exists()), "{}", running.words());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("stapled_build_info{version=") && !text.contains("# EOF"), "{text}");
    promtool(&["check", "metrics"], &text);
    let files: Vec<_> = fs::read_dir(world.path("node")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["stapled.prom"]);
    // Nothing listens without --http.
    assert!(!running.said("event=http"));
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_reload_keeps_the_counts_and_shows_the_new_stapler() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    fs::write(world.path("x.conf"), "cert-paths = \"certs\"\nhttp = \"127.0.0.1:0\"\n").unwrap();
    let running = Running::start(world.command(&["--config", "x.conf"]));
    let address = address_of(&running);
    let number = |name: &str| -> Option<f64> {
        let text = get(&address, "/metrics").body;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let renewals = "stapled_renewals_total{code=\"good\"}";
    assert!(until(PATIENCE, || number(renewals) == Some(1.0)), "{}", running.words());
    let started = number("stapled_start_timestamp_seconds ").unwrap();
    let configured = number("stapled_configured_timestamp_seconds ").unwrap();
    // The times are whole seconds.
    assert!(until(PATIENCE, || number("stapled_exposed_timestamp_seconds ").unwrap() > configured));
    world.issue("b.pem", &world.profile("b.example"));
    running.signal("HUP");
    assert!(until(PATIENCE, || number(renewals) == Some(2.0)), "{}", running.words());
    assert!(until(PATIENCE, || number("stapled_certificates{state=\"good\"}") == Some(2.0)), "{}", running.words());
    assert!(number("stapled_configured_timestamp_seconds ").unwrap() > configured);
    assert_eq!(number("stapled_start_timestamp_seconds "), Some(started));
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn the_handshakes_that_haproxy_counts_are_among_the_numbers() {
    for binary in binaries() {
        let world = World::new();
        world.issue("a.pem", &world.profile("a.example"));
        let haproxy = Haproxy::of(&binary, &world, "").start();
        let (running, address) = start(&world, &["--haproxy-sockets", haproxy.socket().to_str().unwrap()]);
        let staple = || handshake(&world.path("tls.sock"), "a.example").ok()?.staple;
        assert!(until(PATIENCE, || staple().is_some()), "{binary}: {}", running.words());
        let counted = || -> Option<f64> {
            let text = get(&address, "/metrics").body;
            let mut samples = text.lines().filter(|line| line.starts_with("stapled_haproxy_stapled_handshakes_total{"));
            samples.next()?.rsplit(' ').next()?.parse().ok()
        };
        match version(&binary) >= (3, 2) {
            true => assert!(until(2 * PATIENCE, || counted() >= Some(1.0)), "{binary}: {}", running.words()),
            false => assert_eq!(counted(), None, "{binary}"),
        }
        running.signal("TERM");
        assert_eq!(running.end(PATIENCE).code, 0);
    }
}

#[test]
fn settings_that_show_nothing_or_too_much_are_refused() {
    let world = World::new();
    for (arguments, words) in [
        (&["--http", "0.0.0.0:9980"][..], "--http: 0.0.0.0:9980 is not a loopback address"),
        (&["--http", "9980"], "--http: write ADDRESS:PORT, such as 127.0.0.1:9980"),
        (
            &["--metrics-file", "x.txt"],
            "--metrics-file: the textfile collector reads only files whose name ends in .prom",
        ),
        (&["--metrics-certificates", "9"], "--metrics-certificates: belongs to http or metrics-file"),
    ] {
        let ended = world.run(&[&["--cert-paths", "certs"], arguments].concat());
        assert!(ended.code == 2 && ended.err.contains(words), "{words}: {ended:?}");
    }
    // The other name of the option, and a port in use.
    let (running, address) = start(&world, &[]);
    let ended = world.run(&["--cert-paths", "certs", "--metrics", &address]);
    assert!(ended.code == 1 && ended.err.contains("cannot listen there: Address already in use"), "{ended:?}");
    running.signal("TERM");
    running.end(PATIENCE);
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts.test.yml"], "");
}

/// The names of the metrics in a query.
fn names(query: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = query.split(|letter: char| !is_part(letter));
    words.filter(|word| word.starts_with("stapled_")).map(str::to_owned).collect()
}

/// The names of series that exist: of a histogram, those of its parts.
fn series() -> BTreeSet<String> {
    let of = |(name, family): (String, Family)| match family.kind.as_str() {
        "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
        _ => vec![name],
    };
    documented().into_iter().flat_map(of).collect()
}

#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let known = series();
    assert!(known.len() > 30, "{known:?}");
    let dist = root().join("stapled-bin/dist");
    let rules = fs::read_to_string(dist.join("prometheus/alerts.yml")).unwrap();
    let in_rules: BTreeSet<String> = rules.lines().filter(|line| line.contains("expr:")).flat_map(names).collect();
    assert!(in_rules.len() > 8, "{in_rules:?}");
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(dist.join("grafana/stapled.json")).unwrap()).unwrap();
    let mut queries = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap().to_owned();
            assert!(!names(&query).is_empty(), "{}: {query}", panel["title"]);
            queries.insert(query);
        }
    }
    assert!(queries.len() > 15, "{queries:?}");
    let asked: BTreeSet<String> = queries.iter().flat_map(|query| names(query)).chain(in_rules).collect();
    let missing: Vec<_> = asked.difference(&known).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // The language of the queries, by promtool.
    let rules: Vec<String> = queries
        .iter()
        .map(|query| query.replace("$__rate_interval", "5m").replace("$instance", ".*"))
        .enumerate()
        .map(|(number, query)| format!("  - record: query{number}\n    expr: {}\n", Value::from(query)))
        .collect();
    let world = World::new();
    let file = world.path("queries.yml");
    fs::write(&file, format!("groups:\n- name: queries\n  rules:\n{}", rules.concat())).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}
