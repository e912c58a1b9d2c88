//! Errors in a `[[server]]` or a `--layout`: each says what is wrong and what to do.

use std::fs;

use crate::world::World;

/// The output of `--check-config` for this text.
fn checked(world: &World, text: &str) -> (i32, String) {
    fs::write(world.path("stapled.conf"), text).unwrap();
    let ended = world.run(&["--config", "stapled.conf", "--check-config"]);
    (ended.code, ended.err)
}

#[test]
fn what_cannot_be_is_refused_with_its_place_and_a_remedy() {
    let world = World::new();
    let one = |lines: &str| format!("cert-paths = [\"certs\"]\n[[server]]\n{lines}\n");
    let two = |first: &str, second: &str| format!("{}[[server]]\n{second}\n", one(first));
    for (text, words) in [
        (
            one("layout = \"ngnix\""),
            "stapled.conf:2:3: server: ngnix: there is no layout \"ngnix\"; did you mean \"nginx\"?",
        ),
        (one("layout = \"word\""), "there are envoy, exim, files, h2o, hitch, kubernetes, nginx, nginx-file"),
        (one("layout = \"x.ocsp\"\ndirectory = \"d\""), "all certificates would have this one file in"),
        (one("layout = \"../{name}\""), "a name inside of the directory is needed"),
        (one("layout = \"{nam}.ocsp\""), "there is no {nam}; there are {file}, {name}"),
        (one("layout = \"hitch\""), "the layout \"hitch\" needs a directory"),
        (one("layout = \"nginx\"\nreload = \"/no/such/program\""), "reload: /no/such/program: not an executable file"),
        (one("layout = \"nginx\"\ncertificates = [\"\"]"), "an empty pattern"),
        (one("name = \"x\""), "stapled.conf:2:1: server: a server needs layout"),
        (one("layout = \"nginx\"\nreloda = \"x\""), "a server has no \"reloda\", only name and layout and directory"),
        (one("layout = 1"), "server: layout: a text in double quotes is needed, not 1"),
        (one("layout = \"nginx\"\nreload-pause = \"x\""), "reload-pause"),
        ("cert-paths = [\"certs\"]\nserver = 1\n".to_owned(), "[[server]] tables are needed"),
        (two("layout = \"nginx\"", "layout = \"nginx\""), "another server has this name; give this one a `name`"),
        (
            two("layout = \"h2o\"", "layout = \"exim\""),
            "exim: it would have the same files as h2o; give it a `directory`, another `layout`, or each of both its `certificates`",
        ),
        (
            format!("haproxy-sockets = [\"s\"]\n{}", one("layout = \"exim\"")),
            "exim: it would have the same files as HAProxy; give it a `directory`, another `layout`",
        ),
        (
            "cert-paths = [\"certs\"]\nlayout = \"ngnix\"\n".to_owned(),
            "stapled.conf:2:1: layout: there is no layout \"ngnix\"",
        ),
        (
            "cert-paths = [\"certs\"]\nlayout = \"nginx\"\nno-staple-files = true\n".to_owned(),
            "layout: names of staple files, and no-staple-files: leave one out",
        ),
    ] {
        let (code, said) = checked(&world, &text);
        assert_eq!(code, 2, "{text}: {said}");
        assert!(said.contains(words), "{text}: {said}");
    }
}

/// A directory may come later, with the server's service: it is no error, and `check` names it.
#[test]
fn a_missing_directory_is_named_with_its_server() {
    let world = World::new();
    let text = "cert-paths = [\"certs\"]\n[[server]]\nlayout = \"hitch\"\nname = \"front\"\ndirectory = \"missing\"\n";
    let (code, said) = checked(&world, text);
    assert_eq!(code, 0, "{said}");
    let ended = world.run(&["check", "--config", "stapled.conf"]);
    let named = format!("server front: {}: No such file or directory", world.path("missing").display());
    let (all, remedy) = (ended.out + &ended.err, "make the directory, and let this user write there");
    assert!(all.contains(&named) && all.contains(remedy), "{all}");
}

#[test]
fn servers_that_differ_are_accepted() {
    let world = World::new();
    let text = "cert-paths = [\"certs\"]\nhaproxy-sockets = [\"s\"]\n\
                [[server]]\nlayout = \"nginx-file\"\ndirectory = \"a\"\nreload = \"/bin/true\"\n\
                [[server]]\nlayout = \"{parent}-{name}.ocsp\"\nname = \"own\"\ndirectory = \"a\"\nreload_timeout = \"5s\"\n\
                [[server]]\nlayout = \"h2o\"\nname = \"one\"\ndirectory = \"b\"\ncertificates = [\"a/*\"]\n\
                [[server]]\nlayout = \"h2o\"\nname = \"two\"\ndirectory = \"b\"\ncertificates = [\"b/*\"]\n";
    let (code, said) = checked(&world, text);
    assert_eq!(code, 0, "{said}");
}
