//! Rows as the cells of a table.

use super::row::Row;
use crate::describe::visible::Visible;

/// The columns of a table, besides certificate, files, state, staple and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Columns {
    /// No others.
    Few,
    /// Since when the state holds, and when it is tried again.
    Times,
    /// The outcome of a renewal on demand.
    Outcome,
}

impl Columns {
    /// The head of each column.
    #[must_use]
    pub fn heads(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Columns::Few => &[],
            Columns::Times => &["SINCE", "NEXT TRY"],
            Columns::Outcome => &["RESULT"],
        };
        ["CERTIFICATE", "FILE", "STATE"].iter().chain(more).chain(&["STAPLE UNTIL", "SERVERS"]).copied().collect()
    }

    /// The cells of a row, one for each head. Hidden characters are escaped.
    #[must_use]
    pub fn cells(self, row: &Row) -> Vec<String> {
        let visible = |text: &str| Visible::new(text).to_string();
        let or_dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), visible);
        let files = row.files.iter().map(|file| visible(file)).collect::<Vec<_>>().join(", ");
        let mut cells = vec![or_dash(&row.certificate), files, row.state_in_words()];
        match self {
            Columns::Few => {}
            Columns::Times => cells.extend([visible(&row.since), or_dash(&row.next_try)]),
            Columns::Outcome => cells.push(row.outcome.map_or("-".to_owned(), |outcome| outcome.to_string())),
        }
        cells.extend([or_dash(&row.staple_until), row.servers_in_words()]);
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_has_a_cell() {
        for columns in [Columns::Few, Columns::Times, Columns::Outcome] {
            assert_eq!(columns.heads().len(), columns.cells(&Row::default()).len(), "{columns:?}");
        }
    }
}
