//! Whole checks of certificates in directories, with invented HAProxys. The whole-system tests have real ones.

mod chains;
mod clean;
mod daemon;
mod running;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Profile};
use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::io::directory::DirectorySource;
use stapled_core::source::{Sighting, Version};
use tempfile::TempDir;

use super::contents::Reader;
use super::finding::Finding;
use super::inputs::{self, Inputs};
use super::report::{KeptStaple, Report};
use super::rules::{Rules, StapleFiles};
use super::run::judged;
use crate::cli::address::Address;
use crate::cli::transactions::Transactions;
use crate::configuration::{Level, ZeroWarning};
use crate::haproxy::{Haproxy, Haproxys, NamedSockets};
use crate::running::snapshot::{ProcessSnapshot, ServedCertificate};

const URL: &str = "http://ocsp.example/";

/// A directory with certificates, and an authority.
struct World {
    folder: TempDir,
    ca: Authority,
    stranger: Authority,
}

impl World {
    fn new() -> Self {
        let ca = Authority::root("Root").create().unwrap().intermediate("Issuer").create().unwrap();
        let stranger = Authority::root("Stranger").create().unwrap();
        World { folder: TempDir::new().unwrap(), ca, stranger }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// A certificate with its chain in a file.
    fn cert(&self, name: &str, adapt: impl FnOnce(Profile) -> Profile) -> Certificate {
        let (certificate, pem) = self.issue(adapt);
        self.write(name, pem + &self.ca.certificate_pem());
        certificate
    }

    /// A certificate without its chain in a file.
    fn lonely(&self, name: &str, adapt: impl FnOnce(Profile) -> Profile) -> Certificate {
        let (certificate, pem) = self.issue(adapt);
        self.write(name, pem);
        certificate
    }

    fn issue(&self, adapt: impl FnOnce(Profile) -> Profile) -> (Certificate, String) {
        let issued = self.ca.issue(&adapt(Profile::server("a.example").ocsp_url(URL))).unwrap();
        (Certificate::from_der(issued.der()).unwrap(), issued.certificate_pem())
    }

    /// A response of the authority about a certificate; `adapt` says what it is like.
    fn response(&self, about: &Certificate, adapt: impl FnOnce(ResponseBuilder, i64) -> ResponseBuilder) -> Vec<u8> {
        let records = self.ca.records().unwrap();
        let serial = records.iter().map(|record| &record.serial).find(|serial| serial.as_bytes() == about.serial());
        let cert_id = self.ca.cert_id(serial.unwrap(), HashAlgorithm::Sha1);
        let now = SystemClock.now().unix();
        let builder = ResponseBuilder::new(&self.ca).good(&cert_id).this_update(now - 60).next_update(now + 86_400);
        adapt(builder, now).build().unwrap()
    }

    /// Checks as these options of `stapled` say; `adapt` says what HAProxys answer.
    fn check(&self, options: &[&str], adapt: impl FnOnce(&mut Inputs)) -> Report {
        let Options { mut haproxys, rules } = self.options(options);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut inputs = inputs::gather(&haproxys.wanted()).await;
            adapt(&mut inputs);
            judged(&rules, inputs, SystemClock.now(), &|_, _| {}).await
        })
    }

    /// What these options of `stapled` say: `@` is this directory.
    fn options(&self, options: &[&str]) -> Options {
        let mut rules = Rules { issuer_directory: self.path("issuers"), ..Rules::default() };
        let (mut paths, mut configuration, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut named_sockets, mut transactions) = (NamedSockets::Used, Transactions::Always);
        let mut ignored = Vec::new();
        let mut options = options.iter().map(|word| word.replace('@', self.folder.path().to_str().unwrap()));
        while let Some(option) = options.next() {
            let mut value = || options.next().unwrap();
            match option.as_str() {
                "-p" => paths.push(value()),
                "-i" => ignored.push(value()),
                "-s" => sockets.push(Address::unix(value())),
                "--haproxy-config" => configuration.push(value()),
                "--no-haproxy-sockets" => named_sockets = NamedSockets::Ignored,
                "--haproxy-transactions" => {
                    transactions = match value().as_str() {
                        "never" => Transactions::Never,
                        "isolated" => Transactions::Isolated,
                        other => panic!("{other}"),
                    }
                }
                "--no-fetch-issuers" => rules.fetch_issuers = false,
                "--no-staple-files" => rules.staple_files = StapleFiles::Nowhere,
                "--staple-dir" => rules.staple_files = StapleFiles::In(value().into()),
                other => panic!("{other}"),
            }
        }
        let search = |path: &str| DirectorySource::new(path).ignore(&ignored).unwrap();
        let builder = || {
            let ignoring = search("/");
            Haproxy::builder().ignore(move |file| ignoring.ignores(file))
        };
        let of_paths =
            paths.iter().map(|path| builder().certificates(search(path)).sockets(sockets.clone()).open().unwrap());
        let of_sockets = (paths.is_empty() && configuration.is_empty())
            .then(|| builder().sockets(sockets.clone()).transactions(transactions).open().unwrap());
        let of_configuration = (!configuration.is_empty()).then(|| {
            let builder = builder().configuration(&configuration).named_sockets(named_sockets);
            // With paths, the sockets are theirs.
            let sockets = if paths.is_empty() { sockets.clone() } else { Vec::new() };
            builder.sockets(sockets).transactions(transactions).open().unwrap()
        });
        Options { haproxys: of_paths.chain(of_configuration).chain(of_sockets).collect(), rules }
    }

    /// A configuration of HAProxy that serves these files, with an admin socket.
    fn haproxy(&self, files: &[&str]) -> PathBuf {
        let crt: String = files.iter().map(|file| format!(" crt {}", self.path(file).display())).collect();
        let socket = self.path("admin.sock");
        let text = format!("global\n stats socket {} level admin\nfrontend f\n bind :1 ssl{crt}\n", socket.display());
        self.write("h.cfg", text)
    }

    /// A HAProxy that has loaded these.
    fn loaded(&self, certificates: &[(&str, &Certificate)]) -> ProcessSnapshot {
        ProcessSnapshot {
            pid: 7,
            level: Some(Level::Admin),
            configuration_files: vec![self.path("h.cfg")],
            certificates: certificates.iter().map(|(name, certificate)| self.served(name, certificate)).collect(),
            ..ProcessSnapshot::default()
        }
    }

    fn served(&self, name: &str, certificate: &Certificate) -> ServedCertificate {
        ServedCertificate {
            name: self.path(name).display().to_string(),
            serial: certificate.serial_hex(),
            has_chain: true,
            file: Some(self.path(name)),
            is_in_file: true,
            is_used: true,
            ..ServedCertificate::default()
        }
    }
}

/// The settings of a check.
struct Options {
    haproxys: Haproxys,
    rules: Rules,
}

/// What was found: the words, with an exclamation mark where they need the operator.
fn told<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    let mark = |finding: &Finding| if finding.needs_operator() { "!" } else { "" };
    let mut told: Vec<String> =
        findings.into_iter().map(|finding| format!("{}{}", finding.code(), mark(finding))).collect();
    told.sort();
    told
}

fn of_only_row(answered: &Report) -> Vec<String> {
    assert_eq!(answered.certificates.len(), 1, "{:?}", answered.certificates);
    told(&answered.certificates[0].findings)
}

fn first(answered: &Report) -> String {
    let first = &answered.certificates[0].first_staple;
    format!("{:?} {}", first.answer, first.code.map(|code| code.as_str()).unwrap_or_default()).trim().to_owned()
}

/// Problems of the certificate itself; HAProxy has loaded the same one.
#[test]
fn problems_of_certificates() {
    let now = SystemClock.now().unix();
    let plain = |profile: Profile| profile;
    let without_url = |_| Profile::server("a.example");
    type Adapt<'a> = Box<dyn Fn(Profile) -> Profile + 'a>;
    let cases: [(&str, Adapt<'_>, &[&str], &str); 7] = [
        ("in order", Box::new(plain), &[], "Yes"),
        ("without URL", Box::new(without_url), &["no_ocsp_url"], "NotNeeded"),
        (
            "must-staple without URL",
            Box::new(move |profile| without_url(profile).must_staple(true)),
            &["must_staple_without_url!"],
            "No must_staple_without_url",
        ),
        ("must-staple", Box::new(|profile| profile.must_staple(true)), &[], "Yes"),
        (
            "expired",
            Box::new(|profile| profile.valid_between(now - 9, now - 2)),
            &["certificate_expired!"],
            "No certificate_expired",
        ),
        (
            "not yet valid",
            Box::new(|profile| profile.valid_between(now + 900, now + 9000)),
            &["certificate_not_yet_valid!"],
            "No certificate_not_yet_valid",
        ),
        (
            "not for servers",
            Box::new(|profile| profile.extended_key_usages([stapled_ca::ExtendedKeyUsage::ClientAuth])),
            &["not_for_servers!"],
            "No not_for_servers",
        ),
    ];
    for (case, adapt, expected, expected_first) in cases {
        let world = World::new();
        let certificate = world.cert("a.pem", adapt);
        world.haproxy(&["a.pem"]);
        let answered = world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
            inputs.processes[0].snapshot = Ok(world.loaded(&[("a.pem", &certificate)]));
        });
        assert_eq!(of_only_row(&answered), expected, "{case}");
        assert_eq!(first(&answered), expected_first, "{case}");
        assert_eq!(answered.needs_operator(), expected.iter().any(|told| told.ends_with('!')), "{case}");
        assert_eq!(told(answered.general()), [""; 0], "{case}");
    }
}

/// Files in which no certificate can be read.
#[test]
fn files_that_are_no_certificates() {
    let world = World::new();
    world.write("rubbish.pem", "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n");
    world.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    world.write("ca.pem", world.ca.certificate_pem());
    world.write("large.pem", vec![b'x'; 2 * 1024 * 1024]);
    world.write("notes.pem", "not a certificate\n");
    let paths = ["rubbish.pem", "key.pem", "ca.pem", "large.pem", "notes.pem"];
    let told_of = |answered: &Report, file: &str| {
        let row = answered.certificates.iter().find(|row| row.certificate.ends_with(file));
        row.map(|row| told(&row.findings).join(" ")).unwrap_or_else(|| "nothing".to_owned())
    };
    let by_path = world.check(&["-p", "@"], |_| {});
    assert_eq!(
        paths.map(|file| told_of(&by_path, file)),
        ["malformed_certificate!", "nothing", "nothing", "too_large!", "no_certificate"]
    );
    // A path that is named must be one of a certificate.
    for file in ["@/key.pem", "@/notes.pem"] {
        let named = world.check(&["-p", file], |_| {});
        assert_eq!(of_only_row(&named), ["no_certificate!"], "{file}");
    }
    // HAProxy would not start with most of them.
    world.haproxy(&paths);
    let configured = world.check(&["--haproxy-config", "@/h.cfg", "--no-haproxy-sockets"], |_| {});
    assert_eq!(
        paths.map(|file| told_of(&configured, file)),
        ["malformed_certificate!", "no_certificate!", "only_ca_certificates", "too_large!", "no_certificate!"]
    );
}

/// Where the issuer lies, and whether HAProxy finds it, too.
#[test]
fn places_of_issuers() {
    let world = World::new();
    let fetched = |profile: Profile| profile.ca_issuers_url("http://ca.example/ca.der");
    let lonely = world.lonely("a.pem", fetched);
    world.haproxy(&["a.pem"]);
    let check = |more: &[&str]| {
        world.check(&[&["--haproxy-config", "@/h.cfg"], more].concat(), |inputs| {
            if let Some(process) = inputs.processes.first_mut() {
                let mut snapshot = world.loaded(&[("a.pem", &lonely)]);
                snapshot.certificates[0].has_chain = false;
                process.snapshot = Ok(snapshot);
            }
        })
    };
    let shown = |answered: &Report| {
        let row = &answered.certificates[0];
        let found = row.issuer_found_in.as_ref().map(|found| found.file_name().unwrap().to_str().unwrap().to_owned());
        (of_only_row(answered), found, row.issuer_found_by_haproxy, first(answered))
    };
    let expect = |told: &[&str], found: Option<&str>, by_haproxy: Option<bool>, first: &str| {
        let told: Vec<String> = told.iter().map(|&told| told.to_owned()).collect();
        (told, found.map(str::to_owned), by_haproxy, first.to_owned())
    };
    assert_eq!(shown(&check(&[])), expect(&["issuer_to_be_fetched"], None, None, "Yes"));
    let not_fetched = check(&["--no-fetch-issuers"]);
    assert_eq!(shown(&not_fetched), expect(&["issuer_missing!"], None, None, "No issuer_missing"));
    let what = &not_fetched.certificates[0].findings[0].what();
    for looked in ["CN=Issuer", "/a.pem,", "/a.pem.issuer,", "/issuers"] {
        assert!(what.contains(looked), "{looked}: {what}");
    }

    // Only the stapler finds it among the certificates of other paths.
    world.write("other/ca.pem", world.ca.certificate_pem());
    let elsewhere = ["-p", "@/other"];
    assert_eq!(shown(&check(&elsewhere)), expect(&["issuer_not_found_by_server"], Some("ca.pem"), Some(false), "Yes"));
    let without_sockets = [&elsewhere[..], &["--no-haproxy-sockets"]].concat();
    assert_eq!(
        shown(&check(&without_sockets)),
        expect(&["issuer_not_found_by_server!"], Some("ca.pem"), Some(false), "No no_socket")
    );
    // What was fetched once, too.
    world.write("issuers/1.der", world.ca.certificate());
    assert_eq!(shown(&check(&[])), expect(&["issuer_not_found_by_server"], Some("issuers"), Some(false), "Yes"));

    // HAProxy does not start with a response, whatever it is like.
    for response in [&b""[..], b"rubbish"] {
        world.write("a.pem.ocsp", response);
        assert_eq!(
            shown(&check(&elsewhere)).0,
            ["issuer_not_found_by_server", "staple_without_issuer!"],
            "{response:?}"
        );
    }
    assert_eq!(shown(&check(&["--no-fetch-issuers"])).0, ["issuer_missing!", "staple_without_issuer!"]);
    std::fs::remove_file(world.path("a.pem.ocsp")).unwrap();

    world.write("a.pem.issuer", world.ca.certificate_pem());
    assert_eq!(shown(&check(&[])), expect(&[], Some("a.pem.issuer"), Some(true), "Yes"));
    world.write("a.pem.issuer", world.stranger.certificate_pem());
    assert_eq!(shown(&check(&elsewhere)), expect(&["wrong_issuer_file!"], Some("ca.pem"), Some(false), "Yes"));
    world.write("a.pem.ocsp", "");
    assert_eq!(shown(&check(&elsewhere)).0, ["staple_without_issuer!", "wrong_issuer_file!"]);
}

/// A certificate without URL took the place of one with a URL: the old response still keeps HAProxy from starting.
#[test]
fn an_old_staple_of_a_certificate_without_url_is_a_problem() {
    let world = World::new();
    world.lonely("a.pem", |_| Profile::server("a.example"));
    world.write("a.pem.ocsp", "rubbish");
    world.haproxy(&["a.pem"]);
    let check = || world.check(&["--haproxy-config", "@/h.cfg", "--no-haproxy-sockets"], |_| {});
    assert_eq!(of_only_row(&check()), ["no_ocsp_url", "staple_without_issuer!"]);
    world.write("a.pem.issuer", world.ca.certificate_pem());
    assert_eq!(of_only_row(&check()), ["no_ocsp_url", "staple_file_unusable!"]);
}

/// The contents of the file in which HAProxy looks for a response.
#[test]
fn contents_of_staple_files() {
    let world = World::new();
    let certificate = world.cert("a.pem", |profile| profile);
    let other = world.cert("b/other.pem", |profile| profile);
    world.haproxy(&["a.pem"]);
    let good = world.response(&certificate, |response, _| response);
    let expired = world.response(&certificate, |response, now| response.this_update(now - 90).next_update(now - 9));
    let serial = world.ca.records().unwrap();
    let serial = serial.iter().map(|record| &record.serial).find(|serial| serial.as_bytes() == certificate.serial());
    let cert_id = world.ca.cert_id(serial.unwrap(), HashAlgorithm::Sha1);
    let now = SystemClock.now().unix();
    let revoked = ResponseBuilder::new(&world.ca).revoked(&cert_id, now - 99, None);
    let revoked = revoked.this_update(now - 60).next_update(now + 86_400).build().unwrap();
    let foreign = world.response(&other, |response, _| response);
    let short = world.response(&certificate, |response, now| response.this_update(now - 9).next_update(now + 111));
    type Case<'a> = (&'a [u8], &'a str, &'a [&'a str], &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (&good, "good", &[], &[]),
        (&short, "good", &["expires_too_soon!"], &["expires_too_soon!"]),
        (b"", "empty", &[], &[]),
        (&expired, "expired", &["staple_file_unusable"], &["staple_file_unusable!"]),
        (b"rubbish", "malformed", &["staple_file_unusable"], &["staple_file_unusable!"]),
        (&foreign, "no_matching_certid", &["staple_file_unusable"], &["staple_file_unusable!"]),
        (&revoked, "revoked", &["revoked!"], &["revoked!"]),
    ];
    for (response, state, expected, where_not_replaced) in cases {
        world.write("a.pem.ocsp", response);
        let check = |more: &[&str]| {
            world.check(&[&["--haproxy-config", "@/h.cfg"], more].concat(), |inputs| {
                inputs.processes[0].snapshot = Ok(world.loaded(&[("a.pem", &certificate)]));
            })
        };
        let answered = check(&[]);
        assert_eq!((of_only_row(&answered), staple_of(&answered)), (told_as(expected), Some(state)));
        assert_eq!(answered.certificates[0].staple.and_then(|kept| kept.until()).is_some(), state == "good");
        assert_eq!(of_only_row(&check(&["--no-staple-files"])), where_not_replaced, "{state}");
    }
    // Other servers send a staple that lives so short.
    world.write("a.pem.ocsp", &short);
    assert_eq!(of_only_row(&world.check(&["-p", "@/a.pem"], |_| {})), [""; 0]);
    std::fs::remove_file(world.path("a.pem.ocsp")).unwrap();
    assert_eq!(world.check(&["-p", "@/a.pem"], |_| {}).certificates[0].staple, None);
}

/// HAProxy serves the first certificate of a file, whatever else is in it.
#[test]
fn further_certificates_in_a_file_are_noted() {
    let world = World::new();
    let (first, pem) = world.issue(|profile| profile);
    let other = world.ca.issue(&Profile::server("other.example").ocsp_url(URL)).unwrap().certificate_pem();
    world.write("a.pem", [&*pem, &*other, &*world.ca.certificate_pem()].concat());
    world.haproxy(&["a.pem"]);
    for options in [&["-p", "@/a.pem"][..], &["--haproxy-config", "@/h.cfg", "--no-haproxy-sockets"]] {
        let answered = world.check(options, |_| {});
        assert_eq!(of_only_row(&answered), ["several_certificates"], "{options:?}");
        let row = &answered.certificates[0];
        assert_eq!(row.description.as_ref().unwrap().serial, first.serial_hex());
        assert!(row.findings[0].what().contains("other.example"), "{:?}", row.findings);
    }
    // The same certificate twice is no other one.
    world.write("a.pem", [&*pem, &*pem, &*world.ca.certificate_pem()].concat());
    assert_eq!(of_only_row(&world.check(&["-p", "@/a.pem"], |_| {})), [""; 0]);
}

/// What the version of a running HAProxy means for staples.
#[test]
fn what_a_version_takes_is_known() {
    let world = World::new();
    let certificate = world.cert("a.pem", |profile| profile);
    world.haproxy(&["a.pem"]);
    let check = |version: &str, level: Level, has_response_race: bool| {
        world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
            let mut snapshot = world.loaded(&[("a.pem", &certificate)]);
            (snapshot.version, snapshot.level) = (version.to_owned(), Some(level));
            snapshot.has_response_race = has_response_race;
            snapshot.certificates[0].takes_responses = true;
            inputs.processes[0].snapshot = Ok(snapshot);
        })
    };
    let old = check("3.2.26", Level::Operator, false);
    assert_eq!(
        (told(&old.processes[0].findings), first(&old)),
        (vec!["socket_level!".to_owned()], "Already".to_owned())
    );
    let new = check("3.4.0", Level::Operator, false);
    let level = &new.processes[0].findings;
    assert_eq!((told(level), first(&new)), (vec!["socket_level!".to_owned()], "No socket_level".to_owned()));
    assert!(level[0].what().contains("takes no staple over it"), "{level:?}");
    let race = check("3.0.11", Level::Admin, true);
    assert_eq!((told(&race.processes[0].findings), race.needs_operator()), (vec!["response_race".to_owned()], false));
    assert_eq!(told(&check("3.4.2", Level::Admin, false).processes[0].findings), [""; 0]);
}

/// HAProxy does not start with a file that it warns of, if it has `zero-warning`.
#[test]
fn a_staple_file_that_zero_warning_refuses_is_a_problem() {
    let world = World::new();
    let certificate = world.cert("a.pem", |profile| profile);
    let other = world.cert("b/other.pem", |profile| profile);
    let configuration = std::fs::read_to_string(world.haproxy(&["a.pem"])).unwrap();
    let of = |adapt: &dyn Fn(ResponseBuilder, i64) -> ResponseBuilder| world.response(&certificate, adapt);
    let serial = world.ca.records().unwrap();
    let serial = serial.iter().map(|record| &record.serial).find(|serial| serial.as_bytes() == certificate.serial());
    let by = |hash| {
        let id = world.ca.cert_id(serial.unwrap(), hash);
        let now = SystemClock.now().unix();
        let builder = || ResponseBuilder::new(&world.ca).this_update(now - 60).next_update(now + 86_400);
        (builder().good(&id).build().unwrap(), builder().revoked(&id, now - 99, None).build().unwrap())
    };
    let (good, revoked) = by(HashAlgorithm::Sha1);
    let unusable = &["staple_file_unusable!"][..];
    for (what, response, expected) in [
        ("good", good, &[][..]),
        ("expired", of(&|response, now| response.this_update(now - 90).next_update(now - 9)), unusable),
        ("last minutes", of(&|response, now| response.this_update(now - 999).next_update(now + 99)), unusable),
        ("other hash", by(HashAlgorithm::Sha256).0, unusable),
        ("other certificate", world.response(&other, |response, _| response), unusable),
        ("no response", b"rubbish".to_vec(), unusable),
        ("try later", vec![0x30, 3, 0x0a, 1, 3], unusable),
        ("empty", Vec::new(), unusable),
        ("large", vec![b'x'; 20_000], unusable),
        // HAProxy takes it without a warning.
        ("revoked", revoked, &["revoked!"]),
    ] {
        world.write("a.pem.ocsp", response);
        let check = |text: &str, adapt: &dyn Fn(&mut ProcessSnapshot)| {
            world.write("h.cfg", text);
            world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
                let mut snapshot = world.loaded(&[("a.pem", &certificate)]);
                adapt(&mut snapshot);
                inputs.processes[0].snapshot = Ok(snapshot);
            })
        };
        let by_line = check(&configuration.replace("global\n", "global\n zero-warning\n"), &|_| {});
        let by_option = check(&configuration, &|snapshot| snapshot.zero_warning = Some(ZeroWarning::CommandLine));
        for (answered, by) in [(by_line, "`zero-warning`, "), (by_option, "`-dW`")] {
            assert_eq!(of_only_row(&answered), expected, "{what} {by}");
            assert_eq!(told(&answered.others), ["zero_warning"], "{what} {by}");
            let finding = answered.certificates[0].findings.first().filter(|_| expected == unusable);
            assert!(finding.is_none_or(|finding| finding.what().contains(by)), "{finding:?}");
            assert!(finding.is_none_or(|finding| finding.remedy().unwrap().starts_with("remove ")), "{finding:?}");
            // No OCSP response: only the operator can tell.
            let is_cleaned = finding.is_some_and(|finding| finding.remedy().unwrap().contains("stapled clean"));
            assert_eq!(is_cleaned, expected == unusable && !["no response", "large"].contains(&what), "{what}");
        }
        let without = check(&configuration, &|_| {});
        assert_eq!(told(&without.others), [""; 0]);
        assert_eq!(without.needs_operator(), what == "revoked", "{what}");
    }
}

/// A staple of a certificate without URL ends one day, and nothing renews it.
#[test]
fn a_staple_that_nothing_renews_is_noted() {
    let world = World::new();
    let certificate = world.cert("a.pem", |_| Profile::server("a.example"));
    world.write("a.pem.ocsp", world.response(&certificate, |response, _| response));
    assert_eq!(of_only_row(&world.check(&["-p", "@"], |_| {})), ["no_ocsp_url", "staple_not_renewed"]);
}

/// A file that the configuration names must be there for HAProxy to start.
#[test]
fn a_named_staple_file_must_be_there() {
    let world = World::new();
    world.cert("a.pem", |profile| profile);
    let text = "crt-store\n load crt @/a.pem ocsp @/a.response alias a\nfrontend f\n bind :1 ssl crt @a\n";
    world.write("h.cfg", text.replace("@/", &world.path("").display().to_string()).replace("@a", "@/a"));
    let of = |more: &[&str]| of_only_row(&world.check(&[&["--haproxy-config", "@/h.cfg"], more].concat(), |_| {}));
    assert_eq!(of(&[]), ["staple_file_missing"]);
    assert_eq!(of(&["--no-staple-files", "-s", "@/s"]), ["staple_file_missing!"]);
    world.write("a.response", "");
    assert_eq!(of(&[]), [""; 0]);
}

fn staple_of(answered: &Report) -> Option<&str> {
    answered.certificates[0].staple.as_ref().map(KeptStaple::as_str)
}

fn told_as(told: &[&str]) -> Vec<String> {
    told.iter().map(|&told| told.to_owned()).collect()
}

/// Directories in which the stapler could write no staple.
#[test]
fn directories_that_cannot_be_written() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    let file = world.path("one.pem").display().to_string();
    let staple = world.path("nowhere/one.ocsp").display().to_string();
    world.write("list", format!("{file} [ocsp {staple}]\n"));
    let (socket, list) = (world.path("admin.sock").display().to_string(), world.path("list").display().to_string());
    world.write(
        "h.cfg",
        format!("global\n stats socket {socket} level admin\nfrontend f\n bind :1 ssl crt-list {list}\n"),
    );
    let check = |more: &[&str]| {
        world.check(&[&["--haproxy-config", "@/h.cfg"], more].concat(), |inputs| {
            if let Some(process) = inputs.processes.first_mut() {
                process.snapshot = Ok(world.loaded(&[("one.pem", &one)]));
            }
        })
    };
    let over_the_socket = of_only_row(&check(&[]));
    assert_eq!(
        over_the_socket,
        ["directory_missing!", "staple_file_missing!"],
        "it comes, but HAProxy would not start"
    );
    assert_eq!(of_only_row(&check(&["--no-haproxy-sockets"])), ["directory_missing!", "staple_file_missing!"]);
    assert_eq!(of_only_row(&check(&["--no-staple-files"])), ["staple_file_missing!"]);
    assert_eq!(told(check(&["--staple-dir", "@/nowhere"]).general()), ["directory_missing!"]);
    std::fs::create_dir(world.path("nowhere")).unwrap();
    assert!(!check(&["--staple-dir", "@/nowhere"]).needs_operator());
    assert_eq!(of_only_row(&check(&[])), ["staple_file_missing"], "it is written with the first staple");
}

/// Advice about a configuration is a note, without a remedy where the running HAProxy confirms what was assumed.
#[test]
fn assumptions_about_a_configuration_are_notes() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    let socket = world.path("admin.sock").display().to_string();
    let path = world.path("one.pem").display().to_string();
    let condition = format!(
        "global\n stats socket {socket} level admin\nfrontend f\n.if version_atleast(2.4)\n bind :1 ssl crt {path}\n.endif\n"
    );
    world.write("h.cfg", &condition);
    let check = || {
        world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
            if let Some(process) = inputs.processes.first_mut() {
                process.snapshot = Ok(world.loaded(&[("one.pem", &one)]));
            }
        })
    };
    let answered = check();
    let finding = answered.general().next().unwrap();
    assert_eq!(told(answered.general()), ["condition_undecided"]);
    assert!(finding.what().contains("just these certificates"), "{finding:?}");
    let missing = condition.replace(".endif", &format!(".endif\n bind :2 ssl crt {path} crt-list /nowhere/list"));
    world.write("h.cfg", missing);
    let answered = check();
    assert_eq!(told(answered.general()), ["condition_undecided", "crt_list_unreadable!"]);
    // No socket that can be used.
    world.write("h.cfg", format!("frontend f\n bind :1 ssl crt {path}\n"));
    let answered = check();
    assert_eq!(told(answered.general()), ["no_admin_socket!"]);
    let remedy = answered.general().next().unwrap().remedy().unwrap();
    assert!(remedy.contains("stats socket /run/haproxy/admin.sock level admin"), "{remedy}");
    let answered = world.check(&["--haproxy-config", "@/h.cfg", "--no-haproxy-sockets"], |_| {});
    assert_eq!(told(answered.general()), [""; 0], "that is as it was wanted");
}

/// HAProxy asks for responses itself.
#[test]
fn two_writers_are_a_problem() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    let text = std::fs::read_to_string(world.haproxy(&["one.pem"])).unwrap();
    world.write("h.cfg", text.replace("frontend", " ocsp-update.mode on\nfrontend"));
    let answered = world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
        inputs.processes[0].snapshot = Ok(world.loaded(&[("one.pem", &one)]));
    });
    assert_eq!(of_only_row(&answered), ["two_writers!"]);
}

/// Names that cannot be sent to HAProxy.
#[test]
fn names_that_cannot_be_sent() {
    let world = World::new();
    let odd = world.cert("p/a\nb.pem", |profile| profile);
    let answered = world.check(&["-p", "@/p", "-s", "@/s"], |inputs| {
        inputs.processes[0].snapshot = Ok(world.loaded(&[("p/a\nb.pem", &odd)]));
    });
    assert_eq!(of_only_row(&answered), ["unusable_name!"]);
    assert_eq!(first(&answered), "No unusable_name");
    // Latin-1. The staple goes to a file all the same.
    let latin = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"q/caf\xe9.pem");
    world.cert("q/x.pem", |profile| profile);
    std::fs::rename(world.path("q/x.pem"), world.path("").join(latin)).unwrap();
    let answered = world.check(&["-p", "@/q", "-s", "@/s"], |inputs| {
        inputs.processes[0].snapshot = Ok(world.loaded(&[]));
    });
    assert_eq!(of_only_row(&answered), ["name_not_utf8!"]);
    let problem = answered.problems().collect::<String>();
    assert!(problem.contains("not UTF-8") && problem.contains("rename the file"), "{problem}");
}

/// One copy of an authority's certificate is kept for all files that hold it.
#[test]
fn an_authority_in_many_files_is_kept_once() {
    let world = World::new();
    let reader = Reader::default();
    let read = ["a.pem", "b.pem"].map(|name| {
        world.cert(name, |profile| profile);
        reader.read(&Sighting::file(world.path(name), Version::new([])), None).unwrap()
    });
    let [one, other] = read.map(|contents| Arc::clone(contents.certificates.iter().find(|one| one.is_ca()).unwrap()));
    assert!(Arc::ptr_eq(&one, &other));
    assert!(Bundle::read(world.ca.certificate_pem().as_bytes()).unwrap().certificates[0] == *one);
}
