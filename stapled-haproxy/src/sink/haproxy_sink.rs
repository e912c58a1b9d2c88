//! The sink for users: one process behind an admin socket, or the workers behind a master.

use std::fmt;

use async_trait::async_trait;
use stapled_core::chain::CertChain;
use stapled_core::report::Reporter;
use stapled_core::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;

use crate::cli::address::Address;
use crate::cli::route::Route;
use crate::instance::deadline::SLACK;
use crate::instance::settings::Settings;
use crate::sink::process_sink::ProcessSink;
use crate::sink::requirements::requirements;
use crate::sink::workers::Workers;

/// Delivers staples to a running HAProxy over its admin socket, without a reload.
///
/// ```no_run
/// use stapled_haproxy::HaproxySink;
///
/// let sink = HaproxySink::new("/run/haproxy/admin.sock");
/// ```
///
/// HAProxy needs `stats socket /run/haproxy/admin.sock level admin` in its `global` section. With a lower level, some
/// versions take renewed staples, but no certificate can get its first one.
///
/// The address of a master ([`Address::Master`]) leads to all of its workers: each gets every staple, including old workers
/// that only finish their connections after a reload.
pub struct HaproxySink {
    address: Address,
    settings: Settings,
    behind: Behind,
}

/// The processes behind an address.
enum Behind {
    Process(Box<ProcessSink>),
    Master(Box<Workers>),
}

impl HaproxySink {
    pub(crate) fn with(address: &Address, settings: Settings) -> Self {
        let behind = match address {
            Address::Master(_) => Behind::Master(Box::new(Workers::of(address, settings.clone()))),
            address => Behind::Process(Box::new(ProcessSink::new(&Route::to(address.clone()), settings.clone()))),
        };
        HaproxySink { address: address.clone(), settings, behind }
    }

    /// The address of the socket.
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn look_for_losses(&self) -> Option<Lost> {
        match &self.behind {
            Behind::Process(process) => process.look_for_losses().await,
            Behind::Master(workers) => workers.look_for_losses().await,
        }
    }
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
            Behind::Process(process) => process.deliver(staple, sites).await?,
            Behind::Master(workers) => workers.deliver(staple, sites).await?,
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
            // The file is gone; HAProxy may still serve the certificate, and its staple stays valid.
            match &self.behind {
                Behind::Process(process) => process.forget(chain),
                Behind::Master(workers) => workers.forget(chain),
            }
            return Ok(Withdrawn::Unsupported);
        }
        match &self.behind {
            Behind::Process(process) => process.withdraw(chain, why).await?,
            Behind::Master(workers) => workers.withdraw(chain, why).await?,
        }
        Ok(Withdrawn::Confirmed)
    }

    async fn lost(&self) -> Lost {
        loop {
            tokio::time::sleep(self.settings.look_interval).await;
            if let Some(lost) = self.look_for_losses().await {
                return lost;
            }
        }
    }
}
