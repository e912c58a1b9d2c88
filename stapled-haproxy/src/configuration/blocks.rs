//! The blocks of `.if`, `.elif`, `.else` and `.endif`: whether HAProxy reads a line.

use super::condition::Truth;

/// The deepest nesting of blocks that is read, the same as HAProxy's.
const MAX_DEPTH: usize = 1024;

/// Whether HAProxy reads the lines of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    No,
    /// An undecidable condition decides.
    Perhaps,
    Yes,
}

impl Read {
    fn not(self) -> Self {
        match self {
            Read::No => Read::Yes,
            Read::Perhaps => Read::Perhaps,
            Read::Yes => Read::No,
        }
    }
}

impl From<&Truth> for Read {
    fn from(truth: &Truth) -> Self {
        match truth {
            Truth::Yes => Read::Yes,
            Truth::No => Read::No,
            Truth::Undecided(_) => Read::Perhaps,
        }
    }
}

/// A directive in the wrong place: HAProxy would not start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlockError {
    #[error("there is no .if before it")]
    Unopened,
    #[error("the block already has an .else")]
    AfterElse,
    #[error("the blocks are nested too deeply")]
    TooDeep,
}

/// The open blocks.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Vec<Block>,
    /// The number of open blocks beyond the deepest nesting.
    beyond: usize,
}

/// One open block.
#[derive(Debug)]
struct Block {
    outside: Read,
    now: Read,
    /// Whether HAProxy read one of its earlier branches.
    before: Read,
    had_else: bool,
}

impl Blocks {
    /// Whether HAProxy reads the current line.
    pub(super) fn now(&self) -> Read {
        if self.beyond > 0 { Read::No } else { self.open.last().map_or(Read::Yes, |block| block.now) }
    }

    /// Whether all blocks are closed.
    pub(super) fn are_closed(&self) -> bool {
        self.open.is_empty() && self.beyond == 0
    }

    /// `.if`. The condition is evaluated only if it matters.
    pub(super) fn begin(&mut self, condition: impl FnOnce() -> Truth) -> Result<(), BlockError> {
        let outside = self.now();
        if self.open.len() >= MAX_DEPTH {
            self.beyond += 1;
            return Err(BlockError::TooDeep);
        }
        let truth = if outside == Read::No { Read::No } else { Read::from(&condition()) };
        self.open.push(Block { outside, now: outside.min(truth), before: truth, had_else: false });
        Ok(())
    }

    /// `.elif`.
    pub(super) fn otherwise_if(&mut self, condition: impl FnOnce() -> Truth) -> Result<(), BlockError> {
        if self.beyond > 0 {
            return Ok(());
        }
        let block = self.open.last_mut().ok_or(BlockError::Unopened)?;
        if block.had_else {
            return Err(BlockError::AfterElse);
        }
        let still = block.outside.min(block.before.not());
        let truth = if still == Read::No { Read::No } else { Read::from(&condition()) };
        block.now = still.min(truth);
        block.before = block.before.max(truth);
        Ok(())
    }

    /// `.else`.
    pub(super) fn otherwise(&mut self) -> Result<(), BlockError> {
        if self.beyond > 0 {
            return Ok(());
        }
        let block = self.open.last_mut().ok_or(BlockError::Unopened)?;
        if block.had_else {
            return Err(BlockError::AfterElse);
        }
        block.had_else = true;
        block.now = block.outside.min(block.before.not());
        Ok(())
    }

    /// `.endif`.
    pub(super) fn end(&mut self) -> Result<(), BlockError> {
        if self.beyond > 0 {
            self.beyond -= 1;
            return Ok(());
        }
        self.open.pop().map(|_| ()).ok_or(BlockError::Unopened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn undecided() -> Truth {
        Truth::Undecided(String::new())
    }

    /// Plays a text of `1`, `0` and `?` (`.if` with that condition), `a`, `b` and `c` (`.elif` with yes, no and undecided),
    /// `e` (`.else`) and `.` (`.endif`); returns whether lines are read after each step.
    fn play(text: &str) -> String {
        let mut blocks = Blocks::default();
        let mut read = |step| {
            let done = match step {
                '1' => blocks.begin(|| Truth::Yes),
                '0' => blocks.begin(|| Truth::No),
                '?' => blocks.begin(undecided),
                'a' => blocks.otherwise_if(|| Truth::Yes),
                'b' => blocks.otherwise_if(|| Truth::No),
                'c' => blocks.otherwise_if(undecided),
                'e' => blocks.otherwise(),
                _ => blocks.end(),
            };
            match (done, blocks.now()) {
                (Err(_), _) => '!',
                (_, Read::Yes) => 'y',
                (_, Read::No) => 'n',
                (_, Read::Perhaps) => 'p',
            }
        };
        text.chars().map(&mut read).collect()
    }

    #[test]
    fn one_branch_is_read_and_both_if_undecided() {
        for (steps, expected) in [
            ("1e.", "yny"),
            ("0e.", "nyy"),
            ("?e.", "ppy"),
            ("1ae.", "ynny"),
            ("0abe.", "nynny"),
            ("0bbe.", "nnnyy"),
            ("?ae.", "ppny"),
            ("?be.", "pnpy"),
            ("0ce.", "nppy"),
            ("cc", "!!"),
            ("1ca.", "ynny"),
            ("01e.e1e..", "nnnnyynyy"),
            ("?1e..", "ppnpy"),
            ("?0e..", "pnppy"),
            ("1?e..", "yppyy"),
            ("e", "!"),
            (".", "!"),
            ("1ee", "yn!"),
            ("1ea", "yn!"),
        ] {
            assert_eq!(play(steps), expected, "{steps}");
        }
    }

    #[test]
    fn a_condition_that_does_not_matter_is_not_evaluated() {
        let mut blocks = Blocks::default();
        blocks.begin(|| Truth::No).unwrap();
        blocks.begin(|| panic!("evaluated")).unwrap();
        blocks.otherwise_if(|| panic!("evaluated")).unwrap();
        blocks.end().unwrap();
        blocks.otherwise_if(|| Truth::Yes).unwrap();
        blocks.otherwise_if(|| panic!("evaluated")).unwrap();
    }

    #[test]
    fn blocks_beyond_the_deepest_nesting_are_only_counted() {
        let mut blocks = Blocks::default();
        for _ in 0..5000 {
            let _ = blocks.begin(|| Truth::Yes);
        }
        assert_eq!(blocks.now(), Read::No);
        for _ in 0..5000 {
            blocks.end().unwrap();
        }
        assert!(blocks.are_closed());
        assert_eq!(blocks.now(), Read::Yes);
    }

    proptest! {
        /// A line that is read with some decision of every condition is read at least perhaps while they are undecided.
        #[test]
        fn undecided_covers_both_ways(steps in "[10?abce.]{0,30}", ways in any::<u64>()) {
            let decided: String = steps.chars().enumerate().map(|(at, step)| match (step, ways >> (at % 64) & 1) {
                ('?', 0) => '0',
                ('?', _) => '1',
                ('c', 0) => 'b',
                ('c', _) => 'a',
                (step, _) => step,
            }).collect();
            for (perhaps, sure) in play(&steps).chars().zip(play(&decided).chars()) {
                prop_assert!(perhaps == 'p' || perhaps == sure, "{} {} {} {}", steps, decided, perhaps, sure);
            }
        }
    }
}
