//! A configuration, given to HAProxy and to ourselves.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use stapled_ca::{Authority, Profile};
use stapled_haproxy::Address;
use stapled_haproxy::configuration::{Configuration, Surroundings};
use tempfile::TempDir;

/// How long HAProxy may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration with the files that belong to it. `@D` stands for the folder that they are in.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    files: Vec<(String, Vec<u8>)>,
    configurations: Vec<String>,
    environment: Vec<(String, String)>,
    /// The oldest version that can load it.
    since: (u32, u32),
    /// The first version that cannot.
    until: (u32, u32),
    /// Names that we find and HAProxy does not list, and the other way round.
    surplus: Vec<String>,
    directory: String,
}

/// The contents of a file with a certificate.
pub(crate) struct Pems {
    pub(crate) bundle: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) issuer: String,
}

pub(crate) fn pems() -> &'static Pems {
    static PEMS: OnceLock<Pems> = OnceLock::new();
    PEMS.get_or_init(|| {
        let authority = Authority::root("Lab").create().expect("an authority");
        let issued = authority.issue(&Profile::server("a.example")).expect("a certificate");
        Pems {
            bundle: issued.bundle_pem(),
            certificate: issued.certificate_pem(),
            key: issued.key_pem(),
            issuer: authority.certificate_pem(),
        }
    })
}

/// `global` with the admin socket that the test asks at.
pub(crate) const GLOBAL: &str = "global\n  stats socket @D/admin.sock level admin\n";
/// Lines that keep HAProxy from warning.
pub(crate) const DEFAULTS: &str =
    "defaults\n  mode http\n  timeout client 1s\n  timeout server 1s\n  timeout connect 1s\n";
/// A frontend, up to the certificates.
pub(crate) const BIND: &str = "frontend f\n  bind unix@@D/tls.sock ssl ";

impl Case {
    /// One with this text as its configuration.
    pub(crate) fn raw(name: &str, text: &str) -> Self {
        Case {
            name: name.to_owned(),
            files: Vec::new(),
            configurations: Vec::new(),
            environment: Vec::new(),
            since: (0, 0),
            until: (u32::MAX, 0),
            surplus: Vec::new(),
            directory: String::new(),
        }
        .configuration("haproxy.cfg", text)
    }

    /// One with these words at the end of a `bind` line.
    pub(crate) fn bind(name: &str, words: &str) -> Self {
        Case::global(name, "", words)
    }

    /// One with these lines in `global`, and these words at the end of a `bind` line.
    pub(crate) fn global(name: &str, lines: &str, words: &str) -> Self {
        Case::raw(name, &format!("{GLOBAL}{lines}\n{DEFAULTS}{BIND}{words}\n"))
    }

    /// Adds files with certificate, key and chain.
    pub(crate) fn certs<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        self.files.extend(paths.into_iter().map(|path| (path.to_owned(), pems().bundle.clone().into())));
        self
    }

    /// Adds a file.
    pub(crate) fn file(mut self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), contents.as_ref().to_vec()));
        self
    }

    /// Adds a file of the configuration, instead of one with the same name.
    pub(crate) fn configuration(mut self, path: &str, text: &str) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), text.as_bytes().to_vec()));
        self.configurations.retain(|known| known != path);
        self.configurations.push(path.to_owned());
        self
    }

    /// The `-f` arguments of HAProxy.
    pub(crate) fn started_with<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        self.configurations = paths.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn since(self, major: u32, minor: u32) -> Self {
        Case { since: (major, minor), ..self }
    }

    pub(crate) fn until(self, major: u32, minor: u32) -> Self {
        Case { until: (major, minor), ..self }
    }

    /// Names that this crate finds and this HAProxy may not: both branches of an undecidable condition are read.
    pub(crate) fn perhaps<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.surplus.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// The directory that HAProxy is started in, in the folder.
    pub(crate) fn started_in(self, directory: &str) -> Self {
        Case { directory: directory.to_owned(), ..self }
    }

    /// Loads it with each HAProxy that can; returns a failure, if there is one, and the number of HAProxys that loaded it.
    pub(crate) fn check(&self, binaries: &[Binary]) -> Result<usize, String> {
        let mut loads = 0;
        for binary in binaries.iter().filter(|binary| self.since <= binary.version && binary.version < self.until) {
            self.check_with(binary).map_err(|what| format!("{} with {:?}: {what}", self.name, binary.version))?;
            loads += 1;
        }
        Ok(loads)
    }

    fn check_with(&self, binary: &Binary) -> Result<(), String> {
        let folder = TempDir::with_prefix("h").expect("a folder");
        let root = folder.path().to_str().expect("text").to_owned();
        let in_folder = |text: &str| text.replace("@D", &root);
        for (path, contents) in &self.files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let contents = match std::str::from_utf8(contents) {
                Ok(text) => in_folder(text).into_bytes(),
                Err(_) => contents.clone(),
            };
            std::fs::write(path, contents).expect("a file");
        }
        let directory = folder.path().join(&self.directory);
        let configurations: Vec<PathBuf> = self.configurations.iter().map(|path| folder.path().join(path)).collect();
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (name.clone(), in_folder(value))).collect();

        let listed = binary.list(&directory, &configurations, &environment, folder.path())?;
        let surroundings = Surroundings::default().directory(&directory).environment(environment);
        let ours = Configuration::read_in(&surroundings, &configurations).map_err(|error| error.to_string())?;
        let surplus: BTreeSet<String> = self.surplus.iter().map(|name| in_folder(name)).collect();
        let found: BTreeSet<String> = ours.certificates.iter().map(|served| served.name.clone()).collect();
        let listed: BTreeSet<String> = listed.into_iter().filter(|name| !name.contains("client")).collect();
        let told: Vec<String> = ours.warnings.iter().map(ToString::to_string).collect();
        if listed.difference(&found).next().is_some() || found.difference(&listed).any(|name| !surplus.contains(name)) {
            return Err(format!("HAProxy lists\n  {listed:?}\nand we found\n  {found:?}\nwith {told:#?}"));
        }
        for served in &ours.certificates {
            if !served.file.is_absolute() || !served.file.is_file() {
                return Err(format!("no file: {served:?}"));
            }
        }
        let sockets: Vec<&Address> = ours.sockets.iter().map(|socket| &socket.address).collect();
        let admin = Address::unix(folder.path().join("admin.sock"));
        if !sockets.contains(&&admin) {
            return Err(format!("the admin socket is not among {sockets:?}, with {told:#?}"));
        }
        Ok(())
    }
}

/// A HAProxy.
#[derive(Debug)]
pub(crate) struct Binary {
    path: String,
    version: (u32, u32),
}

/// Those that `HAPROXY` names, separated by commas, or the installed one.
pub(crate) fn binaries() -> Vec<Binary> {
    let names = std::env::var("HAPROXY").unwrap_or_else(|_| {
        let is_on_path = Command::new("haproxy").arg("-v").output().is_ok();
        if is_on_path { "haproxy" } else { "/usr/sbin/haproxy" }.to_owned()
    });
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let binaries: Vec<_> = names
        .map(|path| {
            let said = Command::new(path).arg("-v").output().expect("HAProxy").stdout;
            let said = String::from_utf8(said).expect("text");
            let version = said.split_whitespace().nth(2).expect("a version");
            let mut numbers = version.split(['.', '-']).map(|number| number.parse().expect("a number"));
            Binary { path: path.to_owned(), version: (numbers.next().expect("major"), numbers.next().expect("minor")) }
        })
        .collect();
    assert!(!binaries.is_empty(), "HAPROXY names no program");
    binaries
}

impl Binary {
    /// The names of the certificates that it has loaded.
    fn list(
        &self,
        directory: &Path,
        configurations: &[PathBuf],
        environment: &[(String, String)],
        folder: &Path,
    ) -> Result<Vec<String>, String> {
        let errors = folder.join("errors.log");
        let mut command = Command::new(&self.path);
        command.arg("-db").current_dir(directory).envs(environment.iter().cloned()).stdout(Stdio::null());
        for path in configurations {
            command.arg("-f").arg(path);
        }
        let child = command.stderr(std::fs::File::create(&errors).expect("a file")).spawn().expect("HAProxy");
        let mut running = Running(child);
        let deadline = Instant::now() + PATIENCE;
        let socket = folder.join("admin.sock");
        loop {
            if let Some(reply) = ask(&socket, "show ssl cert\n") {
                let names = reply.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
                return Ok(names.map(str::to_owned).collect());
            }
            let ended = running.0.try_wait().expect("a status");
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(&errors).unwrap_or_default();
                return Err(format!("HAProxy did not start ({ended:?}): {said}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A HAProxy that is ended on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}

/// Checks all cases, some at a time.
pub(crate) fn check_all(cases: &[Case]) -> usize {
    let binaries = binaries();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = (0, Vec::new());
        while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            match case.check(&binaries) {
                Ok(loads) => done.0 += loads,
                Err(what) => done.1.push(what),
            }
        }
        done
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
    });
    let failed: Vec<String> = done.iter().flat_map(|(_, failed)| failed.clone()).collect();
    assert!(failed.is_empty(), "{} of {} cases:\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
    done.iter().map(|(loads, _)| loads).sum()
}
