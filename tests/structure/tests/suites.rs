//! Tests of `.ci/suites`, which runs all suites.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::process::Command;

use stapled_structure::workspace::root;

/// Runs Python code after parts of `.ci/suites`: the functions and constants of these names.
fn python(names: &[&str], code: &str) -> String {
    let program = format!(
        "import ast, os, sys\n\
         def name(node):\n    return getattr(node, 'name', None) or getattr(getattr(node, 'targets', [None])[0], 'id', None)\n\
         tree = ast.parse(open(sys.argv[1]).read())\n\
         parts = [node for node in tree.body if name(node) in {names:?}]\n\
         exec(compile(ast.Module(parts, []), 'suites', 'exec'))\n{code}"
    );
    let output = Command::new("python3").arg("-c").arg(program).arg(root().join(".ci/suites")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The words in backquotes at the beginning of the rows of the table with this heading.
fn rows(document: &str, heading: &str) -> BTreeSet<String> {
    let table = document.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    let rows = table.take_while(|line| line.starts_with("| `"));
    rows.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn the_slow_suites_are_those_in_the_document() {
    let slow: BTreeSet<String> = python(&["SLOW"], "print('\\n'.join(SLOW))").lines().map(str::to_owned).collect();
    let document = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    assert!(slow.len() > 5, "{slow:?}");
    assert_eq!(rows(&document, "| suite | command | takes |"), slow);
}

#[test]
fn two_checkouts_that_share_a_target_folder_keep_their_own_programs() {
    let code = "
import tempfile
with tempfile.TemporaryDirectory() as folder:
    program, names = os.path.join(folder, 'target', 'stapled'), []
    os.mkdir(os.path.dirname(program))
    for checkout in 'one', 'two', 'one':
        os.makedirs(os.path.join(folder, checkout), exist_ok=True)
        os.chdir(os.path.join(folder, checkout))
        # cargo replaces the program of the other checkout.
        if os.path.exists(program):
            os.remove(program)
        with open(program, 'w') as file:
            file.write(checkout + str(len(names)))
        names.append(own_name(program))
    print(names[0] == names[2], open(names[0]).read(), open(names[1]).read())
    os.chdir('/')
";
    assert_eq!(python(&["own_name"], code).trim(), "True one2 two1");
}
