//! What can be wrong with the arguments and the configuration file.

use std::io;
use std::path::PathBuf;

/// Why the program does not start: exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    #[error("the configuration file {} cannot be read: {error}; let this user read it, or name another with --config", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "there is no configuration file {path}; `stapled --example-config > {path}` makes one with every setting, \
         `stapled convert-config OLD > {path}` one from that of the Python program",
        path = .path.display()
    )]
    NoFile { path: PathBuf },
    #[error(
        "nothing to do: no paths to certificates; say where they are with --cert-paths, such as \
         `stapled --cert-paths /etc/haproxy/certs`, or with cert-paths in a configuration file; or name HAProxy's own \
         configuration: `stapled --haproxy-config /etc/haproxy/haproxy.cfg`; or a running HAProxy with \
         --haproxy-sockets, which is asked for them"
    )]
    NoPaths,
    #[error("{stray}: belongs to no option; paths to certificates follow --cert-paths: `stapled --cert-paths {stray}`")]
    Stray { stray: String },
    #[error("{stray}: did you mean the command `stapled {command}`? A command comes first, its options follow it")]
    Command { stray: String, command: String },
    #[error(
        "{command}: a command comes first, before its options: `stapled {command} …`; a path of this name is written ./{command}"
    )]
    SwallowedCommand { command: String },
    #[error("{directories}: `directories` is the old name of `cert-paths`, and both are set; use cert-paths only")]
    BothNames { directories: String },
    #[error(
        "HAProxy sockets: {socket_count} ({sockets}), certificate paths: {path_count} ({paths}): give one socket, which \
         serves all paths, or one for each path in the same order; several sockets for one path are joined by commas, \
         as in /run/a.sock,/run/b.sock"
    )]
    Unpaired { sockets: String, socket_count: usize, paths: String, path_count: usize },
    #[error(
        "{sockets}: there are sockets and no cert-paths: the paths of a [[group]] take their sockets from `sockets` in it"
    )]
    SocketsWithoutPaths { sockets: String },
    #[error("{place}: {what}")]
    Setting { place: String, what: String },
}
