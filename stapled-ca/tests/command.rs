//! Tests of the programs `stapled-ca` and `stapled-ca-lab`, run as processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use support::openssl;

const CA: &str = env!("CARGO_BIN_EXE_stapled-ca");
const LAB: &str = env!("CARGO_BIN_EXE_stapled-ca-lab");

/// Runs a program. The result is its exit code, standard output and standard error.
fn run(directory: &Path, program: &str, arguments: &str) -> (i32, String, String) {
    let output = Command::new(program).args(arguments.split(' ')).current_dir(directory).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs `stapled-ca`, which must succeed. The result is its standard output.
fn succeed(directory: &Path, arguments: &str) -> String {
    let (code, out, error) = run(directory, CA, arguments);
    assert_eq!(code, 0, "{arguments}: {error}");
    out
}

/// The error of a command that fails.
fn fail(directory: &Path, arguments: &str) -> String {
    let (code, _, error) = run(directory, CA, arguments);
    assert_eq!(code, 1, "{arguments}: {error}");
    error
}

/// A running server; dropping it kills the process.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(directory: &Path, program: &str, arguments: &str) -> Self {
        let mut child = Command::new(program)
            .args(arguments.split(' '))
            .current_dir(directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("OCSP at ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, url }
    }

    fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output of OpenSSL about `www.pem`.
fn status(directory: &Path, url: &str) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let (issuer, certificate, root) = (path("ca/ca.crt"), path("www.pem"), path("root/ca.crt"));
    let arguments = ["ocsp", "-issuer", &issuer, "-cert", &certificate, "-url", url, "-CAfile", &root];
    openssl(&[&arguments[..], &["-verify_other", &issuer]].concat()).1
}

fn authorities(directory: &Path) {
    succeed(directory, "root root --name Root --key rsa2048");
    succeed(directory, "intermediate ca --parent root --name Issuing --key p256");
}

#[test]
fn a_certificate_is_issued_revoked_and_reinstated() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    authorities(at);
    let out = succeed(
        at,
        "issue --dir ca --out www.pem --san www.example.org --san 127.0.0.1 --key rsa2048 \
         --ocsp-url http://127.0.0.1:8888/ --must-staple --days 10 --serial 0A1F",
    );
    assert_eq!(out, "0A1F www.pem\n");
    let bundle = std::fs::read_to_string(at.join("www.pem")).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(bundle.contains("BEGIN PRIVATE KEY"));
    assert_eq!(std::fs::metadata(at.join("www.pem")).unwrap().permissions().mode() & 0o777, 0o600);

    let direct = Server::start(at, CA, "serve --dir ca --dir root --listen 127.0.0.1:0");
    succeed(at, "responder ca --key p256");
    let delegated = Server::start(at, CA, "serve --dir ca --listen 127.0.0.1:0 --delegate --validity 600");
    for server in [&direct, &delegated] {
        let text = status(at, &server.url);
        assert!(text.contains("Response verify OK") && text.contains("www.pem: good"), "{text}");
    }
    let revoked = succeed(at, "revoke --dir ca www.pem --reason keyCompromise");
    assert_eq!(revoked, "0A1F revoked (keyCompromise) CN=www.example.org\n");
    for server in [&direct, &delegated] {
        let text = status(at, &server.url);
        assert!(text.contains("www.pem: revoked") && text.contains("Reason: keyCompromise"), "{text}");
    }
    // A weaker reason would be worse than none, and only a hold ends.
    for (arguments, why) in
        [("", "keyCompromise"), (" --reason superseded", "keyCompromise"), (" --undo", "not on hold")]
    {
        let refused = fail(at, &format!("revoke --dir ca 0a:1f{arguments}"));
        assert!(refused.contains(why) && refused.contains("--force"), "{refused}");
    }
    assert!(status(at, &direct.url).contains("Reason: keyCompromise"));
    succeed(at, "revoke --dir ca 0a:1f --undo --force");
    assert!(status(at, &direct.url).contains("www.pem: good"));
    succeed(at, "revoke --dir ca 0a:1f --reason certificateHold");
    succeed(at, "revoke --dir ca 0a:1f --undo");
    assert!(status(at, &direct.url).contains("www.pem: good"));
    assert_eq!(direct.terminate().code(), Some(0));

    let lines: Vec<serde_json::Value> =
        succeed(at, "ledger list --dir ca --json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let issued = lines.iter().find(|line| line["serial"] == "0A1F").unwrap();
    assert_eq!((issued["status"].as_str(), issued["kind"].as_str()), (Some("good"), Some("end_entity")));
    assert!(succeed(at, "ledger list --dir ca").contains("(OCSP responder)"));
    assert!(succeed(at, "ledger list --dir root").contains("CN=Issuing (authority)"));
}

#[test]
fn an_authority_is_made_in_one_step_which_can_be_finished_later() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    // As after a kill: the root is there already.
    std::fs::create_dir(at.join("ca")).unwrap();
    succeed(at, "root ca/root --name Root");
    succeed(at, "init --dir ca --public-url http://ocsp.example:8888/");
    assert!(at.join("ca/responder.crt").exists());
    for key in ["ca/ca.key", "ca/root/ca.key", "ca/responder.key"] {
        assert_eq!(std::fs::metadata(at.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    let (_, text) = openssl(&["x509", "-in", at.join("ca/ca.crt").to_str().unwrap(), "-noout", "-text"]);
    for part in ["OCSP - URI:http://ocsp.example:8888/", "URI:http://ocsp.example:8888/root.crt", "8888/root.crl"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The root of `init` answers for the authority's own certificate.
    let server = Server::start(at, CA, "serve --dir ca --listen 127.0.0.1:0");
    let path = |name: &str| at.join(name).to_str().unwrap().to_owned();
    let (root, ca) = (path("ca/root/ca.crt"), path("ca/ca.crt"));
    let (good, text) = openssl(&["ocsp", "-issuer", &root, "-cert", &ca, "-url", &server.url, "-CAfile", &root]);
    assert!(good && text.contains("ca.crt: good"), "{text}");
}

#[test]
fn the_key_of_the_root_may_be_offline() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    succeed(at, "init ca --name Lab");
    succeed(at, "issue --dir ca --out www.pem --san www.example.org");
    std::fs::rename(at.join("ca/root/ca.key"), at.join("offline.key")).unwrap();
    std::fs::create_dir(at.join("root")).unwrap();
    std::fs::copy(at.join("ca/root/ca.crt"), at.join("root/ca.crt")).unwrap();
    let server = Server::start(at, CA, "serve --dir ca --listen 127.0.0.1:0");
    let text = status(at, &server.url);
    assert!(text.contains("Response verify OK") && text.contains("www.pem: good"), "{text}");
}

/// A new key, or an empty ledger, would make every certificate of the authority invalid or forget its revocations.
#[test]
fn an_authority_that_has_lost_a_file_is_not_replaced() {
    for lost in ["ca.key", "ca.crt", "ledger"] {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join("ca").join(name);
        succeed(directory.path(), "init ca --name Lab");
        let certificate = std::fs::read(path("ca.crt")).unwrap();
        std::fs::remove_file(path(lost)).unwrap();
        let (code, _, err) = run(directory.path(), CA, "serve --dir ca --listen 127.0.0.1:0");
        assert!(code == 1 && err.contains(lost) && err.contains("backup") && !err.contains("init"), "{code}: {err}");
        let (code, _, err) = run(directory.path(), CA, "init ca --name Lab");
        assert!(code == 1 && err.contains("choose another"), "{code}: {err}");
        if lost != "ca.crt" {
            assert_eq!(std::fs::read(path("ca.crt")).unwrap(), certificate);
        }
    }
}

#[test]
fn responses_are_presigned_and_answered_without_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    authorities(at);
    succeed(at, "responder ca --key p256");
    succeed(at, "issue --dir ca --out www.pem --san www.example.org");
    let out = succeed(at, "presign --dir ca --dir root --out responses --validity 600");
    assert_eq!(out, "6 responses about 3 certificates responses\n");
    std::fs::rename(at.join("ca/ca.key"), at.join("ca.key")).unwrap();
    let server = Server::start(at, CA, "respond responses --listen 127.0.0.1:0");
    let text = status(at, &server.url);
    assert!(text.contains("Response verify OK") && text.contains("www.pem: good"), "{text}");

    std::fs::rename(at.join("ca.key"), at.join("ca/ca.key")).unwrap();
    succeed(at, "revoke --dir ca www.pem --reason keyCompromise");
    succeed(at, "presign --dir ca --out responses --validity 600 --delegate");
    stapled_tests::wait_until("the replaced file", || status(at, &server.url).contains("www.pem: revoked"));
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn authorities_whose_files_would_have_one_name_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for (dir, name) in [("one", "Lab.CA"), ("two", "lab-ca"), ("ca", "CA"), ("other", "Other")] {
        succeed(at, &format!("root {dir} --name {name}"));
    }
    let cases = [
        (
            "--dir one --dir other --dir two",
            "the authority lab-ca in two cannot be served beside Lab.CA in one: both are /lab-ca.crt",
        ),
        (
            "--dir one --dir one",
            "the authority Lab.CA in one cannot be served beside Lab.CA in one: both are /lab-ca.crt",
        ),
        ("--dir one --dir ca", "the authority CA in ca cannot be served beside Lab.CA in one: both are /ca.crt"),
    ];
    for (dirs, wanted) in cases {
        for command in ["serve --listen 127.0.0.1:0", "presign --out responses"] {
            let (code, _, error) = run(at, CA, &format!("{command} {dirs}"));
            assert!(code == 1 && error.contains(wanted), "{command} {dirs}: {code} {error}");
        }
    }
    succeed(at, "presign --out responses --dir ca --dir one --dir other");
    // The root of `init` is named twice, in two ways.
    succeed(at, "init --dir both --name Both");
    assert_eq!(
        Server::start(at, CA, "serve --listen 127.0.0.1:0 --dir both --dir ./both/root").terminate().code(),
        Some(0)
    );

    // Files of two machines.
    for dir in ["one", "two"] {
        succeed(at, &format!("presign --out {dir}.responses --dir {dir}"));
    }
    let (code, _, error) = run(at, CA, "respond one.responses two.responses");
    let wanted = "two.responses: the authority lab-ca cannot be served beside Lab.CA: both are /lab-ca.crt";
    assert!(code == 1 && error.contains(wanted), "{code} {error}");
    succeed(at, "presign --out again.responses --dir one");
    let server = Server::start(at, CA, "respond one.responses again.responses --listen 127.0.0.1:0");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn files_are_split_and_are_replaced_only_with_force() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    succeed(at, "root ca");
    succeed(at, "issue --dir ca --out a.pem --san a.example --no-chain --separate-key --purpose client");
    let certificate = std::fs::read_to_string(at.join("a.pem")).unwrap();
    assert_eq!(certificate.matches("BEGIN").count(), 1);
    assert_eq!(std::fs::metadata(at.join("a.pem.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, error) = run(at, CA, "issue --dir ca --out a.pem --san b.example");
    assert_eq!(
        (code, error.as_str()),
        (1, "stapled-ca: a.pem exists; choose another --out, or replace the file with --force\n")
    );
    assert_eq!(succeed(at, "ledger list --dir ca").lines().count(), 1, "nothing was issued");
    succeed(at, "issue --dir ca --out a.pem --san b.example --force --not-before -86400 --not-after 0");
}

#[test]
fn errors_say_what_failed_where_and_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    succeed(at, "root ca");
    for (arguments, code, wanted) in [
        ("root ca", 1, "ca/ca.key exists already"),
        ("init ca", 1, "ca/ca.key exists already"),
        ("ledger list --dir nowhere", 1, "there is no ledger nowhere/ledger"),
        ("issue --dir nowhere --out x.pem --san a", 1, "cannot open the authority in nowhere"),
        ("revoke --dir ca 77", 1, "no certificate with serial number 77 was issued here"),
        ("revoke --dir ca www.pem", 1, "neither a file nor a serial number"),
        (
            "serve --dir ca --delegate --listen 127.0.0.1:0",
            1,
            "ca has no OCSP responder; run `stapled-ca responder ca` first",
        ),
        ("serve --dir ca --listen 203.0.113.1:1", 1, "cannot listen on 203.0.113.1:1"),
        ("respond ca/ca.crt", 1, "ca/ca.crt is not a file of responses; `stapled-ca presign` makes such files"),
        ("respond nothing", 1, "cannot read nothing"),
        ("init x --key p255", 2, "\"p255\" is not a key type; choose one of p256"),
        ("issue --dir ca --out x.pem", 2, "--san"),
        ("issue --dir ca --out x.pem --san x..y", 2, "neither a host name"),
        ("issue --dir ca --out x.pem --san .example.org", 2, "neither a host name"),
        ("issue --dir ca --out x.pem --san 1.2.3.4.5", 2, "neither a host name"),
        ("issue --dir ca --out x.pem --san a --ocsp-url foo", 2, "not a URL such as"),
        ("issue --dir ca --out x.pem --san a --days 0", 2, "--days"),
        ("revoke --dir ca 77 --reason boredom", 2, "keyCompromise"),
        ("nonsense", 2, "unrecognized subcommand"),
    ] {
        let (got, _, error) = run(at, CA, arguments);
        assert!(got == code && error.contains(wanted), "{arguments}: {got} {error}");
    }
    assert!(!at.join("ca/root").exists(), "a refused `init` makes nothing");
    succeed(
        at,
        "issue --dir ca --out x.pem --san *.example.org --san 2001:db8::1 --ocsp-url http://ocsp.example.org:80/",
    );
    let (code, help, _) = run(at, CA, "--help");
    assert!(code == 0 && help.contains("stapled-ca init ca --name 'Lab CA'"));
}

#[test]
fn the_lab_applies_faults_and_its_help_lists_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    authorities(at);
    succeed(at, "issue --dir ca --out www.pem --san a.example --serial 42");
    let lab = Server::start(at, LAB, "serve --dir ca --control --fault 42=try_later");
    assert!(status(at, &lab.url).contains("trylater"));
    let address = lab.url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let call = format!("DELETE /lab/fault?serial=42 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert_eq!(support::parse(&support::exchange(address, call.as_bytes()).unwrap()).status, 200);
    assert!(status(at, &lab.url).contains("www.pem: good"));
    assert_eq!(lab.terminate().code(), Some(0));

    let (code, help, _) = run(at, LAB, "serve --help");
    assert_eq!(code, 0);
    for (usage, _) in stapled_ca::lab::Fault::KINDS {
        assert!(help.contains(usage), "{usage}");
    }
    let (code, _, error) = run(at, LAB, "serve --dir ca --fault all=explode");
    assert!(code == 2 && error.contains("delay:MS"), "{error}");
}
