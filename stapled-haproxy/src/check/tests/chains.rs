//! CAs with a new key under their old name, and issuers whose signatures cannot be checked.

use super::*;

/// Algorithms of OpenSSL that are not supported here, as files of the library's tests.
pub(super) const UNSUPPORTED: [&str; 4] =
    ["ecdsa-brainpool-sha256", "ecdsa-secp256k1-sha256", "ed448", "rsa768-sha256"];

/// A certificate, and its issuer.
pub(super) fn unsupported(algorithm: &str) -> (String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stapled-ocsp/tests/algorithms");
    let text = std::fs::read_to_string(folder.join(algorithm).with_extension("pem")).unwrap();
    let sections: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    (sections[1].to_owned(), sections[0].to_owned())
}

/// Where HAProxy takes another certificate of the issuer's name first, the problem and its remedy are reported, and no
/// staple is promised.
#[test]
fn another_certificate_of_the_issuers_name() {
    let former = Authority::root("Issuer").create().unwrap().certificate_pem();
    let world = World::new();
    let issuer = world.ca.certificate_pem();
    let both = [former.as_str(), &issuer].concat();
    let turned = [issuer.as_str(), &former].concat();
    for (names_key, chain, beside, expected) in [
        (true, both.as_str(), "", &[][..]),
        (true, &turned, "", &[]),
        (true, &former, "", &["issuer_missing!"]),
        (true, &former, &issuer, &[]),
        (true, &issuer, &former, &["wrong_issuer_file!"]),
        (true, "", &both, &["wrong_issuer_file!"]),
        (true, "", &turned, &[]),
        (false, &both, "", &["wrong_issuer_first!"]),
        (false, &turned, "", &[]),
        (false, &former, "", &["issuer_missing!"]),
        (false, &former, &issuer, &["wrong_issuer_first!"]),
        (false, &both, &issuer, &["wrong_issuer_first!"]),
        (false, &issuer, &former, &["wrong_issuer_file"]),
        (false, &turned, &former, &["wrong_issuer_file"]),
        (false, "", &both, &["wrong_issuer_file!"]),
        (false, "", &turned, &[]),
    ] {
        let world = World { folder: TempDir::new().unwrap(), ca: world.ca.clone(), stranger: world.stranger.clone() };
        let (certificate, pem) = world.issue(|profile| profile.authority_key_identifier(names_key));
        world.write("a.pem", format!("{pem}{chain}"));
        if !beside.is_empty() {
            world.write("a.pem.issuer", beside);
        }
        let how = format!("{names_key}: {} bytes of chain, {} beside", chain.len(), beside.len());
        let answered = world.check(&["-p", "@/a.pem", "--no-haproxy-sockets"], |_| {});
        assert_eq!(of_only_row(&answered), expected, "{how}");
        let is_mistaken = expected.contains(&"wrong_issuer_first!");
        for problem in &answered.certificates[0].findings {
            let remedy = problem.remedy().unwrap();
            assert!(!is_mistaken || remedy.contains("reload HAProxy"), "{how}: {remedy}");
            // To append it would not help.
            let is_behind = problem.code().as_str() == "issuer_missing" && !names_key;
            assert!(!is_behind || remedy.contains("in the place of the other"), "{how}: {remedy}");
        }
        // A HAProxy that has loaded it so takes no first staple.
        world.haproxy(&["a.pem"]);
        let answered = world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
            inputs.processes[0].snapshot = Ok(world.loaded(&[("a.pem", &certificate)]));
        });
        assert_eq!(of_only_row(&answered), expected, "{how}");
        let is_known = !expected.contains(&"issuer_missing!");
        assert_eq!(first(&answered) == "No wrong_issuer_first", is_mistaken, "{how}");
        assert_eq!(first(&answered) == "Yes", is_known && !is_mistaken, "{how}: {}", first(&answered));
        // A staple that HAProxy does not take is not written, and an unusable file is reported.
        world.write("a.pem.ocsp", "rubbish");
        let answered = world.check(&["-p", "@/a.pem", "--no-haproxy-sockets"], |_| {});
        let reasons = of_only_row(&answered);
        assert_eq!(reasons.contains(&"staple_file_unusable!".to_owned()), is_mistaken, "{how}: {reasons:?}");
    }
}

/// The file is right, and HAProxy still has the chain that it loaded before.
#[test]
fn a_haproxy_that_has_loaded_the_wrong_issuer_is_reported() {
    let world = World::new();
    let certificate = world.cert("a.pem", |profile| profile.authority_key_identifier(false));
    let former = Authority::root("Issuer").create().unwrap();
    world.haproxy(&["a.pem"]);
    let right = {
        let of = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
        let chain = stapled_core::chain::CertChain::new(of(certificate.as_der()), of(world.ca.certificate())).unwrap();
        chain.cert_id(stapled_core::ocsp::CertIdHash::Sha1).to_der()
    };
    let serial = world.ca.records().unwrap()[0].serial.clone();
    let wrong = former.cert_id(&serial, HashAlgorithm::Sha1).as_der().to_vec();
    for (cert_id, expected, answer) in
        [(right, &[][..], "Already"), (wrong, &["wrong_issuer_first!"], "No wrong_issuer_first")]
    {
        let answered = world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
            let mut snapshot = world.loaded(&[("a.pem", &certificate)]);
            snapshot.certificates[0].takes_responses = true;
            snapshot.certificates[0].cert_id = cert_id.clone();
            inputs.processes[0].snapshot = Ok(snapshot);
        });
        assert_eq!((of_only_row(&answered), first(&answered)), (told_as(expected), answer.to_owned()));
    }
}

/// No remedy would remove HAProxy's issuer.
#[test]
fn an_issuer_that_cannot_be_checked_is_not_wrong() {
    for algorithm in UNSUPPORTED {
        let (leaf, issuer) = unsupported(algorithm);
        for (chain, beside, elsewhere) in
            [(issuer.as_str(), "", ""), ("", &issuer, ""), ("", "", &issuer), (&issuer, &issuer, "")]
        {
            let world = World::new();
            world.write("certs/a.pem", format!("{leaf}{chain}"));
            for (name, text) in [("certs/a.pem.issuer", beside), ("certs/ca.crt", elsewhere)] {
                if !text.is_empty() {
                    world.write(name, text);
                }
            }
            for staple in [None, Some("")] {
                if let Some(staple) = staple {
                    world.write("certs/a.pem.ocsp", staple);
                }
                let answered = world.check(&["-p", "@/certs", "--no-haproxy-sockets"], |_| {});
                let how = format!("{algorithm}, {} {} {}", chain.len(), beside.len(), elsewhere.len());
                let mut expected = vec!["unsupported_algorithm!"];
                if staple.is_some() && !elsewhere.is_empty() {
                    // HAProxy does not look there.
                    expected.insert(0, "staple_without_issuer!");
                }
                assert_eq!(of_only_row(&answered), expected, "{how}");
                assert_eq!(first(&answered), "No unsupported_algorithm", "{how}");
                for problem in answered.certificates[0]
                    .findings
                    .iter()
                    .filter(|one| one.code().as_str() == "unsupported_algorithm")
                {
                    let remedy = problem.remedy().unwrap();
                    assert!(!remedy.contains("remove") && !remedy.contains("append"), "{how}: {remedy}");
                }
            }
        }
    }
}
