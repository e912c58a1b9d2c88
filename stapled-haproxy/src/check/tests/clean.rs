//! Which staple files are removed.

use std::os::unix::fs::symlink;

use stapled_core::hash::Sha256;

use super::super::clean::{Action, Cleaned};
use super::super::remove::{Removal, Stays, remove};
use super::super::verdict::{Leftover, Verdict};
use super::*;

impl World {
    /// Cleans as these options of `stapled` say.
    fn clean(&self, options: &[&str], removal: Removal) -> Cleaned {
        let Options { mut haproxys, rules } = self.options(options);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut check = haproxys.check();
            check.rules = rules;
            check.clean(removal).await
        })
    }

    /// A response about a certificate with another hash in its CertID.
    fn by_sha256(&self, about: &Certificate) -> Vec<u8> {
        let records = self.ca.records().unwrap();
        let serial = records.iter().map(|record| &record.serial).find(|serial| serial.as_bytes() == about.serial());
        let id = self.ca.cert_id(serial.unwrap(), HashAlgorithm::Sha256);
        let now = SystemClock.now().unix();
        ResponseBuilder::new(&self.ca).this_update(now - 60).next_update(now + 86_400).good(&id).build().unwrap()
    }
}

fn actions(cleaned: &Cleaned) -> Vec<String> {
    let word = |action| match action {
        Action::Removed => "removed",
        Action::WouldRemove => "would remove",
        Action::Kept => "kept",
    };
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    let told = cleaned.files.iter().map(|file| format!("{} {}: {}", word(file.action), name(&file.file), file.reason));
    told.collect()
}

#[test]
fn what_hinders_haproxy_is_removed_and_what_is_good_or_of_others_stays() {
    let world = World::new();
    let certificate = world.cert("a.pem", |profile| profile);
    let other = world.cert("b/other.pem", |profile| profile);
    let of = |adapt: &dyn Fn(ResponseBuilder, i64) -> ResponseBuilder| world.response(&certificate, adapt);
    world.haproxy(&["a.pem"]);
    let strict = std::fs::read_to_string(world.path("h.cfg")).unwrap().replace("global\n", "global\n zero-warning\n");
    world.write("strict.cfg", strict);
    let configured = ["--haproxy-config", "@/h.cfg", "--no-haproxy-sockets"];
    let strict = ["--haproxy-config", "@/strict.cfg", "--no-haproxy-sockets"];
    let by_path = ["-p", "@/a.pem"];
    let expired = of(&|response, now| response.this_update(now - 90).next_update(now - 9));
    let mut forged = of(&|response, _| response);
    *forged.last_mut().unwrap() ^= 1;
    type Case<'a> = (&'a [u8], &'a [&'a str], &'a str);
    let cases: [Case<'_>; 15] = [
        (&of(&|response, _| response), &configured, ""),
        (&expired, &configured, "removed a.pem.ocsp: expired"),
        (&expired, &by_path, "removed a.pem.ocsp: expired"),
        (&forged, &configured, "removed a.pem.ocsp: bad_signature"),
        (&world.response(&other, |response, _| response), &by_path, "removed a.pem.ocsp: no_matching_certid"),
        (&[0x30, 3, 0x0a, 1, 3], &by_path, "removed a.pem.ocsp: error_status:try_later"),
        // HAProxy does not take it; another server may.
        (&world.by_sha256(&certificate), &configured, "removed a.pem.ocsp: unfit_certid"),
        (&world.by_sha256(&certificate), &by_path, ""),
        (&of(&|response, now| response.next_update(now + 99)), &configured, "removed a.pem.ocsp: expires_too_soon"),
        (&of(&|response, now| response.next_update(now + 99)), &by_path, ""),
        // The clock may be behind.
        (&of(&|response, now| response.this_update(now + 9_000)), &configured, "kept a.pem.ocsp: not_yet_valid"),
        (b"a note", &configured, "kept a.pem.ocsp: malformed"),
        (b"a note", &strict, "kept a.pem.ocsp: malformed"),
        // HAProxy takes responses because of it, or does not start.
        (b"", &configured, ""),
        (b"", &strict, "removed a.pem.ocsp: empty"),
    ];
    for (contents, options, expected) in cases {
        let file = world.write("a.pem.ocsp", contents);
        let bystander = world.write("c.ocsp", &expired);
        let named = world.clean(options, Removal::Named);
        assert_eq!(actions(&named).join(" "), expected.replace("removed", "would remove"), "{options:?}");
        assert_eq!(named.needs_operator(), !expected.is_empty());
        assert_eq!(std::fs::read(&file).unwrap(), contents, "only named");
        let cleaned = world.clean(options, Removal::Done);
        assert_eq!(
            (actions(&cleaned).join(" "), cleaned.in_order),
            (expected.to_owned(), usize::from(expected.is_empty()))
        );
        assert_eq!(file.exists(), !expected.starts_with("removed"), "{expected}");
        assert_eq!(cleaned.needs_operator(), expected.starts_with("kept"), "{expected}");
        assert!(bystander.exists(), "no certificate is beside it");
    }
}

/// The staple of a renewed certificate, of one without URL, and of one whose issuer HAProxy does not find.
#[test]
fn staples_of_certificates_that_changed_are_removed() {
    let world = World::new();
    let old = world.cert("a.pem", |profile| profile);
    let without_url = world.cert("b.pem", |_| Profile::server("b.example"));
    let lonely = world.lonely("c.pem", |profile| profile);
    for (file, about) in [("a.pem.ocsp", &old), ("b.pem.ocsp", &without_url), ("c.pem.ocsp", &lonely)] {
        world.write(file, world.response(about, |response, _| response));
    }
    world.haproxy(&["a.pem", "b.pem"]);
    let clean = || actions(&world.clean(&["--haproxy-config", "@/h.cfg", "--no-haproxy-sockets"], Removal::Done));
    assert_eq!(clean(), [""; 0]);
    world.cert("a.pem", |profile| profile);
    // A CA that has given up OCSP.
    world.cert("b.pem", |_| Profile::server("b.example"));
    assert_eq!(clean(), ["removed a.pem.ocsp: no_matching_certid", "removed b.pem.ocsp: no_matching_certid"]);

    // Without the configuration, HAProxy's chains are not known.
    assert_eq!(actions(&world.clean(&["-p", "@/c.pem"], Removal::Done)), [""; 0]);
    world.haproxy(&["c.pem"]);
    assert_eq!(clean(), ["removed c.pem.ocsp: staple_without_issuer"]);
}

/// A file that the configuration names must stay: HAProxy does not start without it.
#[test]
fn a_named_file_stays() {
    let world = World::new();
    let certificate = world.cert("a.pem", |profile| profile);
    let expired = world.response(&certificate, |response, now| response.this_update(now - 90).next_update(now - 9));
    world.write("a.response", expired);
    let text = "crt-store\n load crt @/a.pem ocsp @/a.response alias a\nfrontend f\n bind :1 ssl crt @a\n";
    let text = text.replace("@/", &world.path("").display().to_string()).replace("@a", "@/a");
    world.write("h.cfg", &text);
    world.write("strict.cfg", format!("global\n zero-warning\n{text}"));
    let clean = |file: &str| actions(&world.clean(&["--haproxy-config", file], Removal::Done));
    assert_eq!(clean("@/h.cfg"), [""; 0]);
    assert_eq!(clean("@/strict.cfg"), ["kept a.response: expired"]);
}

/// A HAProxy that does not run tells nothing, and nothing else names certificates.
#[test]
fn a_haproxy_that_does_not_run_is_told() {
    let world = World::new();
    let cleaned = world.clean(&["-s", "@/no.sock"], Removal::Done);
    assert!(cleaned.needs_operator() && cleaned.unseen[0].contains("--haproxy-config"), "{cleaned}");
    world.cert("a.pem", |profile| profile);
    assert!(!world.clean(&["-p", "@/a.pem", "-s", "@/no.sock"], Removal::Done).needs_operator());
}

/// What is at the path when it is removed must be what was judged.
#[test]
fn nothing_else_than_what_was_judged_is_removed() {
    let world = World::new();
    let certificate = world.cert("d/a.pem", |profile| profile);
    world.cert("other/a.pem", |profile| profile);
    for file in ["d/a.pem.ocsp", "other/a.pem.ocsp", "target"] {
        world.write(file, "contents");
    }
    let found = |contents: &str| Leftover {
        verdict: Verdict::InOrder,
        hash: Sha256::of(contents.as_bytes()),
        fingerprint: certificate.fingerprint(),
    };
    let remove = |name: &str, contents| {
        let file = world.path(name);
        remove(&file.with_extension("pem.ocsp"), Some(&file.with_extension("pem")), &found(contents), Removal::Done)
    };
    assert!(matches!(remove("d/a", "other contents"), Err(Stays::Changed)));
    // The directory was replaced by another one.
    assert!(matches!(remove("other/a", "contents"), Err(Stays::Changed)));
    symlink(world.path("other"), world.path("swapped")).unwrap();
    assert!(matches!(remove("swapped/a", "contents"), Err(Stays::Changed)));
    assert!(world.path("other/a.pem.ocsp").exists());
    std::fs::remove_file(world.path("d/a.pem.ocsp")).unwrap();
    assert!(remove("d/a", "contents").is_ok(), "it is gone already");
    symlink(world.path("target"), world.path("d/a.pem.ocsp")).unwrap();
    assert!(matches!(remove("d/a", "contents"), Err(Stays::Link)));
    assert!(world.path("target").exists() && world.path("d/a.pem.ocsp").exists());
}

/// HAProxy serves the former certificate, whose staple has ended; the file holds the new one with a good staple.
#[test]
fn a_staple_of_the_renewed_certificate_stays_though_haproxy_serves_the_former() {
    let world = World::new();
    let former = world.issue(|profile| profile).0;
    let renewed = world.cert("a.pem", |profile| profile);
    world.write("a.pem.ocsp", world.response(&renewed, |response, _| response));
    world.haproxy(&["a.pem"]);
    let answered = world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
        inputs.processes[0].snapshot = Ok(world.loaded(&[("a.pem", &former)]));
    });
    let found = answered.certificates.iter().filter_map(|row| row.leftover.as_ref());
    assert_eq!(found.map(|found| &found.verdict).collect::<Vec<_>>(), [&Verdict::InOrder]);
}
