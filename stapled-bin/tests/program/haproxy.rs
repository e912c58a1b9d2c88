//! `--haproxy-config`: one configuration, several, and together with paths and sockets.

use std::fs;

use crate::world::{PATIENCE, Running, World, until};

/// A configuration with this socket and these certificates, in `NAME.cfg`.
fn configure(world: &World, name: &str, socket: &str, crt: &str) {
    let text = format!("global\n  stats socket {socket} level admin\nfrontend f\n  bind :1 ssl {crt}\n");
    fs::write(world.path(&format!("{name}.cfg")), text).unwrap();
}

fn crt(world: &World, file: &str) -> String {
    format!("crt {}", world.path("certs").join(file).display())
}

#[test]
fn one_pass_over_a_configuration() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    world.issue("other.pem", &world.profile("other.example"));
    configure(&world, "h", "/no/socket", &crt(&world, "a.pem"));
    let ended = world.run(&["--one-off", "--no-haproxy-sockets", "--haproxy-config", "h.cfg"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(world.staple("a.pem").exists() && !world.staple("other.pem").exists(), "{ended:?}");

    // Its socket counts as well.
    let ended = world.run(&["--one-off", "--json", "--haproxy-config", "h.cfg"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("/no/socket"), "{ended:?}");

    // So does a certificate file that does not exist.
    configure(&world, "h", "/no/socket", &format!("{} crt /none.pem", crt(&world, "a.pem")));
    let ended = world.run(&["--one-off", "--json", "--no-haproxy-sockets", "--haproxy-config", "h.cfg"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("crt_missing") && ended.out.contains("h.cfg:4"), "{ended:?}");

    // A path that was only assumed does not.
    let text = fs::read_to_string(world.path("h.cfg")).unwrap().replace(" crt /none.pem", "");
    fs::write(world.path("h.cfg"), format!(".if version_atleast(3.0)\n.endif\n{text}")).unwrap();
    let ended = world.run(&["--one-off", "--no-haproxy-sockets", "--haproxy-config", "h.cfg"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("h.cfg:1: version_atleast(3.0) depends on the version of HAProxy"), "{ended:?}");
}

/// The sockets that the staple of each certificate goes to, in a pass with these arguments.
fn sockets_of(world: &World, arguments: &[&str]) -> Vec<(String, Vec<String>)> {
    let ended = world.run(&[&["--one-off", "--json"], arguments].concat());
    let (rows, _) = ended.json();
    let mut found: Vec<(String, Vec<String>)> = rows
        .iter()
        .map(|row| {
            let name = row["certificate"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
            let sinks = row["servers"].as_array().unwrap_or_else(|| panic!("{row}"));
            let sinks = sinks.iter().map(|sink| sink["server"].as_str().unwrap().to_owned());
            (name, sinks.filter(|sink| sink != "files").collect())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn configurations_paths_and_sockets_are_merged() {
    let world = World::new();
    for name in ["a", "b"] {
        world.issue(&format!("{name}.pem"), &world.profile(&format!("{name}.example")));
        configure(&world, name, &format!("/no/{name}"), &crt(&world, &format!("{name}.pem")));
    }
    fs::create_dir(world.path("more")).unwrap();
    let c = world.ca.issue(&world.profile("c.example")).unwrap();
    c.write_bundle(&world.path("more/c.pem")).unwrap();
    let run = |arguments: &[&str]| sockets_of(&world, arguments);
    let sockets = |name: &str, sockets: &[&str]| {
        (format!("{name}.example"), sockets.iter().map(|&socket| socket.to_owned()).collect::<Vec<_>>())
    };
    // Two HAProxys, each with its own socket.
    for arguments in
        [&["--haproxy-config", "a.cfg", "b.cfg"][..], &["--haproxy-config", "a.cfg", "--haproxy-config", "b.cfg"]]
    {
        assert_eq!(run(arguments), [sockets("a", &["/no/a"]), sockets("b", &["/no/b"])]);
    }
    // One HAProxy that is started with two files, or with a directory.
    let both = [sockets("a", &["/no/a", "/no/b"]), sockets("b", &["/no/a", "/no/b"])];
    assert_eq!(run(&["--haproxy-config", "a.cfg,b.cfg"]), both);
    fs::create_dir(world.path("d")).unwrap();
    for name in ["a.cfg", "b.cfg"] {
        fs::copy(world.path(name), world.path("d").join(name)).unwrap();
    }
    assert_eq!(run(&["--haproxy-config", "d"]), both);
    // Paths keep their sockets, and the configuration keeps its own.
    assert_eq!(
        run(&["-p", "more", "-s", "/no/c", "--haproxy-config", "a.cfg"]),
        [sockets("a", &["/no/a"]), sockets("c", &["/no/c"])]
    );
    // Without paths, the sockets belong to the configurations.
    assert_eq!(run(&["-s", "/no/c", "--haproxy-config", "a.cfg"]), [sockets("a", &["/no/c", "/no/a"])]);
    // The staple of a certificate in both goes to both.
    assert_eq!(
        run(&["-p", "certs/a.pem", "-s", "/no/c", "--haproxy-config", "a.cfg"]),
        [sockets("a", &["/no/c", "/no/a"])]
    );
    // Certificates without sockets.
    assert_eq!(run(&["--no-haproxy-sockets", "--haproxy-config", "a.cfg"]), [sockets("a", &[])]);
    // The same in the configuration file.
    fs::write(world.path("x.conf"), "haproxy-config = [\"a.cfg,b.cfg\"]\n").unwrap();
    fs::create_dir(world.path("elsewhere")).unwrap();
    let mut command = world.command(&["--one-off", "--json", "--config", "../x.conf"]);
    command.current_dir(world.path("elsewhere"));
    let ended = Running::start(command).end(PATIENCE);
    assert!(ended.out.contains("a.example") && ended.out.contains("b.example"), "{ended:?}");
}

#[test]
fn check_config_shows_what_a_configuration_contains() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    configure(&world, "h", "/no/socket", &format!("{} crt /none.pem", crt(&world, "a.pem")));
    let ended = world.run(&["--haproxy-config", "h.cfg", "--check-config"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in
        ["h.cfg: 1 certificates, admin sockets: /no/socket", "h.cfg:4: the certificate /none.pem does not exist"]
    {
        assert!(ended.out.contains(words), "{words}: {ended:?}");
    }
    let ended = world.run(&["--haproxy-config", "none.cfg", "--check-config"]);
    assert!(ended.code == 2 && ended.err.contains("none.cfg cannot be read"), "{ended:?}");
}

#[test]
fn staples_that_would_go_nowhere_are_refused() {
    let world = World::new();
    fs::write(world.path("h.cfg"), "global\n").unwrap();
    let ended = world.run(&["--haproxy-config", "h.cfg", "--no-staple-files"]);
    assert!(ended.code == 2 && ended.err.contains("its staples would go nowhere"), "{ended:?}");
}

/// A process in the background resolves relative paths from the directory of its start, also after a reload.
#[test]
fn relative_paths_of_a_haproxy_configuration_keep_their_meaning() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    configure(&world, "h", "unix@no.sock", "crt certs/a.pem");
    fs::write(world.path("x.conf"), "").unwrap();
    let arguments = ["--daemon", "-c", "x.conf", "--haproxy-config", "h.cfg", "--pid-file", "pid", "--logdir", "logs"];
    let ended = world.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(until(PATIENCE, || world.staple("a.pem").exists()));
    let pid: u32 = fs::read_to_string(world.path("pid")).unwrap().trim().parse().unwrap();
    world.issue("b.pem", &world.profile("b.example"));
    configure(&world, "h", "unix@no.sock", "crt certs/a.pem crt certs/b.pem");
    fs::write(world.path("x.conf"), "refresh-interval = 70\n").unwrap();
    crate::world::signal_to(pid, "HUP");
    let logs = || crate::world::contents(&world.path("logs"));
    assert!(until(PATIENCE, || logs().contains("event=reloaded")), "{}", logs());
    assert!(until(PATIENCE, || world.staple("b.pem").exists()), "{}", logs());
    let socket = world.path("no.sock").display().to_string();
    assert!(logs().contains(&socket), "{socket}: {}", logs());
    crate::world::signal_to(pid, "TERM");
    assert!(until(PATIENCE, || !world.path("pid").exists()), "{}", logs());
}
