//! A table as lines of text, one for each row, that fit the width of a terminal.

use std::cmp::Reverse;
use std::fmt::{self, Formatter};

use crate::io::screen::Screen;

/// The space between two columns.
const GAP: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// Which columns a narrow terminal lacks: those with the highest rank are left out first, those with rank 0 never.
    pub(super) rank: u8,
    /// The width that the cells have at least before another column is left out, if they need it.
    pub(super) least: usize,
    pub(super) cut: Cut,
}

/// Which end of a text that is too long is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    KeepsBegin,
    KeepsEnd,
}

/// A cell of a table. Its text has no hidden characters.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) paint: Paint,
}

/// The colour of a cell on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Good,
    Doubtful,
    Bad,
}

impl Paint {
    fn begin(self) -> &'static str {
        match self {
            Paint::Plain => "",
            Paint::Good => "\x1b[32m",
            Paint::Doubtful => "\x1b[33m",
            Paint::Bad => "\x1b[1;31m",
        }
    }

    fn end(self) -> &'static str {
        if self == Paint::Plain { "" } else { "\x1b[0m" }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell { text, paint: Paint::Plain }
    }
}

/// Writes the heads and the rows. Each row has a cell for each column.
pub(super) fn write(f: &mut Formatter<'_>, columns: &[Column], rows: &[Vec<Cell>], screen: Screen) -> fmt::Result {
    let widths = widths(columns, rows, screen.width);
    let heads: Vec<Cell> = columns.iter().map(|column| column.head.to_owned().into()).collect();
    for (number, row) in std::iter::once(&heads).chain(rows).enumerate() {
        let mut line = String::new();
        let mut used = 0;
        for ((cell, column), width) in row.iter().zip(columns).zip(&widths) {
            let Some(width) = *width else { continue };
            let text = cut(&cell.text, width, column.cut);
            let paint = if screen.is_coloured && number > 0 { cell.paint } else { Paint::Plain };
            // Blanks before a cell, not after it: no line ends in blanks.
            let missing = used - line_width(&line).min(used);
            line.extend(std::iter::repeat_n(' ', missing));
            line.push_str(paint.begin());
            line.push_str(&text);
            line.push_str(paint.end());
            used += width + GAP;
        }
        writeln!(f, "{line}")?;
    }
    Ok(())
}

/// The width of each column; none for a column that is left out.
fn widths(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<Option<usize>> {
    let needs = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| line_width(&cell.text));
        cells.chain(columns.get(index).map(|column| line_width(column.head))).max().unwrap_or_default()
    };
    let needed: Vec<usize> = (0..columns.len()).map(needs).collect();
    let Some(room) = width else { return needed.into_iter().map(Some).collect() };
    let mut widths: Vec<Option<usize>> =
        columns.iter().zip(&needed).map(|(column, needed)| Some(column.least.min(*needed))).collect();
    let sum = |widths: &[Option<usize>]| {
        let shown = widths.iter().flatten().count();
        widths.iter().flatten().sum::<usize>() + GAP * shown.saturating_sub(1)
    };
    while sum(&widths) > room {
        let shown = widths.iter_mut().zip(columns).filter(|(width, column)| width.is_some() && column.rank > 0);
        match shown.max_by_key(|(_, column)| column.rank) {
            Some((width, _)) => *width = None,
            None => break,
        }
    }
    // The terminal is narrower than the columns that are never left out: the widest of them is cut.
    while sum(&widths) > room {
        match widths.iter_mut().flatten().max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => break,
        }
    }
    // The columns that are cut share what is left, the most important first.
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|index| Reverse(columns.get(*index).is_some_and(|column| column.rank == 0)));
    for index in order {
        let free = room.saturating_sub(sum(&widths));
        if let (Some(Some(width)), Some(needed)) = (widths.get_mut(index), needed.get(index)) {
            *width += free.min(needed.saturating_sub(*width));
        }
    }
    widths
}

/// The text in this many columns of a terminal.
fn cut(text: &str, width: usize, cut: Cut) -> String {
    if line_width(text) <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut fits = |character: &char| {
        let needs = width_of(*character);
        let fits = needs <= room;
        room = if fits { room - needs } else { 0 };
        fits
    };
    match cut {
        Cut::KeepsBegin => {
            let kept: String = text.chars().take_while(|character| fits(character)).collect();
            format!("{kept}…")
        }
        Cut::KeepsEnd => {
            let kept: Vec<char> = text.chars().rev().take_while(|character| fits(character)).collect();
            std::iter::once('…').chain(kept.into_iter().rev()).collect()
        }
    }
}

/// How many columns of a terminal a text takes, without the sequences that colour it.
fn line_width(text: &str) -> usize {
    let mut is_colour = false;
    let mut width = 0;
    for character in text.chars() {
        match character {
            '\x1b' => is_colour = true,
            'm' if is_colour => is_colour = false,
            _ if is_colour => {}
            _ => width += width_of(character),
        }
    }
    width
}

/// How many columns of a terminal a character takes: two for those of East Asia and for pictures, none for marks that
/// combine with the one before.
fn width_of(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Shown(Vec<Column>, Vec<Vec<Cell>>, Screen);

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            write(f, &self.0, &self.1, self.2)
        }
    }

    fn columns() -> Vec<Column> {
        vec![
            Column { head: "NAME", rank: 0, least: 12, cut: Cut::KeepsBegin },
            Column { head: "STATE", rank: 0, least: 10, cut: Cut::KeepsBegin },
            Column { head: "FILE", rank: 1, least: 12, cut: Cut::KeepsEnd },
        ]
    }

    fn shown(texts: &[[&str; 3]], width: Option<usize>) -> String {
        let cell = |text: &&str| Cell::from((*text).to_owned());
        let rows = texts.iter().map(|row| row.iter().map(cell).collect()).collect();
        Shown(columns(), rows, Screen { width, ..Screen::default() }).to_string()
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_and_shorter_cells() {
        let rows = [["www.example.org", "good", "/etc/haproxy/certs/www.pem"]];
        assert_eq!(shown(&rows, None).lines().last(), Some("www.example.org  good   /etc/haproxy/certs/www.pem"));
        assert_eq!(shown(&rows, Some(36)).lines().last(), Some("www.example.org  good   …rts/www.pem"));
        assert_eq!(shown(&rows, Some(24)).lines().last(), Some("www.example.org  good"));
        assert_eq!(shown(&rows, Some(16)).lines().last(), Some("www.exam…  good"));
        assert!(shown(&rows, Some(24)).starts_with("NAME             STATE\n"));
    }

    #[test]
    fn colours_take_no_room() {
        let good = Cell { text: "good".to_owned(), paint: Paint::Good };
        let rows = vec![vec![Cell::from("a".to_owned()), good, Cell::from("f".to_owned())]];
        let text = Shown(columns(), rows, Screen { is_coloured: true, ..Screen::of_width(80) }).to_string();
        assert_eq!(text.lines().last(), Some("a     \x1b[32mgood\x1b[0m   f"));
    }

    proptest! {
        /// No line is wider than the terminal, whatever the cells.
        #[test]
        fn every_line_fits(names in proptest::collection::vec("\\PC{0,40}", 1..5), width in 12usize..120) {
            let texts: Vec<[&str; 3]> = names.iter().map(|name| [name.as_str(), "failed (timed_out)", name.as_str()]).collect();
            for line in shown(&texts, Some(width)).lines() {
                prop_assert!(line_width(line) <= width, "{line}");
            }
        }
    }
}
