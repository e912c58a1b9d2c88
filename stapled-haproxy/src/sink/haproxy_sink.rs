//! The sink itself: one process behind an admin socket, or the workers behind a master.

use std::fmt;

use async_trait::async_trait;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertIdHash;
use stapled_core::report::Reporter;
use stapled_core::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;

use crate::cli::address::Address;
use crate::cli::route::Route;
use crate::instance::channel::SLACK;
use crate::instance::settings::Settings;
use crate::instance::writer::BATCH;
use crate::sink::process_sink::{MARGIN, Peer};
use crate::sink::workers::Crew;

/// Delivers staples to a running HAProxy over its admin socket, without a reload.
///
/// ```no_run
/// use stapled_haproxy::HaproxySink;
///
/// let sink = HaproxySink::new("/run/haproxy/admin.sock");
/// ```
///
/// HAProxy needs `stats socket /run/haproxy/admin.sock level admin` in its `global` section. With a lesser level,
/// staples can be renewed in some versions, but no certificate can get its first one.
///
/// The address of a master ([`Address::Master`]) leads to all of its workers: each gets every staple, those that a
/// reload has left to finish their connections included.
pub struct HaproxySink {
    address: Address,
    settings: Settings,
    behind: Behind,
}

/// What is behind an address.
enum Behind {
    Process(Box<Peer>),
    Master(Box<Crew>),
}

impl HaproxySink {
    pub(crate) fn with(address: &Address, settings: Settings) -> Self {
        let behind = match address {
            Address::Master(_) => Behind::Master(Box::new(Crew::of(address, settings.clone()))),
            address => Behind::Process(Box::new(Peer::new(&Route::to(address.clone()), settings.clone()))),
        };
        HaproxySink { address: address.clone(), settings, behind }
    }

    /// The socket's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn inspect(&self) -> Option<Lost> {
        match &self.behind {
            Behind::Process(peer) => peer.inspect().await,
            Behind::Master(crew) => crew.inspect().await,
        }
    }
}

/// What a HAProxy asks of a staple whose buffer takes responses of this size in bytes.
pub(crate) fn requirements(max_size: usize) -> Requirements {
    let mut requirements = Requirements::default();
    requirements.cert_id_hash = Some(CertIdHash::Sha1);
    requirements.single_response = true;
    requirements.next_update = true;
    requirements.max_size = max_size;
    requirements.margin = MARGIN;
    requirements.concurrency = BATCH;
    requirements
}

impl fmt::Debug for HaproxySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HaproxySink").field("address", &self.address).field("settings", &self.settings).finish()
    }
}

#[async_trait]
impl StapleSink for HaproxySink {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        self.requirements().check(staple, self.settings.clock.now() + SLACK)?;
        match &self.behind {
            Behind::Process(peer) => peer.deliver(staple, sites).await?,
            Behind::Master(crew) => crew.deliver(staple, sites).await?,
        }
        Ok(Delivered::Confirmed)
    }

    fn name(&self) -> String {
        self.address.to_string()
    }

    fn report_to(&self, reporter: Reporter) {
        self.settings.reporters.add(reporter);
    }

    fn requirements(&self) -> Requirements {
        requirements(self.settings.max_size)
    }

    async fn withdraw(&self, chain: &CertChain, _sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        if why == Withdrawal::Retired {
            // The file is gone; HAProxy may go on serving the certificate, and its staple is as true as before.
            match &self.behind {
                Behind::Process(peer) => peer.forget(chain),
                Behind::Master(crew) => crew.forget(chain),
            }
            return Ok(Withdrawn::Unsupported);
        }
        let is_revoked = why == Withdrawal::Revoked;
        match &self.behind {
            Behind::Process(peer) => peer.withdraw(chain, is_revoked).await?,
            Behind::Master(crew) => crew.withdraw(chain, is_revoked).await?,
        }
        Ok(Withdrawn::Confirmed)
    }

    async fn lost(&self) -> Lost {
        loop {
            tokio::time::sleep(self.settings.look_interval).await;
            if let Some(lost) = self.inspect().await {
                return lost;
            }
        }
    }
}
