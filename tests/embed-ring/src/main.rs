//! A server that uses rustls with `ring` and keeps its staples fresh with stapled-core.
//!
//! `ServerConfig::builder()` panics if a dependency enables a second provider in rustls. The fetcher uses this
//! program's provider for `https`.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use stapled_core::{DirectorySource, FileSink, HttpFetcher, Stapler};
use stapled_redis::RedisScheduler;
use stapled_rustls::Stapling;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // rustls installs the only provider that is compiled in.
    let stapling = Arc::new(Stapling::new(Arc::new(ResolvesServerCertUsingSni::new())));
    let config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(stapling.clone());
    let suites = config.crypto_provider().cipher_suites.len();

    let directory = std::env::temp_dir().join(format!("embed-ring-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let stapler = Stapler::builder()
        .source(DirectorySource::new(&directory))
        .sink(FileSink::new())
        .group(stapling.group())
        .fetcher(HttpFetcher::builder().crypto_provider(rustls::crypto::ring::default_provider()).build()?)
        .build()?;
    let handle = stapler.handle();
    let running = tokio::spawn(stapler.run(tokio::time::sleep(Duration::from_secs(1))));
    handle.ready().await?;
    running.await?;
    std::fs::remove_dir(&directory)?;
    // Connections to Redis use this program's provider, too.
    for address in ["rediss://127.0.0.1:1", "rediss+sentinel://127.0.0.1:1/main", "rediss+cluster://127.0.0.1:1"] {
        let error = RedisScheduler::connect(address, "stapled").await.err().ok_or("a server on port 1")?;
        println!("{error}");
    }
    println!("a server with ring ({suites} cipher suites) runs beside a stapler");
    Ok(())
}
