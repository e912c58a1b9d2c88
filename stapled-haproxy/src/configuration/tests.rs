//! Whole configurations, in files of memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::disk::{Disk, Kind, Text};
use super::reading::Reading;
use super::warnings::MAX_WARNINGS;
use super::*;

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    fn with(files: &[(&str, &str)]) -> Self {
        Memory(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
    }
}

impl Disk for Memory {
    fn read(&mut self, path: &Path, _: Text) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, path: &Path) -> io::Result<Vec<Vec<u8>>> {
        let inside = self.0.keys().filter(|file| file.parent() == Some(path));
        Ok(inside.filter_map(|file| file.file_name()).map(|name| name.as_bytes().to_vec()).collect())
    }

    fn kind(&mut self, path: &Path) -> io::Result<Kind> {
        match self.0.contains_key(path) {
            true => Ok(Kind::File),
            false if self.0.range(path.to_owned()..).next().is_some_and(|(file, _)| file.starts_with(path)) => {
                Ok(Kind::Directory)
            }
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn resolve(&mut self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([10, 0, 0, 1], port).into()])
    }
}

fn surroundings() -> Surroundings {
    Surroundings::default().directory("/start").environment([("SET", "set")])
}

fn read(files: &[(&str, &str)]) -> Configuration {
    Reading::new(&mut Memory::with(files), &surroundings()).run(&["/h.cfg".into()]).expect("a configuration")
}

fn names(configuration: &Configuration) -> Vec<&str> {
    configuration.certificates.iter().map(|served| served.name.as_str()).collect()
}

fn codes(configuration: &Configuration) -> Vec<String> {
    let code = |warning: &Warning| format!("{}:{}", warning.place.line, warning.problem.code().as_str());
    configuration.warnings.iter().map(code).collect()
}

#[test]
fn responses_and_issuers_have_the_paths_of_haproxy() {
    let configuration = read(&[
        (
            "/h.cfg",
            "global\n crt-base /c\n stats socket /s level admin\ncrt-store w\n crt-base /w\n load crt a.crt\n \
             load crt b.crt ocsp o issuer i alias b\nfrontend f\n bind :1 ssl crt a.pem crt-list /l\nglobal\n \
             ssl-load-extra-del-ext\n issuers-chain-path /chains\nfrontend g\n bind :1 ssl crt d.crt\n ssl-f-use crt e.crt key k\n \
             ssl-f-use crt f.crt alpn h2\nglobal\n ssl-load-extra-files issuer\nfrontend h\n bind :1 ssl crt g.crt\n",
        ),
        ("/l", "h.pem\ni.pem [ocsp /x/i.resp]\nj.pem [issuer ca.pem alpn h2]\n"),
        ("/c/a.pem", ""),
        ("/c/d.crt", ""),
        ("/c/e.crt", ""),
        ("/c/f.crt", ""),
        ("/c/g.crt", ""),
        ("/c/h.pem", ""),
        ("/c/i.pem", ""),
        ("/c/j.pem", ""),
        ("/c/ca.pem", ""),
        ("/w/a.crt", ""),
        ("/w/b.crt", ""),
    ]);
    let show = |path: &Option<PathBuf>| path.as_ref().map_or("-".to_owned(), |path| path.display().to_string());
    let named = configuration.certificates.iter().filter(|served| served.is_staple_named);
    assert_eq!(named.map(|served| served.name.as_str()).collect::<Vec<_>>(), ["/c/i.pem", "@w/b"]);
    let served = configuration.certificates.iter();
    let served: Vec<String> = served
        .map(|served| {
            format!("{} {} {} {}", served.name, show(&served.staple), show(&served.issuer), show(&served.chains))
        })
        .collect();
    assert_eq!(
        served,
        [
            "/c/a.pem /c/a.pem.ocsp /c/a.pem.issuer -",
            "/c/d.crt /c/d.ocsp /c/d.issuer /chains",
            "/c/e.crt - - /chains",
            "/c/f.crt /c/f.ocsp /c/f.issuer /chains",
            "/c/g.crt - /c/g.issuer /chains",
            "/c/h.pem /c/h.pem.ocsp /c/h.pem.issuer -",
            "/c/i.pem /x/i.resp - -",
            "/c/j.pem - /c/ca.pem -",
            "@w/a.crt - - -",
            "@w/b /w/o /w/i -",
        ]
    );
    assert_eq!(codes(&configuration), [""; 0]);
}

#[test]
fn certificates_that_haproxy_updates_itself_are_marked() {
    let updated = |global: &str, more: &str| {
        let text = format!(
            "global\n stats socket /s level admin\n{global}frontend f\n bind :1 ssl crt /a.pem crt-list /l\n{more}"
        );
        let list = "/b.pem [ocsp-update on]\n/c.pem [ocsp-update off alpn h2]\n/a.pem x.example\n";
        let files = [("/h.cfg", text.as_str()), ("/l", list), ("/a.pem", ""), ("/b.pem", ""), ("/c.pem", "")];
        let updated = read(&files).certificates.into_iter().filter(|served| served.updates_itself);
        updated.map(|served| served.name).collect::<Vec<_>>()
    };
    assert_eq!(updated("", ""), ["/b.pem"]);
    assert_eq!(updated(" ocsp-update.mode on\n", ""), ["/a.pem", "/b.pem"]);
    // A certificate counts wherever its line is, and if the running HAProxy may load it.
    assert_eq!(updated("", "global\n tune.ssl.ocsp-update.mode on\n"), ["/a.pem", "/b.pem"]);
    assert_eq!(updated(" ocsp-update.mode on\n", "global\n ocsp-update.mode off\n"), ["/b.pem"]);
    let perhaps = "global\n.if version_atleast(3.0)\n ocsp-update.mode on\n.endif\n";
    assert_eq!(updated("", perhaps), ["/a.pem", "/b.pem"]);
}

/// A warning names a file of another kind, instead of missing certificates.
#[test]
fn a_file_without_sections_gives_a_warning() {
    for (text, expected) in [
        (
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            &["1:configuration_line", "1:no_admin_socket"][..],
        ),
        ("# a list\n/a.pem\n", &["2:configuration_line", "1:no_admin_socket"]),
        ("# nothing yet\n", &["1:no_admin_socket"]),
        ("log-profile x\n on any\nfrontend f\n", &["1:no_admin_socket"]),
    ] {
        assert_eq!(codes(&read(&[("/h.cfg", text)])), expected, "{text}");
    }
}

#[test]
fn an_unusual_line_gives_a_warning_with_its_place() {
    let configuration = read(&[
        (
            "/h.cfg",
            "global\n stats socket fd@3 level admin\n stats socket /user.sock level user\nfrontend f\n bind :1 ssl crt /no.pem\n \
             bind :1 ssl crt \"/a$UNSET.pem\"\n bind :1 ssl crt-list /no\n bind :1 ssl crt \"unmatched\n.if version_atleast(3.0)\n \
             bind :1 ssl crt rel.pem\n.endif\n.endif\n bind :1 ssl crt-list /l\n.if 1\n bind :1 ssl crt /a.pem",
        ),
        ("/l", "/a.pem\n/b.pem [\n/no.pem"),
        ("/a.pem", ""),
        ("/start/rel.pem", ""),
    ]);
    assert_eq!(
        codes(&configuration),
        [
            "2:socket_unusable",
            "5:crt_missing",
            "6:variable_unknown",
            "7:crt_list_unreadable",
            "8:configuration_line",
            "9:condition_undecided",
            "10:relative_path",
            "12:configuration_line",
            "2:configuration_line",
            "3:crt_missing",
            "3:configuration_line",
            "15:configuration_line",
            "15:configuration_line",
            "3:socket_level",
        ]
    );
    assert_eq!(names(&configuration), ["/a.pem", "rel.pem"]);
    let list = configuration.warnings.iter().filter(|warning| warning.place.file.as_ref() == Path::new("/l")).count();
    assert_eq!(list, 3);
    // A missing file is watched.
    for path in ["/h.cfg", "/l", "/no", "/no.pem", "/no.pem.rsa"] {
        assert!(configuration.files.contains(&PathBuf::from(path)), "{path}");
    }
}

#[test]
fn bundles_only_where_haproxy_looks_for_them() {
    let text = |lines: &str| format!("global\n stats socket /s level admin\n{lines}frontend f\n bind :1 ssl crt /b\n");
    let bundle = |lines: &str| read(&[("/h.cfg", &text(lines)), ("/b.rsa", ""), ("/b.ecdsa", ""), ("/b.other", "")]);
    assert_eq!(names(&bundle("")), ["/b.ecdsa", "/b.rsa"]);
    for lines in [" ssl-load-extra-files none\n", " ssl-load-extra-files key ocsp\n"] {
        let configuration = bundle(lines);
        assert_eq!(names(&configuration), [""; 0]);
        assert_eq!(codes(&configuration), ["5:crt_missing"]);
    }
}

#[test]
fn sockets_of_level_admin_exclude_others() {
    let sockets = |text: &str| -> Vec<String> {
        let configuration = read(&[("/h.cfg", text)]);
        let socket = |socket: &Socket| format!("{} {:?}", socket.address, socket.level);
        configuration.sockets.iter().map(socket).collect()
    };
    assert_eq!(
        sockets(
            "global\n stats socket /u level user\n stats socket unix@b level admin mode 600\n stats socket host:9-12,:7 level \
             admin\n stats socket /x ssl crt /a level admin\n stats socket abns@n level admin\nfrontend f\n stats socket /no\n"
        ),
        ["/start/b Admin", "ipv4@10.0.0.1:9 Admin", "ipv4@127.0.0.1:7 Admin", "abns@n Admin"]
    );
    assert_eq!(sockets("global\n stats socket /u level user\n stats socket /o\n"), ["/o Operator"]);
    assert_eq!(codes(&read(&[("/h.cfg", "\nglobal\n")])), ["1:no_admin_socket"]);
}

#[test]
fn a_crowd_of_certificates_and_of_warnings() {
    let list: String = (0..20_000).map(|number| format!("/c/{}.pem\n", number % 15_000)).collect();
    let mut files: Vec<(String, String)> =
        (0..10_000).map(|number| (format!("/c/{number}.pem"), String::new())).collect();
    files.push(("/l".to_owned(), list));
    files.push(("/h.cfg".to_owned(), "frontend f\n bind :1 ssl crt-list /l\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let configuration = read(&files);
    assert_eq!(configuration.certificates.len(), 10_000);
    assert_eq!(configuration.warnings.len(), MAX_WARNINGS);
}

#[test]
fn a_directory_without_configurations_is_an_error() {
    let mut memory = Memory::with(&[("/d/x.conf", ""), ("/d/.a.cfg", "")]);
    let read = Reading::new(&mut memory, &surroundings()).run(&["/d".into()]);
    assert!(matches!(read, Err(ConfigurationError::NoFiles { .. })));
    let read = Reading::new(&mut memory, &surroundings()).run(&["/none".into()]);
    assert!(matches!(read, Err(ConfigurationError::Unreadable { .. })));
}

/// Lines that mean something, and lines that do not.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "global",
            "frontend f",
            "crt-store s",
            "crt-store",
            "defaults",
            ".if 1",
            ".if 0",
            ".if version_atleast(3.0)",
            ".if defined(A)",
            ".elif 1",
            ".elif feature(X)",
            ".else",
            ".endif",
            "crt-base /c",
            "crt-base c",
            "setenv A /c",
            "unsetenv A",
            "resetenv",
            "presetenv A b",
            "default-path config",
            "default-path origin o",
            "default-path parent",
            "ssl-load-extra-files none",
            "ssl-load-extra-del-ext",
            "issuers-chain-path i",
            "stats socket s,unix@t,:1",
            "bind :1 ssl crt a.pem",
            "bind :1 ssl crt /c crt-list l",
            "bind :1 ssl crt-list /l crt \"$A/a.pem\"",
            "load crt a.pem alias x",
            "load crt /c/a.pem",
            "bind :1 crt @s/x crt @/a.pem",
            "ssl-f-use crt a.pem ocsp o",
        ])
        .prop_map(str::to_owned),
        "[a-z \"'\\\\$.{}@/#-]{0,20}",
    ]
}

fn memory(text: &[u8]) -> Memory {
    let mut memory = Memory::with(&[
        ("/c/a.pem", ""),
        ("/c/b.rsa", ""),
        ("/start/a.pem", ""),
        ("/start/c/a.pem", ""),
        ("/l", "a.pem\n@s/x [ocsp q]\nb\n"),
    ]);
    memory.0.insert("/h.cfg".into(), text.to_vec());
    memory
}

proptest! {
    #[test]
    fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..500)) {
        let _ = Reading::new(&mut memory(&text), &surroundings()).run(&["/h.cfg".into()]);
    }

    #[test]
    fn no_configuration_panics_and_every_file_is_one(lines in prop::collection::vec(line(), 0..40)) {
        let text = lines.join("\n") + "\n";
        let mut memory = memory(text.as_bytes());
        let configuration = Reading::new(&mut memory, &surroundings()).run(&["/h.cfg".into()]).unwrap();
        for served in &configuration.certificates {
            prop_assert!(memory.0.contains_key(&served.file), "{served:?}");
        }
    }

    /// If both branches are read, the certificates of either branch are found.
    #[test]
    fn undecided_conditions_hide_no_certificate(lines in prop::collection::vec(line(), 0..30), ways in any::<u32>()) {
        let decided = |way: u32| {
            let line = |(number, line): (usize, &String)| match line.as_str() {
                // Variables and bases differ: the last value counts.
                ".if version_atleast(3.0)" | ".if defined(A)" => format!(".if {}", way >> (number % 32) & 1),
                ".elif feature(X)" => format!(".elif {}", way >> (number % 32) & 1),
                line if line.contains("env ") || line.starts_with("resetenv") || line.starts_with("default-path")
                    || line.contains("crt-store") || line.starts_with("load") || line.contains('@') || line.contains('$') => String::new(),
                line => line.to_owned(),
            };
            lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n") + "\n"
        };
        let undecided = decided(0).lines().zip(&lines).map(|(decided, line)| match line.as_str() {
            ".if version_atleast(3.0)" | ".if defined(A)" => ".if version_atleast(3.0)",
            ".elif feature(X)" => ".elif feature(X)",
            _ => decided,
        }.to_owned()).collect::<Vec<_>>().join("\n") + "\n";
        let found = |text: &str| {
            let configuration = Reading::new(&mut memory(text.as_bytes()), &surroundings()).run(&["/h.cfg".into()]).unwrap();
            configuration.certificates.into_iter().map(|served| served.name).collect::<BTreeSet<_>>()
        };
        let (both, one) = (found(&undecided), found(&decided(ways)));
        prop_assert!(one.is_subset(&both), "{one:?} of\n{}\n{both:?} of\n{undecided}", decided(ways));
    }
}

#[test]
fn client_certificates_are_distinguished() {
    let configuration = read(&[
        (
            "/h.cfg",
            "global\n stats socket /s level admin\n crt-base /c\ndefaults\n default-server ssl crt d.pem\nfrontend f\n bind :1 ssl crt a.pem\nbackend b\n \
             server s 10.0.0.1:1 check ssl verify none crt s.pem\n server t 10.0.0.1:1 ssl crt /x/t.pem cookie crt\n \
             server u 10.0.0.1:1 ssl crt a.pem\n server-template w 2 x:1 ssl crt w.pem\n",
        ),
        ("/c/a.pem", ""),
    ]);
    assert_eq!(names(&configuration), ["/c/a.pem"]);
    assert_eq!(configuration.client_certificates, ["/c/d.pem", "/c/s.pem", "/c/w.pem", "/x/t.pem"]);
}

#[test]
fn certain_and_uncertain_certificates_are_distinguished() {
    let configuration = read(&[
        (
            "/h.cfg",
            "global\n stats socket /s level admin\nfrontend f\n bind :1 ssl crt /a\n.if version_atleast(3.0)\n bind :2 ssl crt /b crt \
             /c crt /d\n.else\n bind :2 ssl crt-list /l crt /a\n.endif\n bind :3 ssl crt /c crt /d/\nglobal\n.if \
             version_atleast(3.0)\n crt-base /new\n.endif\nfrontend g\n bind :4 ssl crt f crt /a\n",
        ),
        ("/a", ""),
        ("/b", ""),
        ("/c", ""),
        ("/d/x", ""),
        ("/e", ""),
        ("/l", "/e\n"),
        ("/start/f", ""),
        ("/new/f", ""),
    ]);
    let certain: Vec<(&str, bool)> =
        configuration.certificates.iter().map(|served| (served.name.as_str(), served.is_certain)).collect();
    let expected =
        [("/a", true), ("/b", false), ("/c", true), ("/d/x", true), ("/e", false), ("/new/f", false), ("f", false)];
    assert_eq!(certain, expected);
}

#[test]
fn of_admin_sockets_those_of_the_highest_level_are_used() {
    let sockets = |levels: &[&str]| {
        let lines: String = levels.iter().map(|level| format!(" stats socket /{level} level {level}\n")).collect();
        let configuration = read(&[("/h.cfg", &format!("global\n{lines}"))]);
        configuration.sockets.iter().map(|socket| socket.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(sockets(&["user", "admin", "operator"]), ["/admin"]);
    assert_eq!(sockets(&["user", "operator"]), ["/operator"]);
    assert_eq!(sockets(&["user"]), ["/user"]);
}

#[test]
fn the_line_zero_warning_is_known() {
    let of = |text: &str| read(&[("/h.cfg", text)]).zero_warning.map(|place| place.line);
    assert_eq!(of("global\n stats socket /s\n zero-warning\n"), Some(3));
    // A line that may count counts.
    assert_eq!(of("global\n.if version_atleast(3.0)\n zero-warning\n.endif\n"), Some(3));
    assert_eq!(of("global\n.if defined(UNKNOWN)\n zero-warning\n.endif\n"), None);
    assert_eq!(of("global\n stats socket /s\nfrontend f\n zero-warning\n"), None);
}
