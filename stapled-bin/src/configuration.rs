//! The usable configuration: everything that was said, merged and checked.

use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_core::io::directory::DirectorySource;
use stapled_core::ocsp::CertIdHash;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::staple::JudgePolicy;
use stapled_haproxy::configuration::Surroundings;
use stapled_haproxy::{Address, Transactions};

use crate::arguments::{self, Arguments};
use crate::fault::ConfigurationError;
use crate::file::File;
use crate::judging::Judging;
use crate::network::{Network, Proxy, TIMEOUT, UnusableOverride, overrides};
use crate::settings::{Hash, Settings, parts};

/// Everything the program needs to run.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Paths and the sockets that their staples go to; at least one, or a HAProxy.
    pub(crate) groups: Vec<Group>,
    /// HAProxys whose configuration says what they serve.
    pub(crate) haproxys: Vec<Haproxy>,
    /// What those configurations are read with.
    pub(crate) surroundings: Surroundings,
    /// HAProxys that are asked for what they have loaded.
    pub(crate) running: Vec<Address>,
    pub(crate) search: Search,
    pub(crate) rescan: Duration,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) transactions: Transactions,
    pub(crate) staple_files: StapleFiles,
    pub(crate) recycle: bool,
    pub(crate) fetch_issuers: bool,
    pub(crate) issuer_dir: Option<PathBuf>,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) judging: JudgePolicy,
    pub(crate) renewals: Option<usize>,
    pub(crate) per_responder: Option<usize>,
    pub(crate) responder_rate: Option<NonZeroU32>,
    pub(crate) hash: Option<CertIdHash>,
    pub(crate) nonce: bool,
    pub(crate) network: Network,
    pub(crate) mode: Mode,
    pub(crate) logging: Logging,
    pub(crate) hook: Option<Hook>,
    /// Where `stapled status` is answered; none: at the usual place, where that can be had.
    pub(crate) control_socket: Option<PathBuf>,
    /// What is odd about the configuration and no error.
    pub(crate) notes: Vec<String>,
}

/// A path, and the sockets that the staples of its certificates go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) path: PathBuf,
    pub(crate) sockets: Vec<Address>,
}

/// A HAProxy that is known by its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Haproxy {
    /// What it is started with: files and directories.
    pub(crate) paths: Vec<PathBuf>,
    /// Sockets that its staples go to as well.
    pub(crate) sockets: Vec<Address>,
    /// Whether the sockets in the configuration are used.
    pub(crate) own_sockets: bool,
    /// Where it is named.
    pub(crate) named_at: String,
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
    OneOff { json: bool, wait: Option<Duration> },
    /// Until it is told to stop.
    Foreground { pid_file: Option<PathBuf> },
    /// Until it is told to stop, away from the terminal.
    Background { pid_file: Option<PathBuf> },
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logging {
    /// 0 to 4.
    pub(crate) verbosity: u8,
    pub(crate) quiet: bool,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) syslog: bool,
}

/// A program that is run when something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) program: PathBuf,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// How long the same is held back after it was told.
    pub(crate) debounce: Duration,
}

impl Configuration {
    /// Merges and checks.
    pub(crate) fn of(arguments: Arguments, file: File) -> Result<Self, ConfigurationError> {
        if let Some(stray) = arguments.stray.into_iter().next() {
            return Err(arguments::stray(stray));
        }
        let origins = Origins { arguments: arguments.settings.clone(), file: file.places };
        let settings = arguments.settings.over(file.settings);
        let mut notes = Vec::new();
        let haproxys = haproxys(&settings, &origins)?;
        let running = if haproxys.is_empty() { running(&settings, &origins)? } else { Vec::new() };
        let groups = match running.is_empty() {
            true => groups(&settings, &origins, !haproxys.is_empty(), &mut notes)?,
            false => Vec::new(),
        };
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
        let transactions = settings.haproxy_transactions.map(Transactions::from).unwrap_or_default();
        if staple_files == StapleFiles::Nowhere && transactions == Transactions::Never {
            return Err(ConfigurationError::Setting {
                place: origins.of("haproxy-transactions"),
                what:
                    "\"never\", and no-staple-files: what HAProxy started without a staple would never get one; leave \
                       one out"
                        .to_owned(),
            });
        }
        let mode = mode(&settings, &origins)?;
        let logging = logging(&settings, &mode, arguments.verbose, &origins)?;
        Ok(Configuration {
            groups,
            haproxys,
            surroundings: Surroundings::default(),
            running,
            search,
            rescan: Duration::from_secs(settings.refresh_interval.map_or(60, u64::from)),
            keepalive: settings.haproxy_socket_keepalive.map(|seconds| Duration::from_secs(seconds.get())),
            transactions,
            staple_files,
            recycle: !settings.no_recycle,
            fetch_issuers: !settings.no_fetch_issuers,
            issuer_dir: settings.issuer_dir.as_deref().map(absolute).transpose()?,
            refresh: refresh(&settings, &origins)?,
            judging: judging(&settings).policy(),
            renewals: settings.renewal_threads.map(usize::from),
            per_responder: settings.concurrent_per_responder.map(usize::from),
            responder_rate: settings.responder_rate,
            hash: settings.hash.map(|hash| match hash {
                Hash::Sha1 => CertIdHash::Sha1,
                Hash::Sha256 => CertIdHash::Sha256,
            }),
            nonce: settings.nonce,
            network: network(&settings, &origins)?,
            mode,
            logging,
            hook: hook(&settings, &origins)?,
            control_socket: settings.control_socket.as_deref().map(absolute).transpose()?,
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
            "minimum-interval" => said.minimum_interval.is_some(),
            "maximum-interval" => said.maximum_interval.is_some(),
            "directories" => !said.directories.is_empty(),
            "haproxy-sockets" => !said.haproxy_sockets.is_empty(),
            "haproxy-config" => !said.haproxy_config.is_empty(),
            "ignore" => !said.ignore.is_empty(),
            "file-extensions" => !said.file_extensions.is_empty(),
            "staple-dir" => said.staple_dir.is_some(),
            "no-staple-files" => said.no_staple_files,
            "http-proxy" => said.http_proxy.is_some(),
            "no-proxy" => !said.no_proxy.is_empty(),
            "responder" => !said.responder.is_empty(),
            "default-responder" => said.default_responder.is_some(),
            "json" => said.json,
            "wait" => said.wait.is_some(),
            "hook" => said.hook.is_some(),
            "hook-timeout" => said.hook_timeout.is_some(),
            "hook-debounce" => said.hook_debounce.is_some(),
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

/// The HAProxys by their configurations. Where there are no paths, they have the sockets that were given.
fn haproxys(settings: &Settings, origins: &Origins) -> Result<Vec<Haproxy>, ConfigurationError> {
    let setting = |name: &str, what: String| ConfigurationError::Setting { place: origins.of(name), what };
    let mut given: Vec<Address> = Vec::new();
    let has_paths = [&settings.cert_paths, &settings.directories].iter().any(|paths| !paths.is_empty());
    if !has_paths && settings.group.is_empty() && !settings.no_haproxy_sockets {
        for item in &settings.haproxy_sockets {
            let new = sockets(item).map_err(|what| setting("haproxy-sockets", what))?;
            given.extend(new);
        }
    }
    let mut haproxys: Vec<Haproxy> = Vec::new();
    for item in &settings.haproxy_config {
        let paths = parts(item).iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
        if paths.is_empty() {
            return Err(setting("haproxy-config", "an empty path".to_owned()));
        }
        if !haproxys.iter().any(|known| known.paths == paths) {
            let named_at = origins.of("haproxy-config");
            let own_sockets = !settings.no_haproxy_sockets;
            haproxys.push(Haproxy { paths, sockets: given.clone(), own_sockets, named_at });
        }
    }
    Ok(haproxys)
}

fn groups(
    settings: &Settings,
    origins: &Origins,
    has_haproxys: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Group>, ConfigurationError> {
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
        // They are those of the configurations.
        _ if paths.is_empty() && settings.group.is_empty() && has_haproxys => {}
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
    if groups.is_empty() && !has_haproxys {
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
    if settings.wait.is_some() && !settings.one_off {
        return setting("wait", "belongs to --one-off: without it, everything is tried again for ever");
    }
    if settings.one_off {
        let wait = settings.wait.map(|seconds| Duration::from_secs(seconds.get()));
        return Ok(Mode::OneOff { json: settings.json, wait });
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

fn hook(settings: &Settings, origins: &Origins) -> Result<Option<Hook>, ConfigurationError> {
    let seconds = |seconds: Option<NonZeroU64>, default| Duration::from_secs(seconds.map_or(default, NonZeroU64::get));
    let Some(program) = settings.hook.as_deref() else {
        let stray = [("hook-timeout", settings.hook_timeout), ("hook-debounce", settings.hook_debounce)];
        return match stray.into_iter().find(|(_, said)| said.is_some()) {
            Some((name, _)) => {
                Err(ConfigurationError::Setting { place: origins.of(name), what: "belongs to hook".to_owned() })
            }
            None => Ok(None),
        };
    };
    let unusable = |what: String| ConfigurationError::Setting {
        place: origins.of("hook"),
        what: format!("{}: {what}; name one program, without arguments", program.display()),
    };
    let program = absolute(program)?;
    let metadata = std::fs::metadata(&program).map_err(|error| unusable(error.to_string()))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(unusable("cannot be run: not an executable file".to_owned()));
    }
    Ok(Some(Hook {
        program,
        timeout: seconds(settings.hook_timeout, 30),
        debounce: seconds(settings.hook_debounce, 300),
    }))
}

fn refresh(settings: &Settings, origins: &Origins) -> Result<RefreshPolicy, ConfigurationError> {
    let mut refresh = RefreshPolicy::default();
    if let Some(seconds) = settings.minimum_validity {
        refresh.minimum_validity = Duration::from_secs(seconds);
    }
    if let Some(seconds) = settings.minimum_interval {
        refresh.minimum_interval = Duration::from_secs(seconds.get());
    }
    if let Some(seconds) = settings.maximum_interval {
        refresh.maximum_interval = Duration::from_secs(seconds.get());
    }
    let (least, most) = (refresh.minimum_interval.as_secs(), refresh.maximum_interval.as_secs());
    if least <= most {
        return Ok(refresh);
    }
    // What was said is at fault, not the other one's default.
    let (at_fault, what) = match settings.maximum_interval {
        Some(_) => ("maximum-interval", format!("{most} s are less than minimum-interval, which is {least} s")),
        None => (
            "minimum-interval",
            format!("{least} s are more than maximum-interval, which is {most} s unless it is set"),
        ),
    };
    Err(ConfigurationError::Setting { place: origins.of(at_fault), what })
}

fn network(settings: &Settings, origins: &Origins) -> Result<Network, ConfigurationError> {
    let setting = |name: &str, what: String| ConfigurationError::Setting { place: origins.of(name), what };
    let proxy = match &settings.http_proxy {
        Some(url) => Some(Proxy { url: url.clone(), except: settings.no_proxy.join(",") }),
        None if settings.no_proxy.is_empty() => None,
        None => {
            let what = "belongs to http-proxy; for the proxies of the environment, set no_proxy there";
            return Err(setting("no-proxy", what.to_owned()));
        }
    };
    let overrides = overrides(&settings.responder, settings.default_responder.as_deref())
        .map_err(|UnusableOverride { setting: name, error }| setting(name, error.to_string()))?;
    let deny_private = settings.deny_private_responders;
    let network = Network { proxy, deny_private, prefer_ipv4: settings.prefer_ipv4, overrides };
    // Tried here, so that --check-config finds what is wrong with it.
    network.fetcher(TIMEOUT).map_err(|error| setting("http-proxy", error.to_string()))?;
    Ok(network)
}

fn judging(settings: &Settings) -> Judging {
    Judging {
        clock_skew: settings.clock_skew,
        allow_sha1: settings.allow_sha1,
        allow_weak_keys: settings.allow_weak_keys,
        allow_missing_next_update: settings.allow_missing_next_update,
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigurationError> {
    std::path::absolute(path).map_err(|error| ConfigurationError::Setting {
        place: path.display().to_string(),
        what: format!("not a usable path: {error}"),
    })
}
