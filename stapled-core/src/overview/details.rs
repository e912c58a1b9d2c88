//! All that is known about one row, in lines.

use std::fmt::{self, Display, Formatter};

use super::relative::relative;
use super::row::{Row, Server};
use crate::describe::visible::Visible;
use crate::time::Timestamp;

/// A row with its serial number, its files, the reason in words and each server, in several lines.
#[derive(Clone, Copy, Debug)]
pub struct Details<'a> {
    row: &'a Row,
    now: Timestamp,
}

impl<'a> Details<'a> {
    /// All that is known about this row, with times as seen from `now`.
    pub fn new(row: &'a Row, now: Timestamp) -> Self {
        Details { row, now }
    }

    /// A time, with its distance from now.
    fn time(&self, text: &str) -> String {
        match Timestamp::from_text(text) {
            Some(at) => format!("{at} ({})", relative(at, self.now)),
            None => Visible::new(text).to_string(),
        }
    }

    fn server(&self, server: &Server) -> String {
        let mut words = vec![server.state_in_words()];
        // The reason often begins with the name of the server.
        let what = server.what.as_deref().map(|what| {
            let rest = what.strip_prefix(server.server.as_str()).map(|rest| rest.trim_start_matches([':', ' ']));
            Visible::new(rest.unwrap_or(what)).to_string()
        });
        words.extend(what);
        words.push(format!("since {}", self.time(&server.since)));
        words.extend(server.last_delivery.as_deref().map(|at| format!("last delivery {}", self.time(at))));
        words.extend(server.served_until.as_deref().map(|until| format!("serves a staple until {}", self.time(until))));
        words.extend(server.next_try.as_deref().map(|next| format!("next try {}", self.time(next))));
        words.join("; ")
    }
}

impl Display for Details<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let row = self.row;
        let name = row.certificate.as_deref().or(row.files.first().map(String::as_str)).unwrap_or("-");
        writeln!(f, "{}", Visible::new(name))?;
        let mut line = |head: &str, text: Option<String>| match text {
            Some(text) => writeln!(f, "  {head:<13} {text}"),
            None => Ok(()),
        };
        let time = |at: &Option<String>| at.as_deref().map(|at| self.time(at));
        line("state", Some(row.state_in_words()))?;
        line("because", row.what.as_deref().map(|what| Visible::new(what).to_string()))?;
        line("since", Some(self.time(&row.since)))?;
        line("serial number", row.serial.as_deref().map(|serial| Visible::new(serial).to_string()))?;
        line("must-staple", row.must_staple.then(|| "yes".to_owned()))?;
        for file in &row.files {
            line("file", Some(Visible::new(file).to_string()))?;
        }
        line("last renewal", time(&row.last_renewal))?;
        line("next try", time(&row.next_try))?;
        line("staple until", time(&row.staple_until))?;
        for server in &row.servers {
            line("server", Some(format!("{}: {}", Visible::new(&server.server), self.server(server))))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{ServerState, State};
    use super::*;

    #[test]
    fn details_name_serial_number_servers_and_times() {
        let server = Server {
            server: "/run/a\nb.sock".to_owned(),
            state: ServerState::Failed,
            code: Some("connect_failed".into()),
            what: Some("/run/a\nb.sock: refused".to_owned()),
            since: "2026-11-22T06:00:00Z".to_owned(),
            last_delivery: Some("2026-11-20T06:00:00Z".to_owned()),
            ..Server::default()
        };
        let row = Row {
            certificate: Some("a.test".to_owned()),
            serial: Some("4A".to_owned()),
            state: State::Good,
            since: "2026-11-20T05:00:00Z".to_owned(),
            last_renewal: Some("2026-11-20T05:00:00Z".to_owned()),
            servers: vec![server],
            ..Row::default()
        };
        let text = Details::new(&row, Timestamp::from_text("2026-11-22T06:00:10Z").unwrap()).to_string();
        for words in [
            "a.test\n",
            "  serial number 4A\n",
            "  last renewal  2026-11-20T05:00:00Z (2 d ago)\n",
            "  server        /run/a\\nb.sock: failed (connect_failed); refused; since 2026-11-22T06:00:00Z (10 s ago); last \
             delivery 2026-11-20T06:00:00Z (2 d ago)\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
