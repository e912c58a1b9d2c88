//! Several HAProxys of one program.

#[cfg(feature = "metrics")]
use std::collections::HashSet;

use futures_util::future::select_all;
use stapled_core::stapler::Group;

use super::grouping::{self, Wanted};
use super::one::Haproxy;
#[cfg(feature = "metrics")]
use crate::cli::address::Address;

/// Several HAProxys that one program serves. An admin socket that several of them use is one process: it has one sink
/// and is asked once.
#[derive(Default)]
pub struct Haproxys(Vec<Haproxy>);

impl Haproxys {
    /// Each of them, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Haproxy> {
        self.0.iter()
    }

    /// Sources and sinks of all, joined as a stapler needs them. To be called inside a tokio runtime.
    pub fn groups(&mut self) -> Vec<Group> {
        grouping::groups(grouping::parts(&self.wanted()))
    }

    /// The admin sockets that [`groups`](Haproxys::groups) used, each once.
    #[cfg(feature = "metrics")]
    pub fn sockets(&self) -> Vec<Address> {
        let mut sockets: Vec<Address> = self.0.iter().flat_map(|haproxy| haproxy.wanted_as_looked().sockets).collect();
        let mut seen = HashSet::new();
        sockets.retain(|socket| seen.insert(socket.clone()));
        sockets
    }

    /// Returns when one of them has other admin sockets than [`groups`](Haproxys::groups) used.
    pub async fn sockets_changed(&mut self) {
        let changes: Vec<_> = self.0.iter_mut().map(|haproxy| Box::pin(haproxy.sockets_changed())).collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
        let _ = select_all(changes).await;
    }

    /// Takes over the admin sockets that the same HAProxys, known by the same configuration, used before.
    pub fn succeed(&mut self, before: &Haproxys) {
        for haproxy in &mut self.0 {
            before.0.iter().for_each(|before| haproxy.succeed(before));
        }
    }

    /// What is stapled of each now.
    pub(crate) fn wanted(&mut self) -> Vec<Wanted> {
        self.0.iter_mut().for_each(Haproxy::look);
        let named: Vec<_> = self.0.iter().flat_map(Haproxy::named).cloned().collect();
        self.0.iter_mut().for_each(|haproxy| haproxy.forget_former(&named));
        self.0.iter().map(Haproxy::wanted_as_looked).collect()
    }
}

impl From<Haproxy> for Haproxys {
    fn from(haproxy: Haproxy) -> Self {
        Haproxys(vec![haproxy])
    }
}

impl FromIterator<Haproxy> for Haproxys {
    fn from_iter<I: IntoIterator<Item = Haproxy>>(haproxys: I) -> Self {
        Haproxys(haproxys.into_iter().collect())
    }
}
