//! Servers that read staples from files, as the configuration names them.

use stapled_core::hook::reload::ReloadSettings;
use stapled_core::io::file::server::{FileServer, FileServerError};
use stapled_haproxy::check::StapleFiles;

use crate::fault::ConfigurationError;
use crate::options::declarations as option;
use crate::options::kind::{DURATION_OR_NONE, ONE_PATH, TEXT, TEXTS};
use crate::options::settings::Settings;
use crate::options::value::{Given, Table};
use crate::text::nearest;

/// The layouts that have names.
const LAYOUTS: &str = include_str!("../dist/layouts.toml");

/// A server with the command that tells it.
pub(crate) type Told = (FileServer, Option<ReloadSettings>);

/// The servers of the configuration: the one of `layout`, and those of the file.
pub(crate) fn servers(settings: &Settings) -> Result<Vec<Told>, ConfigurationError> {
    let mut servers: Vec<Told> = Vec::new();
    if let Some(layout) = settings.get(&option::LAYOUT) {
        let (directory, reload) = (settings.get(&option::STAPLE_DIR), settings.get(&option::RELOAD_COMMAND));
        let alone = Table::from([
            ("layout", Given::words([layout])),
            ("directory", Given::words(directory)),
            ("reload", Given::words(reload)),
        ]);
        servers.push(server(settings, &alone, &servers).map_err(|what| settings.unusable(&option::LAYOUT, what))?);
    }
    for table in settings.get(&option::SERVER) {
        let name = TEXT.of(&table, "name").or(TEXT.of(&table, "layout")).unwrap_or_default();
        let refused = |what| settings.unusable(&option::SERVER, format!("{name}: {what}"));
        servers.push(server(settings, &table, &servers).map_err(refused)?);
    }
    Ok(servers)
}

/// One server, beside those before it.
fn server(settings: &Settings, of: &Table, before: &[Told]) -> Result<Told, String> {
    let presets = toml::from_str(LAYOUTS).map_err(|error| error.to_string())?;
    let (name, layout) = (TEXT.of(of, "name"), TEXT.of(of, "layout").unwrap_or_default());
    let made = FileServer::new(&presets, name.as_deref(), &layout, ONE_PATH.of(of, "directory"));
    let mut server = made.map_err(|error| match nearest(&layout, presets.keys().map(String::as_str)) {
        Some(meant) if matches!(error, FileServerError::Unknown { .. }) => {
            format!("there is no layout {layout:?}; did you mean {meant:?}?")
        }
        _ => error.to_string(),
    })?;
    let certificates = TEXTS.of(of, "certificates");
    if !certificates.is_empty() {
        server = server.only_matching(&certificates).map_err(|error| error.to_string())?;
    }
    let others: Vec<FileServer> = before.iter().map(|(server, _)| server.clone()).collect();
    let server = server.beside(&others).map_err(|error| error.to_string())?;
    let Some(command) = TEXT.of(of, "reload") else { return Ok((server, None)) };
    let pause = DURATION_OR_NONE.of(of, "reload-pause").unwrap_or_else(|| settings.get(&option::RELOAD_PAUSE));
    let timeout = DURATION_OR_NONE.of(of, "reload-timeout").unwrap_or_else(|| settings.get(&option::RELOAD_TIMEOUT));
    let reload = ReloadSettings::new(&command).map_err(|error| format!("reload: {error}"))?;
    let reload = server.told_by(reload.pause(pause).timeout(timeout));
    Ok((server, Some(reload)))
}

/// Checks that no server would have the files that are written for HAProxy.
pub(crate) fn no_other(settings: &Settings, servers: &[Told], files: &StapleFiles) -> Result<(), ConfigurationError> {
    servers.iter().try_for_each(|(server, _)| {
        let refused = |error| settings.unusable(&option::SERVER, format!("{}: {error}", server.name()));
        files.apart_from(server).map_err(refused)
    })
}
