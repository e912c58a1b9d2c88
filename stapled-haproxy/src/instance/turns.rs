//! Turns to write to a process that several sockets lead to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::cli::process::Process;
use crate::instance::lock::lock;

/// The lock that a writer holds while it changes the certificates of this process.
pub(crate) fn turn_of(process: &Process) -> Arc<tokio::sync::Mutex<()>> {
    type Turns = HashMap<(String, u64, Option<u64>), Weak<tokio::sync::Mutex<()>>>;
    static TURNS: OnceLock<Mutex<Turns>> = OnceLock::new();
    let mut turns = lock(TURNS.get_or_init(Mutex::default));
    let key = process.key();
    if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
        return turn;
    }
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = Arc::new(tokio::sync::Mutex::default());
    turns.insert(key, Arc::downgrade(&turn));
    turn
}
