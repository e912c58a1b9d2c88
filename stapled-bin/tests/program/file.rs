//! The configuration file: where it is found, how it combines with arguments, and the messages about mistakes in it.

use std::fs;

use crate::world::World;

fn servers(ended: &crate::world::Ended) -> Vec<(String, Vec<String>)> {
    let (rows, _) = ended.json();
    let text = |value: &serde_json::Value, key: &str| value.get(key).unwrap().as_str().unwrap().to_owned();
    let servers = |row: &serde_json::Value| {
        let servers = row.get("servers").unwrap().as_array().unwrap();
        servers.iter().map(|server| text(server, "server")).filter(|server| server != "files").collect()
    };
    rows.iter().map(|row| (text(row, "certificate"), servers(row))).collect()
}

#[test]
fn messages_about_mistakes_name_file_line_and_column() {
    let world = World::new();
    for (text, message) in [
        (
            "recursive = true\nminimum_validty = 5",
            "x.conf:2:1: there is no setting \"minimum_validty\"; did you mean \"minimum-validity\"?",
        ),
        (
            "cert-paths = [\"certs\"]\nhaproxy-sockets = [\"/a\", \"/b\"]",
            "HAProxy sockets: 2 (x.conf:2:1: haproxy-sockets), certificate paths: 1 (x.conf:1:1: cert-paths)",
        ),
        ("cert-paths = \"certs\"\n\nignore = \"./x\"", "x.conf:3:1: ignore: ./x: a pattern is not relative"),
        (
            "cert-paths = \"certs\"\nverbosity = 7",
            "x.conf:2:13: verbosity: a whole number from 0 to 4 is needed, not 7",
        ),
        ("cert-paths = certs", "x.conf:1:14: string values must be quoted"),
        (
            "cert-paths = 5",
            "x.conf:1:14: cert-paths: a text in double quotes, or a list of such texts in [ ], is needed, not 5",
        ),
        (
            "haproxy-config = \"/none/haproxy.cfg\"",
            "x.conf:1:1: haproxy-config: HAProxy's configuration /none/haproxy.cfg cannot be read: ",
        ),
        (
            "haproxy-sockets = \"/a\"\n[[group]]\npaths = \"certs\"",
            "x.conf:1:1: haproxy-sockets: there are sockets and no cert-paths",
        ),
        (
            "[[group]]\npaths = \"certs\"\nsocket = \"/a\"",
            "x.conf:3:1: group: a group has no \"socket\", only paths and sockets",
        ),
        (
            "cert-paths = \"certs\"\nminimum-interval = 90\nmaximum-interval = 60",
            "x.conf:3:1: maximum-interval: 1m is less than minimum-interval, which is 1m30s",
        ),
    ] {
        fs::write(world.path("x.conf"), text).unwrap();
        let ended = world.run(&["--config", "x.conf"]);
        assert_eq!(ended.code, 2, "{text}: {ended:?}");
        assert!(ended.err.contains(message), "{text}\n  said {}\n  not  {message}", ended.err);
    }
    fs::write(world.path("x.conf"), b"\xff\xfe").unwrap();
    let ended = world.run(&["--config", "x.conf"]);
    assert!(ended.code == 2 && ended.err.contains("x.conf: it is not text in UTF-8"), "{ended:?}");
}

#[test]
fn the_file_is_found_at_home_and_its_relative_paths_start_there() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    fs::create_dir(world.path("home")).unwrap();
    fs::write(world.path("home/.stapled.conf"), "cert-paths = \"../certs\"\none_off = true\n").unwrap();
    let mut command = world.command(&[]);
    command.current_dir("/");
    let ended = crate::world::Running::start(command).end(crate::world::PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(world.staple("a.pem").exists());
}

#[test]
fn arguments_win() {
    let world = World::new();
    fs::create_dir(world.path("other")).unwrap();
    world.issue("a.pem", &world.profile("a.example"));
    let text = "cert-paths = \"other\"\nhaproxy-sockets = \"/nowhere/file.sock\"\none-off = true\njson = true\ndaemon = true\n\
                [[group]]\npaths = \"other\"\nsockets = \"/nowhere/group.sock\"\n";
    fs::write(world.path("x.conf"), text).unwrap();
    let run = |arguments: &[&str]| servers(&world.run(&[&["-c", "x.conf"], arguments].concat()));
    let a =
        |servers: &[&str]| vec![("a.example".to_owned(), servers.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())];
    assert_eq!(run(&[]), []);
    assert_eq!(run(&["-p", "certs"]), a(&["/nowhere/file.sock"]));
    assert_eq!(run(&["-p", "certs", "-s", "/nowhere/argument.sock"]), a(&["/nowhere/argument.sock"]));
    assert_eq!(run(&["-p", "certs", "--no-haproxy-sockets"]), a(&[]));
}

#[test]
fn sockets_and_paths_are_matched() {
    let world = World::new();
    for name in ["a", "b"] {
        fs::create_dir(world.path(name)).unwrap();
        let issued = world.ca.issue(&world.profile(&format!("{name}.example"))).unwrap();
        issued.write_bundle(&world.path(name).join("x.pem")).unwrap();
    }
    let expected = |a: &[&str], b: &[&str]| {
        let own = |servers: &[&str]| servers.iter().map(|server| (*server).to_owned()).collect::<Vec<_>>();
        vec![("a.example".to_owned(), own(a)), ("b.example".to_owned(), own(b))]
    };
    let run = |arguments: &[&str]| {
        let ended = world.run(&[&["--one-off", "--json"], arguments].concat());
        assert_eq!(ended.code, 1, "nobody listens there: {ended:?}");
        servers(&ended)
    };
    assert_eq!(run(&["-p", "a", "b", "-s", "/no/1"]), expected(&["/no/1"], &["/no/1"]));
    assert_eq!(run(&["-p", "a", "b", "-s", "/no/1", "/no/2"]), expected(&["/no/1"], &["/no/2"]));
    assert_eq!(run(&["-p", "a", "b", "-s", "/no/1,/no/2", "/no/2"]), expected(&["/no/1", "/no/2"], &["/no/2"]));
    assert_eq!(run(&["-p", "a", "b", "-s", "/no/1,/no/1"]), expected(&["/no/1"], &["/no/1"]));
    let text =
        "[[group]]\npaths = \"a\"\nsockets = [\"/no/1\", \"/no/2\"]\n[[group]]\npaths = [\"b\"]\nsockets = \"/no/3\"\n";
    fs::write(world.path("x.conf"), text).unwrap();
    assert_eq!(run(&["-c", "x.conf"]), expected(&["/no/1", "/no/2"], &["/no/3"]));
}

#[test]
fn the_example_is_complete_and_reads_with_everything_switched_on() {
    let world = World::new();
    let example = include_str!("../../dist/stapled.conf");
    let check = |name: &str, text: &str| {
        fs::write(world.path(name), text).unwrap();
        world.run(&["--config", name, "--check-config"])
    };
    let ended = check("example.conf", example);
    assert_eq!(ended.code, 0, "{ended:?}");
    // Each commented line is a valid setting. Left out are settings that contradict others, settings that need another
    // one that is off, and the hook and the reload commands, which must exist.
    let left_out = ["haproxy-config", "no-haproxy-sockets", "no-staple-files", "json", "one-off", "wait"];
    let left_out =
        left_out.into_iter().chain(["hook", "hook-timeout", "hook-debounce", "hook-events", "hook-expiring"]);
    let left_out = left_out.chain(["reload-command", "reload-pause", "reload-timeout", "reload", "allow-issuer"]);
    let left_out = left_out.collect::<Vec<_>>();
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let settings: Vec<&str> = example.lines().filter(is_setting).filter_map(|line| line.strip_prefix('#')).collect();
    let named = |line: &str| line.split(' ').next().unwrap().to_owned();
    let on: Vec<&str> = settings.iter().copied().filter(|line| !left_out.contains(&named(line).as_str())).collect();
    let mut text: String =
        example.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    text.push_str(&on.join("\n"));
    let ended = check("all.conf", &text);
    assert_eq!(ended.code, 0, "{text}\n{ended:?}");
    // The example has every option.
    let help = world.run(&["--help"]).out;
    let options = help
        .lines()
        .filter_map(|line| line.trim_start().split("--").nth(1).filter(|_| line.trim_start().starts_with('-')));
    for option in options.map(|rest| rest.split([' ', '[']).next().unwrap()) {
        let only_argument = ["help", "version", "config", "check-config", "example-config", "man"].contains(&option);
        let is_there = example.lines().any(|line| named(line.trim_start_matches('#')) == option);
        assert!(only_argument || is_there || option == "directories", "--{option} is not in the example");
    }
}
