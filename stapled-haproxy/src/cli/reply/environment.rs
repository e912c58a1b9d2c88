//! The reply to `show env`: the variables in which HAProxy keeps the paths of its configuration and its sockets.

/// The paths of HAProxy's files, from its environment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Environment {
    /// The configuration files as they were named at its start.
    pub(crate) configuration_files: Vec<String>,
    /// The admin sockets as they are configured.
    pub(crate) sockets: Vec<String>,
    /// The directory that HAProxy was started in, if its environment has it.
    pub(crate) working_directory: Option<String>,
}

impl Environment {
    /// Reads the lines of the reply. Other variables, which may be secrets, are not kept.
    pub(crate) fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut environment = Environment::default();
        lines.into_iter().for_each(|line| environment.add(line));
        environment
    }

    /// Reads one line of the reply.
    pub(crate) fn add(&mut self, line: &str) {
        let list = |value: &str| value.split(';').filter(|item| !item.is_empty()).map(str::to_owned).collect();
        match line.split_once('=') {
            Some(("HAPROXY_CFGFILES", value)) => self.configuration_files = list(value),
            Some(("HAPROXY_CLI", value)) => self.sockets = list(value),
            Some(("PWD", value)) => self.working_directory = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_files_and_sockets() {
        let lines = ["SECRET=x", "HAPROXY_CFGFILES=a.cfg;/b/c.cfg", "HAPROXY_CLI=unix@/s;sockpair@4", "PWD=/w"];
        let environment = Environment::read(lines);
        assert_eq!(environment.configuration_files, ["a.cfg", "/b/c.cfg"]);
        assert_eq!(environment.sockets, ["unix@/s", "sockpair@4"]);
        assert_eq!(environment.working_directory.as_deref(), Some("/w"));
    }
}
