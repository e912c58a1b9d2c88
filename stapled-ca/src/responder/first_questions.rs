//! The first question about a certificate: a sign that a server has it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::ledger::StoreError;
use crate::ledger_file::LedgerFile;
use crate::serial::Serial;

/// First questions that are not in the ledger yet. The thread that answers only notes them; another thread writes them in one
/// batch. There is at most one for each certificate of the ledger.
#[derive(Debug, Default)]
pub(crate) struct FirstQuestions {
    /// The certificates, with the times of the questions in Unix seconds.
    waiting: Mutex<HashMap<Serial, i64>>,
}

impl FirstQuestions {
    /// Notes a question. Only the first one about a certificate of the ledger counts.
    pub(crate) fn note(&self, ledger: &LedgerFile, serial: &Serial, at: i64) {
        if ledger.is_unseen(serial) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.contains_key(serial) {
                waiting.insert(serial.clone(), at);
            }
        }
    }

    /// Writes the questions that were noted into the ledger. After an error they stay noted.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) fn write(&self, ledger: &LedgerFile) -> Result<(), StoreError> {
        let noted: Vec<(Serial, i64)> = {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.iter().map(|(serial, at)| (serial.clone(), *at)).collect()
        };
        if noted.is_empty() {
            return Ok(());
        }
        ledger.seen_all(&noted)?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (serial, _) in &noted {
            waiting.remove(serial);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::profile::Profile;

    #[test]
    fn the_first_question_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let ca = Authority::root("CA").create_in(directory.path()).unwrap();
        let serial = ca.issue(&Profile::server("a.example")).unwrap().serial().clone();
        let ledger = ca.ledger_file().unwrap();
        let length = || std::fs::metadata(directory.path().join("ledger")).unwrap().len();
        let questions = FirstQuestions::default();
        for at in [7, 8] {
            questions.note(ledger, &serial, at);
            questions.note(ledger, &99.into(), at);
        }
        questions.write(ledger).unwrap();
        assert_eq!(ledger.entry(&serial).unwrap().unwrap().seen, Some(7));
        let before = length();
        questions.note(ledger, &serial, 9);
        questions.write(ledger).unwrap();
        assert_eq!(length(), before);
    }
}
