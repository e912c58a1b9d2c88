//! The Debian package: installed, started, upgraded, removed and purged in a throw-away copy of this machine's root.
//!
//! The copy is an overlay that only this test sees. In it, `systemctl` is a script that writes down what it is asked, and
//! the daemon is started by the words of the unit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stapled_ca::lab::Lab;
use stapled_tests::{Ended, PATIENCE, Private, Running, World, binaries, handshake, program, skip, wait_for};

const CONFIGURATION: &str = "etc/stapled/stapled.conf";

/// HAProxy as Debian configures it, with a certificate.
const HAPROXY: &str = "\
global
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    ca-base /etc/ssl/certs
    crt-base /etc/ssl/private
defaults
    mode http
    timeout connect 5000
    timeout client  50000
    timeout server  50000
frontend tls
    bind unix@/run/haproxy/tls.sock ssl crt site.pem
";

/// `is-enabled` looks at the links, `is-active` at a file of the test, `show` prints the unit, and links are made by the real program.
const SYSTEMCTL: &str = "\
#!/bin/sh
echo \"$*\" >>/tmp/systemctl.log
case \" $* \" in
*' show '*) echo LoadState=loaded; cat /usr/lib/systemd/system/stapled.service ;;
*' is-enabled '*) ls /etc/systemd/system/*.wants/stapled.service >/dev/null 2>&1 && echo enabled ;;
*' is-active '*) [ -e /tmp/is-active ] ;;
*' --root=/ '*) exec /usr/bin/systemctl \"$@\" ;;
esac
";

/// The copy of the root.
struct Root {
    path: PathBuf,
    upper: PathBuf,
}

impl Root {
    /// Mounts the copy. Only for a process with mounts of its own.
    fn mount(folder: &Path) -> Self {
        let part = |name: &str| {
            fs::create_dir(folder.join(name)).unwrap();
            folder.join(name)
        };
        // The folder may itself be on an overlay, which cannot hold the changes of another one.
        mount(&["-t", "tmpfs", "-o", "size=400m", "none"], folder);
        let (path, upper, work) = (part("root"), part("upper"), part("work"));
        let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
        mount(&["-t", "overlay", "-o", &options, "overlay"], &path);
        for directory in ["/proc", "/dev"] {
            mount(&["--rbind", directory], &path.join(&directory[1..]));
        }
        mount(&["-t", "tmpfs", "-o", "mode=755", "none"], &path.join("run"));
        mount(&["-t", "tmpfs", "-o", "mode=1777", "none"], &path.join("tmp"));
        // The HAProxy of the tests is in the checkout, which may be hidden now.
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if checkout.starts_with("/tmp") {
            let place = path.join(checkout.strip_prefix("/").unwrap());
            fs::create_dir_all(&place).unwrap();
            mount(&["--rbind", checkout.to_str().unwrap()], &place);
        }
        for directory in ["run/systemd/system", "run/haproxy", "usr/local/sbin", "etc/haproxy", "etc/ssl/private"] {
            fs::create_dir_all(path.join(directory)).unwrap();
        }
        let root = Root { path, upper };
        root.write("usr/local/sbin/systemctl", SYSTEMCTL);
        fs::set_permissions(root.path.join("usr/local/sbin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let _ = fs::remove_file(root.path.join("usr/sbin/policy-rc.d"));
        root
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_default()
    }

    fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    fn command<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.path).args(words).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn run(&self, words: &[&str]) -> Ended {
        let output = self.command(words.iter().copied()).output().expect("chroot");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ended { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs dpkg, and returns what it printed and what systemctl was asked.
    fn dpkg(&self, arguments: &[&str]) -> (String, String) {
        self.write("tmp/systemctl.log", "");
        let ended = self.run(&[&["dpkg"], arguments].concat());
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        (ended.err, self.read("tmp/systemctl.log"))
    }

    fn install(&self, package: &Path) -> (String, String) {
        fs::copy(package, self.path.join("tmp/stapled.deb")).unwrap();
        self.dpkg(&["--install", "/tmp/stapled.deb"])
    }

    fn is_enabled(&self) -> bool {
        let link = self.path.join("etc/systemd/system/multi-user.target.wants/stapled.service");
        link.symlink_metadata().is_ok()
    }

    /// The paths of the copy that differ from this machine's root and have the package's name in them.
    fn left(&self) -> Vec<PathBuf> {
        let (mut left, mut folders) = (Vec::new(), vec![self.upper.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let (path, kind) = {
                    let entry = entry.unwrap();
                    (entry.path(), entry.file_type().unwrap())
                };
                // A character device stands for a path that was removed.
                if kind.is_char_device() {
                    continue;
                }
                if path.strip_prefix(&self.upper).unwrap().to_string_lossy().contains("stapled") {
                    left.push(path.clone());
                }
                if kind.is_dir() {
                    folders.push(path);
                }
            }
        }
        left
    }
}

fn mount(options: &[&str], directory: &Path) {
    let output = Command::new("mount").args(options).arg(directory).output().expect("mount");
    assert!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds the package of this program with this version.
fn build(program: &Path, folder: &Path, version: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/deb/build");
    let mut command = Command::new(script);
    command.arg("--program").arg(program).args(["--ca", "/nonexistent", "--version", version]);
    command.args(["--compression", "none", "--out"]).arg(folder);
    let output = command.output().expect("packaging/deb/build");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The words of a line `NAME=…` of the unit.
fn of_unit(root: &Root, name: &str) -> Vec<String> {
    let unit = root.read("usr/lib/systemd/system/stapled.service");
    let lines = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Starts the daemon as systemd does by the unit.
fn start(root: &Root) -> Running {
    let words = of_unit(root, "ExecStart");
    assert_eq!(words[..3], ["/usr/bin/stapled", "--config", "/etc/stapled/stapled.conf"]);
    let mut command = root.command(words.iter().map(String::as_str));
    for (variable, parent) in
        [("RUNTIME_DIRECTORY", "run"), ("STATE_DIRECTORY", "var/lib"), ("LOGS_DIRECTORY", "var/log")]
    {
        fs::create_dir_all(root.path.join(parent).join("stapled")).unwrap();
        command.env(variable, format!("/{parent}/stapled"));
    }
    Running::start(command)
}

#[test]
fn the_package_is_installed_started_upgraded_removed_and_purged() {
    for tool in ["dpkg", "deb-systemd-invoke"] {
        if Command::new(tool).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return skip(&format!("no {tool}: this is no Debian"));
        }
    }
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        return skip("the package is installed as root");
    }
    let Some(private) = Private::find() else { return };
    // Before the process has mounts of its own, since cargo may build it.
    program();
    if !private.is_inside("the_package_is_installed_started_upgraded_removed_and_purged") {
        return;
    }
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let site = world.cert("site", &lab.url());
    let packages = world.path("packages");
    fs::create_dir(&packages).unwrap();
    let stripped = world.path("stapled");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program()).status();
    let built = if strip.is_ok_and(|status| status.success()) { stripped } else { program().to_owned() };
    let [first, second, third] = ["1.0-1", "1.0-2", "1.0-3"].map(|version| build(&built, &packages, version));
    let folder = world.path("machine");
    fs::create_dir(&folder).unwrap();
    let root = Root::mount(&folder);

    // Without HAProxy, there is nothing to do: the installation succeeds, and says how to go on.
    let (said, asked) = root.install(&first);
    assert!(said.contains("the daemon was not started") && said.contains("systemctl enable --now stapled"), "{said}");
    assert!(!asked.contains(" start ") && !root.is_enabled(), "{asked}");
    assert!(root.read("etc/passwd").contains("stapled:"), "no user");
    assert_eq!(root.run(&["/usr/bin/stapled", "--version"]).code, 0);
    for file in [
        "usr/share/man/man1/stapled.1.gz",
        "usr/share/bash-completion/completions/stapled",
        "usr/share/zsh/vendor-completions/_stapled",
        "usr/share/fish/vendor_completions.d/stapled.fish",
        "usr/share/doc/stapled/copyright",
        "usr/share/doc/stapled/changelog.gz",
        "usr/share/doc/stapled/examples/stapled.conf",
        "usr/share/doc/stapled/examples/alerts.yml",
        "usr/share/doc/stapled/examples/stapled.json",
        "usr/lib/systemd/system/stapled-clean.service",
    ] {
        assert!(root.has(file), "{file} is missing");
    }
    for unit in ["stapled.service", "stapled-clean.service"] {
        let path = format!("/usr/lib/systemd/system/{unit}");
        let verified = root.run(&["systemd-analyze", "verify", "--man=no", &path]);
        assert!(verified.code == 127 || !verified.err.contains(unit), "{verified:?}");
    }
    root.dpkg(&["--purge", "stapled"]);
    assert_eq!(root.left(), Vec::<PathBuf>::new());
    assert!(!root.read("etc/passwd").contains("stapled:"), "the user is still there");

    // With HAProxy as Debian configures it, no file has to be edited.
    root.write("etc/haproxy/haproxy.cfg", HAPROXY);
    fs::copy(&site.path, root.path.join("etc/ssl/private/site.pem")).unwrap();
    let (said, asked) = root.install(&first);
    assert!(asked.contains("start stapled.service") && root.is_enabled(), "{said}\n{asked}");
    let cleans = root.path.join("etc/systemd/system/haproxy.service.wants/stapled-clean.service");
    assert!(cleans.symlink_metadata().is_ok(), "stapled-clean.service is not enabled");
    let writable = of_unit(&root, "ReadWritePaths");
    assert!(writable.contains(&"-/etc/ssl/private".to_owned()), "{writable:?}");
    let haproxy = binaries().remove(0);
    let haproxy = match Path::new(&haproxy).is_absolute() {
        true => haproxy,
        false => "/usr/sbin/haproxy".to_owned(),
    };
    let serving = Running::start(root.command([haproxy.as_str(), "-db", "-f", "/etc/haproxy/haproxy.cfg"]));
    let stapled = start(&root);
    let socket = root.path.join("run/haproxy/tls.sock");
    wait_for("a staple in the handshake", || handshake(&socket, &site.host).ok()?.staple);
    wait_for("a staple beside the certificate", || root.has("etc/ssl/private/site.pem.ocsp").then_some(()));
    let status =
        wait_for("the state is good", || Some(root.run(&["stapled", "status"])).filter(|status| status.code == 0));
    assert!(status.out.contains("1 in all, 1 good"), "{status:?}");

    // `check` says where the unit may not write.
    let checked = root.run(&["stapled", "check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    fs::create_dir(root.path.join("srv/certs")).unwrap();
    fs::copy(&site.path, root.path.join("srv/certs/site.pem")).unwrap();
    let usual = root.read(CONFIGURATION);
    root.write(CONFIGURATION, "cert-paths = \"/srv/certs\"\n");
    let checked = root.run(&["stapled", "check"]);
    let what = "/srv/certs: stapled.service may not write there (ReadWritePaths, ProtectHome)";
    assert!(checked.code == 1 && checked.out.contains(what), "{checked:?}");
    assert!(checked.out.contains("write: [Service] ReadWritePaths=/srv/certs"), "{checked:?}");
    assert_eq!(root.run(&["stapled", "check", "-p", "/srv/certs"]).code, 0, "another stapler has no sandbox");
    root.write(CONFIGURATION, &usual);

    // A changed configuration outlives an upgrade, which restarts the daemon; a broken one does not stop it.
    let changed = root.read(CONFIGURATION) + "minimum-validity = 3600\n";
    root.write(CONFIGURATION, &changed);
    root.write("tmp/is-active", "");
    let (said, asked) = root.install(&second);
    assert!(asked.contains("restart stapled.service"), "{said}\n{asked}");
    assert_eq!(root.read(CONFIGURATION), changed);
    stapled.signal("TERM");
    assert_eq!(stapled.end(PATIENCE).code, 0);
    let stapled = start(&root);
    wait_for("the state is good", || Some(root.run(&["stapled", "status"])).filter(|status| status.code == 0));
    root.write(CONFIGURATION, "nonsense = 1\n");
    let (said, asked) = root.install(&third);
    assert!(said.contains("there is no setting \"nonsense\"") && said.contains("was not restarted"), "{said}");
    assert!(!asked.contains("restart stapled.service"), "{asked}");
    root.write(CONFIGURATION, &changed);
    stapled.signal("TERM");
    stapled.end(PATIENCE);

    let (said, asked) = root.dpkg(&["--remove", "stapled"]);
    assert!(asked.contains("stop stapled.service") && said.contains("zero-warning"), "{said}\n{asked}");
    assert!(!root.has("usr/bin/stapled"));
    assert_eq!(root.read(CONFIGURATION), changed);
    root.dpkg(&["--purge", "stapled"]);
    assert_eq!(root.left(), Vec::<PathBuf>::new());
    assert!(root.has("etc/ssl/private/site.pem.ocsp"), "staples belong to the certificates");
    drop(serving);
}
