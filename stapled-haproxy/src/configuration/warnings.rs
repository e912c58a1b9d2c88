//! Warnings about lines of a configuration, and advice.

use stapled_core::reason::ReasonCode;

use super::found::{Effect, Warning};
use super::reading::Reading;
use super::words::{DoubtKind, Word};
use crate::codes;

/// The number of warnings that are kept.
pub(super) const MAX_WARNINGS: usize = 1000;
const LAST_WARNING: usize = MAX_WARNINGS - 1;

impl Reading<'_> {
    /// Advises once to give absolute paths, unless the directory of relative ones is confirmed.
    pub(super) fn warn_relative(&mut self, path: &[u8]) {
        if !self.is_start_confirmed && self.told.insert((codes::RELATIVE_PATH, String::new())) {
            let what = format!(
                "{} is looked for in {}, the directory that this program was started in; HAProxy looks in its own: start \
                 both in the same one, or give absolute paths",
                String::from_utf8_lossy(path),
                self.start.display()
            );
            self.advise(codes::RELATIVE_PATH, what);
        }
    }

    /// Warns if HAProxy may read a word differently.
    pub(super) fn doubt(&mut self, word: &Word, what: &str) {
        let Some(doubt) = &word.doubt else { return };
        let variable = &doubt.variable;
        let why = match doubt.kind {
            DoubtKind::Unset => "it is not set here and counts as empty; set it for this program as for HAProxy",
            DoubtKind::Unknown => "HAProxy sets it itself, and it counts as empty; write its value instead",
            DoubtKind::Undecided => "an undecidable condition sets it; its last value counts",
        };
        let what = format!("{what} depends on the environment variable {variable}: {why}");
        self.advise(codes::VARIABLE_UNKNOWN, what);
    }

    /// Warns that a certificate may be missing.
    pub(super) fn warn(&mut self, code: ReasonCode, what: impl Into<String>) {
        self.add_warning(code, Effect::LeftOut, what.into());
    }

    /// Warns that an assumption was made; no certificate is missing.
    pub(super) fn advise(&mut self, code: ReasonCode, what: impl Into<String>) {
        self.add_warning(code, Effect::Assumed, what.into());
    }

    fn add_warning(&mut self, code: ReasonCode, effect: Effect, what: String) {
        let place = self.place.clone();
        match self.warnings.len() {
            MAX_WARNINGS.. => {}
            LAST_WARNING => {
                let what = "further warnings are left out".to_owned();
                let code = codes::CONFIGURATION_TOO_LARGE;
                self.warnings.push(Warning { code, effect: Effect::LeftOut, place, what });
            }
            _ => {
                let warning = Warning { code, effect, place, what };
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
        }
    }
}
