//! Scripts on the server, called by their hash.

use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, ToRedisArgs, Value};

use crate::link::Link;

/// A script whose calls have one key.
pub(crate) struct Script {
    code: String,
    hash: String,
}

/// A call of a script, with its arguments so far.
pub(crate) struct Call<'a> {
    script: &'a Script,
    key: &'a str,
    arguments: Vec<Vec<u8>>,
}

impl Script {
    pub(crate) fn new(code: impl Into<String>) -> Self {
        let code = code.into();
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Script { code, hash }
    }

    /// A call on the server that has this key.
    pub(crate) fn call<'a>(&'a self, key: &'a str) -> Call<'a> {
        Call { script: self, key, arguments: Vec::new() }
    }
}

impl Call<'_> {
    /// Adds an argument.
    pub(crate) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// Runs the call. The server gets the text of the script only if it does not know the hash: no other server needs to be
    /// reachable, as it would for `SCRIPT LOAD` on a Cluster.
    pub(crate) async fn run(&self, link: &Link) -> RedisResult<Value> {
        let mut link = link.clone();
        match self.command("EVALSHA", &self.script.hash).query_async(&mut link).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", &self.script.code).query_async(&mut link).await
            }
            result => result,
        }
    }

    /// Runs the call, and then a command on the same connection, so also on the same server of a Cluster. Returns the replies
    /// to both.
    pub(crate) async fn run_and(&self, link: &Link, command: &Cmd) -> RedisResult<(Value, RedisResult<Value>)> {
        match self.both("EVALSHA", &self.script.hash, link, command).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.both("EVAL", &self.script.code, link, command).await
            }
            result => result,
        }
    }

    async fn both(
        &self,
        name: &str,
        script: &str,
        link: &Link,
        command: &Cmd,
    ) -> RedisResult<(Value, RedisResult<Value>)> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(self.command(name, script)).add_command(command.clone()).ignore_errors();
        let (value, other) =
            pipeline.query_async::<(RedisResult<Value>, RedisResult<Value>)>(&mut link.clone()).await?;
        Ok((value?, other))
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(1).arg(self.key).arg(&self.arguments);
        command
    }
}
