//! The connections: one for commands, which all calls share, and one that waits.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Script, ScriptInvocation, Value};

use crate::error::RedisError;
use crate::reply::Reply;

/// How long a command may take. A server that is slower is treated as one that is down.
const COMMAND: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the waiting connection waits on the server for one name.
const WAIT: Duration = Duration::from_secs(20);

/// The connections to one Redis, and the prefix of the scheduler's keys.
pub(crate) struct Connection {
    client: Client,
    commands: ConnectionManager,
    script: Script,
    /// The prefix in braces: the hash tag of all keys.
    tag: String,
}

impl Connection {
    pub(crate) async fn open(address: &str, prefix: &str) -> Result<Self, RedisError> {
        let client = Client::open(address).map_err(|error| RedisError::Address(error.category().to_owned()))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(COMMAND))
            .set_connection_timeout(Some(CONNECT))
            .set_number_of_retries(1);
        let commands = client.get_connection_manager_with_config(config).await?;
        let script = Script::new(include_str!("scheduler.lua"));
        Ok(Connection { client, commands, script, tag: format!("{{{prefix}}}") })
    }

    /// A call of one procedure, without its arguments.
    pub(crate) fn call(&self, procedure: &str) -> ScriptInvocation<'_> {
        let mut call = self.script.key(self.tag.as_str());
        call.arg(procedure);
        call
    }

    /// Runs a call.
    pub(crate) async fn run(&self, call: &ScriptInvocation<'_>) -> Result<Reply, RedisError> {
        let value: Value = call.invoke_async(&mut self.commands.clone()).await?;
        Reply::of(value)
    }

    /// A connection of its own for waiting: a command that waits delays every other on the same connection. The client sets it
    /// no deadline, because the server may have given away a value that the client no longer waits for.
    pub(crate) async fn waiting(&self) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(2 * WAIT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Waits for the next name on the wake list of this process. `None`: there was none for a while.
    pub(crate) async fn woken(
        &self,
        waiting: &mut MultiplexedConnection,
        process: &str,
    ) -> Result<Option<String>, RedisError> {
        let mut command = redis::cmd("BLPOP");
        command.arg(format!("{}:wake:{process}", self.tag)).arg(WAIT.as_secs());
        let popped: Option<(Vec<u8>, Vec<u8>)> = command.query_async(waiting).await?;
        Ok(popped.map(|(_, queue)| String::from_utf8_lossy(&queue).into_owned()))
    }
}
