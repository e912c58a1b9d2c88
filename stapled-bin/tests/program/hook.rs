//! The hook: its environment, how often it runs, and that it delays nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stapled_ca::lab::Fault;

use crate::world::{PATIENCE, Running, World, contents, until};

/// A hook that writes its environment into a new file in `told/`, and then runs `more`.
fn hook(world: &World, more: &str) -> PathBuf {
    let told = world.path("told");
    fs::create_dir_all(&told).unwrap();
    let path = world.path("hook");
    let script = format!(
        "#!/bin/sh\nset -u\nfile={told}/$STAPLED_EVENT.$$\n/usr/bin/env | /bin/grep ^STAPLED_ >$file.new\n\
         /bin/mv $file.new $file\n{more}\n",
        told = told.display()
    );
    // Another process writes it: a file that is open for writing cannot be run, and forks of other tests could hold a
    // descriptor of this process.
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script, path.to_str().unwrap()]);
    assert!(shell.status().unwrap().success());
    path
}

fn told(world: &World, event: &str) -> Vec<String> {
    let entries = fs::read_dir(world.path("told")).unwrap().map(|entry| entry.unwrap());
    let is_wanted = |name: &str| name.starts_with(&format!("{event}.")) && !name.ends_with(".new");
    let named = entries.filter(|entry| is_wanted(entry.file_name().to_str().unwrap()));
    named.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
}

fn start(world: &World, more: &[&str]) -> Running {
    Running::start(world.command(&[&["--cert-paths", "certs", "--hook", "hook", "--verbosity", "4"], more].concat()))
}

#[test]
fn the_hook_runs_for_new_staples_failures_and_revocations() {
    let world = World::new();
    hook(&world, "echo done");
    let good = world.issue("good.pem", &world.profile("good.example"));
    let must = world.issue("must.pem", &world.profile("must.example").must_staple(true));
    world.lab.fault(must.serial(), Fault::TryLater);
    let revoked = world.issue("revoked.pem", &world.profile("revoked.example"));
    world.lab.revoke(revoked.serial()).unwrap();
    let running = start(&world, &[]);
    assert!(until(PATIENCE, || ["renewed", "renewal_failed", "revoked"].iter().all(|e| told(&world, e).len() == 1)));
    let renewed = told(&world, "renewed").remove(0);
    let whole = world.path("certs/good.pem");
    for line in [
        "STAPLED_EVENT=renewed".to_owned(),
        "STAPLED_SEVERITY=info".to_owned(),
        "STAPLED_CERTIFICATE=good.example".to_owned(),
        format!("STAPLED_SERIAL={}", good.serial()),
        format!("STAPLED_FILES={}", whole.display()),
        "STAPLED_COUNT=1".to_owned(),
        "STAPLED_DROPPED=0".to_owned(),
        "STAPLED_OUTAGE=no".to_owned(),
        "STAPLED_CODE=".to_owned(),
    ] {
        assert!(renewed.lines().any(|said| said == line), "{line}\n{renewed}");
    }
    let failed = told(&world, "renewal_failed").remove(0);
    for line in ["STAPLED_CODE=error_status:try_later", "STAPLED_OUTAGE=yes", "STAPLED_SEVERITY=error"] {
        assert!(failed.lines().any(|said| said == line), "{line}\n{failed}");
    }
    assert!(until(PATIENCE, || running.said("event=hook_done")), "{}", running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

/// A server that reads files can be reloaded then: `renewed` comes before the delivery.
#[test]
fn the_hook_runs_for_deliveries_once_the_file_is_in_place() {
    const COUNT: usize = 20;
    let world = World::new();
    hook(&world, "[ -s \"$STAPLED_FILES.ocsp\" ] && echo there >>$file || echo missing >>$file");
    for number in 0..COUNT {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let ended = world.one_off(&["--hook", "hook"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let delivered = told(&world, "delivered");
    assert_eq!(delivered.len(), COUNT);
    for said in &delivered {
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        assert_eq!((value("STAPLED_SERVER="), value("STAPLED_SEVERITY=")), ("files".to_owned(), "info".to_owned()));
        assert!(value("STAPLED_STAPLE_UNTIL=").ends_with('Z'), "{said}");
        assert!(said.lines().any(|line| line == "there"), "{said}");
    }
    assert_eq!(told(&world, "renewed").len(), COUNT);
}

#[test]
fn repeated_failures_run_the_hook_once_and_are_then_counted() {
    let world = World::new();
    hook(&world, "");
    let issued = world.issue("a.pem", &world.profile("a.example"));
    world.lab.fault(issued.serial(), Fault::TryLater);
    let running = start(&world, &["--hook-debounce", "1000"]);
    assert!(until(PATIENCE, || told(&world, "renewal_failed").len() == 1));
    // After each reload the renewal is tried again at once, and fails again.
    for count in 2..=4 {
        running.signal("HUP");
        let failures = || running.words().matches("event=renewal_failed").count();
        assert!(until(PATIENCE, || failures() == count), "{}", running.words());
    }
    assert_eq!(told(&world, "renewal_failed").len(), 1);
    // The hook runs for the events that were held back when the program ends.
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    let counts: Vec<String> = told(&world, "renewal_failed");
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts.iter().any(|told| told.contains("STAPLED_COUNT=3\n")), "{counts:?}");
}

#[test]
fn a_hook_that_hangs_is_killed_with_its_processes_and_delays_nothing() {
    let world = World::new();
    hook(&world, &format!("/bin/sleep 1000 & echo $! >>{}\nwait", world.path("sleepers").display()));
    for number in 0..20 {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let running = start(&world, &["--hook-timeout", "1"]);
    let began = Instant::now();
    assert!(until(PATIENCE, || (0..20).all(|number| world.staple(&format!("{number}.pem")).exists())));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(until(PATIENCE, || running.words().matches("killed with what it started").count() >= 2));
    let asked = Instant::now();
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(ended.err.contains("event=hook_cut_off"), "{ended:?}");
    let sleepers = fs::read_to_string(world.path("sleepers")).unwrap();
    let lives = |pid: &str| {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie counts as dead.
        !state.is_empty() && !state.contains(") Z ")
    };
    assert!(sleepers.lines().count() >= 2 && until(PATIENCE, || !sleepers.lines().any(lives)), "{sleepers}");
}

#[test]
fn the_output_and_the_failure_of_a_hook_are_logged_with_a_limit() {
    let world = World::new();
    // More than fits into a pipe, and more than is logged.
    hook(&world, "/usr/bin/head -c 1000000 /dev/zero | /usr/bin/tr '\\0' x\necho \"$STAPLED_CODE\" >&2\nexit 7");
    world.issue("a.pem", &world.profile("a.example"));
    let running = start(&world, &["--logdir", "logs"]);
    assert!(until(PATIENCE, || running.said("ended with exit status: 7")), "{}", running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    assert!(contents(&world.path("logs")).len() < 100_000);
}

#[test]
fn a_hook_that_cannot_be_run_is_refused_at_the_start() {
    let world = World::new();
    fs::write(world.path("text"), "").unwrap();
    for (program, words) in [
        ("missing", "--hook: missing: No such file"),
        ("text", "--hook: text: cannot be run: not an executable file"),
        ("certs", "--hook: certs: cannot be run: not an executable file"),
        ("hook --loudly", "name one program, without arguments"),
    ] {
        let ended = world.run(&["--cert-paths", "certs", "--hook", program]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(words), "{ended:?}");
    }
    let ended = world.run(&["--cert-paths", "certs", "--hook-timeout", "3"]);
    assert!(ended.code == 2 && ended.err.contains("--hook-timeout: belongs to hook"), "{ended:?}");
    // The daemon continues if the hook disappears later.
    let path = hook(&world, "");
    world.issue("a.pem", &world.profile("a.example"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(world.path("broken"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(world.path("broken"), fs::Permissions::from_mode(0o755)).unwrap();
    let running = Running::start(world.command(&["--cert-paths", "certs", "--hook", "broken"]));
    assert!(until(PATIENCE, || running.said("event=hook_failed")), "{}", running.words());
    assert!(until(PATIENCE, || world.staple("a.pem").exists()));
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_pass_waits_for_the_hook() {
    let world = World::new();
    hook(&world, "/bin/sleep 1\n/bin/touch $file.done");
    let issued = world.issue("a.pem", &world.profile("a.example"));
    world.lab.revoke(issued.serial()).unwrap();
    let ended = world.one_off(&["--hook", "hook"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let names = fs::read_dir(world.path("told")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("revoked.") && name.ends_with(".done")), "{names:?}");
}
