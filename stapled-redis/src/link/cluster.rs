//! A Cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Arg, Cmd, ErrorKind, IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value};

use super::server::{Deadlines, Opening, at, settings};
use super::tls;
use crate::address::{Host, RedisAddress};

/// The connections to the nodes of a Cluster.
#[derive(Clone)]
pub(super) struct Nodes {
    connection: ClusterConnection,
    address: RedisAddress,
    deadlines: Deadlines,
}

impl Nodes {
    /// Connects to all nodes that can be reached, without a deadline.
    pub(super) async fn open(hosts: &[Host], address: &RedisAddress, deadlines: Deadlines) -> RedisResult<Self> {
        let node = |host| {
            Ok(at(host, address.tls.is_some()).into_connection_info()?.set_redis_settings(settings(&address.login, 0)))
        };
        let nodes = hosts.iter().map(node).collect::<RedisResult<Vec<_>>>()?;
        // Connecting takes two rounds, to the nodes of the address and to those they name. A node that does not answer must
        // not use up the deadline of all. No retries: the client would send commands again that a node may have carried out.
        let mut builder = ClusterClientBuilder::new(nodes)
            .retries(0)
            .connection_timeout(deadlines.connect / 3)
            .response_timeout(deadlines.command);
        if let Some(files) = &address.tls {
            builder = tls::for_cluster(builder, files).await?;
        }
        let connection = builder.build()?.get_async_connection().await?;
        Ok(Nodes { connection, address: address.clone(), deadlines })
    }

    pub(super) fn connection(&mut self) -> &mut ClusterConnection {
        &mut self.connection
    }

    /// Sends a command. If its key is on its way to another node, and there already, the command is sent to that node. A
    /// script is not: while its slot moves, some of its keys may be on either node.
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        let result = self.connection.req_packed_command(command).await;
        let error = match &result {
            Ok(Value::ServerError(error)) => RedisError::from(error.clone()),
            Err(error) => error.clone(),
            Ok(_) => return result,
        };
        let to = error.redirect_node().and_then(|(node, _)| host(node));
        match to {
            Some(node) if error.kind() == ErrorKind::Server(ServerErrorKind::Ask) && !is_script(command) => {
                self.ask(&node, command).await
            }
            _ => result,
        }
    }

    async fn ask(&self, node: &Host, command: &Cmd) -> RedisResult<Value> {
        let Deadlines { connect, command: reply } = self.deadlines;
        let opening =
            Opening { login: &self.address.login, database: 0, tls: self.address.tls.as_ref(), command: reply };
        let late = |_| Err(super::server::late(connect));
        let mut connection: MultiplexedConnection =
            tokio::time::timeout(connect, opening.connect_to(node)).await.unwrap_or_else(late)?;
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore().add_command(command.clone());
        let (value,): (Value,) = both.query_async(&mut connection).await?;
        Ok(value)
    }
}

fn host(node: &str) -> Option<Host> {
    let (name, port) = node.rsplit_once(':')?;
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Host { name, port: port.parse().ok()? })
}

fn is_script(command: &Cmd) -> bool {
    let name = command.args_iter().next();
    matches!(name, Some(Arg::Simple(name)) if name.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"EVAL")))
}
