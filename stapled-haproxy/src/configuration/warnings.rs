//! Warnings about the lines of a configuration.

use super::line_problem::{LineProblem, Warning};
use super::reading::Reading;
use super::words::Word;

/// The number of warnings that are kept.
pub(super) const MAX_WARNINGS: usize = 1000;
const LAST_WARNING: usize = MAX_WARNINGS - 1;

impl Reading<'_> {
    /// Warns once of relative paths, unless their directory is confirmed.
    pub(super) fn warn_relative(&mut self, path: &[u8]) {
        if !self.is_start_confirmed && !std::mem::replace(&mut self.is_relative_told, true) {
            let path = String::from_utf8_lossy(path).into_owned();
            self.warn(LineProblem::RelativePath { path, directory: self.start.clone() });
        }
    }

    /// Warns if HAProxy may read a word differently. `part` says what the word names.
    pub(super) fn doubt(&mut self, word: &Word, part: &'static str) {
        if let Some(doubt) = &word.doubt {
            self.warn(LineProblem::UnknownVariable { part, variable: doubt.variable.clone(), doubt: doubt.kind });
        }
    }

    /// Warns that HAProxy would not start with this line.
    pub(super) fn warn_refused(&mut self, why: impl Into<String>) {
        self.warn(LineProblem::Refused { why: why.into() });
    }

    /// Warns of a problem of this line.
    pub(super) fn warn(&mut self, problem: LineProblem) {
        let place = self.place.clone();
        match self.warnings.len() {
            MAX_WARNINGS.. => {}
            LAST_WARNING => {
                let problem = LineProblem::TooMuch { what: "further warnings are left out".to_owned() };
                self.warnings.push(Warning { place, problem });
            }
            _ => {
                let warning = Warning { place, problem };
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
        }
    }
}
