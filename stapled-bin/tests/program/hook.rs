//! The hook: its environment, how often it runs, and that it delays nothing.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use stapled_ca::Profile;
use stapled_ca::lab::Fault;

use crate::world::{PATIENCE, Running, World, contents, until};

/// A hook that writes its environment into a new file in `told/`, and then runs `more`.
fn hook(world: &World, more: &str) -> PathBuf {
    let told = world.path("told");
    fs::create_dir_all(&told).unwrap();
    let path = world.path("hook");
    let script = format!(
        "#!/bin/sh\nset -u\nfile={told}/$STAPLED_EVENT.$$\n/usr/bin/env | /bin/grep ^STAPLED_ >$file.new\n\
         /bin/cp \"$STAPLED_EVENTS_FILE\" $file.jsonl\n\
         /usr/bin/stat -c 'mode %a' \"$STAPLED_EVENTS_FILE\" \"${{STAPLED_EVENTS_FILE%/*}}\" >>$file.new\n\
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
    let is_wanted =
        |name: &str| name.starts_with(&format!("{event}.")) && !name.ends_with(".new") && !name.ends_with(".jsonl");
    let named = entries.filter(|entry| is_wanted(entry.file_name().to_str().unwrap()));
    named.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
}

/// The lines of all files of events that runs for this event got.
fn lines(world: &World, event: &str) -> Vec<Value> {
    let entries = fs::read_dir(world.path("told")).unwrap().map(|entry| entry.unwrap());
    let is_wanted = |name: &str| name.starts_with(&format!("{event}.")) && name.ends_with(".jsonl");
    let files = entries.filter(|entry| is_wanted(entry.file_name().to_str().unwrap()));
    let text: String = files.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    // A file that is being copied ends within a line.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
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
    let responder =
        format!("STAPLED_RESPONDER={}", world.lab.url().trim_start_matches("http://").trim_end_matches('/'));
    for line in [
        "STAPLED_CODE=error_status:try_later",
        "STAPLED_OUTAGE=yes",
        "STAPLED_SEVERITY=error",
        "STAPLED_KIND=failed",
        "STAPLED_CERTIFICATES=1",
        &responder,
        "mode 600",
        "mode 700",
    ] {
        assert!(failed.lines().any(|said| said == line), "{line}\n{failed}");
    }
    assert!(until(PATIENCE, || running.said("event=hook_done")), "{}", running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn an_outage_is_told_once_with_its_end() {
    let world = World::new();
    hook(&world, "");
    let must = world.issue("must.pem", &world.profile("must.example").must_staple(true));
    let other = world.issue("other.pem", &world.profile("other.example"));
    for issued in [&must, &other] {
        world.lab.fault(issued.serial(), Fault::TryLater);
    }
    let running = start(&world, &["--hook-events", "outage,recovered,expiring"]);
    assert!(until(PATIENCE, || told(&world, "outage").len() == 1), "{}", running.words());
    let failures = |count| running.words().matches("event=renewal_failed").count() >= count;
    running.signal("HUP");
    assert!(until(PATIENCE, || failures(4)), "{}", running.words());
    world.lab.clear_all();
    running.signal("HUP");
    assert!(until(PATIENCE, || lines(&world, "recovered").len() == 2), "{}", running.words());
    let outage = lines(&world, "outage");
    let field = |name: &str| outage.first().and_then(|line| line.get(name)).cloned().unwrap_or_default();
    assert_eq!((outage.len(), field("certificate"), field("outage")), (1, "must.example".into(), true.into()));
    assert_eq!((field("severity"), field("code")), ("error".into(), "error_status:try_later".into()));
    for line in lines(&world, "recovered") {
        assert_eq!((line.get("severity"), line.get("outage")), (Some(&"info".into()), Some(&false.into())), "{line}");
    }
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    let others =
        fs::read_dir(world.path("told")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others: Vec<String> =
        others.filter(|name| !name.starts_with("outage.") && !name.starts_with("recovered.")).collect();
    assert!(others.is_empty(), "--hook-events: {others:?}");
}

#[test]
fn a_dead_ca_is_a_handful_of_runs() {
    const COUNT: usize = 2000;
    let world = World::new();
    hook(&world, "");
    for number in 0..COUNT {
        // Nothing listens on port 1.
        world.issue(
            &format!("{number}.pem"),
            &Profile::server(&format!("{number}.example")).ocsp_url("http://127.0.0.1:1/"),
        );
    }
    let running = start(&world, &["--hook-debounce", "5s"]);
    let certificates = || {
        let lines = lines(&world, "renewal_failed");
        lines
            .iter()
            .filter_map(|line| line.get("certificate")?.as_str().map(str::to_owned))
            .collect::<HashSet<_>>()
            .len()
    };
    assert!(until(PATIENCE * 2, || certificates() == COUNT), "{} {}", certificates(), running.words().len());
    let runs = told(&world, "renewal_failed");
    assert!(runs.len() <= 10, "{} runs", runs.len());
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert_eq!(ended.code, 0);
    // No file is left.
    let left: Vec<_> = fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let is_ours = runs.iter().any(|said| said.contains(path.to_str().unwrap_or("?")));
            (is_ours && path.file_name()?.to_str()?.starts_with("stapled-hook-")).then_some(path)
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A hook may read the file, or reload a server that does.
#[test]
fn the_hook_runs_for_renewals_and_deliveries_once_the_file_is_in_place() {
    const COUNT: usize = 20;
    let world = World::new();
    let each = "/bin/sed 's/.*\"files\":\\[\"\\([^\"]*\\).*/\\1/' <$file.jsonl | while read -r cert; do \
                [ -s \"$cert.ocsp\" ] && echo there >>$file || echo \"missing $cert\" >>$file; done";
    hook(&world, each);
    for number in 0..COUNT {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let ended = world.one_off(&["--hook", "hook"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let delivered = told(&world, "delivered");
    assert_eq!(lines(&world, "delivered").len(), COUNT);
    assert!(delivered.len() < 5, "the certificates come together: {delivered:?}");
    for said in [&delivered, &told(&world, "renewed")] {
        let there = said.iter().flat_map(|said| said.lines()).filter(|line| *line == "there").count();
        assert_eq!(there, COUNT, "{said:?}");
    }
    for said in &delivered {
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        assert_eq!((value("STAPLED_SERVER="), value("STAPLED_SEVERITY=")), ("files".to_owned(), "info".to_owned()));
        assert!(value("STAPLED_STAPLE_UNTIL=").ends_with('Z'), "{said}");
    }
    assert_eq!(lines(&world, "renewed").len(), COUNT);
}

#[test]
fn the_hook_hears_of_a_renewal_whose_file_cannot_be_written_or_is_not_wanted() {
    let world = World::new();
    hook(&world, "");
    world.issue("a.pem", &world.profile("a.example"));
    let running = start(&world, &["--no-staple-files", "--haproxy-sockets", "nobody.sock"]);
    assert!(until(PATIENCE, || told(&world, "renewed").len() == 1), "{}", running.words());
    running.signal("TERM");
    running.end(PATIENCE);
    fs::create_dir(world.path("certs/a.pem.ocsp")).unwrap();
    let running = start(&world, &[]);
    assert!(until(PATIENCE, || told(&world, "renewed").len() == 2), "{}", running.words());
    let of_files = |said: &String| said.contains("STAPLED_SERVER=files\n");
    let failures = || told(&world, "delivery_failed").iter().filter(|said| of_files(said)).count();
    assert!(until(PATIENCE, || failures() == 1), "{}", running.words());
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
    let running = start(&world, &["--hook-timeout", "3s"]);
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
        ("missing", "/missing: No such file"),
        ("text", "/text: cannot be run: not an executable file"),
        ("certs", "/certs: cannot be run: not an executable file"),
        ("hook --loudly", "name one program, without arguments"),
    ] {
        let ended = world.run(&["--cert-paths", "certs", "--hook", program]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(words), "{ended:?}");
    }
    hook(&world, "");
    for (events, words) in
        [("outage,x", "--hook-events: there is no event \"x\"; the events are renewed, "), ("", "no event \"\"")]
    {
        let ended = world.run(&["--cert-paths", "certs", "--hook", "hook", "--hook-events", events]);
        assert!(ended.code == 2 && ended.err.contains(words), "{ended:?}");
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
