//! The reply to `show stat`: a heading with the names of the columns, and a line for each frontend. Pure.

/// The handshakes of one frontend since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frontend {
    pub(super) name: String,
    /// Handshakes with a staple.
    pub(super) stapled: u64,
    /// Handshakes in which a staple was there and was not sent, because it had expired or for another fault.
    pub(super) failed: u64,
}

/// Reads a reply line by line.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The numbers of the columns; none in a HAProxy without these counters.
    columns: Option<Columns>,
}

#[derive(Clone, Copy, Debug)]
struct Columns {
    name: usize,
    stapled: usize,
    failed: usize,
}

impl Reader {
    /// The frontend in a line, if it has the counters.
    pub(super) fn read(&mut self, line: &str) -> Option<Frontend> {
        if let Some(heading) = line.strip_prefix("# ") {
            let column = |name: &str| heading.split(',').position(|column| column == name);
            self.columns = column("pxname")
                .zip(column("ssl_ocsp_staple"))
                .zip(column("ssl_failed_ocsp_staple"))
                .map(|((name, stapled), failed)| Columns { name, stapled, failed });
            return None;
        }
        let columns = self.columns?;
        // The first columns are names, which have no commas; texts with commas come with quotation marks.
        let fields = fields(line);
        let number = |column: usize| fields.get(column)?.parse().ok();
        let name = fields.get(columns.name)?.clone();
        Some(Frontend { name, stapled: number(columns.stapled)?, failed: number(columns.failed)? })
    }
}

/// The fields of a line of CSV (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            character => field.push(character),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let mut reader = Reader::default();
        assert_eq!(reader.read("# pxname,svname,last_chk,-,ssl_ocsp_staple,ssl_failed_ocsp_staple,"), None);
        let frontend = reader.read("web,FRONTEND,\"a \"\"b\"\", c\",,7,2,").unwrap();
        assert_eq!(frontend, Frontend { name: "web".to_owned(), stapled: 7, failed: 2 });
        assert_eq!(reader.read("web,FRONTEND,,,,,"), None, "no numbers");
        assert_eq!(reader.read("web"), None);
    }

    #[test]
    fn a_haproxy_without_the_counters_has_no_frontend() {
        let mut reader = Reader::default();
        assert_eq!(reader.read("# pxname,svname,ssl_sess,"), None);
        assert_eq!(reader.read("web,FRONTEND,7,"), None);
    }

    proptest! {
        #[test]
        fn no_reply_panics(lines in prop::collection::vec(".{0,80}", 0..8)) {
            let mut reader = Reader::default();
            reader.read("# pxname,ssl_ocsp_staple,ssl_failed_ocsp_staple");
            for line in lines {
                let _ = reader.read(&line);
            }
        }
    }
}
