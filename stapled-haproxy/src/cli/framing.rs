//! The end of a reply in the interactive mode that `prompt` begins. Pure: bytes in, bytes out.
//!
//! A reply is zero or more lines, an empty line, and the prompt (`> `, behind a master `PID> `) at the beginning of the
//! next line. A reply without lines is followed by the prompt's line at once; so is a response in base64. Prompts within a
//! reply belong to the reply.

/// Whether replies to further commands may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Following {
    /// Nothing may follow: only a prompt at the end of the received bytes ends the reply.
    Nothing,
    /// Replies may follow.
    Replies,
}

/// The end of a command's replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An empty line and the prompt.
    EmptyLine,
    /// The prompt at the beginning of a line: HAProxy omits the empty line.
    Line,
}

/// Where a reply ends in the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The length of the reply, with its last line's end.
    pub(crate) reply: usize,
    /// The length of the reply and its prompt.
    pub(crate) consumed: usize,
}

/// The byte sequences that end replies on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The bytes that follow the last line of a reply.
    end: Vec<u8>,
    /// A reply without lines.
    empty: Vec<u8>,
}

impl Marks {
    /// The marks of a connection with this prompt.
    pub(crate) fn of(prompt: &str) -> Self {
        Marks { end: format!("\n\n{prompt}").into_bytes(), empty: format!("\n{prompt}").into_bytes() }
    }

    /// The prompt itself.
    pub(crate) fn prompt(&self) -> &[u8] {
        self.empty.get(1..).unwrap_or_default()
    }

    /// Finds the end of the reply at the beginning of `received`; `None` if more bytes are needed. An earlier call has
    /// found no end in the first `searched` bytes.
    pub(crate) fn find_end(
        &self,
        received: &[u8],
        searched: usize,
        following: Following,
        ending: Ending,
    ) -> Option<End> {
        let mark = match ending {
            Ending::EmptyLine => &self.end,
            Ending::Line => &self.empty,
        };
        match following {
            Following::Nothing if received == self.empty => Some(End { reply: 0, consumed: self.empty.len() }),
            Following::Nothing => {
                let lines = received.strip_suffix(mark.as_slice())?;
                Some(End { reply: lines.len() + 1, consumed: received.len() })
            }
            Following::Replies if received.starts_with(&self.empty) => {
                Some(End { reply: 0, consumed: self.empty.len() })
            }
            Following::Replies => {
                // The mark may begin within the searched bytes.
                let from = searched.saturating_sub(mark.len());
                let lines = from + received.get(from..)?.windows(mark.len()).position(|window| window == mark)?;
                Some(End { reply: lines + 1, consumed: lines + mark.len() })
            }
        }
    }
}

/// Removes the `+ ` that HAProxy up to 3.0 writes for each line of payload, at most `payload_lines` times.
pub(crate) fn without_echo(mut reply: &[u8], payload_lines: usize) -> &[u8] {
    for _ in 0..payload_lines {
        match reply.strip_prefix(b"+ ") {
            Some(rest) => reply = rest,
            None => break,
        }
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find_end(received: &[u8], following: Following) -> Option<End> {
        Marks::of("> ").find_end(received, 0, following, Ending::EmptyLine)
    }

    fn end(reply: usize, consumed: usize) -> Option<End> {
        Some(End { reply, consumed })
    }

    #[test]
    fn a_reply_ends_with_an_empty_line_and_the_prompt() {
        for following in [Following::Nothing, Following::Replies] {
            assert_eq!(find_end(b"Yes!\n\n> ", following), end(5, 8));
            assert_eq!(find_end(b"\n> ", following), end(0, 3));
            assert_eq!(find_end(b"Yes!\n\n>", following), None);
            assert_eq!(find_end(b"> \n> x", following), None);
            assert_eq!(find_end(b"a > b\n> c\n\n> ", following), end(10, 13));
        }
    }

    #[test]
    fn without_further_commands_a_prompt_counts_only_at_the_end() {
        assert_eq!(find_end(b"a\n\n> b\n", Following::Nothing), None);
        assert_eq!(find_end(b"a\n\n> b\n\n> ", Following::Nothing), end(7, 10));
        assert_eq!(find_end(b"a\n\n> b\n\n> ", Following::Replies), end(2, 5));
    }

    #[test]
    fn behind_a_master_only_the_workers_prompt_counts() {
        let marks = Marks::of("42> ");
        for following in [Following::Nothing, Following::Replies] {
            let find = |received| marks.find_end(received, 0, following, Ending::EmptyLine);
            assert_eq!(find(b"Yes!\n\n42> "), end(5, 10));
            assert_eq!(find(b"\n42> "), end(0, 5));
            assert_eq!(find(b"Yes!\n\n> "), None);
            assert_eq!(find(b"Yes!\n\n142> "), None);
        }
    }

    #[test]
    fn base64_is_followed_by_the_prompt_at_once() {
        let marks = Marks::of("> ");
        for following in [Following::Nothing, Following::Replies] {
            let find = |received| marks.find_end(received, 0, following, Ending::Line);
            assert_eq!(find(b"TWFu\n> "), end(5, 7));
            assert_eq!(find(b"TWFu\n>"), None);
        }
        // A refusal ends with an empty line.
        assert_eq!(marks.find_end(b"No.\n\n> TWFu\n> ", 0, Following::Replies, Ending::Line), end(5, 7));
    }

    #[test]
    fn an_end_received_in_pieces_is_found() {
        let (marks, all) = (Marks::of("42> "), b"Yes!\n\n42> No.\n\n42> ");
        for searched in 0..10 {
            assert_eq!(marks.find_end(&all[..10], searched, Following::Replies, Ending::EmptyLine), end(5, 10));
        }
    }

    #[test]
    fn the_echo_is_bounded_by_the_payload() {
        assert_eq!(without_echo(b"+ + Done", 2), b"Done");
        assert_eq!(without_echo(b"Done", 2), b"Done");
        assert_eq!(without_echo(b"+ + + Done", 2), b"+ Done");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_more_bytes_than_received_are_consumed(received in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'>'), Just(b' '), any::<u8>()], 0..64)) {
            for following in [Following::Nothing, Following::Replies] {
                for ending in [Ending::EmptyLine, Ending::Line] {
                    if let Some(end) = Marks::of("> ").find_end(&received, 0, following, ending) {
                        prop_assert!(end.reply < end.consumed && end.consumed <= received.len());
                        prop_assert!(received[..end.consumed].ends_with(b"\n> "));
                    }
                }
            }
        }

        #[test]
        fn a_stream_of_replies_is_divided_into_the_same_replies(replies in proptest::collection::vec("([a-z> ]{1,9}\n){0,3}", 1..9)) {
            let stream: Vec<u8> = replies.iter().flat_map(|reply| format!("{reply}\n> ").into_bytes()).collect();
            let mut rest = stream.as_slice();
            for reply in &replies {
                let end = find_end(rest, Following::Replies).expect("an end");
                prop_assert_eq!(&rest[..end.reply], reply.as_bytes());
                rest = &rest[end.consumed..];
            }
            prop_assert!(rest.is_empty());
        }
    }
}
