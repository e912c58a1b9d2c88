//! Every option of the daemon, in the order of the help.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use stapled_core::ocsp::CertIdHash;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::staple::JudgePolicy;
use stapled_haproxy::Transactions;

use super::declaration::{Declaration, Example, Opt, Place, Section, Topic, User};
use super::value::Group;

/// Where `--logdir` without a directory logs to.
const DEFAULT_LOGDIR: &str = "/var/log/stapled/";

/// Declares options, and lists them.
macro_rules! options {
    ($($name:ident: $value:ty = $option:expr;)*) => {
        $(pub(crate) const $name: Opt<$value> = $option;)*

        /// Every option, in the order of the help.
        pub(crate) const ALL: &[Declaration] = &[$($name.declaration),*];
    };
}

options! {
    CERT_PATHS: Vec<PathBuf> = Opt::paths("cert-paths")
        .short('p')
        .section(Section::Certificates)
        .topic(Topic::Paths)
        .used_by(&[User::Check])
        .doc("Files and directories with certificates")
        .note("The old name of this setting is `directories`.")
        .example(Example::On(r#"["/etc/haproxy/certs"]"#));

    DIRECTORIES: Vec<PathBuf> = Opt::paths("directories")
        .short('d')
        .section(Section::Certificates)
        .topic(Topic::Paths)
        .doc("The old name of --cert-paths; the two cannot be combined")
        .example(Example::OldName);

    RECURSIVE: bool = Opt::switch("recursive")
        .short('R')
        .section(Section::Certificates)
        .used_by(&[User::Check])
        .doc("Search the subdirectories of directories, too");

    FILE_EXTENSIONS: Vec<String> = Opt::texts("file-extensions", "LIST")
        .section(Section::Certificates)
        .used_by(&[User::Check])
        .doc("The file name extensions of certificate files, separated by commas")
        .default("crt,pem,cer")
        .example(Example::Off(r#"["crt", "pem", "cer"]"#));

    IGNORE: Vec<String> = Opt::texts("ignore", "GLOB")
        .short('i')
        .section(Section::Certificates)
        .used_by(&[User::Check])
        .doc(
            "Files and directories to ignore. A pattern that begins with / matches the whole path; any other pattern \
             matches the end of the path",
        )
        .example(Example::Off(r#"["privkey.pem", "/etc/haproxy/certs/old/**"]"#));

    REFRESH_INTERVAL: Duration = Opt::seconds("refresh-interval", 1, || 60)
        .short('r')
        .section(Section::Certificates)
        .doc("How often to search for new and changed files where the operating system does not report changes");

    ISSUER_DIR: Option<PathBuf> = Opt::path("issuer-dir", "DIR")
        .section(Section::Certificates)
        .used_by(&[User::Check])
        .doc("The directory that keeps issuer certificates that were fetched")
        .default(
            "/var/lib/stapled/issuers, if this user may write there; otherwise issuers are fetched again at every start",
        )
        .example(Example::Off(r#""/var/lib/stapled/issuers""#));

    NO_FETCH_ISSUERS: bool = Opt::switch("no-fetch-issuers")
        .section(Section::Certificates)
        .used_by(&[User::Check])
        .doc(
            "Do not fetch issuer certificates. Without this option, an issuer certificate that is in no file is \
             fetched from the URL that the certificate names",
        );

    HAPROXY_SOCKETS: Vec<String> = Opt::sockets("haproxy-sockets")
        .short('s')
        .section(Section::Haproxy)
        .topic(Topic::Sockets)
        .used_by(&[User::Check])
        .doc(
            "Admin sockets: one for all paths, or one for each path in the same order; without paths, HAProxy is asked \
             which certificates it has loaded. Commas join several sockets to one item: /run/a.sock,/run/b.sock. The \
             prefix master@ marks the socket of a master process",
        )
        .note("HAProxy needs `stats socket /run/haproxy/admin.sock level admin` in its `global` section.")
        .example(Example::On(r#"["/run/haproxy/admin.sock"]"#));

    NO_HAPROXY_SOCKETS: bool = Opt::switch("no-haproxy-sockets")
        .section(Section::Haproxy)
        .topic(Topic::Sockets)
        .used_by(&[User::Check])
        .doc("Use no sockets, neither those of the configuration file nor those of HAProxy configurations");

    HAPROXY_SOCKET_KEEPALIVE: Duration = Opt::seconds("haproxy-socket-keepalive", 1, || 10)
        .section(Section::Haproxy)
        .doc("How long an idle connection to a socket stays open");

    HAPROXY_TRANSACTIONS: Option<Transactions> = Opt::choice("haproxy-transactions", "WHERE")
        .section(Section::Haproxy)
        .doc("In which HAProxy a certificate that was loaded without a staple gets its first staple at run time")
        .default("always")
        .example(Example::Off(r#""always""#));

    HAPROXY_CONFIG: Vec<PathBuf> = Opt::joined_paths("haproxy-config")
        .section(Section::Haproxy)
        .used_by(&[User::Check])
        .doc(
            "HAProxy configurations to take certificates and admin sockets from, one item for each HAProxy: a file, or \
             a directory of *.cfg. Commas join what one HAProxy is started with as -f: \
             /etc/haproxy/haproxy.cfg,/etc/haproxy/conf.d",
        )
        .note("Changes of these configurations are followed. With this setting, cert-paths and haproxy-sockets can be left out.")
        .example(Example::Off(r#"["/etc/haproxy/haproxy.cfg"]"#));

    STAPLE_DIR: Option<PathBuf> = Opt::path("staple-dir", "DIR")
        .section(Section::Files)
        .used_by(&[User::Check])
        .doc(
            "An existing directory for the staples that cannot be written beside their certificate (CERT.ocsp), because \
             a server that loads CERT would not find the issuer: HAProxy would not start",
        )
        .example(Example::Off(r#""/var/lib/stapled/staples""#));

    NO_STAPLE_FILES: bool = Opt::switch("no-staple-files")
        .section(Section::Files)
        .used_by(&[User::Check])
        .doc("Write no staples to files");

    NO_RECYCLE: bool = Opt::switch("no-recycle")
        .section(Section::Files)
        .doc(
            "Ask for every certificate, even if its file has a valid staple. Without this option, --one-off asks only \
             for certificates whose staple is past half of its validity, or older than --maximum-interval",
        );

    MINIMUM_VALIDITY: Duration =
        Opt::seconds("minimum-validity", 0, || RefreshPolicy::default().minimum_validity.as_secs())
            .section(Section::Asking)
            .doc(
                "The validity that a staple has left at its renewal, at least, unless that is more than half of its \
                 validity. Staples are renewed at half of their validity, and after --maximum-interval at the latest",
            );

    MINIMUM_INTERVAL: Duration =
        Opt::seconds("minimum-interval", 1, || RefreshPolicy::default().minimum_interval.as_secs())
            .section(Section::Asking)
            .doc(
                "The shortest time between two renewals of a certificate; half of it, where responses are valid for so \
                 short a time that servers would be without a staple in between",
            );

    MAXIMUM_INTERVAL: Duration =
        Opt::seconds("maximum-interval", 1, || RefreshPolicy::default().maximum_interval.as_secs())
            .section(Section::Asking)
            .doc(
                "The longest time between two renewals of a certificate, however long its staple is valid: a revocation \
                 is noticed within this time",
            );

    RENEWAL_THREADS: usize = Opt::number("renewal-threads", || 64)
        .short('t')
        .section(Section::Asking)
        .doc("How many OCSP requests may be open at once");

    CONCURRENT_PER_RESPONDER: usize = Opt::number("concurrent-per-responder", || 32)
        .section(Section::Asking)
        .doc("How many OCSP requests may be open at once at one responder");

    RESPONDER_RATE: Option<NonZeroU32> = Opt::rate("responder-rate")
        .section(Section::Asking)
        .doc("How many OCSP requests one responder gets per second, at most")
        .default("as many as it answers")
        .example(Example::Off("50"));

    HASH: Option<CertIdHash> = Opt::choice("hash", "HASH")
        .section(Section::Asking)
        .doc("The hash algorithm in requests, where no server needs a particular one; HAProxy needs sha1")
        .default("sha1")
        .example(Example::Off(r#""sha1""#));

    NONCE: bool = Opt::switch("nonce").section(Section::Asking).doc("Put a nonce into requests");

    HTTP_PROXY: Option<String> = Opt::text("http-proxy", "URL")
        .section(Section::Asking)
        .topic(Topic::Proxy)
        .used_by(&[User::Fetch])
        .doc("The proxy for requests over http and https: http://[USER:PASSWORD@]HOST:PORT")
        .default("what http_proxy, https_proxy, all_proxy and no_proxy in the environment say")
        .example(Example::Off(r#""http://proxy.example:3128""#));

    NO_PROXY: Vec<String> = Opt::texts("no-proxy", "LIST")
        .section(Section::Asking)
        .topic(Topic::Proxy)
        .used_by(&[User::Fetch])
        .doc(
            "Hosts that are asked without the proxy, separated by commas: domains with their subdomains, addresses, \
             networks, *",
        )
        .example(Example::Off(r#"["example.internal", "10.0.0.0/8"]"#));

    RESPONDER: Vec<String> = Opt::texts("responder", "OLD=NEW")
        .section(Section::Asking)
        .used_by(&[User::Check, User::Fetch])
        .doc(
            "Ask the responder at NEW instead of the one at OLD, and what is below NEW instead of what is below OLD; may \
             be given several times. For mirrors, and CAs that moved: http://ocsp.ca.example=http://mirror.internal/ca",
        )
        .example(Example::Off(r#"["http://ocsp.ca.example=http://mirror.internal/ca"]"#));

    DEFAULT_RESPONDER: Option<String> = Opt::text("default-responder", "URL")
        .section(Section::Asking)
        .used_by(&[User::Check, User::Fetch])
        .doc("Ask this responder about certificates that name none")
        .default("they get no staple")
        .example(Example::Off(r#""http://ocsp.internal/""#));

    PREFER_IPV4: bool = Opt::switch("prefer-ipv4")
        .section(Section::Asking)
        .used_by(&[User::Fetch])
        .doc("Try the IPv4 addresses of a responder before its IPv6 addresses")
        .default("the order of the operating system");

    DENY_PRIVATE_RESPONDERS: bool = Opt::switch("deny-private-responders")
        .section(Section::Asking)
        .used_by(&[User::Fetch])
        .doc(
            "Ask only responders at public addresses. For certificates that untrusted users upload, whose URLs must not \
             lead to internal servers. A proxy resolves names itself and must apply the same rule",
        );

    CLOCK_SKEW: Duration = Opt::seconds("clock-skew", 0, || JudgePolicy::default().clock_skew.as_secs())
        .section(Section::Believing)
        .doc("How far a responder's clock may be ahead");

    ALLOW_SHA1: bool = Opt::switch("allow-sha1")
        .section(Section::Believing)
        .doc("Accept signatures with SHA-1, of the response and of a delegate's certificate");

    ALLOW_WEAK_KEYS: bool = Opt::switch("allow-weak-keys")
        .section(Section::Believing)
        .doc("Accept RSA keys below 2048 bits");

    ALLOW_MISSING_NEXT_UPDATE: bool = Opt::switch("allow-missing-next-update")
        .section(Section::Believing)
        .doc("Accept responses without nextUpdate, which do not say until when they are valid");

    ONE_OFF: bool = Opt::switch("one-off")
        .doc("Do everything that is due once, print a summary, and exit; see \"Exit codes\"");

    JSON: bool = Opt::switch("json")
        .used_by(&[User::Check])
        .doc("Print the summary of --one-off as JSON: one object a line for each certificate, then the totals");

    WAIT: Option<Duration> = Opt::seconds_or_none("wait", 1)
        .doc(
            "How long --one-off tries again, until every certificate that should have a staple has one and every server \
             has confirmed",
        )
        .example(Example::Off("60"));

    DAEMON: bool = Opt::switch("daemon")
        .short('D')
        .topic(Topic::Background)
        .doc("Run in the background; systemd does not need this");

    NO_DAEMON: bool = Opt::switch("no-daemon")
        .alias("interactive")
        .topic(Topic::Background)
        .doc("Stay in the foreground, which is the default; wins over --daemon");

    PID_FILE: Option<PathBuf> = Opt::path("pid-file", "FILE")
        .doc("The file for the process ID; a second stapled with the same file does not start")
        .example(Example::Off(r#""/run/stapled.pid""#));

    CONFIG: Option<PathBuf> = Opt::path("config", "FILE")
        .short('c')
        .place(Place::CommandLine)
        .used_by(&[User::Check, User::Client])
        .doc("The configuration file of the daemon")
        .default(
            "the first that exists of stapled.conf beside this program, ~/.stapled.conf and /etc/stapled/stapled.conf",
        );

    CHECK_CONFIG: bool = Opt::switch("check-config")
        .place(Place::CommandLine)
        .doc("Check arguments and configuration file, print \"configuration ok\" or the error, and exit");

    EXAMPLE_CONFIG: bool = Opt::switch("example-config")
        .place(Place::CommandLine)
        .doc("Print an example configuration file with every setting, and exit");

    MAN: bool = Opt::switch("man").place(Place::Hidden).doc("Print the manual page, and exit");

    CONTROL_SOCKET: Option<PathBuf> = Opt::path("control-socket", "PATH")
        .section(Section::Telling)
        .used_by(&[User::Client])
        .doc("The socket on which the daemon answers `stapled status` and `stapled renew`")
        .default(
            "of the daemon: /run/stapled/control.sock, if this user may create it; of the two commands: what the \
             configuration file says, or the same",
        )
        .example(Example::Off(r#""/run/stapled/control.sock""#));

    HOOK: Option<PathBuf> = Opt::path("hook", "PROGRAM")
        .section(Section::Telling)
        .doc("A program to run when something happens; environment variables describe the event, see \"Hook\"")
        .note("`stapled --help` lists the variables.")
        .example(Example::Off(r#""/etc/stapled/hook""#));

    HOOK_TIMEOUT: Duration = Opt::seconds("hook-timeout", 1, || 30)
        .section(Section::Telling)
        .doc("How long the hook may take; then it is killed together with all processes that it started");

    HOOK_DEBOUNCE: Duration = Opt::seconds("hook-debounce", 1, || 300)
        .section(Section::Telling)
        .doc(
            "How long events of one kind about one certificate are held back, and counted, after the hook was told of \
             the first one",
        );

    VERBOSITY: Option<u8> = Opt::level("verbosity", "0..4", 4)
        .section(Section::Logging)
        .doc("What is logged: 0: only the error that ends the program, 1: errors, 2: warnings, 3: what is done, 4: every step")
        .default("3; with --one-off: 2")
        .example(Example::Off("3"));

    VERBOSE: u8 = Opt::count("verbose")
        .short('v')
        .section(Section::Logging)
        .place(Place::CommandLine)
        .conflict("verbosity")
        .doc("Raise the verbosity by one; may be repeated");

    LOGDIR: Option<PathBuf> = Opt::path_or("logdir", "DIR", DEFAULT_LOGDIR)
        .short('l')
        .section(Section::Logging)
        .doc("Log into this directory, one file a day")
        .default("no files; without DIR: /var/log/stapled/")
        .note("`true` stands for /var/log/stapled/.")
        .example(Example::Off(r#""/var/log/stapled/""#));

    SYSLOG: bool = Opt::switch("syslog")
        .section(Section::Logging)
        .doc("Log to the syslog; the default in the background without --logdir");

    QUIET: bool = Opt::switch("quiet")
        .short('q')
        .section(Section::Logging)
        .used_by(&[User::Check])
        .doc("Print nothing on standard output, and only errors on standard error");

    GROUP: Vec<Group> = Opt::groups("group")
        .section(Section::Groups)
        .topic(Topic::Paths)
        .doc("Paths, and the sockets that their staples go to");
}
