//! The lines of the `global` section that concern certificates, paths, variables and sockets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::blocks::Read;
use super::reading::Reading;
use super::settings::DefaultPath;
use super::words::Word;

impl Reading<'_> {
    /// Reads a line of the global section.
    pub(super) fn global(&mut self, keyword: &[u8], rest: &[Word]) {
        let read = self.blocks.now();
        let is_doubtful = read == Read::Perhaps;
        let first = || rest.first().map(|word| word.bytes.clone());
        let name = |word: &Word| String::from_utf8_lossy(&word.bytes).into_owned();
        match (keyword, rest) {
            (b"crt-base", [base, ..]) => {
                self.doubt(base, "crt-base");
                if !is_doubtful {
                    self.settings.bases.clear();
                }
                self.settings.bases.retain(|known| *known != first());
                self.settings.bases.push(first());
            }
            (b"issuers-chain-path", [path, ..]) => {
                let path = self.path(&path.bytes);
                self.directories.insert(path.clone());
                // Only if the line is certain: HAProxy does not start with a response whose issuer it does not find.
                self.settings.chains = (!is_doubtful).then_some(path);
            }
            (b"ssl-load-extra-files", words) => {
                self.settings.extra.set(words.iter().map(|word| word.bytes.as_slice()), read);
            }
            (b"ocsp-update.mode" | b"tune.ssl.ocsp-update.mode", [mode, ..]) => {
                // If the line is not certain, a warning too many does no harm.
                self.settings.updates = mode.bytes == b"on" || is_doubtful && self.settings.updates;
            }
            // If the line is not certain, a warning too many does no harm.
            (b"zero-warning", _) => self.settings.zero_warning = Some(self.place.clone()),
            (b"ssl-load-extra-del-ext", _) => self.settings.extra.drop_extension(),
            (b"setenv", [variable, value, ..]) => {
                self.environment.set(&name(variable), value.bytes.clone(), read);
            }
            (b"presetenv", [variable, value, ..]) => {
                self.environment.preset(&name(variable), value.bytes.clone(), read);
            }
            (b"unsetenv", variables) => {
                variables.iter().for_each(|variable| self.environment.unset(&name(variable), read));
            }
            (b"resetenv", keep) => {
                self.environment.reset(&keep.iter().map(name).collect::<Vec<_>>(), read);
            }
            (b"default-path", [policy, more @ ..]) => {
                self.default_path = match (policy.bytes.as_slice(), more) {
                    (b"config", _) => DefaultPath::Config,
                    (b"parent", _) => DefaultPath::Parent,
                    (b"origin", [path, ..]) => DefaultPath::Origin(self.start.join(OsStr::from_bytes(&path.bytes))),
                    _ => DefaultPath::Current,
                };
                self.enter_directory();
            }
            (b"stats", [socket, address, options @ ..]) if socket.bytes == b"socket" => {
                self.stats_socket(address, options);
            }
            _ => {}
        }
    }

    /// Applies `default-path`: HAProxy changes its directory for the rest of each file.
    pub(super) fn enter_directory(&mut self) {
        let of_file = self.place.file.parent().unwrap_or(Path::new("/"));
        self.directory = match &self.default_path {
            DefaultPath::Current => self.start.clone(),
            DefaultPath::Config => of_file.to_owned(),
            DefaultPath::Parent => of_file.join(".."),
            DefaultPath::Origin(path) => path.clone(),
        };
    }
}
