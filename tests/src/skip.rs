//! Tests that cannot run on this machine: they fail, unless the environment allows them to be skipped.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// Reports that a test cannot run, because this machine lacks something. The test returns right after it.
///
/// A test that proves nothing must not look like a passed test. So this fails the test, unless `STAPLED_MAY_SKIP` is 1.
/// In both cases, the test is listed in the file that `STAPLED_SKIPPED` names, which `make test` prints at its end.
///
/// # Panics
///
/// Panics unless the environment has `STAPLED_MAY_SKIP=1`.
#[track_caller]
pub fn skip(missing: &str) {
    let thread = std::thread::current();
    let place = Location::caller();
    let test = match thread.name() {
        Some(name) if name != "main" => format!("{} ({})", name, place.file()),
        _ => place.to_string(),
    };
    let may_skip = std::env::var_os("STAPLED_MAY_SKIP").is_some_and(|word| word == "1");
    let list = std::env::var_os("STAPLED_SKIPPED").map(PathBuf::from);
    note(&test, missing, may_skip, list.as_deref());
}

fn note(test: &str, missing: &str, may_skip: bool, list: Option<&Path>) {
    let line = format!("{test}: {missing}\n");
    if let Some(list) = list {
        // One write, since other tests append to the file too.
        let file = OpenOptions::new().create(true).append(true).open(list);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
    assert!(may_skip, "this test cannot be made here: {missing}; STAPLED_MAY_SKIP=1 leaves such tests out");
    eprint!("SKIPPED: {line}");
}

/// Whether `make prove` runs the tests, with `STAPLED_PROVE=full`: tests with repetitions then repeat more often.
pub fn is_full_proof() -> bool {
    std::env::var("STAPLED_PROVE").is_ok_and(|extent| extent == "full")
}

/// The number of repetitions: `full` in a full proof, `short` otherwise.
pub fn how_many(full: usize, short: usize) -> usize {
    if is_full_proof() { full } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_fails_unless_allowed_and_is_always_listed() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        note("first", "no mounts", true, Some(&list));
        let failed = std::panic::catch_unwind(|| note("second", "no IPv6", false, Some(&list)));
        let said = *failed.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("no IPv6") && said.contains("STAPLED_MAY_SKIP=1"), "{said}");
        assert_eq!(std::fs::read_to_string(list).unwrap(), "first: no mounts\nsecond: no IPv6\n");
        note("third", "nothing to write to", true, None);
    }
}
