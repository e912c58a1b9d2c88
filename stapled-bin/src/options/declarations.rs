//! Every option of the daemon, in the order of the help.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use stapled_core::ocsp::CertIdHash;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::staple::JudgePolicy;
use stapled_haproxy::Transactions;

use super::kind::*;
use super::option::{Declaration, Example, Fallback, Opt, Original, Place, Section, Topic, User};
use super::value::{LogFormat, Table};

/// Declares options, and lists them. What an entry leaves out is as [`Declaration::of`] its kind has it.
macro_rules! options {
    ($($option:ident: $value:ty = $kind:ident { $($field:ident: $given:expr),* $(,)? })*) => {
        $(pub(crate) const $option: Opt<$value> =
            Opt { declaration: Declaration { $($field: $given,)* ..Declaration::of($kind.shape) }, read: $kind.read };)*

        /// Every option, in the order of the help.
        pub(crate) const ALL: &[Declaration] = &[$($option.declaration),*];
    };
}

options! {
    CERT_PATHS: Vec<PathBuf> = PATHS {
        name: "cert-paths", short: Some('p'), value_name: "PATH", section: Section::Certificates,
        topic: Some(Topic::Paths), used_by: &[User::Check], example: Example::On(r#"["/etc/haproxy/certs"]"#),
        original: Original::Same,
        doc: "Files and directories with certificates",
        note: "The old name of this setting is `directories`.",
    }

    DIRECTORIES: Vec<PathBuf> = PATHS {
        name: "directories", short: Some('d'), value_name: "PATH", section: Section::Certificates,
        topic: Some(Topic::Paths), example: Example::OldName,
        original: Original::Differs("`directories` is the old name of cert-paths"),
        doc: "The old name of --cert-paths; the two cannot be combined",
    }

    RECURSIVE: bool = SWITCH {
        name: "recursive", short: Some('R'), section: Section::Certificates, used_by: &[User::Check],
        original: Original::Same,
        doc: "Search the subdirectories of directories, too",
    }

    FILE_EXTENSIONS: Vec<String> = TEXTS {
        name: "file-extensions", value_name: "LIST", section: Section::Certificates, used_by: &[User::Check],
        example: Example::Off(r#"["crt", "pem", "cer"]"#), original: Original::Same,
        doc: "The file name extensions of certificate files, separated by commas",
        fallback: Fallback::Words("crt,pem,cer"),
    }

    IGNORE: Vec<String> = TEXTS {
        name: "ignore", short: Some('i'), value_name: "GLOB", section: Section::Certificates, used_by: &[User::Check],
        example: Example::Off(r#"["privkey.pem", "/etc/haproxy/certs/old/**"]"#),
        original: Original::Differs("* and ? do not match / here, and a pattern without / at its start matches whole names at \
            the end of a path"),
        doc: "Files and directories to ignore, whether a path, HAProxy's configuration or a running HAProxy names them. \
            A pattern that begins with / matches the whole path; any other pattern matches the end of the path",
    }

    REFRESH_INTERVAL: Duration = DURATION {
        name: "refresh-interval", short: Some('r'), value_name: "DURATION", section: Section::Certificates,
        original: Original::Differs("changes of files are noticed at once; this is for file systems that report none"),
        doc: "How often to search for new and changed files where the operating system does not report changes",
        fallback: Fallback::Number(|| 60),
    }

    ISSUER_DIR: Option<PathBuf> = ONE_PATH {
        name: "issuer-dir", value_name: "DIR", section: Section::Certificates, used_by: &[User::Check],
        example: Example::Off(r#""/var/lib/stapled/issuers""#),
        doc: "The directory that keeps issuer certificates that were fetched",
        fallback: Fallback::Words("/var/lib/stapled/issuers, if this user may write there; otherwise issuers are fetched again at \
            every start"),
    }

    NO_FETCH_ISSUERS: bool = SWITCH {
        name: "no-fetch-issuers", section: Section::Certificates, used_by: &[User::Check],
        doc: "Do not fetch issuer certificates. Without this option, an issuer certificate that is in no file is \
            fetched from the URL that the certificate names",
    }

    HAPROXY_SOCKETS: Vec<String> = SOCKETS {
        name: "haproxy-sockets", short: Some('s'), value_name: "SOCKET", section: Section::Haproxy,
        topic: Some(Topic::Sockets), used_by: &[User::Check], example: Example::On(r#"["/run/haproxy/admin.sock"]"#),
        original: Original::Differs("one socket for each path in the same order, as before; or one for all paths"),
        doc: "Admin sockets: one for all paths, or one for each path in the same order; without paths, HAProxy is \
            asked which certificates it has loaded. Commas join several sockets to one item: \
            /run/a.sock,/run/b.sock. The prefix master@ marks the socket of a master process",
        note: "HAProxy needs `stats socket /run/haproxy/admin.sock level admin` in its `global` section.",
    }

    NO_HAPROXY_SOCKETS: bool = SWITCH {
        name: "no-haproxy-sockets", section: Section::Haproxy, topic: Some(Topic::Sockets), used_by: &[User::Check],
        original: Original::Same,
        doc: "Use no sockets, neither those of the configuration file nor those of HAProxy configurations",
    }

    HAPROXY_SOCKET_KEEPALIVE: Duration = DURATION {
        name: "haproxy-socket-keepalive", value_name: "DURATION", section: Section::Haproxy, original: Original::Same,
        doc: "How long an idle connection to a socket stays open",
        fallback: Fallback::Number(|| 10),
    }

    HAPROXY_TRANSACTIONS: Option<Transactions> = TRANSACTIONS {
        name: "haproxy-transactions", value_name: "WHERE", section: Section::Haproxy,
        example: Example::Off(r#""always""#),
        doc: "In which HAProxy a certificate that was loaded without a staple gets its first staple at run time",
        fallback: Fallback::Words("always"),
    }

    HAPROXY_CONFIG: Vec<PathBuf> = JOINED_PATHS {
        name: "haproxy-config", value_name: "FILE", section: Section::Haproxy, used_by: &[User::Check],
        example: Example::Off(r#"["/etc/haproxy/haproxy.cfg"]"#), original: Original::Same,
        doc: "HAProxy configurations to take certificates and admin sockets from, one item for each HAProxy: a file, \
            or a directory of *.cfg. Commas join what one HAProxy is started with as -f: \
            /etc/haproxy/haproxy.cfg,/etc/haproxy/conf.d",
        note: "Changes of these configurations are followed. With this setting, cert-paths and haproxy-sockets can \
            be left out.",
    }

    STAPLE_DIR: Option<PathBuf> = ONE_PATH {
        name: "staple-dir", value_name: "DIR", section: Section::Files, used_by: &[User::Check],
        example: Example::Off(r#""/var/lib/stapled/staples""#),
        doc: "An existing directory for the staples that cannot be written beside their certificate (CERT.ocsp), \
            because a server that loads CERT would not find the issuer: HAProxy would not start",
    }

    LAYOUT: Option<String> = TEXT {
        name: "layout", value_name: "LAYOUT", section: Section::Files, example: Example::Off(r#""nginx""#),
        doc: "The names of staple files: a server whose names they are (nginx, nginx-file, hitch, h2o, exim, envoy, \
            kubernetes), or a name with placeholders, such as {name}.ocsp or {parent}/tls.ocsp-staple. For a certificate \
            /etc/tls/example.org/cert.pem, {file} is cert.pem, {name} is cert, {parent} is example.org, {serial} is the serial \
            number, {md5} is the MD5 of the path. They are in --staple-dir, if it is set, otherwise beside the certificates",
        fallback: Fallback::Words("{file}.ocsp, where HAProxy looks"),
    }

    NO_STAPLE_FILES: bool = SWITCH {
        name: "no-staple-files", section: Section::Files, used_by: &[User::Check],
        doc: "Write no staples to files",
    }

    RELOAD_COMMAND: Option<String> = TEXT {
        name: "reload-command", value_name: "COMMAND", section: Section::Files,
        example: Example::Off(r#""systemctl reload nginx""#),
        doc: "A command that tells servers of new staple files: it runs once they are in place, for many files once. No shell \
            reads it: spaces separate its words, quotes and backslashes work as in a shell, and nothing else has a meaning",
        note: "A command that fails is tried again, and reported as reload_failed.",
    }

    RELOAD_PAUSE: Duration = DURATION {
        name: "reload-pause", value_name: "DURATION", section: Section::Files,
        doc: "How long after a run of the reload command the next one begins, at least",
        fallback: Fallback::Number(|| 10),
    }

    RELOAD_TIMEOUT: Duration = DURATION {
        name: "reload-timeout", value_name: "DURATION", section: Section::Files,
        doc: "How long the reload command may take; then it is killed together with all processes that it started",
        fallback: Fallback::Number(|| 30),
    }

    NO_RECYCLE: bool = SWITCH {
        name: "no-recycle", section: Section::Files, original: Original::Same,
        doc: "Ask for every certificate, even if its file has a valid staple. Without this option, --one-off asks \
            only for certificates whose staple is past half of its validity, or older than --maximum-interval",
    }

    LISTEN: Vec<String> = TEXTS {
        name: "listen", value_name: "ADDRESS", section: Section::Serving,
        example: Example::Off(r#"["127.0.0.1:8888"]"#),
        doc: "Where the daemon answers OCSP questions of servers such as nginx: a loopback address with a port, or the path of a \
            unix socket",
        fallback: Fallback::Words("nowhere; `stapled serve`: 127.0.0.1:8888"),
    }

    LISTEN_ANYWHERE: bool = SWITCH {
        name: "listen-anywhere", section: Section::Serving,
        doc: "Allow addresses of `listen` that other machines can reach",
    }

    ALLOW_ISSUER: Vec<String> = TEXTS {
        name: "allow-issuer", value_name: "FILE=URL", section: Section::Serving,
        example: Example::Off(r#"["/etc/ssl/issuing-ca.pem=http://ocsp.ca.example/"]"#),
        doc: "Answer questions about all certificates of the CA in FILE (a path from the root), too, by asking the responder at \
            URL. Always allowed are the CAs that issued certificates of the daemon",
    }

    MINIMUM_VALIDITY: Duration = DURATION_FROM_0 {
        name: "minimum-validity", value_name: "DURATION", section: Section::Asking,
        original: Original::Differs("a staple is renewed at half of its validity and after an hour at the latest \
            (maximum-interval); this is the validity that it has left then, at least"),
        doc: "The validity that a staple has left at its renewal, at least, unless that is more than half of its \
            validity. Staples are renewed at half of their validity, and after --maximum-interval at the latest",
        fallback: Fallback::Number(|| RefreshPolicy::default().minimum_validity.as_secs()),
    }

    MINIMUM_INTERVAL: Duration = DURATION {
        name: "minimum-interval", value_name: "DURATION", section: Section::Asking,
        doc: "The shortest time between two renewals of a certificate; half of it, where responses are valid for so \
            short a time that servers would be without a staple in between",
        fallback: Fallback::Number(|| RefreshPolicy::default().minimum_interval.as_secs()),
    }

    MAXIMUM_INTERVAL: Duration = DURATION {
        name: "maximum-interval", value_name: "DURATION", section: Section::Asking,
        doc: "The longest time between two renewals of a certificate, however long its staple is valid: a revocation \
            is noticed within this time",
        fallback: Fallback::Number(|| RefreshPolicy::default().maximum_interval.as_secs()),
    }

    RENEWAL_THREADS: usize = NUMBER {
        name: "renewal-threads", short: Some('t'), value_name: "NUMBER", section: Section::Asking,
        original: Original::Gone(": a request needs no thread. The setting of this name limits the open requests; its \
            default is 64"),
        doc: "How many OCSP requests may be open at once",
        fallback: Fallback::Number(|| 64),
    }

    CONCURRENT_PER_RESPONDER: usize = NUMBER {
        name: "concurrent-per-responder", value_name: "NUMBER", section: Section::Asking,
        doc: "How many OCSP requests may be open at once at one responder",
        fallback: Fallback::Number(|| 32),
    }

    RESPONDER_RATE: Option<NonZeroU32> = RATE {
        name: "responder-rate", value_name: "NUMBER", section: Section::Asking, example: Example::Off("50"),
        doc: "How many OCSP requests one responder gets per second, at most",
        fallback: Fallback::Words("as many as it answers"),
    }

    HASH: Option<CertIdHash> = HASHES {
        name: "hash", value_name: "HASH", section: Section::Asking, example: Example::Off(r#""sha1""#),
        doc: "The hash algorithm in requests, where no server needs a particular one; HAProxy needs sha1",
        fallback: Fallback::Words("sha1"),
    }

    NONCE: bool = SWITCH {
        name: "nonce", section: Section::Asking,
        doc: "Put a nonce into requests",
    }

    SHARED_CACHE: Option<String> = TEXT {
        name: "shared-cache", value_name: "URL", section: Section::Asking,
        example: Example::Off(r#""redis://cache.example:6379/""#),
        doc: "The Redis through which several stapled share the answers of responders, so that each certificate is asked \
            about once in an interval and not once by each process: redis://HOST:PORT/DB, redis+unix:///PATH. Write an \
            address with a password into the configuration file, since every user can see arguments",
        note: "A process whose Redis fails asks the responders itself.",
    }

    HTTP_PROXY: Option<String> = TEXT {
        name: "http-proxy", value_name: "URL", section: Section::Asking, topic: Some(Topic::Proxy),
        used_by: &[User::Fetch], example: Example::Off(r#""http://proxy.example:3128""#),
        doc: "The proxy for requests over http and https: http://[USER:PASSWORD@]HOST:PORT",
        fallback: Fallback::Words("what http_proxy, https_proxy, all_proxy and no_proxy in the environment say"),
    }

    NO_PROXY: Vec<String> = TEXTS {
        name: "no-proxy", value_name: "LIST", section: Section::Asking, topic: Some(Topic::Proxy),
        used_by: &[User::Fetch], example: Example::Off(r#"["example.internal", "10.0.0.0/8"]"#),
        doc: "Hosts that are asked without the proxy, separated by commas: domains with their subdomains, addresses, \
            networks, *",
    }

    RESPONDER: Vec<String> = TEXTS {
        name: "responder", value_name: "OLD=NEW", section: Section::Asking, used_by: &[User::Check, User::Fetch],
        example: Example::Off(r#"["http://ocsp.ca.example=http://mirror.internal/ca"]"#),
        doc: "Ask the responder at NEW instead of the one at OLD, and what is below NEW instead of what is below \
            OLD; may be given several times. For mirrors, and CAs that moved: \
            http://ocsp.ca.example=http://mirror.internal/ca",
    }

    DEFAULT_RESPONDER: Option<String> = TEXT {
        name: "default-responder", value_name: "URL", section: Section::Asking, used_by: &[User::Check, User::Fetch],
        example: Example::Off(r#""http://ocsp.internal/""#),
        doc: "Ask this responder about certificates that name none",
        fallback: Fallback::Words("they get no staple"),
    }

    OFF: Vec<String> = TEXTS {
        name: "off", value_name: "CERTIFICATE", section: Section::Asking, used_by: &[User::Check],
        example: Example::Off(r#"["www.example", "5a14"]"#),
        doc: "Turn stapling off for this certificate, by its name or its serial number as `stapled status` shows them; may be \
            given several times. It stays visible, no responder is asked about it, and no server gets a staple for it. A \
            staple that a server has already stays until it ends",
    }

    PREFER_IPV4: bool = SWITCH {
        name: "prefer-ipv4", section: Section::Asking, used_by: &[User::Fetch],
        doc: "Try the IPv4 addresses of a responder before its IPv6 addresses",
        fallback: Fallback::Words("the order of the operating system"),
    }

    DENY_PRIVATE_RESPONDERS: bool = SWITCH {
        name: "deny-private-responders", section: Section::Asking, used_by: &[User::Fetch],
        doc: "Ask only responders at public addresses. For certificates that untrusted users upload, whose URLs must \
            not lead to internal servers. A proxy resolves names itself and must apply the same rule",
    }

    CLOCK_SKEW: Duration = DURATION_FROM_0 {
        name: "clock-skew", value_name: "DURATION", section: Section::Believing,
        doc: "How far a responder's clock may be ahead",
        fallback: Fallback::Number(|| JudgePolicy::default().clock_skew.as_secs()),
    }

    ALLOW_SHA1: bool = SWITCH {
        name: "allow-sha1", section: Section::Believing,
        doc: "Accept signatures with SHA-1, of the response and of a delegate's certificate",
    }

    ALLOW_WEAK_KEYS: bool = SWITCH {
        name: "allow-weak-keys", section: Section::Believing,
        doc: "Accept RSA keys below 2048 bits",
    }

    ALLOW_MISSING_NEXT_UPDATE: bool = SWITCH {
        name: "allow-missing-next-update", section: Section::Believing,
        doc: "Accept responses without nextUpdate, which do not say until when they are valid",
    }

    ONE_OFF: bool = SWITCH {
        name: "one-off", section: Section::Running, original: Original::Same,
        doc: "Do everything that is due once, print a summary, and exit; see \"Exit codes\"",
    }

    JSON: bool = SWITCH {
        name: "json", used_by: &[User::Check], section: Section::Running,
        doc: "Print the summary of --one-off as JSON: one object a line for each certificate, then the totals",
    }

    WAIT: Option<Duration> = DURATION_OR_NONE {
        name: "wait", value_name: "DURATION", section: Section::Running, example: Example::Off(r#""1m""#),
        doc: "How long --one-off tries again, until every certificate that should have a staple has one and every \
            server has confirmed",
    }

    DAEMON: bool = SWITCH {
        name: "daemon", short: Some('D'), section: Section::Running, topic: Some(Topic::Background),
        original: Original::Differs("the systemd unit overrules this with --no-daemon"),
        doc: "Run in the background; systemd does not need this",
    }

    NO_DAEMON: bool = SWITCH {
        name: "no-daemon", alias: Some("interactive"), section: Section::Running, topic: Some(Topic::Background),
        original: Original::Same,
        doc: "Stay in the foreground, which is the default; wins over --daemon",
    }

    PID_FILE: Option<PathBuf> = ONE_PATH {
        name: "pid-file", value_name: "FILE", section: Section::Running,
        example: Example::Off(r#""/run/stapled.pid""#),
        doc: "The file for the process ID; a second stapled with the same file does not start",
    }

    CONFIG: Option<PathBuf> = ONE_PATH {
        name: "config", short: Some('c'), section: Section::Running, value_name: "FILE", place: Place::CommandLine,
        used_by: &[User::Check, User::Client],
        original: Original::Gone(": a configuration file cannot name another one"),
        doc: "The configuration file of the daemon",
        fallback: Fallback::Words("the first that exists of stapled.conf beside this program, ~/.stapled.conf and \
            /etc/stapled/stapled.conf"),
    }

    CHECK_CONFIG: bool = SWITCH {
        name: "check-config", place: Place::CommandLine, section: Section::Running,
        doc: "Check arguments and configuration file, print \"configuration ok\" or the error, and exit",
    }

    EXAMPLE_CONFIG: bool = SWITCH {
        name: "example-config", place: Place::CommandLine, section: Section::Running,
        doc: "Print an example configuration file with every setting, and exit",
    }

    MAN: bool = SWITCH {
        name: "man", place: Place::CommandLine, section: Section::Running,
        doc: "Print the manual page, and exit",
    }

    CONTROL_SOCKET: Option<PathBuf> = ONE_PATH {
        name: "control-socket", value_name: "PATH", section: Section::Telling, used_by: &[User::Client],
        example: Example::Off(r#""/run/stapled/control.sock""#),
        doc: "The socket on which the daemon answers `stapled status` and `stapled renew`",
        fallback: Fallback::Words("of the daemon: /run/stapled/control.sock, if this user may create it; of the two commands: what \
            the configuration file says, or the same"),
    }

    CONTROL_GROUP: Option<String> = TEXT {
        name: "control-group", value_name: "GROUP", section: Section::Telling, example: Example::Off(r#""monitoring""#),
        doc: "The group whose members may ask for the state, as with `stapled status`: the name or the number of a group. \
            Only root and the user of the daemon may ask for renewals",
        fallback: Fallback::Words("none: only root and the user of the daemon may ask"),
    }

    HTTP: Option<String> = TEXT {
        name: "http", alias: Some("metrics"), value_name: "ADDRESS", section: Section::Telling,
        example: Example::Off(r#""127.0.0.1:9980""#),
        doc: "Where the daemon answers over HTTP, to programs of this machine only: a loopback address with a port, such as \
            127.0.0.1:9980, or the path of a unix socket. /metrics has numbers for Prometheus, /health the state, \
            /certificates.json the state of each certificate, and / a page",
        note: "Other machines ask through a proxy with authentication.",
    }

    METRICS_FILE: Option<PathBuf> = ONE_PATH {
        name: "metrics-file", value_name: "FILE", section: Section::Telling,
        example: Example::Off(r#""/var/lib/prometheus/node-exporter/stapled.prom""#),
        doc: "A file that the daemon writes every 15 seconds, for the textfile collector of Prometheus' node_exporter; its \
            name ends in .prom",
    }

    METRICS_CERTIFICATES: usize = NUMBER {
        name: "metrics-certificates", value_name: "NUMBER", section: Section::Telling,
        doc: "Up to how many certificates each has series of its own; with more, the numbers show them together",
        fallback: Fallback::Number(|| 1000),
    }

    HOOK: Option<PathBuf> = ONE_PATH {
        name: "hook", value_name: "PROGRAM", section: Section::Telling,
        example: Example::Off(r#""/etc/stapled/hook""#),
        doc: "A program to run when something happens; environment variables describe the event, see \"Hook\"",
        note: "`stapled --help` lists the variables.",
    }

    HOOK_TIMEOUT: Duration = DURATION {
        name: "hook-timeout", value_name: "DURATION", section: Section::Telling,
        doc: "How long the hook may take; then it is killed together with all processes that it started",
        fallback: Fallback::Number(|| 30),
    }

    HOOK_DEBOUNCE: Duration = DURATION {
        name: "hook-debounce", value_name: "DURATION", section: Section::Telling,
        doc: "How long events of one kind about one certificate are held back, and counted, after the hook was told \
            of the first one; also the longest pause between two runs for many certificates with the same fault",
        fallback: Fallback::Number(|| 300),
    }

    HOOK_EVENTS: Vec<String> = TEXTS {
        name: "hook-events", value_name: "LIST", section: Section::Telling,
        example: Example::Off(r#"["outage", "recovered", "revoked"]"#),
        doc: "The events that run the hook, separated by commas: renewed, delivered, failed, revoked, outage, recovered, \
            expiring, issuer_missing, or names of single events",
        fallback: Fallback::Words("all"),
    }

    HOOK_EXPIRING: Duration = DURATION {
        name: "hook-expiring", value_name: "DURATION", section: Section::Telling,
        doc: "How long before the end of a staple that cannot be renewed the event `expiring` comes; a quarter of what was \
            left of the staple at the first failure, if that is less",
        fallback: Fallback::Number(|| 86_400),
    }

    VERBOSITY: Option<u8> = LEVEL {
        name: "verbosity", value_name: "0..4", section: Section::Logging, example: Example::Off("3"),
        original: Original::Differs("the default is 3 here, and was 0"),
        doc: "How much is logged: 0 is the error that ends the program, 1 adds errors, 2 warnings, 3 actions, 4 \
            every step. `stapled log-level` changes it while the daemon runs",
        fallback: Fallback::Words("3; with --one-off: 2"),
    }

    VERBOSE: u8 = COUNT {
        name: "verbose", short: Some('v'), section: Section::Logging, place: Place::CommandLine,
        conflict: Some("verbosity"),
        doc: "Raise the verbosity by one; may be repeated",
    }

    LOGDIR: Option<PathBuf> = LOG_DIRECTORY {
        name: "logdir", short: Some('l'), value_name: "DIR", section: Section::Logging,
        example: Example::Off(r#""/var/log/stapled/""#),
        original: Original::Differs("one file a day; there are no files with exception traces"),
        doc: "Log into this directory, one file a day",
        note: "`true` stands for /var/log/stapled/.",
        fallback: Fallback::Words("no files; without DIR: /var/log/stapled/"),
    }

    SYSLOG: bool = SWITCH {
        name: "syslog", section: Section::Logging, original: Original::Same,
        doc: "Log to the syslog; the default in the background without --logdir",
    }

    LOG_FORMAT: Option<LogFormat> = LOG_FORMATS {
        name: "log-format", value_name: "FORMAT", section: Section::Logging, example: Example::Off(r#""json""#),
        doc: "The form of the log",
        fallback: Fallback::Words("plain"),
    }

    QUIET: bool = SWITCH {
        name: "quiet", short: Some('q'), section: Section::Logging, used_by: &[User::Check],
        original: Original::Differs("errors are still printed on standard error"),
        doc: "Print nothing on standard output, and only errors on standard error",
    }

    GROUP: Vec<Table> = GROUPS {
        name: "group", section: Section::Groups, topic: Some(Topic::Paths), place: Place::File,
        example: Example::On("paths = [\"/etc/haproxy/internal\"]\nsockets = [\"/run/haproxy/internal.sock\"]"),
        doc: "Paths, and the sockets that their staples go to",
    }

    SERVER: Vec<Table> = SERVERS {
        name: "server", section: Section::Servers, place: Place::File,
        example: Example::On("layout = \"hitch\"\ndirectory = \"/var/lib/hitch\"\nreload = \"systemctl restart hitch\"\n\
            certificates = [\"/etc/hitch/**\"]\nname = \"front\""),
        doc: "A server that reads staples from files. `layout` is as the setting of this name. The staples lie beside their \
            certificates, or in `directory`. `reload` is the command that tells the server; `reload-pause` and \
            `reload-timeout` are as the settings of these names. `certificates` has patterns, as `ignore` does, for a server \
            that has not all of them. `name` is the server in messages, otherwise its layout",
        note: "With a [[server]], files beside certificates that no server asks for are written only if there is a HAProxy, a \
            staple-dir or a reload-command.",
    }
}
