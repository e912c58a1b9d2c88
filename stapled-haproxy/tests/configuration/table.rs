//! The table of configurations.

use crate::oracle::{BIND, Case, DEFAULTS, GLOBAL, check_all, pems};

/// Each HAProxy that knows the words of a configuration loads it, and must list the certificates that this crate finds.
#[test]
fn the_certificates_are_those_that_haproxy_lists() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let loads = check_all(&cases);
    println!("{} configurations, {loads} loads", cases.len());
}

fn cases() -> Vec<Case> {
    [words(), variables(), conditions(), paths(), files(), lists(), stores(), sections(), sockets()].concat()
}

fn words() -> Vec<Case> {
    vec![
        Case::bind("a plain path", "crt @D/a.pem").certs(["a.pem"]),
        Case::bind("quotes and escapes", r#"crt "@D/b c.pem" crt '@D/d e.pem' crt @D/f\ g.pem crt @D/"h"'i'\j.pem"#)
            .certs(["b c.pem", "d e.pem", "f g.pem", r"hi\j.pem"]),
        Case::bind("comments", r##"crt @D/a\#b.pem crt "@D/c#d.pem" crt '@D/e#f.pem' crt @D/g.pem#crt x"##)
            .certs(["a#b.pem", "c#d.pem", "e#f.pem", "g.pem"]),
        Case::bind("quotes in names", r#"crt @D/\"a.pem crt "@D/b'c.pem" crt '@D/d"e.pem' crt @D/f\'.pem"#)
            .certs(["\"a.pem", "b'c.pem", "d\"e.pem", "f'.pem"]),
        Case::bind("backslashes", r"crt @D/a\\b.pem crt '@D/c\d.pem' crt @D/e\f.pem")
            .certs([r"a\b.pem", r"c\d.pem", r"e\f.pem"]),
        Case::bind("hexadecimal", r#"crt @D/\x61.pem crt "@D/\x62.pem""#).certs(["a.pem", "b.pem"]),
        Case::bind("dollars that are none", r#"crt @D/$A.pem crt '@D/$B.pem' crt "@D/\$C.pem""#)
            .certs(["$A.pem", "$B.pem", "$C.pem"])
            .variable("A", "x"),
        Case::raw(
            "tabs, ends of lines as in Windows, comments behind sections",
            &format!("{GLOBAL}{DEFAULTS}\tfrontend f # x\n\t\tbind\tunix@@D/t\tssl crt\t@D/a.pem\n")
                .replace('\n', "\r\n"),
        )
        .certs(["a.pem"]),
        Case::bind("names in other scripts", "crt @D/ä.pem crt @D/证书.pem").certs(["ä.pem", "证书.pem"]),
        Case::bind("a long line", &format!("crt @D/a.pem {} crt @D/b.pem", " ".repeat(20_000)))
            .certs(["a.pem", "b.pem"]),
        Case::bind("values that look like options", "name crt crt @D/a.pem alpn h2 id 77 crt @D/b.pem strict-sni")
            .certs(["a.pem", "b.pem"]),
    ]
}

fn variables() -> Vec<Case> {
    vec![
        Case::bind("variables", r#"crt "$DIR/a.pem" crt "${DIR}/${NAME}.pem" crt "@D/$NAME$NAME.pem""#)
            .certs(["a.pem", "b.pem", "bb.pem"])
            .variable("DIR", "@D")
            .variable("NAME", "b"),
        Case::bind("defaults", r#"crt "@D/${UNSET-a}.pem" crt "@D/${SET-x}.pem" crt "@D/${EMPTY-x}c.pem""#)
            .certs(["a.pem", "b.pem", "c.pem"])
            .variable("SET", "b")
            .variable("EMPTY", ""),
        Case::bind("a default is taken as it stands", r#"crt "@D/${UNSET-$B"c}.pem""#)
            .certs(["$B\"c.pem"])
            .variable("B", "x"),
        Case::bind("a variable that is not set", r#"crt "@D/${UNSET}a.pem" crt @D/b.pem crt "@D/c$UNSET""#)
            .certs(["a.pem", "b.pem", "c"]),
        Case::bind("a word that is nothing", r#"crt @D/a.pem "$UNSET" crt @D/b.pem"#)
            .certs(["a.pem", "b.pem"])
            .since(3, 0),
        Case::bind("several words out of one", r#""${MORE[*]}" crt @D/c.pem"#)
            .certs(["a.pem", "b.pem", "c.pem"])
            .variable("MORE", "crt a.pem  crt b.pem"),
        Case::bind("spaces in a value", r#"crt "@D/$NAME.pem""#).certs(["a b.pem"]).variable("NAME", "a b"),
        Case::global(
            "setenv, presetenv, unsetenv",
            "  setenv A a\n  presetenv A x\n  presetenv B b\n  setenv C x\n  unsetenv C",
            r#"crt "@D/$A.pem" crt "@D/$B.pem" crt "@D/${C-c}.pem""#,
        )
        .certs(["a.pem", "b.pem", "c.pem"]),
        Case::global("resetenv", "  resetenv KEPT\n", r#"crt "@D/${KEPT}.pem" crt "@D/${GONE-b}.pem""#)
            .certs(["a.pem", "b.pem"])
            .variable("KEPT", "a")
            .variable("GONE", "x"),
        Case::raw(
            "pseudo-variables",
            &format!(
                "{GLOBAL}{DEFAULTS}{}",
                BIND.replace("ssl", r#"ssl crt "@D/${.LINE}.pem" crt "@D/$.SECTION.pem""#) + "\n"
            ),
        )
        .certs(["9.pem", "f.pem"]),
    ]
}

fn conditions() -> Vec<Case> {
    let block = |condition: &str, yes: &str, no: &str| {
        format!(
            "{GLOBAL}{DEFAULTS}frontend f\n  bind unix@@D/t ssl crt @D/a.pem\n.if {condition}\n  bind unix@@D/u ssl {yes}\n\
             .else\n  bind unix@@D/v ssl {no}\n.endif\n"
        )
    };
    let decided = |name: &str, condition: &str| {
        Case::raw(name, &block(condition, "crt @D/yes.pem", "crt @D/no.pem")).certs(["a.pem", "yes.pem", "no.pem"])
    };
    vec![
        decided("defined", "defined(SET) && !defined(UNSET)").variable("SET", ""),
        decided("streq", r#"streq("$SET",yes) || 0"#).variable("SET", "yes"),
        decided("streq with a space", r#"streq("$SET", yes)"#).variable("SET", "yes"),
        decided("strneq and parentheses", "(strneq(a,b) && 0) || !(1 && !0)"),
        decided("a variable for a number", r#""${ON-1}""#),
        decided("nothing", r#""$UNSET""#),
        decided("strstr", "strstr(abc,b)").since(2, 9),
        decided("OpenSSL", "feature(OPENSSL)"),
        Case::raw("a version", &block("version_atleast(3.0)", "crt @D/yes.pem", "crt @D/no.pem"))
            .certs(["a.pem", "yes.pem", "no.pem"])
            .perhaps(["@D/yes.pem", "@D/no.pem"]),
        Case::raw("how it was started", &block("defined(HAPROXY_MWORKER)", "crt @D/yes.pem", "crt @D/no.pem"))
            .certs(["a.pem", "yes.pem", "no.pem"])
            .perhaps(["@D/yes.pem"]),
        Case::raw(
            "a keyword of one version only",
            &block("version_atleast(3.0)", "default-crt @D/b.pem", "crt @D/b.pem"),
        )
        .certs(["a.pem", "b.pem"]),
        Case::raw(
            "a base of one version only",
            &format!(
                "{GLOBAL}.if version_atleast(2.9)\n  crt-base @D/new\n.else\n  crt-base @D/old\n.endif\n{DEFAULTS}{BIND}crt a.pem\n"
            ),
        )
        .certs(["new/a.pem", "old/a.pem"])
        .perhaps(["@D/new/a.pem", "@D/old/a.pem"]),
        Case::raw(
            "blocks in blocks, elif, what is skipped is not read",
            &format!(
                "{GLOBAL}{DEFAULTS}frontend f\n.if 0\n  .if 1\n  bind unix@@D/1 ssl crt @D/no.pem\n  .else\n  nonsense\n  .endif\n\
                 .elif streq(a,b)\n  bind unix@@D/2 ssl crt @D/no.pem\n.elif 1\n  .if 0\n  .elif 1\n  bind unix@@D/3 ssl crt @D/a.pem\n\
                 .endif\n.elif 1\n  nonsense\n.else\n  nonsense\n.endif\n.notice \"read\"\n  bind unix@@D/4 ssl crt @D/b.pem\n"
            ),
        )
        .certs(["a.pem", "b.pem"]),
    ]
}

fn paths() -> Vec<Case> {
    let with = |policy: &str, words: &str| format!("{GLOBAL}  default-path {policy}\n{DEFAULTS}{BIND}{words}\n");
    vec![
        Case::bind("relative paths", "crt a.pem crt ./b.pem crt c//d.pem").certs(["a.pem", "b.pem", "c/d.pem"]),
        Case::global("crt-base", "  crt-base @D/c", "crt a.pem crt @D/b.pem crt ./d.pem")
            .certs(["c/a.pem", "b.pem", "c/d.pem"]),
        Case::global("crt-base with a slash", "  crt-base @D/c/", "crt a.pem").certs(["c/a.pem"]),
        Case::global("a relative crt-base", "  crt-base c", "crt a.pem").certs(["c/a.pem"]),
        Case::global("a directory as crt-base", "  crt-base @D/c", "crt .").certs(["c/a.pem", "c/b.pem"]),
        Case::raw("default-path config", &with("config", "crt a.pem crt-list list"))
            .configuration("x/haproxy.cfg", &with("config", "crt a.pem crt-list list"))
            .started_with(["x/haproxy.cfg"])
            .certs(["x/a.pem", "x/b.pem"])
            .file("x/list", "b.pem\n"),
        Case::raw("default-path parent", "")
            .configuration("x/y/haproxy.cfg", &with("parent", "crt a.pem"))
            .started_with(["x/y/haproxy.cfg"])
            .certs(["x/a.pem"]),
        Case::raw("default-path origin", &with("origin @D/o", "crt a.pem")).certs(["o/a.pem", "a.pem"]),
        Case::raw("default-path origin, relative", &with("origin o", "crt a.pem")).certs(["o/a.pem", "a.pem"]),
        Case::raw("default-path current", &with("current", "crt a.pem")).certs(["s/a.pem"]).started_in("s"),
        Case::raw("default-path, changed", "")
            .configuration(
                "x/haproxy.cfg",
                &(with("config", "crt a.pem")
                    + "global\n  default-path origin @D/o\nfrontend g\n  bind unix@@D/u ssl crt b.pem\n"),
            )
            .started_with(["x/haproxy.cfg"])
            .certs(["x/a.pem", "o/b.pem"]),
        Case::raw("several files, each with its directory", "")
            .configuration("x/1.cfg", &with("config", "crt a.pem"))
            .configuration("y/2.cfg", "frontend g\n  mode http\n  bind unix@@D/u ssl crt b.pem\n")
            .started_with(["x/1.cfg", "y/2.cfg"])
            .certs(["x/a.pem", "y/b.pem"]),
        Case::raw("what the first file says, the second knows", "")
            .configuration("1.cfg", &format!("{GLOBAL}  crt-base @D/c\n  setenv NAME b\n{DEFAULTS}"))
            .configuration("2.cfg", &format!("{BIND}crt a.pem crt \"$NAME.pem\"\n  mode http\n"))
            .started_with(["1.cfg", "2.cfg"])
            .certs(["c/a.pem", "c/b.pem"]),
        Case::raw("a directory of files", "nonsense\n")
            .configuration("d/10.cfg", &format!("{BIND}crt a.pem\n"))
            .configuration("d/02.cfg", &format!("{GLOBAL}  crt-base @D/c\n{DEFAULTS}"))
            .file("d/.hidden.cfg", "nonsense\n")
            .file("d/old.cfg.bak", "nonsense\n")
            .file("d/below/x.cfg", "nonsense\n")
            .started_with(["d"])
            .certs(["c/a.pem"]),
    ]
}

fn files() -> Vec<Case> {
    let pems = pems();
    vec![
        Case::bind("a directory", "crt @D/c")
            .certs(["c/b.pem", "c/a.pem", "c/no-extension", "c/k.rsa", "c/k.ecdsa", "c/.hidden.pem", "c/below/z.pem"])
            .file("c/a.pem.key", &pems.key)
            .file("c/a.pem.issuer", &pems.issuer)
            .file("c/x.sctl", "x")
            .file("c/x.key", "x"),
        Case::bind("a directory with slashes behind", "crt @D/c///").certs(["c/a.pem"]),
        Case::bind("a directory and a file of it", "crt @D/c/b.pem crt @D/c crt @D/c/b.pem")
            .certs(["c/a.pem", "c/b.pem"]),
        Case::bind("a bundle", "crt @D/b").certs(["b.rsa", "b.ecdsa", "b.dsa", "b.other"]),
        Case::bind("part of a bundle", "crt @D/b.pem crt @D/c").certs(["b.pem.rsa", "c.ecdsa"]),
        Case::bind("a file beside its bundle", "crt @D/b").certs(["b", "b.rsa", "b.ecdsa"]),
        Case::global("a bundle under crt-base", "  crt-base @D/c", "crt b").certs(["c/b.rsa", "c/b.ecdsa"]),
        Case::global("bundles only", "  ssl-load-extra-files bundle", "crt @D/b").certs(["b.rsa"]),
        Case::global(
            "ssl-load-extra-files, the last line counts",
            "  ssl-load-extra-files none\n  ssl-load-extra-files all",
            "crt @D/b",
        )
        .certs(["b.rsa"]),
        Case::bind("a key apart", "crt @D/a.crt").file("a.crt", &pems.certificate).file("a.crt.key", &pems.key),
        Case::global("a key apart without the extension", "  ssl-load-extra-del-ext", "crt @D/c")
            .file("c/a.crt", &pems.certificate)
            .file("c/a.key", &pems.key)
            .certs(["c/b.pem"]),
        Case::bind("default-crt", "default-crt @D/a.pem crt @D/b.pem").certs(["a.pem", "b.pem"]).since(3, 0),
    ]
}

fn lists() -> Vec<Case> {
    let list = |name: &str, list: &str| Case::bind(name, "crt-list @D/list").file("list", list);
    vec![
        list("a list", "@D/a.pem\n\n#comment\n@D/b.pem [alpn h2] foo.com !bar.com\n   \n  @D/c.pem *\n")
            .certs(["a.pem", "b.pem", "c.pem"]),
        list("a list knows no quotes, escapes, variables", "@D/$X.pem\n@D/'b'.pem\n@D/c\"d.pem # x\n")
            .certs(["$X.pem", "'b'.pem", "c\"d.pem"])
            .variable("X", "x"),
        list(
            "brackets without spaces",
            "@D/a.pem[alpn h2]foo.com\n@D/b.pem []\n@D/c.pem\t[ ssl-min-ver TLSv1.2 ]\t*.x\r\n",
        )
        .certs(["a.pem", "b.pem", "c.pem"]),
        list("a certificate twice", "@D/a.pem\n@D/a.pem foo\n").certs(["a.pem"]),
        list("a bundle in a list", "@D/b foo\n").certs(["b.rsa", "b.ecdsa"]),
        Case::global("a list under crt-base", "  crt-base @D/c", "crt-list list crt d.pem")
            .file("list", "a.pem\n@D/b.pem\n")
            .file("c/list", "nonsense\n")
            .certs(["c/a.pem", "b.pem", "c/d.pem"]),
        list("a long line of filters", &format!("@D/a.pem {}\n@D/b.pem\n", "x.example ".repeat(1000)))
            .certs(["a.pem", "b.pem"]),
        Case::bind("one list twice, and another", "crt-list @D/list crt-list @D/list crt-list @D/more")
            .file("list", "@D/a.pem\n")
            .file("more", "@D/a.pem x\n@D/b.pem\n")
            .certs(["a.pem", "b.pem"]),
        list(
            "files of a line",
            "@D/a.crt [key @D/k.key ocsp @D/a.ocsp issuer @D/i.pem] foo\n@D/b.pem [ocsp-update off]\n",
        )
        .file("a.crt", &pems().certificate)
        .file("k.key", &pems().key)
        .file("i.pem", &pems().issuer)
        .file("a.ocsp", "")
        .certs(["b.pem"])
        .since(3, 0),
    ]
}

fn stores() -> Vec<Case> {
    let pems = pems();
    let store = |name: &str, global: &str, store: &str, words: &str| {
        Case::raw(name, &format!("{GLOBAL}{global}\n{DEFAULTS}{store}\n{BIND}{words}\n")).since(3, 0)
    };
    vec![
        store("a store without a name", "", "crt-store\n  load crt @D/a.pem", "crt @D/a.pem").certs(["a.pem"]),
        store("an alias", "", "crt-store\n  load crt @D/a.pem alias x", "crt @/x").certs(["a.pem"]),
        store("an alias of two words", "", "crt-store\n  load alias \"my cert\" crt @D/a.pem", "crt \"@/my cert\"").certs(["a.pem"]),
        store("a store with a name", "", "crt-store web\n  crt-base @D\n  load crt a.pem alias x\n  load crt b.pem", "crt @web/x crt @web/b.pem")
            .certs(["a.pem", "b.pem"]),
        store("an absolute path in a store with a name", "", "crt-store web\n  load crt @D/a.pem", "crt @D/b.pem").certs(["a.pem", "b.pem"]),
        store("what nobody uses", "", "crt-store\n  load crt @D/a.pem alias x", "crt @D/b.pem").certs(["a.pem", "b.pem"]),
        store("keys apart", "  key-base @D", "crt-store\n  load crt @D/a.crt key k.key", "crt @D/a.crt")
            .file("a.crt", &pems.certificate)
            .file("k.key", &pems.key),
        store("the global base", "  crt-base @D/c", "crt-store\n  load crt a.pem alias x\n  load crt b.pem", "crt @/x crt b.pem")
            .certs(["c/a.pem", "c/b.pem"]),
        store("two bases", "  crt-base @D/c", "crt-store\n  crt-base @D/s\n  load crt b.pem", "crt b.pem").certs(["s/b.pem"]),
        store("two bases, two files", "  crt-base @D/c", "crt-store\n  crt-base @D/s\n  load crt b.pem", "crt b.pem")
            .certs(["s/b.pem", "c/b.pem"]),
        store("two stores, one file by two names", "", "crt-store a\n  crt-base @D\n  load crt a.pem\ncrt-store b\n  crt-base @D\n  load crt a.pem\n  load crt b.pem alias z", "crt @a/a.pem crt @b/a.pem crt @b/z")
            .certs(["a.pem", "b.pem"]),
        store("a store continued", "", "crt-store a\n  load crt a.pem\ncrt-store a\n  load crt b.pem", "crt @a/a.pem crt @a/b.pem")
            .certs(["a.pem", "b.pem"]),
        store("a store in a list", "  crt-base @D/c", "crt-store\n  load crt @D/a.pem alias x", "crt-list @D/list")
            .file("list", "@/x foo\nb.pem\n")
            .certs(["a.pem", "c/b.pem"]),
        store("a file of a store in a directory", "", "crt-store\n  load crt @D/c/a.pem\n  load crt @D/c/b.pem alias b", "crt @D/c crt @/b")
            .certs(["c/a.pem", "c/b.pem"]),
        store("all files named", "", "crt-store\n  crt-base @D\n  load crt \"a.crt\" key \"@D/k.key\" ocsp \"a.ocsp\" issuer \"i.pem\" alias \"crt\" ocsp-update off", "crt @/crt")
            .file("a.crt", &pems.certificate)
            .file("k.key", &pems.key)
            .file("i.pem", &pems.issuer)
            .file("a.ocsp", ""),
        Case::bind("a file with a store's kind of name", "crt @D/a.pem crt @x/b.pem").certs(["a.pem", "@x/b.pem"]),
        Case::global("the same under crt-base", "  crt-base @D/c", "crt @x/b.pem").certs(["c/@x/b.pem"]).until(3, 0),
    ]
}

fn sections() -> Vec<Case> {
    let more = |name: &str, more: &str| {
        Case::raw(name, &format!("{GLOBAL}{DEFAULTS}{BIND}crt @D/a.pem\n{more}\n")).certs(["a.pem", "b.pem"])
    };
    vec![
        more("servers have certificates of clients", "backend b\n  default-server ssl verify none crt @D/client.pem\n  server s 127.0.0.1:1\nlisten l\n  bind unix@@D/l ssl crt @D/b.pem\n  server s 127.0.0.1:1 ssl verify none crt @D/client2.pem")
            .certs(["client.pem", "client2.pem"]),
        more("peers", "peers p\n  bind unix@@D/p ssl crt @D/b.pem\n  server x"),
        more("peers with default-bind", "peers p\n  default-bind ssl crt @D/b.pem\n  bind unix@@D/p\n  server x"),
        more("log-forward", "log-forward p\n  bind unix@@D/p ssl crt @D/b.pem\n  log global"),
        more("a disabled frontend", "frontend g\n  disabled\n  bind unix@@D/g ssl crt @D/b.pem"),
        more("without ssl", "  bind unix@@D/g crt @D/b.pem"),
        more("several addresses on a line", "  bind unix@@D/1,unix@@D/2 ssl crt @D/b.pem"),
        more("several global sections", "global\n  crt-base @D/c\nfrontend g\n  bind unix@@D/g ssl crt c.pem\nglobal\n  maxconn 100").certs(["c/c.pem"]),
        more(
            "what is not about certificates",
            "userlist u\n  user crt insecure-password bind\ncache c\n  total-max-size 4\nresolvers r\n  nameserver n 127.0.0.1:53\n\
             backend b\n  http-request set-header bind crt\n  acl crt path -f /dev/null\nhttp-errors e\nmailers m\n  mailer x 127.0.0.1:25",
        ),
        more("authorities", "frontend g\n  bind unix@@D/g ssl crt @D/b.pem ca-file @D/ca.pem verify required").file("ca.pem", &pems().issuer),
        more("a certificate of a server that is served as well", "backend b\n  server s 127.0.0.1:1 ssl verify none crt @D/a.pem"),
    ]
}

fn sockets() -> Vec<Case> {
    let socket = |name: &str, lines: &str| {
        Case::raw(name, &format!("global\n{lines}\n{DEFAULTS}{BIND}crt @D/a.pem\n")).certs(["a.pem"])
    };
    vec![
        socket("a socket with its kind", "  stats socket unix@@D/admin.sock mode 600 level admin expose-fd listeners"),
        socket("a stream", "  stats socket stream+unix@@D/admin.sock level admin"),
        socket("several on a line", "  stats socket unix@@D/other.sock,@D/admin.sock level admin"),
        socket("several lines", "  stats socket @D/other.sock level user\n  stats timeout 1m\n  stats socket @D/admin.sock level admin"),
        socket("no admin", "  stats socket @D/admin.sock"),
        socket("a relative path", "  stats socket unix@admin.sock level admin"),
        socket("a relative path and default-path", "  default-path origin /\n  stats socket unix@admin.sock level admin"),
        Case::raw(
            "a prefix for others",
            &format!("global\n  unix-bind prefix @D\n  stats socket @D/admin.sock level admin\n{DEFAULTS}frontend f\n  bind unix@/t ssl crt @D/a.pem\n"),
        )
        .certs(["a.pem"]),
        socket("a variable", "  stats socket \"$SOCKET\" level admin").variable("SOCKET", "@D/admin.sock"),
        socket("one with certificates", "  stats socket unix@@D/tls2.sock ssl crt @D/b.pem\n  stats socket @D/admin.sock level admin").certs(["b.pem"]),
    ]
}
