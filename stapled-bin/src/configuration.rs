//! The usable configuration: everything that was said, merged and checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_core::Weak;
use stapled_core::io::directory::DirectorySource;
use stapled_core::ocsp::CertIdHash;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::staple::JudgePolicy;
use stapled_haproxy::Address;

use crate::arguments::Arguments;
use crate::fault::ConfigurationError;
use crate::file::File;
use crate::settings::{Hash, Settings};

/// Everything the program needs to run.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Paths and the sockets that their staples go to; at least one, unless HAProxys are asked.
    pub(crate) groups: Vec<Group>,
    /// HAProxys that are asked for what they have loaded.
    pub(crate) running: Vec<Address>,
    pub(crate) search: Search,
    pub(crate) rescan: Duration,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) staple_files: StapleFiles,
    pub(crate) recycle: bool,
    pub(crate) fetch_issuers: bool,
    pub(crate) issuer_dir: Option<PathBuf>,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) judging: JudgePolicy,
    pub(crate) renewals: Option<usize>,
    pub(crate) per_responder: Option<usize>,
    pub(crate) hash: Option<CertIdHash>,
    pub(crate) nonce: bool,
    pub(crate) mode: Mode,
    pub(crate) logging: Logging,
    /// What is odd about the configuration and no error.
    pub(crate) notes: Vec<String>,
}

/// A path, and the sockets that the staples of its certificates go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) path: PathBuf,
    pub(crate) sockets: Vec<Address>,
}

/// What is looked for in the paths.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) recursive: bool,
    /// Empty: the source's own.
    pub(crate) extensions: Vec<String>,
    pub(crate) ignore: Vec<String>,
}

/// Where staples are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StapleFiles {
    Nowhere,
    BesideCertificates,
    In(PathBuf),
}

/// How the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Once, with a summary.
    OneOff { json: bool },
    /// Until it is told to stop.
    Foreground { pid_file: Option<PathBuf> },
    /// Until it is told to stop, away from the terminal.
    Background { pid_file: Option<PathBuf> },
}

/// Where log lines go.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    /// 0 to 4.
    pub(crate) verbosity: u8,
    pub(crate) quiet: bool,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) syslog: bool,
}

impl Configuration {
    /// Merges and checks.
    pub(crate) fn of(arguments: Arguments, file: File) -> Result<Self, ConfigurationError> {
        if let Some(stray) = arguments.stray.into_iter().next() {
            return Err(ConfigurationError::Stray { stray });
        }
        let origins = Origins { arguments: arguments.settings.clone(), file: file.places };
        let settings = arguments.settings.over(file.settings);
        if !settings.haproxy_config.is_empty() {
            return Err(ConfigurationError::HaproxyConfig { place: origins.of("haproxy-config") });
        }
        let mut notes = Vec::new();
        let running = running(&settings, &origins)?;
        let groups = if running.is_empty() { groups(&settings, &origins, &mut notes)? } else { Vec::new() };
        let search = search(&settings, &origins)?;
        let staple_files = match &settings.staple_dir {
            Some(_) if settings.no_staple_files => {
                return Err(ConfigurationError::Setting {
                    place: origins.of("staple-dir"),
                    what: "a directory for staples, and no-staple-files: leave one out".to_owned(),
                });
            }
            _ if settings.no_staple_files => StapleFiles::Nowhere,
            Some(directory) => StapleFiles::In(absolute(directory)?),
            None => StapleFiles::BesideCertificates,
        };
        if staple_files == StapleFiles::Nowhere
            && let Some(group) = groups.iter().find(|group| group.sockets.is_empty())
        {
            return Err(ConfigurationError::Setting {
                place: origins.of("no-staple-files"),
                what: format!(
                    "the staples of {} would go nowhere: give HAProxy sockets, or let files be written",
                    group.path.display()
                ),
            });
        }
        let mode = mode(&settings, &origins)?;
        let logging = logging(&settings, &mode, arguments.verbose, &origins)?;
        Ok(Configuration {
            groups,
            running,
            search,
            rescan: Duration::from_secs(settings.refresh_interval.map_or(60, u64::from)),
            keepalive: settings.haproxy_socket_keepalive.map(|seconds| Duration::from_secs(seconds.get())),
            staple_files,
            recycle: !settings.no_recycle,
            fetch_issuers: !settings.no_fetch_issuers,
            issuer_dir: settings.issuer_dir.as_deref().map(absolute).transpose()?,
            refresh: refresh(&settings),
            judging: judging(&settings),
            renewals: settings.renewal_threads.map(usize::from),
            per_responder: settings.concurrent_per_responder.map(usize::from),
            hash: settings.hash.map(|hash| match hash {
                Hash::Sha1 => CertIdHash::Sha1,
                Hash::Sha256 => CertIdHash::Sha256,
            }),
            nonce: settings.nonce,
            mode,
            logging,
            notes,
        })
    }
}

/// Where each setting comes from, for messages.
struct Origins {
    arguments: Settings,
    file: Option<(PathBuf, std::collections::BTreeMap<String, crate::file::Position>)>,
}

impl Origins {
    fn of(&self, setting: &str) -> String {
        let said = &self.arguments;
        let by_argument = match setting {
            "cert-paths" => !said.cert_paths.is_empty(),
            "directories" => !said.directories.is_empty(),
            "haproxy-sockets" => !said.haproxy_sockets.is_empty(),
            "haproxy-config" => !said.haproxy_config.is_empty(),
            "ignore" => !said.ignore.is_empty(),
            "file-extensions" => !said.file_extensions.is_empty(),
            "staple-dir" => said.staple_dir.is_some(),
            "no-staple-files" => said.no_staple_files,
            "json" => said.json,
            "verbosity" => said.verbosity.is_some(),
            _ => false,
        };
        match &self.file {
            Some((path, places)) if !by_argument => match places.get(setting) {
                Some(at) => format!("{}:{at}: {setting}", path.display()),
                None => format!("--{setting}"),
            },
            _ => format!("--{setting}"),
        }
    }
}

fn groups(settings: &Settings, origins: &Origins, notes: &mut Vec<String>) -> Result<Vec<Group>, ConfigurationError> {
    if !settings.cert_paths.is_empty() && !settings.directories.is_empty() {
        return Err(ConfigurationError::BothNames { directories: origins.of("directories") });
    }
    let (paths, name) = match settings.directories.is_empty() {
        true => (&settings.cert_paths, "cert-paths"),
        false => {
            notes.push(format!("{}: this is the old name of cert-paths", origins.of("directories")));
            (&settings.directories, "directories")
        }
    };
    let items = if settings.no_haproxy_sockets { &[][..] } else { settings.haproxy_sockets.as_slice() };
    let sockets_at = || origins.of("haproxy-sockets");
    let mut said: Vec<(&Path, Vec<Address>)> = Vec::new();
    let sockets_of =
        |item: &str| sockets(item).map_err(|what| ConfigurationError::Setting { place: sockets_at(), what });
    match items {
        [] => said.extend(paths.iter().map(|path| (path.as_path(), Vec::new()))),
        [_, ..] if paths.is_empty() && !settings.group.is_empty() => {
            return Err(ConfigurationError::SocketsWithoutPaths { sockets: sockets_at() });
        }
        [item] => {
            let sockets = sockets_of(item)?;
            said.extend(paths.iter().map(|path| (path.as_path(), sockets.clone())));
        }
        items if items.len() == paths.len() => {
            for (path, item) in paths.iter().zip(items) {
                said.push((path, sockets_of(item)?));
            }
        }
        items => {
            return Err(ConfigurationError::Unpaired {
                sockets: sockets_at(),
                socket_count: items.len(),
                paths: origins.of(name),
                path_count: paths.len(),
            });
        }
    }
    for group in &settings.group {
        let mut of_group = Vec::new();
        if !settings.no_haproxy_sockets {
            for item in &group.sockets {
                let place = || origins.of("group");
                of_group.extend(sockets(item).map_err(|what| ConfigurationError::Setting { place: place(), what })?);
            }
        }
        said.extend(group.paths.iter().map(|path| (path.as_path(), of_group.clone())));
    }
    let mut groups: Vec<Group> = Vec::new();
    for (path, sockets) in said {
        if path.as_os_str().is_empty() {
            return Err(ConfigurationError::Setting { place: origins.of(name), what: "an empty path".to_owned() });
        }
        let path = absolute(path)?;
        // The same path twice is one path with the sockets of both.
        match groups.iter_mut().find(|group| group.path == path) {
            Some(group) => {
                let new = sockets.into_iter().filter(|socket| !group.sockets.contains(socket)).collect::<Vec<_>>();
                group.sockets.extend(new);
            }
            None => groups.push(Group { path, sockets }),
        }
    }
    if groups.is_empty() {
        return Err(ConfigurationError::NoPaths);
    }
    Ok(groups)
}

/// The sockets that stand alone, without paths: these HAProxys know themselves which certificates they have.
fn running(settings: &Settings, origins: &Origins) -> Result<Vec<Address>, ConfigurationError> {
    let has_paths = !settings.cert_paths.is_empty() || !settings.directories.is_empty() || !settings.group.is_empty();
    let mut running = Vec::new();
    if !has_paths && !settings.no_haproxy_sockets {
        for item in &settings.haproxy_sockets {
            let place = || origins.of("haproxy-sockets");
            let new = sockets(item).map_err(|what| ConfigurationError::Setting { place: place(), what })?;
            running.extend(new.into_iter().filter(|address| !running.contains(address)).collect::<Vec<_>>());
        }
    }
    Ok(running)
}

/// The sockets of one item, joined by commas.
fn sockets(item: &str) -> Result<Vec<Address>, String> {
    let mut sockets: Vec<Address> = Vec::new();
    for text in item.split(',') {
        let address: Address = text.trim().parse().map_err(|error| format!("{error}"))?;
        let address = address.absolute().map_err(|error| format!("{text}: {error}"))?;
        if !sockets.contains(&address) {
            sockets.push(address);
        }
    }
    Ok(sockets)
}

fn search(settings: &Settings, origins: &Origins) -> Result<Search, ConfigurationError> {
    let extensions: Vec<String> = settings
        .file_extensions
        .iter()
        .flat_map(|list| list.split(','))
        .map(|extension| extension.trim().to_owned())
        .collect();
    if extensions.iter().any(String::is_empty) {
        return Err(ConfigurationError::Setting {
            place: origins.of("file-extensions"),
            what: "an empty extension: give them as in crt,pem,cer".to_owned(),
        });
    }
    DirectorySource::new("/")
        .ignore(&settings.ignore)
        .map_err(|error| ConfigurationError::Setting { place: origins.of("ignore"), what: error.to_string() })?;
    Ok(Search { recursive: settings.recursive, extensions, ignore: settings.ignore.clone() })
}

fn mode(settings: &Settings, origins: &Origins) -> Result<Mode, ConfigurationError> {
    let setting =
        |place: &str, what: &str| Err(ConfigurationError::Setting { place: origins.of(place), what: what.to_owned() });
    if settings.json && !settings.one_off {
        return setting("json", "the summary in JSON belongs to --one-off");
    }
    if settings.json && settings.quiet {
        return setting("json", "--quiet leaves nothing of it: drop one of them");
    }
    if settings.one_off {
        return Ok(Mode::OneOff { json: settings.json });
    }
    let pid_file = settings.pid_file.as_deref().map(absolute).transpose()?;
    Ok(match settings.daemon && !settings.no_daemon {
        true => Mode::Background { pid_file },
        false => Mode::Foreground { pid_file },
    })
}

fn logging(settings: &Settings, mode: &Mode, verbose: u8, origins: &Origins) -> Result<Logging, ConfigurationError> {
    let default = if matches!(mode, Mode::OneOff { .. }) { 2 } else { 3 };
    let verbosity = settings.verbosity.unwrap_or(default);
    if verbosity > 4 {
        return Err(ConfigurationError::Setting {
            place: origins.of("verbosity"),
            what: format!("{verbosity} is not one of 0 to 4"),
        });
    }
    let directory = settings.logdir.as_deref().map(absolute).transpose()?;
    Ok(Logging {
        verbosity: verbosity.saturating_add(verbose).min(4),
        quiet: settings.quiet,
        // In the background there is no other place for it.
        syslog: settings.syslog || directory.is_none() && matches!(mode, Mode::Background { .. }),
        directory,
    })
}

fn refresh(settings: &Settings) -> RefreshPolicy {
    let mut refresh = RefreshPolicy::default();
    if let Some(seconds) = settings.minimum_validity {
        refresh.minimum_validity = Duration::from_secs(seconds);
    }
    if let Some(seconds) = settings.minimum_interval {
        refresh.minimum_interval = Duration::from_secs(seconds.get());
    }
    refresh
}

fn judging(settings: &Settings) -> JudgePolicy {
    let weak = |allowed| if allowed { Weak::Allow } else { Weak::Deny };
    let mut judging = JudgePolicy::default();
    judging.sha1_signatures = weak(settings.allow_sha1);
    judging.weak_keys = weak(settings.allow_weak_keys);
    judging.missing_next_update = weak(settings.allow_missing_next_update);
    if let Some(seconds) = settings.clock_skew {
        judging.clock_skew = Duration::from_secs(seconds);
    }
    judging
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigurationError> {
    std::path::absolute(path).map_err(|error| ConfigurationError::Setting {
        place: path.display().to_string(),
        what: format!("not a usable path: {error}"),
    })
}
