//! Rows as a table.

use std::fmt::{self, Display, Formatter};

use super::layout::{self, Cell, Column, Cut, Paint};
use super::relative::Times;
use super::row::{Row, State, Verdict};
use crate::describe::visible::Visible;
use crate::io::screen::Screen;
use crate::time::Timestamp;

/// What a table shows besides certificate, files, state, staple and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Columns {
    /// Nothing else.
    Few,
    /// Since when the state holds, when it is tried again, when the certificate was last renewed, and when a server last took
    /// a staple.
    Times,
    /// The outcome of a renewal on demand.
    Outcome,
}

/// Rows as a table of text, one line for each; nothing where there are none. Hidden characters are escaped.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Table<'a> {
    rows: &'a [Row],
    columns: Columns,
    times: Times,
    screen: Screen,
}

/// What a cell shows of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Certificate,
    Files,
    State,
    Since,
    NextTry,
    Outcome,
    Renewed,
    StapleUntil,
    Servers,
    Delivered,
}

impl<'a> Table<'a> {
    /// The table of these rows, with absolute times, as wide as it needs to be, and without colours.
    pub fn new(rows: &'a [Row], columns: Columns) -> Self {
        Table { rows, columns, times: Times::Absolute, screen: Screen::default() }
    }

    /// The same, with times as seen from this instant: `in 3 h`, `2 d ago`.
    pub fn seen_from(self, now: Timestamp) -> Self {
        Table { times: Times::From(now), ..self }
    }

    /// The same, as wide as this screen allows, and in its colours.
    pub fn on(self, screen: Screen) -> Self {
        Table { screen, ..self }
    }
}

impl Columns {
    fn facts(self) -> &'static [Fact] {
        use Fact::*;
        match self {
            Columns::Few => &[Certificate, Files, State, StapleUntil, Servers],
            Columns::Times => &[Certificate, State, Since, NextTry, Renewed, StapleUntil, Servers, Delivered, Files],
            Columns::Outcome => &[Certificate, Files, State, Outcome, StapleUntil, Servers],
        }
    }
}

impl Fact {
    /// The column. Of the times, the end of the staple is the most important one.
    fn column(self) -> Column {
        let column = |head, rank, least| Column { head, rank, least, cut: Cut::KeepsBegin };
        match self {
            Fact::Certificate => column("CERTIFICATE", 0, 28),
            Fact::State => column("STATE", 0, 18),
            Fact::StapleUntil => column("STAPLE UNTIL", 0, 20),
            Fact::Servers => column("SERVERS", 0, 10),
            Fact::Outcome => column("RESULT", 0, 13),
            Fact::NextTry => column("NEXT TRY", 1, 20),
            Fact::Renewed => column("RENEWED", 2, 20),
            Fact::Since => column("SINCE", 3, 20),
            Fact::Delivered => column("DELIVERED", 4, 20),
            Fact::Files => Column { cut: Cut::KeepsEnd, ..column("FILE", 5, 24) },
        }
    }

    fn cell(self, row: &Row, times: Times) -> Cell {
        let visible = |text: &str| Visible::new(text).to_string();
        let time = |time: &Option<String>| Cell::from(times.word(time.as_deref()));
        match self {
            Fact::Certificate => match row.certificate.as_deref() {
                // A place without a certificate is known by its path.
                None if row.files.len() == 1 => {
                    Cell::from(row.files.iter().map(|file| visible(file)).collect::<String>())
                }
                name => name.map_or("-".to_owned(), visible).into(),
            },
            Fact::Files => row.files.iter().map(|file| visible(file)).collect::<Vec<_>>().join(", ").into(),
            Fact::State => Cell { text: row.state_in_words(), paint: paint(row) },
            Fact::Since => Cell::from(times.word(Some(&row.since))),
            Fact::NextTry => time(&row.next_try),
            Fact::Outcome => row.outcome.map_or("-".to_owned(), |outcome| outcome.to_string()).into(),
            Fact::Renewed => time(&row.last_renewal),
            Fact::StapleUntil => time(&row.staple_until),
            Fact::Servers => row.servers_in_words().into(),
            Fact::Delivered => time(&row.last_delivery().map(str::to_owned)),
        }
    }
}

/// The colour of the state.
fn paint(row: &Row) -> Paint {
    match row.verdict() {
        _ if row.outage => Paint::Bad,
        Verdict::Revoked => Paint::Bad,
        Verdict::Failed => Paint::Doubtful,
        Verdict::Fine if row.state == State::Good => Paint::Good,
        Verdict::Fine => Paint::Plain,
    }
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let facts = self.columns.facts();
        let columns: Vec<Column> = facts.iter().map(|fact| fact.column()).collect();
        let cells = |row: &Row| facts.iter().map(|fact| fact.cell(row, self.times)).collect();
        let rows: Vec<Vec<Cell>> = self.rows.iter().map(cells).collect();
        layout::write(f, &columns, &rows, self.screen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Server, ServerState};
    use super::*;

    fn row() -> Row {
        let server = Server { state: ServerState::Confirmed, ..Server::default() };
        Row {
            certificate: Some("www.example.org".to_owned()),
            files: vec!["/etc/haproxy/certs/www.pem".to_owned()],
            state: State::Good,
            since: "2026-11-22T06:00:00Z".to_owned(),
            next_try: Some("2026-11-22T09:00:00Z".to_owned()),
            last_renewal: Some("2026-11-22T05:58:00Z".to_owned()),
            staple_until: Some("2026-11-24T06:00:00Z".to_owned()),
            servers: vec![server.clone(), server],
            ..Row::default()
        }
    }

    #[test]
    fn eighty_columns_have_the_end_of_the_staple_and_wider_terminals_more() {
        let rows = [row()];
        let now = Timestamp::from_text("2026-11-22T06:00:30Z").unwrap();
        let table = Table::new(&rows, Columns::Times).seen_from(now);
        let narrow = table.on(Screen::of_width(80)).to_string();
        assert_eq!(
            narrow,
            "CERTIFICATE      STATE  SINCE     NEXT TRY  RENEWED    STAPLE UNTIL  SERVERS\n\
             www.example.org  good   30 s ago  in 2 h    2 min ago  in 47 h       2 of 2\n"
        );
        let wide = table.on(Screen::of_width(140)).to_string();
        assert!(wide.contains("DELIVERED") && wide.contains("/etc/haproxy/certs/www.pem"), "{wide}");
        let absolute = Table::new(&rows, Columns::Few).to_string();
        assert!(absolute.contains("2026-11-24T06:00:00Z") && !absolute.contains("RENEWED"), "{absolute}");
        assert!(
            table.on(Screen { is_coloured: true, ..Screen::default() }).to_string().contains("\x1b[32mgood\x1b[0m")
        );
    }
}
