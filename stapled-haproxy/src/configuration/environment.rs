//! The environment of a configuration: that of a process, changed by `setenv`, `presetenv`, `unsetenv` and `resetenv`.

use std::collections::{HashMap, HashSet};

use super::blocks::Read;
use super::words::Variable;

/// The variables that HAProxy sets itself, depending on its arguments and version.
const OWN: [&str; 10] = [
    "HAPROXY_BRANCH",
    "HAPROXY_CFGFILES",
    "HAPROXY_CLI",
    "HAPROXY_HTTPS_LOG_FMT",
    "HAPROXY_HTTP_LOG_FMT",
    "HAPROXY_LOCALPEER",
    "HAPROXY_MASTER_CLI",
    "HAPROXY_MWORKER",
    "HAPROXY_STARTUP_VERSION",
    "HAPROXY_TCP_LOG_FMT",
];

/// Variables and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    set: HashMap<String, Value>,
    /// HAProxy's own variables that the configuration has removed.
    removed: HashSet<&'static str>,
}

#[derive(Clone, Debug)]
struct Value {
    bytes: Vec<u8>,
    /// Whether an undecidable condition sets or removes it.
    is_doubtful: bool,
}

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let value = |bytes| Value { bytes, is_doubtful: false };
        // HAProxy replaces these variables.
        let variables = variables.into_iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
        Environment { set: variables.map(|(name, bytes)| (name, value(bytes))).collect(), removed: HashSet::new() }
    }

    /// The value of a variable.
    pub(super) fn lookup(&self, name: &str) -> Variable {
        match self.set.get(name) {
            Some(Value { bytes, is_doubtful: false }) => Variable::Set(bytes.clone()),
            Some(Value { bytes, is_doubtful: true }) => Variable::Perhaps(bytes.clone()),
            None if OWN.contains(&name) && !self.removed.contains(name) => Variable::Unknown,
            None => Variable::Unset,
        }
    }

    /// `setenv`, in a line that HAProxy reads for certain or perhaps.
    pub(super) fn set(&mut self, name: &str, bytes: Vec<u8>, read: Read) {
        self.set.insert(name.to_owned(), Value { bytes, is_doubtful: read == Read::Perhaps });
    }

    /// `presetenv`.
    pub(super) fn preset(&mut self, name: &str, bytes: Vec<u8>, read: Read) {
        if matches!(self.lookup(name), Variable::Unset) {
            self.set(name, bytes, read);
        }
    }

    /// `unsetenv`.
    pub(super) fn unset(&mut self, name: &str, read: Read) {
        if read == Read::Perhaps {
            if let Some(value) = self.set.get_mut(name) {
                value.is_doubtful = true;
            }
            return;
        }
        self.set.remove(name);
        self.removed.extend(OWN.iter().copied().find(|own| *own == name));
    }

    /// `resetenv`: removes all variables but these.
    pub(super) fn reset(&mut self, keep: &[String], read: Read) {
        let is_kept = |name: &str| keep.iter().any(|kept| kept == name);
        if read == Read::Perhaps {
            for (_, value) in self.set.iter_mut().filter(|(name, _)| !is_kept(name)) {
                value.is_doubtful = true;
            }
            return;
        }
        self.set.retain(|name, _| is_kept(name));
        self.removed.extend(OWN.iter().copied().filter(|own| !is_kept(own)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &str) -> Variable {
        Variable::Set(value.as_bytes().to_vec())
    }

    #[test]
    fn variables_are_set_kept_and_removed() {
        let mut environment = Environment::new([("A".to_owned(), b"1".to_vec()), ("B".to_owned(), b"2".to_vec())]);
        environment.preset("A", b"3".to_vec(), Read::Yes);
        environment.preset("C", b"3".to_vec(), Read::Yes);
        environment.set("B", b"4".to_vec(), Read::Yes);
        assert_eq!(["A", "B", "C"].map(|name| environment.lookup(name)), [set("1"), set("4"), set("3")]);
        environment.unset("A", Read::Yes);
        assert_eq!(environment.lookup("A"), Variable::Unset);
        environment.reset(&["C".to_owned()], Read::Yes);
        assert_eq!(["B", "C"].map(|name| environment.lookup(name)), [Variable::Unset, set("3")]);
    }

    #[test]
    fn a_variable_of_haproxy_is_unknown_until_it_is_changed() {
        let mut environment = Environment::new([("HAPROXY_BRANCH".to_owned(), b"mine".to_vec())]);
        assert_eq!(environment.lookup("HAPROXY_BRANCH"), Variable::Unknown);
        environment.preset("HAPROXY_BRANCH", b"x".to_vec(), Read::Yes);
        assert_eq!(environment.lookup("HAPROXY_BRANCH"), Variable::Unknown);
        environment.set("HAPROXY_BRANCH", b"x".to_vec(), Read::Yes);
        assert_eq!(environment.lookup("HAPROXY_BRANCH"), set("x"));
        environment.unset("HAPROXY_BRANCH", Read::Yes);
        assert_eq!(environment.lookup("HAPROXY_BRANCH"), Variable::Unset);
        environment.reset(&[], Read::Yes);
        assert_eq!(environment.lookup("HAPROXY_MWORKER"), Variable::Unset);
    }

    #[test]
    fn a_possibly_changed_variable_is_doubtful() {
        let mut environment = Environment::new([("A".to_owned(), b"1".to_vec())]);
        environment.set("B", b"2".to_vec(), Read::Perhaps);
        environment.unset("A", Read::Perhaps);
        assert_eq!(
            ["A", "B"].map(|name| environment.lookup(name)),
            ["1", "2"].map(|value| Variable::Perhaps(value.into()))
        );
    }
}
