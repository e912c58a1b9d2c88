//! The daemons, one for each state, and one that ends what is too old.
//!
//! A daemon takes a session from its queue, checks whether the work is done already, does it, and commits the result, the
//! new state and the next task in one step. A crash at any point repeats at most this work, and every work can be repeated.

mod done;
mod expire;
mod issue;
mod make_challenge;
mod run;
mod test_challenge;
mod work;

pub use done::Done;
pub use expire::Expire;
pub use issue::{CertificateSettings, Issue};
pub use make_challenge::MakeChallenge;
pub use run::{LEASE, LONGEST_WORK, Pace, run, work_on};
pub use test_challenge::TestChallenge;
pub use work::{Daemon, Failure, Work};
