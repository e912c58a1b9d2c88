//! Which lines count in which section.

use super::blocks::Read;
use super::reading::Reading;
use super::section::Section;
use super::statement::{BindOption, Files, bind_options};
use super::words::Word;

/// The number of client certificates that are remembered.
const MAX_CLIENTS: usize = 100_000;
/// The number of sections that one line may belong to.
const MAX_SECTIONS: usize = 8;

impl Reading<'_> {
    /// Begins a section.
    pub(super) fn enter_section(&mut self, keyword: &[u8], rest: &[Word]) {
        let name = rest.first().map(|word| word.bytes.clone()).unwrap_or_default();
        self.section_name = if name.is_empty() { keyword.to_vec() } else { name.clone() };
        let section = Section::of(keyword, name);
        if self.blocks.now() == Read::Yes {
            self.sections.clear();
        }
        self.sections.retain(|known| *known != section);
        if self.sections.len() >= MAX_SECTIONS {
            self.sections.remove(0);
        }
        self.sections.push(section);
    }

    /// Reads a line within a section.
    pub(super) fn statement(&mut self, keyword: &[u8], rest: &[Word]) {
        for at in 0..self.sections.len() {
            match (self.sections.get_mut(at), keyword) {
                (Some(Section::Global), _) => self.global(keyword, rest),
                (Some(Section::Store { base, .. }), b"crt-base") => *base = rest.first().map(|word| word.bytes.clone()),
                (Some(Section::Store { name, base }), b"load") => {
                    let (name, base) = (name.clone(), base.clone());
                    self.load_into_store(&name, base.as_deref(), &Files::read(rest.iter()));
                }
                (Some(Section::Other | Section::Defaults), b"server" | b"server-template" | b"default-server") => {
                    self.note_clients(rest);
                }
                (Some(Section::Other), b"bind") => self.bind(rest.get(1..).unwrap_or_default()),
                (Some(Section::Other), b"default-bind") => self.bind(rest),
                (Some(Section::Other), b"ssl-f-use") => self.use_in_frontend(&Files::read(rest.iter())),
                _ => {}
            }
        }
    }

    pub(super) fn bind(&mut self, options: &[Word]) {
        for option in bind_options(options) {
            match option {
                BindOption::Certificate(path) => self.serve(path),
                BindOption::List(path) => self.serve_list(path),
                _ => {}
            }
        }
    }

    /// Notes the client certificates of `server` lines. A name too many does no harm: a running HAProxy has no certificate of
    /// that name.
    fn note_clients(&mut self, words: &[Word]) {
        for pair in words.windows(2) {
            if let [option, path] = pair
                && option.bytes == b"crt"
                && self.clients.len() < MAX_CLIENTS
            {
                let names = self.candidates(&path.bytes);
                self.clients.extend(names);
            }
        }
    }
}
