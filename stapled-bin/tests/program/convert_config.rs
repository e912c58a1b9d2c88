//! `stapled convert-config`: files of the Python program `stapled` become files that this one takes.

use std::fs;

use crate::world::World;

/// As an operator of a Debian system would have it, in the form of the Python program's documentation.
const USUAL: &str = "\
[certificates]
;; Where certificates are.
cert-paths=/etc/ssl/private/
file-extensions=crt,pem,cer
; ignore=ssl-cert-snakeoil.key

[validity]
minimum-validity=7200

[process]
daemon
renewal-threads=5
refresh-interval=30

[log]
verbosity=2
logdir=logs

[haproxy]
haproxy-sockets=[/var/run/haproxy/admin.sock]
; no-haproxy-sockets
";

/// Every option that a file can have.
const ALL: &str = "\
directories = [/etc/haproxy/a, /etc/haproxy/b]
recursive = True
file-extensions: pem
ignore = [*.key, no-ocsp/*.crt, ../x]
--refresh-interval 60
haproxy-sockets = [\"/run/a.sock\", \"/run/b.sock\"]
no-haproxy-sockets = false
haproxy-socket-keepalive = 10
haproxy-config = []
no-recycle
minimum-validity = 0
renewal-threads = 2
daemon
interactive
one-off
verbosity 4
syslog
quiet
config = other.conf
";

#[test]
fn a_converted_file_is_a_configuration() {
    let world = World::new();
    for (text, words) in [
        (
            USUAL,
            vec![
                "cert-paths = [\"/etc/ssl/private/\"]\n",
                "# renewal-threads = 5: it has no successor",
                "daemon = true\n",
            ],
        ),
        (
            ALL,
            vec![
                "cert-paths = [\"/etc/haproxy/a\", \"/etc/haproxy/b\"]\n",
                "one-off = true\n",
                "# ignore: ../x had no effect",
            ],
        ),
    ] {
        fs::write(world.path("old.conf"), text).unwrap();
        let ended = world.run(&["convert-config", "old.conf"]);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        for words in words {
            assert!(ended.out.contains(words), "{words}\n{}", ended.out);
        }
        fs::write(world.path("new.conf"), &ended.out).unwrap();
        fs::create_dir_all(world.path("logs")).unwrap();
        let checked = world.run(&["--config", "new.conf", "--check-config"]);
        assert_eq!(checked.code, 0, "{checked:?}\n{}", ended.out);
        assert!(checked.out.ends_with("configuration ok\n"), "{checked:?}");
    }
}

#[test]
fn unknown_keys_are_named_with_their_lines() {
    let world = World::new();
    fs::write(world.path("old.conf"), "[x]\ncert-paths=/a\nnonsense=1\nverbosity=loud\n").unwrap();
    let ended = world.run(&["convert-config", "old.conf"]);
    assert_eq!(ended.code, 20, "{ended:?}");
    assert!(ended.out.contains("cert-paths = [\"/a\"]\n") && ended.out.contains("# line 3: nonsense=1"), "{ended:?}");
    assert!(ended.err.contains("old.conf:3: nonsense=1: there is no such option"), "{ended:?}");
    assert!(ended.err.contains("old.conf:4: verbosity=loud: a whole number is needed"), "{ended:?}");
    let missing = world.run(&["convert-config", "none.conf"]);
    assert!(missing.code == 2 && missing.err.contains("none.conf cannot be read: No such file"), "{missing:?}");
}

#[test]
fn a_file_of_the_python_program_is_recognised() {
    let world = World::new();
    for text in [USUAL, ALL, "[validity]\nminimum-validity=7200\n"] {
        fs::write(world.path("old.conf"), text).unwrap();
        for arguments in [&["--config", "old.conf"][..], &["check", "--config", "old.conf"]] {
            let ended = world.run(arguments);
            assert_eq!(ended.code, 2, "{ended:?}");
            let words =
                "; if this is a file of the Python program stapled, `stapled convert-config old.conf` prints it";
            assert!(ended.err.contains(words), "{ended:?}");
        }
    }
    fs::write(world.path("old.conf"), "cert-paths = \"/etc/ssl\nrecursive = yes\n").unwrap();
    let ended = world.run(&["--config", "old.conf"]);
    assert!(ended.code == 2 && !ended.err.contains("Python"), "{ended:?}");
}
