//! Tests that cannot be made here: they fail, unless the environment says that they may be left out.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// Says that a test cannot be made here, since something is missing that it needs; the test returns right after it.
///
/// A test that proves nothing must not look like one that passed. So this fails the test, unless `STAPLED_MAY_SKIP` is 1.
/// Either way it is listed in the file that `STAPLED_SKIPPED` names, which `make test` prints at its end.
///
/// # Panics
///
/// Unless the environment says `STAPLED_MAY_SKIP=1`.
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
        // Written in one go: other tests append to it, too.
        let file = OpenOptions::new().create(true).append(true).open(list);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
    assert!(may_skip, "this test cannot be made here: {missing}; STAPLED_MAY_SKIP=1 leaves such tests out");
    eprint!("SKIPPED: {line}");
}

/// Whether `make prove` runs the tests, with `STAPLED_PROVE=full`: then those that repeat something do so more often.
pub fn is_full_proof() -> bool {
    std::env::var("STAPLED_PROVE").is_ok_and(|extent| extent == "full")
}

/// How often to repeat something: the first number in a full proof, the second one otherwise.
pub fn how_many(full: usize, short: usize) -> usize {
    if is_full_proof() { full } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_unless_it_may_be_left_out_and_is_listed_either_way() {
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
