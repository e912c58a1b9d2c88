//! The cost of deliveries if thousands of certificates have one file name, as certbot writes them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::sink::StapleSink;
use stapled_haproxy::{Address, HaproxySink, codes};
use stapled_tests::{Cert, World, cpu_time, how_many};

use crate::{Fake, HOUR, fingerprint, say, support, usual};

/// How often each delivery is tried, as a stapler does within the first minute.
const ATTEMPTS: usize = 3;

/// The number in hexadecimal of the certificate that is loaded as this name.
fn serials(loaded: &[String]) -> HashMap<String, String> {
    loaded.iter().enumerate().map(|(number, name)| (name.clone(), format!("AA{number:06X}"))).collect()
}

/// The CPU time of this process, and with it of the fake HAProxy, for deliveries to a HAProxy that has loaded these
/// certificates and none of those that are delivered.
async fn cost(world: World, loaded: Vec<String>, certs: &[Cert]) -> Duration {
    for name in &loaded {
        std::fs::create_dir_all(Path::new(name).parent().expect("a folder")).expect("a folder");
        std::fs::write(name, "").expect("a file");
    }
    let serials = serials(&loaded);
    let list = format!("# filename\n{}\n\n> ", loaded.join("\n"));
    let hash = fingerprint(b"another certificate");
    let listener = tokio::net::UnixListener::bind(world.path("fake.sock")).expect("a socket");
    let staples: Vec<_> = certs.iter().map(|cert| world.staple(cert, HOUR)).collect();
    let fake = Fake::serving(world, listener, move |line, _| match line {
        "show ssl cert" => say(&list),
        "abort ssl cert /" => say("No ongoing transaction!\n\n> "),
        line if line.starts_with("set ssl ocsp-response ") => {
            say("OCSP single response: Certificate ID does not match any certificate or issuer.\n\n> ")
        }
        line => match line.strip_prefix("show ssl cert ").map(|name| serials.get(name)) {
            Some(Some(serial)) => say(&format!(
                "Filename: x\nStatus: Used\nSerial: {serial}\nSHA1 FingerPrint: {hash}\nOCSP Response Key: \n\n> "
            )),
            Some(None) => say("Can't display the certificate: Not found or the certificate is a bundle!\n\n> "),
            None => usual(line, 1),
        },
    });
    // A busy machine must not make it fail.
    let sink = HaproxySink::builder(Address::unix(&fake.socket)).reply_timeout(Duration::from_secs(60)).build();
    let sink = Arc::new(sink);
    let before = cpu_time(std::process::id().into());
    for _ in 0..ATTEMPTS {
        let deliveries = staples.iter().zip(certs).map(|(staple, cert)| {
            let (sink, staple, site) = (Arc::clone(&sink), staple.clone(), [cert.site()]);
            tokio::spawn(async move { sink.deliver(&staple, &site).await.map_err(|error| error.code()) })
        });
        for delivery in deliveries.collect::<Vec<_>>() {
            let code = delivery.await.expect("an end").expect_err("the certificate is not loaded");
            assert!([codes::NOT_LOADED, codes::CERTIFICATE_DIFFERS].contains(&code), "{code}");
        }
    }
    cpu_time(std::process::id().into()) - before
}

/// Certificates that are on disk and not loaded are looked for under the loaded names. That must not cost more where all
/// names end alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_name_for_all_costs_no_more_than_distinct_names() {
    let (loaded, more) = (how_many(2000, 500), how_many(300, 60));
    let mut costs = Vec::new();
    for is_distinct in [true, false] {
        let world = support::world();
        let file = |folder: &str, number: usize| match is_distinct {
            true => format!("{folder}/host{number}/{folder}{number}.pem"),
            false => format!("{folder}/host{number}/fullchain.pem"),
        };
        let certs = (0..more).map(|number| world.issue(&world.path(&file("more", number)), |profile| profile));
        let certs: Vec<Cert> = certs.collect();
        certs.iter().for_each(Cert::write);
        let names = (0..loaded).map(|number| world.path(&file("live", number)).to_str().expect("text").to_owned());
        let names = names.collect();
        costs.push(cost(world, names, &certs).await);
    }
    println!("{loaded} loaded, {more} more on disk: distinct names {:?}, one file name {:?}", costs[0], costs[1]);
    assert!(costs[1] < costs[0] * 3 + Duration::from_millis(500), "{costs:?}");
}
