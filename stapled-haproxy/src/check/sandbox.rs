//! Where systemd lets the service of the stapler write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// How long systemd may take to answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// What is read of the unit.
const PROPERTIES: &str =
    "LoadState,ProtectSystem,ProtectHome,ReadWritePaths,StateDirectory,LogsDirectory,RuntimeDirectory";

/// The parts of the file system that a unit of systemd may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sandbox {
    pub(super) unit: String,
    /// The directories below which nothing may be written, but for those in `writable`.
    protected: Vec<&'static str>,
    /// The directories that the service does not see at all.
    hidden: Vec<&'static str>,
    writable: Vec<PathBuf>,
}

impl Sandbox {
    /// The sandbox of this unit; none, where there is no systemd or no such unit.
    pub(super) async fn of_unit(unit: &str) -> Option<Sandbox> {
        let mut command = Command::new("systemctl");
        command.args(["show", "--property", PROPERTIES, "--", unit]).kill_on_drop(true);
        let output = tokio::time::timeout(LONGEST_ANSWER, command.output()).await.ok()?.ok()?;
        output.status.success().then(|| Sandbox::of(unit, &String::from_utf8_lossy(&output.stdout)))?
    }

    /// The sandbox by the properties that `systemctl show` prints.
    fn of(unit: &str, properties: &str) -> Option<Sandbox> {
        let value = |name: &str| {
            let mut lines = properties.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            lines.next().unwrap_or_default()
        };
        if value("LoadState") != "loaded" {
            return None;
        }
        let protected = match value("ProtectSystem") {
            "strict" => vec!["/"],
            "full" => vec!["/usr", "/boot", "/efi", "/etc"],
            "yes" | "true" => vec!["/usr", "/boot", "/efi"],
            _ => Vec::new(),
        };
        let homes = ["/home", "/root", "/run/user"];
        let (protected, hidden) = match value("ProtectHome") {
            "yes" | "true" | "tmpfs" => (protected, homes.to_vec()),
            "read-only" => (protected.into_iter().chain(homes).collect(), Vec::new()),
            _ => (protected, Vec::new()),
        };
        let named = value("ReadWritePaths").split_whitespace().map(|path| path.trim_start_matches(['-', '+']).into());
        let own = [("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log"), ("RuntimeDirectory", "/run")];
        let own = own.iter().flat_map(|(name, parent)| {
            value(name).split_whitespace().map(|directory| Path::new(parent).join(directory)).collect::<Vec<_>>()
        });
        Some(Sandbox { unit: unit.to_owned(), protected, hidden, writable: named.chain(own).collect() })
    }

    /// Whether the service may not write in this directory.
    pub(super) fn forbids(&self, directory: &Path) -> bool {
        let is_below = |paths: &[&str]| paths.iter().any(|path| directory.starts_with(path));
        let is_writable = self.writable.iter().any(|path| directory.starts_with(path));
        is_below(&self.hidden) || is_below(&self.protected) && !is_writable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_writes_where_its_sandbox_lets_it() {
        let strict = "ReadWritePaths=-/etc/haproxy /srv/certs\nProtectHome=yes\nProtectSystem=strict\nLoadState=loaded\n\
                      StateDirectory=stapled other\nLogsDirectory=\n";
        for (properties, directory, forbids) in [
            (strict, "/etc/haproxy", false),
            (strict, "/etc/haproxy/certs/deep", false),
            (strict, "/etc/haproxy2", true),
            (strict, "/srv/certs", false),
            (strict, "/srv", true),
            (strict, "/var/lib/stapled/staples", false),
            (strict, "/var/lib/other", false),
            (strict, "/var/log", true),
            (strict, "/home/me", true),
            ("LoadState=loaded\nProtectSystem=full", "/etc/ssl", true),
            ("LoadState=loaded\nProtectSystem=full", "/srv", false),
            ("LoadState=loaded\nProtectSystem=yes", "/etc/ssl", false),
            ("LoadState=loaded\nProtectHome=read-only", "/root/certs", true),
            ("LoadState=loaded\nProtectHome=read-only\nReadWritePaths=/root/certs", "/root/certs", false),
            ("LoadState=loaded\nProtectHome=yes\nReadWritePaths=/root/certs", "/root/certs", true),
            ("LoadState=loaded\nProtectSystem=no\nProtectHome=no", "/root/certs", false),
        ] {
            let sandbox = Sandbox::of("stapled.service", properties).unwrap();
            assert_eq!(sandbox.forbids(Path::new(directory)), forbids, "{properties}: {directory}");
        }
        assert_eq!(Sandbox::of("stapled.service", "LoadState=not-found\nProtectSystem=strict"), None);
        assert_eq!(Sandbox::of("stapled.service", ""), None);
    }
}
