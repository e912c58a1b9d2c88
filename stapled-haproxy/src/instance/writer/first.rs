//! Delivers first staples.

use super::{Kept, Writer};
use crate::cli::connection::Age;
use crate::cli::error::Error;
use crate::cli::process::Process;
use crate::instance::deadline::Deadline;
use crate::instance::first_staple::{FirstDeliverer, FirstDelivery, LoadedNames};
use crate::instance::transaction::Transactor;
use crate::instance::turns::turn_of;

/// A first delivery whose connection broke.
struct BrokenDelivery {
    error: Error,
    /// Whether the connection had been used before.
    age: Age,
}

impl Writer {
    /// Delivers a first staple; once more if the connection ended that it was begun over.
    pub(super) async fn deliver_first(
        &self,
        kept: &mut Kept,
        first: &FirstDelivery,
        deadline: &Deadline,
    ) -> Result<(LoadedNames, Process), Error> {
        match self.try_deliver_first(kept, first, deadline).await? {
            Ok(delivered) => Ok(delivered),
            // A kept connection may end at any time.
            Err(BrokenDelivery { error: Error::Closed, age: Age::Kept }) => {
                self.try_deliver_first(kept, first, deadline).await?.map_err(|broken| broken.error)
            }
            Err(broken) => Err(broken.error),
        }
    }

    async fn try_deliver_first(
        &self,
        kept: &mut Kept,
        first: &FirstDelivery,
        deadline: &Deadline,
    ) -> Result<Result<(LoadedNames, Process), BrokenDelivery>, Error> {
        deadline.check()?;
        self.connection(kept).await?;
        let Kept { connection: Some(connection), worker_socket, unfinished, .. } = kept else {
            return Ok(Err(BrokenDelivery { error: Error::Closed, age: Age::Fresh }));
        };
        let turn = turn_of(connection.process());
        let _turn = turn.lock().await;
        let process = connection.process().clone();
        let own = match self.state.route.worker.is_some() && process.mixes_transactions() {
            true => worker_socket.around(connection, self.state.timeouts).await,
            false => None,
        };
        let connection = own.unwrap_or(connection);
        let age = connection.age();
        let transactor = Transactor { connection, unfinished };
        match (FirstDeliverer { route: &self.state.route, transactor }).deliver(first).await {
            Ok(delivered) => Ok(Ok((delivered, process))),
            Err(error) if error.breaks_connection() => {
                kept.worker_socket.close();
                kept.connection = None;
                self.abort_unfinished(kept).await;
                Ok(Err(BrokenDelivery { error, age }))
            }
            Err(error) => Err(error),
        }
    }

    /// Aborts a transaction that a broken connection has left open, so that other clients need not wait for it. If that
    /// fails, the next first delivery aborts it.
    async fn abort_unfinished(&self, kept: &mut Kept) {
        if !kept.unfinished.is_some() || self.connection(kept).await.is_err() {
            return;
        }
        let Kept { connection: Some(connection), unfinished, .. } = kept else { return };
        let mut transactor = Transactor { connection, unfinished };
        if transactor.finish().await.is_err() {
            kept.connection = None;
        }
    }
}
