//! Where text is shown: the width and the height of a terminal, and whether colours are wanted.

use std::io::{self, IsTerminal};

use rustix::termios::tcgetwinsize;

/// Where text is shown. The default has any width and height, and no colours, as a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// How many characters a line has at most. None: as many as it needs.
    pub width: Option<usize>,
    /// How many lines are seen at once. None: all of them.
    pub height: Option<usize>,
    /// Whether colours are used.
    pub is_coloured: bool,
}

impl Screen {
    /// Standard output as it is now. In the environment, `COLUMNS` wins over the width of the terminal, and `NO_COLOR` over its
    /// colours.
    pub fn of_output() -> Self {
        let out = io::stdout();
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let columns = variable("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
        if !out.is_terminal() {
            return Screen { width: columns, ..Screen::default() };
        }
        let size = tcgetwinsize(&out).ok();
        let known = |number: u16| Some(usize::from(number)).filter(|number| *number > 0);
        Screen {
            width: columns.or(size.and_then(|size| known(size.ws_col))),
            height: size.and_then(|size| known(size.ws_row)),
            is_coloured: variable("NO_COLOR").is_none() && variable("TERM").is_some_and(|term| term != "dumb"),
        }
    }

    /// The text as it is shown in place of the text before. What comes first is most urgent: the end is left out where the screen
    /// is too small. Outside of a terminal, an empty line follows.
    pub fn drawn_over(self, text: &str) -> String {
        let Some(height) = self.height else { return format!("{text}\n") };
        // From the top left corner; the rest of each line, and of the screen, is cleared.
        let lines = text.lines().take(height.saturating_sub(1)).map(|line| format!("{line}\x1b[K\n"));
        format!("\x1b[H{}\x1b[J", lines.collect::<String>())
    }

    /// A screen with lines of this width, and no colours.
    #[must_use]
    pub fn of_width(width: usize) -> Self {
        Screen { width: Some(width), ..Screen::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_screen_keeps_the_first_lines() {
        let screen = Screen { height: Some(3), ..Screen::default() };
        assert_eq!(screen.drawn_over("a\nb\nc\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(Screen::default().drawn_over("a\nb\n"), "a\nb\n\n");
    }
}
