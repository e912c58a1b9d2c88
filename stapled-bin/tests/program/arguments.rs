//! The command line: which arguments are accepted, and which are refused with which message.

use crate::world::World;

#[test]
fn good_arguments() {
    let world = World::new();
    for arguments in [
        "-p certs",
        "--cert-paths certs other",
        "-d certs",
        "--directories certs",
        "-p certs -s /run/a.sock",
        "-p certs other third -s /run/a.sock",
        "-p certs other -s /run/a.sock /run/b.sock",
        "-p certs other -s /run/a.sock,/run/b.sock /run/c.sock",
        "-p certs -s ipv4@127.0.0.1:9999",
        "-p certs -s /a /b /c --no-haproxy-sockets",
        "-s /run/a.sock",
        "-s master@/run/a.sock abns@b,ipv4@127.0.0.1:9999",
        "-p certs -R -t 2 -r 60 -q -v -v -v",
        "-p certs -r 1m30s --minimum-validity 2h --minimum-interval 15m --maximum-interval 7d --clock-skew 90s",
        "-p certs --one-off --wait 1h",
        "-p certs --verbosity 4 --minimum-validity 0 --minimum-interval 1 --maximum-interval 1",
        "-p certs --file-extensions crt,pem --ignore *.bak.pem /srv/**",
        "-p certs -D --no-daemon",
        "-p certs -D --interactive",
        "-p certs -l",
        "-l logs -p certs",
        "-p certs --one-off --json --no-recycle --nonce --hash sha256",
        "-p certs --clock-skew 10 --allow-sha1 --allow-weak-keys --allow-missing-next-update",
        "-p certs --concurrent-per-responder 2 --responder-rate 5 --issuer-dir issuers --no-fetch-issuers --staple-dir .",
        "-p certs --http-proxy http://proxy.test:3128 --no-proxy internal.test,10.0.0.0/8 --deny-private-responders",
        "-p certs -s /a --no-staple-files --haproxy-socket-keepalive 1 --syslog --pid-file x",
        "-p certs -s /a --no-staple-files --haproxy-transactions isolated",
        "-p certs -s /a --haproxy-transactions never",
    ] {
        let arguments: Vec<&str> = arguments.split(' ').chain(["--check-config"]).collect();
        let ended = world.run(&arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        assert!(ended.out.ends_with("configuration ok\n"), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn bad_arguments_end_with_2_and_advice() {
    let world = World::new();
    for (arguments, message) in [
        ("", "no paths to certificates; say where they are with --cert-paths"),
        ("-s /run/a.sock --no-haproxy-sockets", "no paths to certificates"),
        ("-s master@master@/run/a.sock", "one `master@` is enough"),
        ("-p certs -d certs", "old name of `cert-paths`, and both are set"),
        ("-p certs -s /a /b", "HAProxy sockets: 2 (--haproxy-sockets), certificate paths: 1 (--cert-paths): give one"),
        ("-p a b c -s /a /b", "HAProxy sockets: 2 (--haproxy-sockets), certificate paths: 3"),
        ("-p certs --haproxy-config haproxy.cfg", "--haproxy-config: HAProxy's configuration "),
        (
            "-p certs --haproxy-config haproxy.cfg",
            "/haproxy.cfg cannot be read: No such file or directory (os error 2); name",
        ),
        ("--haproxy-config certs", "/certs: the directory has no file whose name ends in .cfg"),
        ("--haproxy-config , -p certs", "--haproxy-config: an empty path"),
        ("-p certs -i ./x", "./x: a pattern is not relative to the current directory"),
        ("-p certs -i ../x", "../x: a pattern is not relative to the current directory"),
        ("-p certs -i a{b", "a{b: "),
        ("-p certs --json", "--json: the summary in JSON belongs to --one-off"),
        ("-p certs --one-off --json -q", "drop one of them"),
        ("-p certs --verbosity 5", "a whole number from 0 to 4 is needed"),
        ("-p certs --verbosity 3 -v", "cannot be used with"),
        ("-p certs --renewal-threads 0", "a whole number is needed, at least 1"),
        ("-p certs --minimum-interval 0", "at least 1s is needed"),
        ("-p certs --maximum-interval 0", "at least 1s is needed"),
        ("-p certs --maximum-interval 30", "--maximum-interval: 30s is less than minimum-interval, which is 1m"),
        (
            "-p certs --minimum-interval 4000",
            "--minimum-interval: 1h6m40s is more than maximum-interval, which is 1h unless it is set",
        ),
        ("-p certs --minimum-validity 2x", "not a duration such as 90, 90s, 15m, 2h, 7d or 1h30m"),
        ("-p certs --minimum-validity 1h30", "not a duration such as"),
        ("-p certs --minimum-validity 36501d", "a duration of more than 36500d"),
        ("-p certs --hook-debounce 18446744073709551615", "a duration of more than 36500d"),
        ("-p certs --haproxy-socket-keepalive 0", "at least 1s is needed"),
        ("-p certs --http-proxy proxy:3128", "--http-proxy: the proxy's URL: not of the form http://host:port"),
        ("-p certs --http-proxy socks5://proxy:1080", "--http-proxy: the proxy's URL: not of the form http://"),
        ("-p certs --no-proxy internal.test", "--no-proxy: belongs to http-proxy; for the proxies of the environment"),
        ("-p certs --hash md5", "[possible values: sha1, sha256]"),
        ("-p certs -s ipv4@localhost:1", "\"ipv4@localhost:1\" is not ipv4@HOST:PORT"),
        ("-p certs -s /a,,/b", "an empty address"),
        ("-p certs --no-staple-files", "the staples of "),
        ("-p certs -s /a --no-staple-files --staple-dir x", "leave one out"),
        ("-p certs -s /a --haproxy-transactions 3.0", "[possible values: always, isolated, never]"),
        (
            "-p certs -s /a --haproxy-transactions never --no-staple-files",
            "--haproxy-transactions: \"never\", and no-staple-files",
        ),
        ("-p certs --file-extensions crt,,pem", "an empty extension"),
        (
            "-p certs --config nowhere.conf",
            "there is no configuration file nowhere.conf; `stapled --example-config > nowhere.conf` makes one",
        ),
        ("certs", "certs: belongs to no option; paths to certificates follow --cert-paths"),
        ("--cert-path certs", "a similar argument exists: '--cert-paths'"),
    ] {
        let ended = world.run(&arguments.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
        assert_eq!(ended.code, 2, "{arguments}: {ended:?}");
        assert!(ended.err.contains(message), "{arguments}\n  said {}\n  not  {message}", ended.err);
        assert_eq!(ended.out, "", "{arguments}");
    }
}

#[test]
fn messages_show_no_types_of_rust() {
    let world = World::new();
    let mistakes = ["", "x", "-1", "1.5", "99999999999999999999999", "0x1F", "\u{e9}", "2h2", "\"", "[]", "true"];
    let options = [
        "refresh-interval",
        "minimum-validity",
        "clock-skew",
        "hook-timeout",
        "renewal-threads",
        "responder-rate",
        "verbosity",
        "wait",
        "hash",
        "haproxy-transactions",
        "haproxy-sockets",
    ];
    let commands: [&[&str]; 10] = [
        &["status", "--watch"],
        &["status", "--at-risk"],
        &["status", "--nagios", "--warning"],
        &["probe", "127.0.0.1:1", "--timeout"],
        &["renew", "--all", "--wait"],
        &["fetch", "--cert", "a", "--timeout"],
        &["redis", "status", "--list"],
        &["redis", "status", "--interval"],
        &["verify", "--response", "a", "--cert", "b", "--issuer", "c", "--at"],
        &["verify", "--response", "a", "--cert", "b", "--issuer", "c", "--nonce"],
    ];
    let mut said = Vec::new();
    for mistake in mistakes {
        for option in options {
            said.push(world.run(&["-p", "certs", &format!("--{option}={mistake}"), "--check-config"]));
        }
        for command in commands {
            let (option, before) = command.split_last().unwrap();
            let value = format!("{option}={mistake}");
            said.push(world.run(&before.iter().copied().chain([value.as_str()]).collect::<Vec<_>>()));
        }
    }
    for value in [
        "\"x\"",
        "-1",
        "1.5",
        "99999999999999999999999",
        "[]",
        "[1]",
        "{}",
        "1979-05-27",
        "inf",
        "\"\"",
        "0xFFFFFFFFFFFFFFFFF",
    ] {
        for option in options.iter().chain(&["recursive", "cert-paths", "logdir", "group", "http-proxy"]) {
            std::fs::write(world.path("x.conf"), format!("{option} = {value}\n")).unwrap();
            said.push(world.run(&["-p", "certs", "-c", "x.conf", "--check-config"]));
        }
    }
    assert!(said.iter().filter(|ended| ended.code == 2).count() > 200);
    let of_rust = [
        "u32",
        "u64",
        "usize",
        "i64",
        "u8 ",
        "digit found",
        "fit in target",
        "ParseInt",
        "Err(",
        "Some(",
        "None",
        "invalid type",
        "..=",
        "Utf8",
        "parse integer",
        "serde",
        "empty string",
        "NonZero",
        "OsStr",
    ];
    for ended in said {
        let found = of_rust.iter().find(|words| ended.err.contains(**words));
        assert_eq!(found, None, "{}", ended.err);
    }
}

#[test]
fn help_and_version() {
    let world = World::new();
    let help = world.run(&["--help"]);
    assert_eq!(help.code, 0);
    for words in [
        "Examples:",
        "Exit codes:",
        "[[group]]",
        "[default: 2h]",
        "Durations:",
        "DURATION is a number of seconds",
        "--interactive",
    ] {
        assert!(help.out.contains(words), "{words}");
    }
    for option in ["-V", "--version"] {
        let version = world.run(&[option]);
        assert_eq!((version.code, version.out), (0, format!("stapled {}\n", env!("CARGO_PKG_VERSION"))));
    }
}

#[test]
fn the_man_page_the_completions_and_the_example_are_printed() {
    let world = World::new();
    for (arguments, words) in [
        (&["--man"][..], ".TH stapled 1"),
        (&["--man"], ".SH STAPLED CHECK"),
        (&["completions", "bash"], "complete -F _stapled"),
        (&["completions", "zsh"], "#compdef stapled"),
        (&["completions", "fish"], "complete -c stapled"),
        (&["--example-config"], "#maximum-interval = \"1h\"\n"),
    ] {
        let ended = world.run(arguments);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
        assert!(ended.out.contains(words), "{arguments:?}: {words}");
    }
}

#[test]
fn a_path_that_does_not_exist_is_noted_by_the_check() {
    let world = World::new();
    let ended = world.run(&["-p", "missing", "--check-config"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("missing does not exist"), "{ended:?}");
}

#[test]
fn a_command_after_an_option_with_several_values_is_no_path() {
    let world = World::new();
    for arguments in [
        &["-p", "certs", "check"][..],
        &["--cert-paths", "certs", "status"],
        &["-p", "certs", "-s", "admin.sock", "verify"],
        &["--haproxy-config", "haproxy.cfg", "renew"],
    ] {
        let ended = world.run(arguments);
        let command = arguments.last().unwrap();
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(&format!("`stapled {command} …`; a path of this name is written ./{command}")));
    }
    std::fs::create_dir(world.path("check")).unwrap();
    assert_eq!(world.run(&["--check-config", "-p", "certs", "./check"]).code, 0);
}
