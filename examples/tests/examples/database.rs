use std::io::Write;

use stapled_core::stapler::Stapler;
use stapled_tests::{PATIENCE, Running, wait_for};

use crate::support::{self, InProcess, World};

#[allow(dead_code)] // its `main`
#[path = "../../database.rs"]
mod example;

#[test]
fn rows_get_staples_when_added_and_lose_them_when_removed() {
    let world = World::new();
    world.issue("a.test");
    world.issue("b.test");
    let mut program = support::example(env!("CARGO_BIN_EXE_database"), &[]);
    let (a, b) = (world.text("certs/a.test.pem"), world.text("certs/b.test.pem"));
    let say = |program: &mut Running, line: String| writeln!(program.stdin().as_mut().unwrap(), "{line}").unwrap();

    say(&mut program, format!("put 1 {a}"));
    program.line("row 1: a.test has a staple, good until ");
    say(&mut program, format!("put 2 {b}"));
    program.line("row 2: b.test has a staple, good until ");
    say(&mut program, "delete 1".to_owned());
    program.line("row 1: a.test has none any more");
    say(&mut program, format!("put 2 {a}"));
    program.line("row 2: a.test has a staple");
    say(&mut program, "put 3 /nowhere".to_owned());
    program.line("/nowhere: ");
    // The program ends with its input.
    *program.stdin() = None;
    assert_eq!(program.end(PATIENCE).code, 0);
}

#[test]
fn staples_are_kept_as_the_ca_sent_them_with_the_hash_of_their_certificate() {
    let world = World::new();
    let (database, notifications) = example::Database::new();
    let source = example::Rows { database: database.clone(), notifications: tokio::sync::Mutex::new(notifications) };
    let _stapler = InProcess::start(Stapler::builder().source(source).sink(example::Staples(database.clone())));
    let bundle = |host: &str| {
        let issued = world.issue(host);
        issued.certificate_pem() + &issued.chain_pem()
    };
    let kept = || database.tables().staples.get("1").cloned();

    database.put(1, bundle("a.test"));
    let (first_hash, first) = wait_for("a staple", kept);
    database.put(1, bundle("a.test"));
    let (_, second) = wait_for("another's staple", || kept().filter(|(hash, _)| *hash != first_hash));
    assert_eq!(world.proxy.responses(), [first.to_vec(), second.to_vec()]);
    database.delete(1);
    wait_for("the withdrawal", || kept().is_none().then_some(()));
}
