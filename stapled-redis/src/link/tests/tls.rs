//! TLS, with certificates of a test authority.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stapled_ca::{Authority, ExtendedKeyUsage, Profile};
use stapled_tests::{PATIENCE, Redis, free_port, redis_server};

use super::{open, ping};

/// An authority, and its certificate for `localhost` with its key, in files.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::root("Redis Root").create().unwrap();
        // Nodes of a Cluster use it as clients of each other.
        let usages = [ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth];
        let issued = authority.issue(&Profile::server("localhost").extended_key_usages(usages)).unwrap();
        let files = Files(directory);
        std::fs::write(files.path("ca"), authority.root_pem()).unwrap();
        std::fs::write(files.path("cert"), issued.certificate_pem()).unwrap();
        std::fs::write(files.path("key"), issued.key_pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The arguments of a server on this port.
    fn arguments(&self, clients: &str) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let mut arguments =
            vec!["--save".to_owned(), String::new(), "--tls-auth-clients".to_owned(), clients.to_owned()];
        for (name, path) in [("--tls-ca-cert-file", "ca"), ("--tls-cert-file", "cert"), ("--tls-key-file", "key")] {
            arguments.extend([name.to_owned(), file(&self.path(path))]);
        }
        arguments
    }

    /// The parameters of an address that trusts this authority.
    fn trust(&self) -> String {
        format!("ca={}", self.path("ca").display())
    }

    fn client(&self) -> String {
        format!("{}&cert={}&key={}", self.trust(), self.path("cert").display(), self.path("key").display())
    }
}

fn install_provider() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

fn start(files: &Files, clients: &str) -> (Redis, String) {
    let port = free_port().to_string();
    let mut arguments = files.arguments(clients);
    arguments.extend(["--tls-port".to_owned(), port.clone()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    (Redis::start_with(&arguments), format!("rediss://localhost:{port}/0"))
}

#[tokio::test]
async fn the_root_certificates_of_the_address_decide() {
    install_provider();
    let (right, wrong) = (Files::new(), Files::new());
    let (_server, address) = start(&right, "no");
    ping(&open(&format!("{address}?{}", right.trust())).await.unwrap()).await.unwrap();
    for (parameters, words) in [
        (format!("?{}", wrong.trust()), "invalid peer certificate"),
        (String::new(), "invalid peer certificate: UnknownIssuer"),
        (format!("?ca={}", right.path("key").display()), "has no certificate in PEM"),
        (format!("?ca={}", right.path("none").display()), "cannot read"),
    ] {
        let error = open(&format!("{address}{parameters}")).await.err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = open(&format!("{}?{}", address.replace("localhost", "127.0.0.1"), right.trust())).await.err().unwrap();
    assert!(error.to_string().contains("certificate not valid for name"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    install_provider();
    let files = Files::new();
    let (_server, address) = start(&files, "yes");
    ping(&open(&format!("{address}?{}", files.client())).await.unwrap()).await.unwrap();
    open(&format!("{address}?{}", files.trust())).await.err().unwrap();
}

/// A sentinel. Its drop ends it.
struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sentinel and primary have TLS, and clients are asked for certificates.
#[tokio::test]
async fn sentinels_and_their_primary_have_tls() {
    install_provider();
    let files = Files::new();
    let (server, address) = start(&files, "yes");
    let primary = address.trim_start_matches("rediss://localhost:").trim_end_matches("/0");
    let port = free_port();
    let mut lines = format!(
        "port 0\ntls-port {port}\ntls-replication yes\nsentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
         sentinel monitor main localhost {primary} 1\n"
    );
    for pair in files.arguments("yes")[2..].chunks(2) {
        lines.push_str(&format!("{} {}\n", pair[0].trim_start_matches("--"), pair[1]));
    }
    let configuration = server.directory().join("sentinel.conf");
    std::fs::write(&configuration, lines).unwrap();
    let mut command = Command::new(redis_server());
    command.arg(&configuration).arg("--sentinel").stdout(Stdio::null());
    let _sentinel = Sentinel(command.spawn().unwrap());
    let address = format!("rediss+sentinel://localhost:{port}/main/0");
    let opened = async {
        loop {
            match open(&format!("{address}?{}", files.client())).await {
                Ok(link) => return link,
                Err(error) => println!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let link = tokio::time::timeout(PATIENCE, opened).await.unwrap();
    redis::cmd("SET").arg("a").arg("v").exec_async(&mut link.clone()).await.unwrap();
    assert_eq!(server.ask(&["GET", "a"]), "v");
    // The same files are shown to both, and neither talks to a stranger.
    open(&format!("{address}?{}", files.trust())).await.err().unwrap();
    open(&format!("{address}?{}", Files::new().client())).await.err().unwrap();
    open(&address.replace("rediss", "redis")).await.err().unwrap();
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn the_nodes_of_a_cluster_have_tls() {
    install_provider();
    let files = Files::new();
    let mut arguments = files.arguments("no");
    let more = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
    arguments.extend(more.map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cluster = stapled_tests::RedisCluster::start_with_tls(&arguments);
    let address = cluster.address(2).replace("redis+", "rediss+").replace("127.0.0.1", "localhost");
    let link = open(&format!("{address}?{}", files.trust())).await.unwrap();
    for key in ["a", "b", "c", "d"] {
        redis::cmd("SET").arg(key).arg("v").exec_async(&mut link.clone()).await.unwrap();
    }
    assert!(open(&format!("{address}?{}", Files::new().trust())).await.is_err());
}
