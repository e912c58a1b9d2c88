//! The configuration: the settings of the command line and of the file, merged and checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_core::hook::reload::ReloadSettings;
use stapled_core::hook::settings::HookSettings;
use stapled_core::io::directory::DirectorySource;
use stapled_core::io::file::server::FileServer;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::sink::StapleSink;
use stapled_core::staple::JudgePolicy;
use stapled_core::time::span::Span;
use stapled_haproxy::check::StapleFiles;
use stapled_haproxy::configuration::Surroundings;
use stapled_haproxy::{Address, Known, Transactions};

use crate::fault::ConfigurationError;
use crate::judging::judge_policy;
use crate::monitoring::Monitoring;
use crate::network::Network;
use crate::options::declarations as option;
use crate::options::file;
use crate::options::kind::{PATHS, SOCKETS};
use crate::options::option::Opt;
use crate::options::settings::Settings;
use crate::options::value::LogFormat;
use crate::servers::{Told, no_other, servers};
use crate::serving::Serving;

/// Everything that the program needs to run.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// The settings, for what needs no check.
    pub(crate) settings: Settings,
    /// The HAProxys, and the paths without one. At least one.
    pub(crate) haproxys: Vec<Known>,
    /// The environment in which configurations of HAProxy are read.
    pub(crate) surroundings: Surroundings,
    pub(crate) staple_files: StapleFiles,
    /// The servers that read staples from files under names of their own.
    pub(crate) servers: Vec<FileServer>,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) judging: JudgePolicy,
    pub(crate) network: Network,
    pub(crate) mode: Mode,
    pub(crate) logging: Logging,
    pub(crate) hook: Option<HookSettings>,
    /// The reload commands: that of the staple files, and that of each server.
    pub(crate) reloads: Vec<Option<ReloadSettings>>,
    pub(crate) monitoring: Monitoring,
    /// The responder for servers.
    pub(crate) serving: Option<Serving>,
    /// Where the daemon answers `stapled status`. None: at the usual path, if this user can create it.
    pub(crate) control_socket: Option<PathBuf>,
    /// The group that may ask for the state.
    pub(crate) control_group: Option<String>,
    /// Oddities of the configuration that are no errors.
    pub(crate) notes: Vec<String>,
}

/// How the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One pass, with a summary.
    OneOff { json: bool, wait: Option<Duration> },
    /// Until a signal stops it.
    Foreground { pid_file: Option<PathBuf> },
    /// Until a signal stops it, detached from the terminal.
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
    pub(crate) format: LogFormat,
}

impl Configuration {
    /// The configuration that the command line and the configuration file say.
    pub(crate) fn load(arguments: Settings) -> Result<Self, ConfigurationError> {
        let file = file::find(arguments.get(&option::CONFIG).as_deref())?;
        Invocation::new(arguments).configuration(file)
    }

    /// Checks settings.
    pub(crate) fn of(settings: Settings) -> Result<Self, ConfigurationError> {
        let mut notes = Vec::new();
        let serving = Serving::of(&settings)?;
        let haproxys = haproxys(&settings, &mut notes)?;
        if haproxys.is_empty() && serving.as_ref().is_none_or(|serving| serving.issuers.is_empty()) {
            return Err(ConfigurationError::NoPaths);
        }
        let servers = servers(&settings)?;
        let staple_files = staple_files(&settings, &haproxys, &servers)?;
        no_other(&settings, &servers, &staple_files)?;
        let reload = reload(&settings, &servers)?;
        let (servers, told): (Vec<_>, Vec<_>) = servers.into_iter().unzip();
        let mode = mode(&settings)?;
        let logging = logging(&settings, &mode);
        let mut hook = hook(&settings)?;
        if let Some(hook) = &mut hook {
            hook.renewed_after = staple_files.sink().or(servers.first().map(FileServer::sink)).map(|sink| sink.name());
        }
        // Only the patterns are checked here.
        search(&settings, Path::new("/"))?;
        Ok(Configuration {
            reloads: [vec![reload], told].concat(),
            haproxys,
            surroundings: Surroundings::default(),
            staple_files,
            servers,
            refresh: refresh(&settings)?,
            judging: judge_policy(&settings),
            network: Network::of(&settings)?,
            mode,
            logging,
            hook,
            monitoring: Monitoring::of(&settings)?,
            serving,
            control_socket: settings.get(&option::CONTROL_SOCKET),
            control_group: settings.get(&option::CONTROL_GROUP),
            notes,
            settings,
        })
    }
}

/// The command line of this process, kept so that a reload combines the same arguments with the changed file.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    arguments: Settings,
    /// The directory in which the process was started.
    directory: Option<PathBuf>,
}

impl Invocation {
    pub(crate) fn new(arguments: Settings) -> Self {
        let directory = std::env::current_dir().ok();
        let arguments = directory.iter().fold(arguments, |arguments, directory| arguments.relative_to(directory));
        Invocation { arguments, directory }
    }

    /// The configuration by these arguments and the present contents of the file.
    pub(crate) fn configuration_now(&self) -> Result<Configuration, ConfigurationError> {
        self.configuration(file::find(self.arguments.get(&option::CONFIG).as_deref())?)
    }

    fn configuration(&self, file: Settings) -> Result<Configuration, ConfigurationError> {
        let mut configuration = Configuration::of(self.arguments.clone().over(file))?;
        // A process in the background has left its directory.
        if let Some(directory) = &self.directory {
            configuration.surroundings = configuration.surroundings.directory(directory);
        }
        Ok(configuration)
    }
}

/// The certificates in a path.
pub(crate) fn search(settings: &Settings, path: &Path) -> Result<DirectorySource, ConfigurationError> {
    let source = DirectorySource::new(path).recursive(settings.get(&option::RECURSIVE));
    let lists = settings.get(&option::FILE_EXTENSIONS);
    let extensions: Vec<&str> = lists.iter().flat_map(|list| list.split(',')).map(str::trim).collect();
    if extensions.contains(&"") {
        let what = "an empty extension: give them as in crt,pem,cer";
        return Err(settings.unusable(&option::FILE_EXTENSIONS, what));
    }
    let source = if extensions.is_empty() { source } else { source.extensions(extensions) };
    settings.tried(&option::IGNORE, |patterns| source.ignore(patterns))
}

/// The paths, each with its sockets, and the HAProxys that are known by their configuration. Without paths, the staples of those go to
/// all sockets; without any of these, the HAProxy behind each socket is asked for its certificates.
fn haproxys(settings: &Settings, notes: &mut Vec<String>) -> Result<Vec<Known>, ConfigurationError> {
    let is_without = settings.get(&option::NO_HAPROXY_SOCKETS);
    let items = if is_without { Vec::new() } else { settings.get(&option::HAPROXY_SOCKETS) };
    let sockets = sockets(settings, &option::HAPROXY_SOCKETS, &items)?;
    let paths_in = |item: &PathBuf| Some(Known::configuration_paths(item)).filter(|paths| !paths.is_empty());
    let paths_of = |items: Vec<PathBuf>| items.iter().map(paths_in).collect::<Option<_>>().ok_or("an empty path");
    let configurations: Vec<_> = settings.tried(&option::HAPROXY_CONFIG, paths_of)?;
    if settings.has(&option::CERT_PATHS) || settings.has(&option::DIRECTORIES) || settings.has(&option::GROUP) {
        return Ok([paths(settings, &items, notes)?, Known::configurations(configurations, &[])].concat());
    }
    Ok(match configurations.is_empty() {
        true => Known::loaded(sockets),
        false => Known::configurations(configurations, &sockets),
    })
}

/// The sockets of items of this option.
fn sockets<T>(settings: &Settings, option: &Opt<T>, items: &[String]) -> Result<Vec<Address>, ConfigurationError> {
    settings.tried(option, |_| Address::all_in(items))
}

/// The paths, each with its sockets: outside of groups, those of the only item, or of the item in the same place.
fn paths(settings: &Settings, items: &[String], notes: &mut Vec<String>) -> Result<Vec<Known>, ConfigurationError> {
    let mut option = &option::CERT_PATHS;
    if settings.has(&option::DIRECTORIES) {
        let directories = settings.origin(&option::DIRECTORIES);
        if settings.has(option) {
            return Err(ConfigurationError::BothNames { directories });
        }
        notes.push(format!("{directories}: this is the old name of cert-paths"));
        option = &option::DIRECTORIES;
    }
    let paths = settings.get(option);
    let sockets_at = settings.origin(&option::HAPROXY_SOCKETS);
    match items.len() {
        0 => {}
        _ if paths.is_empty() => return Err(ConfigurationError::SocketsWithoutPaths { sockets: sockets_at }),
        socket_count if socket_count != 1 && socket_count != paths.len() => {
            let (path_count, paths) = (paths.len(), settings.origin(option));
            return Err(ConfigurationError::Unpaired { sockets: sockets_at, socket_count, paths, path_count });
        }
        _ => {}
    }
    let mut paired: Vec<(PathBuf, Vec<Address>)> = Vec::new();
    for (number, path) in paths.into_iter().enumerate() {
        let item = items.get(number).or(items.first());
        paired.push((path, sockets(settings, &option::HAPROXY_SOCKETS, item.map_or(&[], std::slice::from_ref))?));
    }
    for group in settings.get(&option::GROUP) {
        let (paths, items) = (PATHS.of(&group, "paths"), SOCKETS.of(&group, "sockets"));
        let items = if settings.get(&option::NO_HAPROXY_SOCKETS) { Vec::new() } else { items };
        let sockets = sockets(settings, &option::GROUP, &items)?;
        paired.extend(paths.into_iter().map(|path| (path, sockets.clone())));
    }
    Ok(Known::paths(paired))
}

fn staple_files(settings: &Settings, haproxys: &[Known], told: &[Told]) -> Result<StapleFiles, ConfigurationError> {
    let directory = settings.get(&option::STAPLE_DIR);
    if !settings.get(&option::NO_STAPLE_FILES) {
        let is_told = directory.is_some() || settings.has(&option::RELOAD_COMMAND);
        let is_wanted = is_told || haproxys.iter().any(Known::is_haproxy);
        if settings.has(&option::LAYOUT) || !told.is_empty() && !is_wanted {
            return Ok(StapleFiles::Nowhere);
        }
        return Ok(directory.map_or(StapleFiles::BesideCertificates, StapleFiles::In));
    }
    let both = |what| format!("{what}, and no-staple-files: leave one out");
    if settings.has(&option::LAYOUT) {
        return Err(settings.unusable(&option::LAYOUT, both("names of staple files")));
    }
    if directory.is_some() {
        return Err(settings.unusable(&option::STAPLE_DIR, both("a directory for staples")));
    }
    if settings.has(&option::RELOAD_COMMAND) {
        return Err(settings.unusable(&option::RELOAD_COMMAND, both("it tells servers of staple files")));
    }
    let files = haproxys.iter().filter(|haproxy| !haproxy.is_haproxy()).find_map(Known::path);
    if let Some(path) = files.filter(|_| told.is_empty() && !settings.has(&option::LISTEN)).map(|path| path.display()) {
        let what = format!("the staples of {path} would go nowhere: give HAProxy sockets, or let files be written");
        return Err(settings.unusable(&option::NO_STAPLE_FILES, what));
    }
    if settings.get(&option::HAPROXY_TRANSACTIONS) == Some(Transactions::Never) {
        let what = "\"never\", and no-staple-files: a certificate that HAProxy started without a staple would never get \
                    one; leave one out";
        return Err(settings.unusable(&option::HAPROXY_TRANSACTIONS, what));
    }
    Ok(StapleFiles::Nowhere)
}

fn mode(settings: &Settings) -> Result<Mode, ConfigurationError> {
    let (json, one_off) = (settings.get(&option::JSON), settings.get(&option::ONE_OFF));
    let wait = settings.get(&option::WAIT);
    if !one_off {
        settings.refuse(&[&option::JSON.declaration], "the summary in JSON belongs to --one-off")?;
        let what = "belongs to --one-off: without it, stapled tries again for ever";
        settings.refuse(&[&option::WAIT.declaration], what)?;
    }
    if json && settings.get(&option::QUIET) {
        return Err(settings.unusable(&option::JSON, "--quiet suppresses the summary: drop one of them"));
    }
    if one_off {
        return Ok(Mode::OneOff { json, wait });
    }
    let pid_file = settings.get(&option::PID_FILE);
    let is_daemon = settings.get(&option::DAEMON) && !settings.get(&option::NO_DAEMON);
    Ok(if is_daemon { Mode::Background { pid_file } } else { Mode::Foreground { pid_file } })
}

fn logging(settings: &Settings, mode: &Mode) -> Logging {
    let default = if matches!(mode, Mode::OneOff { .. }) { 2 } else { 3 };
    let verbosity = settings.get(&option::VERBOSITY).unwrap_or(default);
    let directory = settings.get(&option::LOGDIR);
    Logging {
        verbosity: verbosity.saturating_add(settings.get(&option::VERBOSE)).min(4),
        quiet: settings.get(&option::QUIET),
        format: settings.get(&option::LOG_FORMAT).unwrap_or(LogFormat::Plain),
        // A process in the background has no standard error.
        syslog: settings.get(&option::SYSLOG) || directory.is_none() && matches!(mode, Mode::Background { .. }),
        directory,
    }
}

fn hook(settings: &Settings) -> Result<Option<HookSettings>, ConfigurationError> {
    let Some(named) = settings.get(&option::HOOK) else {
        let [timeout, debounce] = [&option::HOOK_TIMEOUT.declaration, &option::HOOK_DEBOUNCE.declaration];
        let of_hook = [timeout, debounce, &option::HOOK_EXPIRING.declaration, &option::HOOK_EVENTS.declaration];
        return settings.refuse(&of_hook, "belongs to hook").map(|()| None);
    };
    let mut hook = settings.tried(&option::HOOK, |_| HookSettings::new(&named))?;
    hook.timeout = settings.get(&option::HOOK_TIMEOUT);
    hook.debounce = settings.get(&option::HOOK_DEBOUNCE);
    hook.expiring = settings.get(&option::HOOK_EXPIRING);
    settings.tried(&option::HOOK_EVENTS, |events| hook.events(events)).map(Some)
}

fn reload(settings: &Settings, servers: &[Told]) -> Result<Option<ReloadSettings>, ConfigurationError> {
    let Some(command) = settings.get(&option::RELOAD_COMMAND).filter(|_| !settings.has(&option::LAYOUT)) else {
        if servers.iter().all(|(_, reload)| reload.is_none()) {
            let durations = [&option::RELOAD_PAUSE.declaration, &option::RELOAD_TIMEOUT.declaration];
            settings.refuse(&durations, "belongs to reload-command")?;
        }
        return Ok(None);
    };
    let reload = settings.tried(&option::RELOAD_COMMAND, |_| ReloadSettings::new(&command))?;
    let (pause, timeout) = (settings.get(&option::RELOAD_PAUSE), settings.get(&option::RELOAD_TIMEOUT));
    Ok(Some(reload.pause(pause).timeout(timeout)))
}

fn refresh(settings: &Settings) -> Result<RefreshPolicy, ConfigurationError> {
    let mut refresh = RefreshPolicy::default();
    refresh.minimum_validity = settings.get(&option::MINIMUM_VALIDITY);
    refresh.minimum_interval = settings.get(&option::MINIMUM_INTERVAL);
    refresh.maximum_interval = settings.get(&option::MAXIMUM_INTERVAL);
    let (least, most) = (Span::from(refresh.minimum_interval), Span::from(refresh.maximum_interval));
    if least <= most {
        return Ok(refresh);
    }
    // The value that was given is wrong, not the default of the other option.
    if settings.has(&option::MAXIMUM_INTERVAL) {
        let what = format!("{most} is less than minimum-interval, which is {least}");
        return Err(settings.unusable(&option::MAXIMUM_INTERVAL, what));
    }
    let what = format!("{least} is more than maximum-interval, which is {most} unless it is set");
    Err(settings.unusable(&option::MINIMUM_INTERVAL, what))
}
