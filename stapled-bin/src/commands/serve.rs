//! `stapled serve`: the daemon with a responder.

use clap::Args;

use crate::options::arguments::{Daemon, Options};
use crate::options::declarations as option;
use crate::options::file;
use crate::options::settings::Settings;

/// Run the daemon, and answer servers that ask for OCSP responses by themselves
///
/// The daemon with one option more: an OCSP responder for nginx (ssl_stapling_responder), Apache (SSLStaplingForceURL), Caddy and
/// HAProxy's own updater, at 127.0.0.1:8888 unless `listen` says otherwise. It answers from verified staples, also while the CA is
/// down, and asks the CA about other certificates of the same issuers. `stapled --help` has the exit codes.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options<Daemon>,
}

impl Serve {
    /// The arguments of the daemon.
    pub(crate) fn settings(self) -> Settings {
        let given = self.options.settings;
        // A file that cannot be read is an error later.
        let in_file = file::find(given.get(&option::CONFIG).as_deref()).is_ok_and(|file| file.has(&option::LISTEN));
        if in_file { given } else { given.or(&option::LISTEN, "127.0.0.1:8888") }
    }
}
