//! What can be set, as it was said: by argument or in the configuration file, under the same names.

use std::ffi::OsStr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Deserializer, de};

pub(crate) const CERTIFICATES: &str = "Certificates";
pub(crate) const HAPROXY: &str = "HAProxy";
pub(crate) const FILES: &str = "Files";
pub(crate) const ASKING: &str = "Asking the CA";
pub(crate) const BELIEVING: &str = "Believing its answers";
pub(crate) const RUNNING: &str = "Running";
pub(crate) const TELLING: &str = "Telling";
pub(crate) const LOGGING: &str = "Logging";

/// Where `--logdir` without a directory logs to.
pub(crate) const DEFAULT_LOGDIR: &str = "/var/log/stapled/";

/// The settings of one origin: the arguments, or the file.
#[derive(Args, Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Files and directories with certificates
    #[arg(short = 'p', long, value_name = "PATH", num_args = 1.., help_heading = CERTIFICATES)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) cert_paths: Vec<PathBuf>,

    /// The old name of --cert-paths; not to be mixed with it
    #[arg(short = 'd', long, value_name = "PATH", num_args = 1.., help_heading = CERTIFICATES)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) directories: Vec<PathBuf>,

    /// Look into directories in the directories, too
    #[arg(short = 'R', long, help_heading = CERTIFICATES)]
    pub(crate) recursive: bool,

    /// The extensions of certificates' files, separated by commas [default: crt,pem,cer]
    #[arg(long, value_name = "LIST", num_args = 1.., help_heading = CERTIFICATES)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) file_extensions: Vec<String>,

    /// Files and directories to pass over: a pattern that begins with / matches the whole path, any other its end
    #[arg(short = 'i', long, value_name = "GLOB", num_args = 1.., help_heading = CERTIFICATES)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) ignore: Vec<String>,

    /// How often to look for new and changed files where the system does not tell [default: 60]
    #[arg(short = 'r', long, value_name = "SECONDS", value_parser = seconds, help_heading = CERTIFICATES)]
    pub(crate) refresh_interval: Option<NonZeroU64>,

    /// A directory to keep issuers' certificates in that were fetched [default: /var/lib/stapled/issuers, where this
    /// user may write there; otherwise they are fetched at every start]
    #[arg(long, value_name = "DIR", help_heading = CERTIFICATES)]
    pub(crate) issuer_dir: Option<PathBuf>,

    /// Do not fetch issuers that lie nowhere from where the certificates say they are
    #[arg(long, help_heading = CERTIFICATES)]
    pub(crate) no_fetch_issuers: bool,

    /// Admin sockets: one for all paths, or one for each path in the same order; without paths, HAProxy is asked for the
    /// certificates that it has loaded. Commas join several sockets to one item: /run/a.sock,/run/b.sock. Before the
    /// socket of a master process stands master@
    #[arg(short = 's', long, value_name = "SOCKET", num_args = 1.., help_heading = HAPROXY)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) haproxy_sockets: Vec<String>,

    /// No sockets, whatever the configuration file says, and none out of HAProxy configurations
    #[arg(long, help_heading = HAPROXY)]
    pub(crate) no_haproxy_sockets: bool,

    /// How long an idle connection to a socket is kept [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = HAPROXY)]
    pub(crate) haproxy_socket_keepalive: Option<NonZeroU64>,

    /// Where certificates that HAProxy started without a staple get their first one while it runs [default: always]
    #[arg(long, value_name = "WHERE", help_heading = HAPROXY)]
    pub(crate) haproxy_transactions: Option<Transactions>,

    /// HAProxy configurations to take certificates and admin sockets from, one for each HAProxy: a file, or a directory
    /// of *.cfg. Commas join what one HAProxy is started with as -f: /etc/haproxy/haproxy.cfg,/etc/haproxy/conf.d
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = HAPROXY)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) haproxy_config: Vec<PathBuf>,

    /// An existing directory for those staples that cannot be written beside their certificates (CERT.ocsp), because
    /// a server that loads CERT would not find the issuer: HAProxy would not start
    #[arg(long, value_name = "DIR", help_heading = FILES)]
    pub(crate) staple_dir: Option<PathBuf>,

    /// Write no staples to files
    #[arg(long, help_heading = FILES)]
    pub(crate) no_staple_files: bool,

    /// Ask for every certificate, whatever staple its file holds from before. Otherwise --one-off asks for those whose
    /// staple is past half of its validity, or older than --maximum-interval
    #[arg(long, help_heading = FILES)]
    pub(crate) no_recycle: bool,

    /// Staples are renewed at half of their validity, and at --maximum-interval; and with no less left than this, where
    /// that is not more than the half [default: 7200]
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_none, help_heading = ASKING)]
    pub(crate) minimum_validity: Option<u64>,

    /// The least time between two renewals of a certificate; half of it, where responses live so short that servers would
    /// be without a staple in between [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = ASKING)]
    pub(crate) minimum_interval: Option<NonZeroU64>,

    /// The longest time between two renewals of a certificate, however long its staple is valid: a revocation is noticed
    /// within this time [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = ASKING)]
    pub(crate) maximum_interval: Option<NonZeroU64>,

    /// How many questions may be open at once [default: 64]
    #[arg(short = 't', long, value_name = "NUMBER", value_parser = number, help_heading = ASKING)]
    pub(crate) renewal_threads: Option<NonZeroUsize>,

    /// How many of them at one responder [default: 32]
    #[arg(long, value_name = "NUMBER", value_parser = number, help_heading = ASKING)]
    pub(crate) concurrent_per_responder: Option<NonZeroUsize>,

    /// How many questions a second one responder gets at most [default: as many as it answers]
    #[arg(long, value_name = "NUMBER", value_parser = rate, help_heading = ASKING)]
    pub(crate) responder_rate: Option<NonZeroU32>,

    /// The hash in the question, where no server insists on one (HAProxy does) [default: sha1]
    #[arg(long, value_name = "HASH", help_heading = ASKING)]
    pub(crate) hash: Option<Hash>,

    /// Put a nonce into questions
    #[arg(long, help_heading = ASKING)]
    pub(crate) nonce: bool,

    /// The proxy to ask through, for http and https: `http://[USER:PASSWORD@]HOST:PORT` [default: what http_proxy,
    /// https_proxy, all_proxy and no_proxy in the environment say]
    #[arg(long, value_name = "URL", help_heading = ASKING)]
    pub(crate) http_proxy: Option<String>,

    /// What is asked without the proxy, separated by commas: domains with their subdomains, addresses, networks, *
    #[arg(long, value_name = "LIST", num_args = 1.., help_heading = ASKING)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) no_proxy: Vec<String>,

    /// Ask the responder at NEW instead of the one at OLD, and what is below NEW instead of what is below OLD; may be given
    /// several times. For mirrors, and CAs that moved: `http://ocsp.ca.example=http://mirror.internal/ca`
    #[arg(long, value_name = "OLD=NEW", help_heading = ASKING)]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) responder: Vec<String>,

    /// Ask this responder about certificates that name none [default: they get no staple]
    #[arg(long, value_name = "URL", help_heading = ASKING)]
    pub(crate) default_responder: Option<String>,

    /// Try the IPv4 addresses of a responder before those of IPv6 [default: in the system's order]
    #[arg(long, help_heading = ASKING)]
    pub(crate) prefer_ipv4: bool,

    /// Ask public addresses only: for certificates that strangers upload, whose URLs must not lead to inner servers.
    /// A proxy resolves names by itself and must do the same
    #[arg(long, help_heading = ASKING)]
    pub(crate) deny_private_responders: bool,

    /// How far a responder's clock may be ahead [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_none, help_heading = BELIEVING)]
    pub(crate) clock_skew: Option<u64>,

    /// Accept signatures with SHA-1
    #[arg(long, help_heading = BELIEVING)]
    pub(crate) allow_sha1: bool,

    /// Accept RSA keys below 2048 bits
    #[arg(long, help_heading = BELIEVING)]
    pub(crate) allow_weak_keys: bool,

    /// Accept responses that do not say until when they are valid
    #[arg(long, help_heading = BELIEVING)]
    pub(crate) allow_missing_next_update: bool,

    /// Do everything that is due once, print a summary, and exit; see "Exit codes"
    #[arg(long, help_heading = RUNNING)]
    pub(crate) one_off: bool,

    /// Print the summary of --one-off as JSON: one object a line per certificate, then the totals
    #[arg(long, help_heading = RUNNING)]
    pub(crate) json: bool,

    /// Let --one-off try again for so long, until every certificate that should have a staple has one and every server
    /// has confirmed
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = RUNNING)]
    pub(crate) wait: Option<NonZeroU64>,

    /// Run in the background
    #[arg(short = 'D', long, help_heading = RUNNING)]
    pub(crate) daemon: bool,

    /// Stay in the foreground, as is the default; wins over --daemon
    #[arg(long, visible_alias = "interactive", help_heading = RUNNING)]
    #[serde(alias = "interactive")]
    pub(crate) no_daemon: bool,

    /// Where to write the process's number; a second stapled with the same file does not start
    #[arg(long, value_name = "FILE", help_heading = RUNNING)]
    pub(crate) pid_file: Option<PathBuf>,

    /// The socket on which it answers `stapled status` [default: /run/stapled/control.sock, where this user may make it]
    #[arg(long, value_name = "PATH", help_heading = TELLING)]
    pub(crate) control_socket: Option<PathBuf>,

    /// A program to run when something happens: what, is in its environment (see below)
    #[arg(long, value_name = "PROGRAM", help_heading = TELLING)]
    pub(crate) hook: Option<PathBuf>,

    /// How long it may take; then it is killed with all that it started [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = TELLING)]
    pub(crate) hook_timeout: Option<NonZeroU64>,

    /// How long the same about the same certificate is held back after it was told, and counted [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = TELLING)]
    pub(crate) hook_debounce: Option<NonZeroU64>,

    /// 0: only what ends the program, 1: errors, 2: warnings, 3: what is done, 4: every step
    /// [default: 3; with --one-off: 2]
    #[arg(long, value_name = "0..4", value_parser = clap::value_parser!(u8).range(0..=4), help_heading = LOGGING)]
    pub(crate) verbosity: Option<u8>,

    /// Log into a file a day in this directory [default without DIR: /var/log/stapled/]
    #[arg(
        short = 'l', long, value_name = "DIR", num_args = 0..=1, default_missing_value = DEFAULT_LOGDIR,
        help_heading = LOGGING
    )]
    #[serde(deserialize_with = "logdir")]
    pub(crate) logdir: Option<PathBuf>,

    /// Log to the syslog; the default in the background
    #[arg(long, help_heading = LOGGING)]
    pub(crate) syslog: bool,

    /// Nothing on standard output, and only errors on standard error
    #[arg(short = 'q', long, help_heading = LOGGING)]
    pub(crate) quiet: bool,

    /// Paths with sockets of their own: the `[[group]]` tables of the file.
    #[arg(skip)]
    pub(crate) group: Vec<GroupSettings>,
}

/// A `[[group]]` of the configuration file.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct GroupSettings {
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) paths: Vec<PathBuf>,
    #[serde(deserialize_with = "one_or_many", default)]
    pub(crate) sockets: Vec<String>,
}

/// The hash of a question's CertID.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Hash {
    /// SHA-1: every responder knows it.
    Sha1,
    /// SHA-256: what RFC 9919 clients use.
    Sha256,
}

/// Where first staples are brought to a running HAProxy, by `set ssl cert` and `commit ssl cert`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transactions {
    /// Everywhere
    Always,
    /// Only where HAProxy keeps the transactions of several clients apart: 3.0 and newer
    Isolated,
    /// Nowhere: they are in files, and HAProxy has them when it starts or is reloaded the next time
    Never,
}

impl From<Transactions> for stapled_haproxy::Transactions {
    fn from(transactions: Transactions) -> Self {
        match transactions {
            Transactions::Always => Self::Always,
            Transactions::Isolated => Self::Isolated,
            Transactions::Never => Self::Never,
        }
    }
}

impl Settings {
    /// These settings, and where they say nothing, those of the file.
    pub(crate) fn over(self, file: Settings) -> Settings {
        // Each of these four decides a question together with its counterpart: the arguments' answer wins whole.
        let paths_said = !self.cert_paths.is_empty() || !self.directories.is_empty();
        let sockets_said = !self.haproxy_sockets.is_empty() || self.no_haproxy_sockets;
        let background_said = self.daemon || self.no_daemon;
        let (cert_paths, directories, group) = match paths_said {
            true => (self.cert_paths, self.directories, Vec::new()),
            false => (file.cert_paths, file.directories, file.group),
        };
        let (haproxy_sockets, no_haproxy_sockets) = match sockets_said {
            true => (self.haproxy_sockets, self.no_haproxy_sockets),
            false => (file.haproxy_sockets, file.no_haproxy_sockets),
        };
        let (daemon, no_daemon) = match background_said {
            true => (self.daemon, self.no_daemon),
            false => (file.daemon, file.no_daemon),
        };
        let (http_proxy, no_proxy) = match self.http_proxy.is_some() || !self.no_proxy.is_empty() {
            true => (self.http_proxy, self.no_proxy),
            false => (file.http_proxy, file.no_proxy),
        };
        Settings {
            cert_paths,
            directories,
            group,
            haproxy_sockets,
            no_haproxy_sockets,
            daemon,
            no_daemon,
            recursive: self.recursive || file.recursive,
            file_extensions: first(self.file_extensions, file.file_extensions),
            ignore: first(self.ignore, file.ignore),
            refresh_interval: self.refresh_interval.or(file.refresh_interval),
            issuer_dir: self.issuer_dir.or(file.issuer_dir),
            no_fetch_issuers: self.no_fetch_issuers || file.no_fetch_issuers,
            haproxy_socket_keepalive: self.haproxy_socket_keepalive.or(file.haproxy_socket_keepalive),
            haproxy_transactions: self.haproxy_transactions.or(file.haproxy_transactions),
            haproxy_config: first(self.haproxy_config, file.haproxy_config),
            staple_dir: self.staple_dir.or(file.staple_dir),
            no_staple_files: self.no_staple_files || file.no_staple_files,
            no_recycle: self.no_recycle || file.no_recycle,
            minimum_validity: self.minimum_validity.or(file.minimum_validity),
            minimum_interval: self.minimum_interval.or(file.minimum_interval),
            maximum_interval: self.maximum_interval.or(file.maximum_interval),
            renewal_threads: self.renewal_threads.or(file.renewal_threads),
            concurrent_per_responder: self.concurrent_per_responder.or(file.concurrent_per_responder),
            responder_rate: self.responder_rate.or(file.responder_rate),
            hash: self.hash.or(file.hash),
            nonce: self.nonce || file.nonce,
            http_proxy,
            no_proxy,
            responder: first(self.responder, file.responder),
            default_responder: self.default_responder.or(file.default_responder),
            prefer_ipv4: self.prefer_ipv4 || file.prefer_ipv4,
            deny_private_responders: self.deny_private_responders || file.deny_private_responders,
            clock_skew: self.clock_skew.or(file.clock_skew),
            allow_sha1: self.allow_sha1 || file.allow_sha1,
            allow_weak_keys: self.allow_weak_keys || file.allow_weak_keys,
            allow_missing_next_update: self.allow_missing_next_update || file.allow_missing_next_update,
            one_off: self.one_off || file.one_off,
            json: self.json || file.json,
            wait: self.wait.or(file.wait),
            pid_file: self.pid_file.or(file.pid_file),
            control_socket: self.control_socket.or(file.control_socket),
            hook: self.hook.or(file.hook),
            hook_timeout: self.hook_timeout.or(file.hook_timeout),
            hook_debounce: self.hook_debounce.or(file.hook_debounce),
            verbosity: self.verbosity.or(file.verbosity),
            logdir: self.logdir.or(file.logdir),
            syslog: self.syslog || file.syslog,
            quiet: self.quiet || file.quiet,
        }
    }

    /// Relative paths, taken from `base` instead of the current directory.
    pub(crate) fn relative_to(mut self, base: &Path) -> Settings {
        for item in &mut self.haproxy_config {
            *item = joined(&parts(item).iter().map(|part| base.join(part)).collect::<Vec<_>>());
        }
        let many = [&mut self.cert_paths, &mut self.directories];
        let groups = self.group.iter_mut().map(|group| &mut group.paths);
        for path in many.into_iter().chain(groups).flatten() {
            *path = base.join(&*path);
        }
        let sockets = self.group.iter_mut().map(|group| &mut group.sockets);
        for item in std::iter::once(&mut self.haproxy_sockets).chain(sockets).flatten() {
            let address = |address: &str| {
                let address = address.trim();
                let after = |prefix| address.strip_prefix(prefix).map(|path| (prefix, path));
                let prefixes = ["master@unix@", "master@", "unix@"];
                let (prefix, path) = prefixes.into_iter().find_map(after).unwrap_or(("", address));
                match is_relative_path(path) {
                    true => format!("{prefix}{}", base.join(path).to_string_lossy()),
                    false => format!("{prefix}{path}"),
                }
            };
            *item = item.split(',').map(address).collect::<Vec<_>>().join(",");
        }
        let one = [&mut self.issuer_dir, &mut self.staple_dir, &mut self.pid_file, &mut self.logdir];
        let one = one.into_iter().chain([&mut self.control_socket, &mut self.hook]);
        for path in one.flatten() {
            *path = base.join(&*path);
        }
        self
    }
}

/// What commas join in one item of `haproxy-config`; a path that exists as it stands is one.
pub(crate) fn parts(item: &Path) -> Vec<PathBuf> {
    if item.exists() {
        return vec![item.to_owned()];
    }
    let parts = item.as_os_str().as_bytes().split(|byte| *byte == b',');
    parts.filter(|part| !part.is_empty()).map(|part| PathBuf::from(OsStr::from_bytes(part))).collect()
}

fn joined(parts: &[PathBuf]) -> PathBuf {
    let parts: Vec<&OsStr> = parts.iter().map(|part| part.as_os_str()).collect();
    parts.join(OsStr::new(",")).into()
}

/// Whether a socket's address is a path, without a prefix such as `ipv4@`, that does not begin at the root.
fn is_relative_path(address: &str) -> bool {
    !address.is_empty() && !address.starts_with('/') && !address.contains('@')
}

fn seconds(text: &str) -> Result<NonZeroU64, &'static str> {
    text.parse().map_err(|_| "a whole number of seconds is needed, at least 1")
}

fn seconds_or_none(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a whole number of seconds is needed")
}

fn number(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "a whole number is needed, at least 1")
}

fn rate(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse().map_err(|_| "a whole number of questions a second is needed, at least 1")
}

fn first<T>(arguments: Vec<T>, file: Vec<T>) -> Vec<T> {
    if arguments.is_empty() { file } else { arguments }
}

/// A list, or one item where a list is not needed.
fn one_or_many<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany;
    impl<'de> de::Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text in double quotes, or a list of such texts in [ ]")
        }

        fn visit_str<E: de::Error>(self, one: &str) -> Result<Self::Value, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut many = Vec::new();
            while let Some(item) = items.next_element()? {
                many.push(item);
            }
            Ok(many)
        }
    }
    Ok(deserializer.deserialize_any(OneOrMany)?.into_iter().map(T::from).collect())
}

/// A directory, or `true` for the default one.
fn logdir<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    struct Logdir;
    impl de::Visitor<'_> for Logdir {
        type Value = Option<PathBuf>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a directory in double quotes, or true for the default one")
        }

        fn visit_str<E: de::Error>(self, directory: &str) -> Result<Self::Value, E> {
            Ok(Some(directory.into()))
        }

        fn visit_bool<E: de::Error>(self, log: bool) -> Result<Self::Value, E> {
            Ok(log.then(|| DEFAULT_LOGDIR.into()))
        }
    }
    deserializer.deserialize_any(Logdir)
}
