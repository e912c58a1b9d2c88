//! Sends responses in batches.

use std::collections::VecDeque;

use super::{BATCH, Kept, Writer, shown};
use crate::cli::command::Command;
use crate::cli::connection::{Age, Connection};
use crate::cli::error::Error;
use crate::cli::reply::response::push;
use crate::instance::jobs::{Push, Pushed, fail};
use crate::instance::turns::turn_of;

/// The number of responses that are shown at once even if that costs HAProxy as much as the responses.
const FEW: usize = 8;
/// The number of timeouts after which the remaining responses of a batch are not tried.
const MAX_TIMEOUTS: usize = 2;

impl Writer {
    /// Sends responses, and answers each.
    pub(super) async fn push(&self, kept: &mut Kept, mut pushes: VecDeque<Push>) {
        let mut at_once = BATCH;
        let mut timeouts = 0;
        while !pushes.is_empty() {
            let connection = match self.connection(kept).await {
                Ok(connection) => connection,
                Err(error) => return fail(pushes, &error),
            };
            let turn = turn_of(connection.process());
            let _turn = turn.lock().await;
            pushes = pushes.into_iter().filter_map(Push::still_fit).collect();
            if pushes.is_empty() {
                return;
            }
            let was_fresh = connection.age() == Age::Fresh;
            let was_alone = at_once == 1 || pushes.len() == 1;
            let Err(error) = push_batch(connection, &mut pushes, at_once).await else { continue };
            kept.connection = None;
            // One of the remaining responses may have broken the connection: each is sent alone from here on.
            at_once = 1;
            // A kept connection may end at any time, and a batch at any of its commands. To send the same response twice
            // is harmless.
            if error == Error::Closed && !(was_fresh && was_alone) {
                continue;
            }
            timeouts += usize::from(matches!(error, Error::ReplyTimeout(_)));
            if let Some(push) = pushes.pop_front() {
                let _ = push.answer.send(Err(error.clone()));
            }
            if timeouts >= MAX_TIMEOUTS {
                return fail(pushes, &error);
            }
        }
    }
}

/// Sends at most `at_once` responses, and takes those off the queue that HAProxy answered.
async fn push_batch(connection: &mut Connection, pushes: &mut VecDeque<Push>, at_once: usize) -> Result<(), Error> {
    let process = connection.process().clone();
    // After each response HAProxy is asked which response it has now. As text the reply costs HAProxy as much as the
    // response: if many wait, they are compared a moment later (`losses`).
    let is_shown = process.shows_bytes() || pushes.len() <= FEW;
    let mut commands: Vec<Command> = Vec::with_capacity(2 * at_once);
    for push in pushes.iter().take(at_once) {
        commands.push(Command::set_ocsp_response(&push.payload));
        commands.extend(is_shown.then(|| Command::show_response(&push.payload.cert_id(), &process)));
    }
    let mut pushed = None;
    let mut answer = |said, shown| {
        if let Some(push) = pushes.pop_front() {
            let _ = push.answer.send(Ok(Pushed { said, shown, process: process.clone() }));
        }
    };
    let on_reply = |text: String| match pushed.take() {
        None if is_shown => pushed = Some(push(&text)),
        None => answer(push(&text), None),
        Some(said) => answer(said, Some(shown(&text, &process))),
    };
    connection.ask_all(&commands, on_reply).await
}
