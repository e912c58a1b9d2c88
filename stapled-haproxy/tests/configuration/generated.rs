//! Generated configurations.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::oracle::{BIND, Case, DEFAULTS, GLOBAL, binaries};

/// How many configurations are made up; each is loaded by every HAProxy.
const CASES: u32 = 24;

/// Something that a `bind` line names. Each has a folder of its own.
#[derive(Clone, Debug)]
enum Use {
    /// A file, quoted in some way.
    File { name: String, quoting: Quoting },
    /// A file with a variable in its name.
    Variable { name: String, value: String, by_environment: bool, in_braces: bool },
    /// A directory, with files in it that count and files that do not.
    Directory { names: Vec<String>, others: Vec<String>, slashes: usize },
    /// A bundle, and which kinds of keys it has.
    Bundle { name: String, kinds: [bool; 3] },
    /// A crt-list: names, and the words behind each.
    List { entries: Vec<(String, &'static str)> },
    /// A condition, whether it holds (if that is known), and a file for either case.
    Block { condition: &'static str, holds: Option<bool>, names: [String; 2] },
}

#[derive(Clone, Copy, Debug)]
enum Quoting {
    Escaped,
    Double,
    Single,
}

impl Quoting {
    fn quote(self, text: &str) -> String {
        match self {
            Quoting::Escaped => {
                let escape = |c: char| if " \\#\"'".contains(c) { format!("\\{c}") } else { c.to_string() };
                text.chars().map(escape).collect()
            }
            Quoting::Double => {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
            }
            Quoting::Single => text.split('\'').map(|part| format!("'{part}'")).collect::<Vec<_>>().join("\\'"),
        }
    }
}

fn quoting() -> impl Strategy<Value = Quoting> {
    prop_oneof![Just(Quoting::Escaped), Just(Quoting::Double), Just(Quoting::Single)]
}

/// A name with everything in it that a line may trip over.
fn odd_name() -> impl Strategy<Value = String> {
    "[a-z#\"'\\\\$ {}\\[\\]äß_-]{1,8}\\.pem"
        .prop_filter("HAProxy's words end at a space", |name| !name.trim().is_empty())
}

fn plain_name() -> impl Strategy<Value = String> {
    "[a-zäß$\"'_-][a-z0-9äß$\"'\\\\#_-]{0,7}\\.(pem|crt|x)"
}

fn usage() -> impl Strategy<Value = Use> {
    let options = prop_oneof![
        Just(""),
        Just(" foo.com !bar.com"),
        Just(" [alpn h2] foo.com"),
        Just("[ssl-min-ver TLSv1.2]"),
        Just("\t[ ]\t*"),
        Just(" # no comment"),
    ];
    let conditions = prop_oneof![
        Just(("1", Some(true))),
        Just(("!(1 && 1)", Some(false))),
        Just(("defined(SET) || 0", Some(true))),
        Just(("streq(\"$SET\",other)", Some(false))),
        Just(("defined(UNSET) && version_atleast(1.0)", Some(false))),
        Just(("version_atleast(2.8)", None)),
        Just(("streq(a,a) && !version_atleast(2.8)", None)),
    ];
    prop_oneof![
        (odd_name(), quoting()).prop_map(|(name, quoting)| Use::File { name, quoting }),
        (plain_name(), "[a-z ]{0,5}", any::<bool>(), any::<bool>()).prop_map(
            |(name, value, by_environment, in_braces)| { Use::Variable { name, value, by_environment, in_braces } }
        ),
        (
            prop::collection::vec(odd_name(), 1..4),
            prop::collection::vec("\\.[a-z]{1,4}\\.pem|[a-z]{1,4}\\.(ocsp|key|issuer|sctl)", 0..3),
            0_usize..3
        )
            .prop_map(|(names, others, slashes)| Use::Directory { names, others, slashes }),
        (plain_name(), any::<[bool; 3]>())
            .prop_filter("a bundle of something", |(_, kinds)| kinds.contains(&true))
            .prop_map(|(name, kinds)| Use::Bundle { name, kinds }),
        prop::collection::vec((plain_name(), options), 1..5).prop_map(|entries| Use::List { entries }),
        (conditions, odd_name(), odd_name()).prop_map(|((condition, holds), yes, no)| Use::Block {
            condition,
            holds,
            names: [format!("y{yes}"), format!("n{no}")]
        }),
    ]
}

/// The configuration of these, with or without a base.
fn case(usages: &[Use], base: Option<&str>) -> Case {
    let mut global = GLOBAL.to_owned();
    let mut lines = String::new();
    let mut case = Case::raw("generated", "").variable("SET", "set");
    let mut certs = Vec::new();
    let mut perhaps = Vec::new();
    // Where relative paths of certificates begin, as the test writes files.
    let folder =
        base.map(|base| format!("{}/", base.trim_start_matches("@D/").trim_end_matches('/'))).unwrap_or_default();
    let named = |path: &str| base.map_or_else(|| path.to_owned(), |base| format!("{base}/{path}"));
    if let Some(base) = base {
        global.push_str(&format!("  crt-base {base}\n"));
    }
    for (number, usage) in usages.iter().enumerate() {
        let bind = BIND.replace("frontend f\n", "").replace("tls.sock", &format!("{number}.sock"));
        match usage {
            Use::File { name, quoting } => {
                certs.push(format!("{folder}u{number}/{name}"));
                lines.push_str(&format!("{bind}crt {}\n", quoting.quote(&format!("u{number}/{name}"))));
            }
            Use::Variable { name, value, by_environment, in_braces } => {
                let variable = format!("V{number}");
                match *by_environment || value.is_empty() {
                    true => case = case.variable(&variable, value),
                    false => global.push_str(&format!("  setenv {variable} \"{value}\"\n")),
                }
                certs.push(format!("{folder}u{number}/{value}-{name}"));
                let reference = if *in_braces { format!("${{{variable}-x}}") } else { format!("${variable}") };
                let rest = Quoting::Double.quote(&format!("-{name}"));
                lines.push_str(&format!("{bind}crt \"u{number}/{reference}\"{rest}\n"));
            }
            Use::Directory { names, others, slashes } => {
                certs.extend(names.iter().map(|name| format!("{folder}u{number}/{name}")));
                for other in others {
                    case = case.file(&format!("{folder}u{number}/{other}"), "");
                }
                lines.push_str(&format!("{bind}crt u{number}{}\n", "/".repeat(*slashes)));
            }
            Use::Bundle { name, kinds } => {
                for (kind, _) in ["rsa", "ecdsa", "dsa"].iter().zip(kinds).filter(|(_, is_there)| **is_there) {
                    certs.push(format!("{folder}u{number}/{name}.{kind}"));
                }
                lines.push_str(&format!("{bind}crt {}\n", Quoting::Single.quote(&format!("u{number}/{name}"))));
            }
            Use::List { entries } => {
                let mut list = "# generated\n\n".to_owned();
                for (name, options) in entries {
                    certs.push(format!("{folder}u{number}/{name}"));
                    list.push_str(&format!("u{number}/{name}{options}\n"));
                }
                case = case.file(&format!("list{number}"), list);
                lines.push_str(&format!("{bind}crt-list @D/list{number}\n"));
            }
            Use::Block { condition, holds, names } => {
                let paths = names.clone().map(|name| format!("u{number}/{name}"));
                let [yes, no] = &paths;
                let line = |path: &str| format!("{bind}crt {}\n", Quoting::Double.quote(path));
                lines.push_str(&format!(".if {condition}\n{}.else\n{}.endif\n", line(yes), line(no)));
                certs.extend(paths.iter().map(|path| format!("{folder}{path}")));
                if holds.is_none() {
                    perhaps.extend(paths.iter().map(|path| named(path)));
                }
            }
        }
    }
    case.configuration("haproxy.cfg", &format!("{global}{DEFAULTS}frontend f\n{lines}"))
        .certs(certs.iter().map(String::as_str))
        .perhaps(perhaps.iter().map(String::as_str))
}

#[test]
fn generated_configurations_are_read_as_haproxy_reads_them() {
    let binaries = binaries();
    let base = prop_oneof![Just(None), Just(Some("@D/base")), Just(Some("@D/base/")), Just(Some("base"))];
    let config = Config { cases: CASES, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(prop::collection::vec(usage(), 1..9), base), |(usages, base)| {
        case(&usages, base).check(&binaries).map(|_| ()).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
