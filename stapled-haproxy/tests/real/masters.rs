//! Behind a master.

use stapled_core::sink::{Lost, StapleSink, Withdrawal, Withdrawn};
use stapled_haproxy::{Address, HaproxySink, codes};

use crate::support::{self, lost};
use crate::{HOUR, crt, deliver, failure};
use stapled_tests::{Cert, Haproxy, PATIENCE, World, ask, binaries, wait_for};

/// The workers' numbers, as `show proc` lists them: current ones first.
fn workers(haproxy: &Haproxy) -> Vec<u64> {
    let reply = ask(&haproxy.master(), "show proc\nquit\n").expect("an answer");
    let pids = reply.lines().filter(|line| line.contains(" worker ")).filter_map(|line| line.split_whitespace().next());
    pids.map(|pid| pid.parse().expect("a number")).collect()
}

/// A HAProxy with a master that has a socket, too.
fn behind_a_master(world: &World, binary: &str, bind: &str) -> Haproxy {
    let master = world.path("master.sock");
    support::start_with(world, binary, bind, "", &["-W", "-S", master.to_str().expect("text")])
}

fn next_update(haproxy: &Haproxy, pid: u64, cert: &Cert) -> Option<String> {
    let cert_id: String = cert
        .chain()
        .cert_id(stapled_core::ocsp::CertIdHash::Sha1)
        .to_der()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let reply = haproxy.ask_worker(pid, &format!("show ssl ocsp-response {cert_id}"));
    reply.lines().find_map(|line| line.trim().strip_prefix("Next Update: ")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_master_every_worker_is_served_and_old_ones_are_too() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = behind_a_master(&world, &binary, &crt(&cert));
        let sink = support::master_sink_of(&haproxy);
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
        let lingering = haproxy.connect(&cert);

        haproxy.reload();
        assert_eq!(lost(&sink).await, Lost::Everything);
        let staple = world.staple(&cert, 2 * HOUR);
        sink.deliver(&staple, &[cert.site()]).await.expect("a delivery");
        assert_eq!(haproxy.staple(&cert).as_deref(), Some(staple.response().as_ref()));
        let pids = workers(&haproxy);
        assert_eq!(pids.len(), 2, "the old worker is there");
        let shown: Vec<_> = pids.iter().map(|pid| next_update(&haproxy, *pid, &cert)).collect();
        assert!(shown[0].is_some() && shown[0] == shown[1], "{shown:?}");

        // A withdrawal reaches both workers.
        assert_eq!(
            sink.withdraw(&cert.chain(), &[], Withdrawal::Revoked).await.expect("withdrawn"),
            Withdrawn::Confirmed
        );
        assert_eq!(haproxy.staple(&cert), None);
        let after: Vec<_> = pids.iter().map(|pid| next_update(&haproxy, *pid, &cert)).collect();
        assert!(after[0].is_some() && after[0] == after[1] && after != shown, "{after:?}");

        // It ends: nothing is lost, and nothing fails for it.
        drop(lingering);
        wait_for("the old worker's end", || (workers(&haproxy).len() == 1).then_some(()));
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

/// After a failed reload a master says so in its prompt, and keeps its worker.
#[tokio::test]
async fn a_reload_that_failed_costs_nothing() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = behind_a_master(&world, &binary, &crt(&cert));
        let sink = support::master_sink_of(&haproxy);
        deliver(&world, &sink, &cert).await;
        let configuration = std::fs::read_to_string(world.path("haproxy.cfg")).expect("a configuration");
        std::fs::write(world.path("haproxy.cfg"), configuration.clone() + "  nonsense\n").expect("a file");
        haproxy.signal("-USR2");
        wait_for("the reload to fail", || {
            let said = ask(&haproxy.master(), "prompt\nquit\n")?;
            said.contains("[ReloadFailed]").then_some(())
        });
        let staple = world.staple(&cert, 2 * HOUR);
        sink.deliver(&staple, &[cert.site()]).await.expect("a delivery");
        assert_eq!(haproxy.staple(&cert).as_deref(), Some(staple.response().as_ref()));
        // A socket of the worker's own is none.
        let misnamed = HaproxySink::builder(Address::master(haproxy.socket())).build();
        let error = failure(&world, &misnamed, &cert).await;
        assert_eq!(error.code(), codes::MASTER_SOCKET, "{error}");
        assert!(error.to_string().contains("leave `master@` out"), "{error}");

        std::fs::write(world.path("haproxy.cfg"), configuration).expect("a file");
        haproxy.reload();
        assert_eq!(lost(&sink).await, Lost::Everything);
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_source_behind_a_master_works_as_with_its_own_socket() {
    for binary in binaries() {
        let world = support::world();
        let certs: Vec<Cert> = (0..20).map(|number| world.cert_file(&format!("certs/{number}.pem"))).collect();
        let haproxy = behind_a_master(&world, &binary, &format!("crt {}", world.path("certs").display()));
        let sink = support::master_sink_of(&haproxy);
        for cert in &certs {
            deliver(&world, &sink, cert).await;
        }
        let most = sink.requirements().max_size;
        let small = world.padded_staple(&certs[0], HOUR, 1000).response().len();
        let largest = world.padded_staple(&certs[0], HOUR, most - small + 1000 - 8);
        sink.deliver(&largest, &[certs[0].site()]).await.expect("the largest response");
        assert_eq!(haproxy.staple(&certs[0]).as_deref(), Some(largest.response().as_ref()));

        haproxy.load(&certs[1], false);
        assert_eq!(haproxy.staple(&certs[1]), None);
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![certs[1].chain().subject().clone()]));
        let response = deliver(&world, &sink, &certs[1]).await;
        assert_eq!(haproxy.staple(&certs[1]), Some(response));

        // Addressed without its prefix, the master is recognised.
        let error = failure(&world, &support::sink(&haproxy.master()), &certs[0]).await;
        assert_eq!(error.code(), codes::MASTER_SOCKET);
        assert!(error.to_string().contains("master@"), "{error}");
    }
}

#[tokio::test]
async fn behind_a_master_a_worker_without_an_admin_socket_of_its_own_gets_first_staples_too() {
    for binary in binaries() {
        let world = support::world();
        let (cert, lonely) = (world.cert_file("a.pem"), world.cert_without_chain("b.pem"));
        let folder = world.path("");
        let folder = folder.display();
        let configuration = format!(
            "global\n  stats socket {folder}/admin.sock level user\n  stats socket {folder}/other.sock level operator\n\
             defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 10s\n\
             frontend f\n  bind unix@{folder}/tls.sock ssl {} {}\n",
            crt(&cert),
            crt(&lonely),
        );
        std::fs::write(world.path("haproxy.cfg"), configuration).expect("a file");
        let master = world.path("master.sock");
        let haproxy = support::launch(&world, &binary, &["-W", "-S", master.to_str().expect("text")]);
        let sink = support::master_sink_of(&haproxy);
        for cert in [&cert, &lonely] {
            let response = deliver(&world, &sink, cert).await;
            assert_eq!(haproxy.staple(cert), Some(response), "{binary}");
        }
    }
}

#[tokio::test]
async fn a_master_without_workers_or_that_is_no_master_is_an_error() {
    let world = support::world();
    let cert = world.cert_file("a.pem");
    let missing = support::sink_at(Address::master(world.path("missing.sock")));
    assert_eq!(failure(&world, &missing, &cert).await.code(), codes::SOCKET_MISSING);
    for binary in binaries() {
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let worker = HaproxySink::builder(Address::master(haproxy.socket())).reply_timeout(PATIENCE).build();
        assert_eq!(failure(&world, &worker, &cert).await.code(), codes::MASTER_SOCKET);
    }
}
