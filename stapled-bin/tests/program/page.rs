//! The HTTP server of the daemon: health, the state as JSON, the page in a browser, and what it refuses.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stapled_ca::NameAttribute;
use stapled_ca::lab::Fault;

use crate::get::{get, request, request_on, start};
use crate::world::{PATIENCE, Running, World, until};

fn request_of(host: &str, method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

#[test]
fn health_follows_the_rule_of_status_and_json_is_its_output() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let (running, address) = start(&world, &[]);
    assert!(until(PATIENCE, || get(&address, "/health").status == 200), "{:?}", get(&address, "/health"));
    assert_eq!(world.run(&["status"]).code, 0);
    let lines = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let got = get(&address, "/certificates.json");
    assert_eq!(got.headers["content-type"], "application/x-ndjson");
    assert_eq!(lines(&got.body), lines(&world.run(&["status", "--json"]).out));
    let health = get(&address, "/health");
    assert_eq!(lines(&health.body), lines(&got.body)[1..]);

    let must = world.issue("must.pem", &world.profile("must.example").must_staple(true));
    world.lab.fault(must.serial(), Fault::TryLater);
    assert!(until(PATIENCE, || get(&address, "/health").status == 503), "{}", running.words());
    assert!(until(PATIENCE, || world.run(&["status"]).code == 1));
    assert_eq!(lines(&get(&address, "/health").body)[0]["totals"]["outages"], 1);
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn only_requests_that_name_this_machine_are_answered() {
    let world = World::new();
    world.issue("a.pem", &world.profile("secret.example"));
    let (running, address) = start(&world, &[]);
    for path in ["/", "/metrics", "/health", "/certificates.json"] {
        for host in ["evil.example", "evil.example:9980", "127.0.0.1.evil.example"] {
            let got = request(&address, &request_of(host, "GET", path));
            assert!(got.status == 421 && !got.body.contains("secret"), "{host} {path}: {got:?}");
        }
        let got = request(&address, &request_of("localhost", "HEAD", path));
        assert!([200, 503].contains(&got.status) && got.body.is_empty(), "{path}: {got:?}");
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
        assert!(got.headers["content-security-policy"].starts_with("default-src 'none'"), "{got:?}");
        let got = request(&address, &request_of("localhost", "POST", path));
        assert!(got.status == 405 && got.headers["allow"] == "GET, HEAD", "{path}: {got:?}");
    }
    assert_eq!(get(&address, "/certs/a.pem").status, 404);
    // Health checks of HTTP/1.0 name no host.
    assert_ne!(request(&address, "GET /health HTTP/1.0\r\n\r\n").status, 421);
    assert_eq!(request(&address, "nonsense\r\n\r\n").status, 400);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!([400, 431].contains(&request(&address, &long).status));
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_unix_socket_is_open_for_its_group_and_is_removed() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let socket = world.path("http.sock");
    let running = Running::start(world.command(&["--cert-paths", "certs", "--http", socket.to_str().unwrap()]));
    assert!(until(PATIENCE, || running.said("event=http")), "{}", running.words());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    // A proxy passes any host.
    let got = request_on(&socket, &request_of("monitoring.example", "GET", "/metrics"));
    assert!(got.status == 200 && got.body.contains("stapled_build_info"), "{got:?}");
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    assert!(!socket.exists());
}

#[test]
fn silent_clients_delay_nothing() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let (running, address) = start(&world, &[]);
    let silent: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // Renewals continue, and a client waits only until the silent ones are dropped.
    world.issue("b.pem", &world.profile("b.example"));
    assert!(until(PATIENCE, || world.staple("b.pem").exists()), "{}", running.words());
    let asked = Instant::now();
    assert!(until(4 * PATIENCE, || get(&address, "/health").status == 200), "{}", running.words());
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    drop(silent);
    let asked = Instant::now();
    let silent: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(&address).unwrap()).collect();
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    drop(silent);
}

/// Runs a browser without a window: the arguments, and the page. Returns its output and its console.
fn browser(world: &World, arguments: &[&str], url: &str) -> (String, String) {
    let mut browser = Command::new("chromium-headless-shell");
    browser.args(["--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr", "--hide-scrollbars"]);
    browser.arg(format!("--user-data-dir={}", world.path("browser").display()));
    browser.args(arguments).arg(url).stdin(Stdio::null());
    let output = browser.output().expect("chromium-headless-shell, which tests/provide/provide.sh brings");
    assert!(output.status.success(), "{output:?}");
    let [out, err] = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    let console: Vec<&str> = err.lines().filter(|line| line.contains("CONSOLE")).collect();
    (out, console.join("\n"))
}

/// The page as the browser has it once the script has run.
fn dom(world: &World, url: &str) -> String {
    let (dom, console) = browser(world, &["--virtual-time-budget=10000", "--timeout=60000", "--dump-dom"], url);
    assert_eq!(console, "", "{dom}");
    dom
}

/// The text of the table of certificates.
fn table(dom: &str) -> &str {
    let from = dom.find("<table id=\"certificates\">").unwrap_or_else(|| panic!("no table: {dom}"));
    &dom[from..from + dom[from..].find("</table>").unwrap()]
}

/// Keeps a picture of the page where `STAPLED_PICTURES` names a folder.
fn picture(world: &World, name: &str, url: &str) {
    let Some(folder) = std::env::var_os("STAPLED_PICTURES") else { return };
    let picture = Path::new(&folder).join(name);
    browser(world, &["--window-size=1300,900", &format!("--screenshot={}", picture.display())], url);
}

#[test]
fn a_browser_shows_certificates_and_runs_no_script_from_a_name() {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    let evil = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>\u{202e}";
    let subject = [(NameAttribute::CommonName, evil.to_owned())];
    world.issue("evil.pem", &world.profile("x.example").subject(subject).names([]));
    let must = world.issue("must.pem", &world.profile("must.example").must_staple(true));
    world.lab.fault(must.serial(), Fault::TryLater);
    let (running, address) = start(&world, &[]);
    let is_there = || get(&address, "/certificates.json").body.matches("staple_until\":\"").count() == 2;
    assert!(until(PATIENCE, is_there), "{}", running.words());
    assert!(until(PATIENCE, || get(&address, "/health").body.contains("\"failed\":1")), "{}", running.words());

    let url = format!("http://{address}/");
    let dom_of_all = dom(&world, &url);
    assert!(dom_of_all.contains("<title>stapled</title>"), "a script from a name ran: {dom_of_all}");
    let table_of_all = table(&dom_of_all);
    assert!(table_of_all.contains("&lt;img src=x onerror=") && !table_of_all.contains("<img"), "{table_of_all}");
    assert!(table_of_all.contains("\\u{202e}"), "{table_of_all}");
    assert_eq!(table_of_all.matches("<tr>").count(), 4, "{table_of_all}");
    let (outage, good) = (table_of_all.find("must.example").unwrap(), table_of_all.find("good.example").unwrap());
    assert!(outage < good && table_of_all.contains("OUTAGE"), "{table_of_all}");
    assert!(table_of_all.contains("class=\"bar\"") && table_of_all.contains("ends "), "{table_of_all}");
    assert!(dom_of_all.contains("not in order") && dom_of_all.contains("Responders: 1, 0 down"), "{dom_of_all}");
    picture(&world, "page.png", &url);

    for (filter, shown, hidden) in [
        ("filter=good.exam", "good.example", "must.example"),
        ("filter=try_later", "must.example", "good.example"),
        ("problems=1", "must.example", "good.example"),
    ] {
        let dom = dom(&world, &format!("{url}#{filter}"));
        assert!(table(&dom).contains(shown) && !table(&dom).contains(hidden), "{filter}: {}", table(&dom));
    }
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_browser_shows_ten_thousand_certificates() {
    let world = World::new();
    // Files with damaged certificates: each has a row, and none costs a signature.
    world.issue("good.pem", &world.profile("good.example"));
    for number in 0..10_000 {
        let pem = format!("-----BEGIN CERTIFICATE-----\nMII{number}\n-----END CERTIFICATE-----\n");
        fs::write(world.path(&format!("certs/bad-{number}.pem")), pem).unwrap();
    }
    let (running, address) = start(&world, &[]);
    let is_there = || get(&address, "/health").body.contains("\"problem\":10000");
    assert!(until(6 * PATIENCE, is_there), "{}", get(&address, "/health").body);
    let asked = Instant::now();
    let page = get(&address, "/");
    assert_eq!(page.status, 200);
    println!("{} bytes after {:?}", page.body.len(), asked.elapsed());
    let url = format!("http://{address}/");
    let dom_of_all = dom(&world, &url);
    assert!(dom_of_all.contains("10001 of 10001, 200 shown"), "{}", &dom_of_all[dom_of_all.len() - 2000..]);
    let found = dom(&world, &format!("{url}#filter=bad-9999.pem"));
    assert!(table(&found).contains("bad-9999.pem") && found.contains("1 of 10001"), "{}", table(&found));
    println!("two views after {:?}", asked.elapsed());
    picture(&world, "many.png", &url);
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}
