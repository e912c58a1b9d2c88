//! The level of an admin socket: `user`, `operator` or `admin`.

use std::fmt;

/// The level of an admin socket (`stats socket … level LEVEL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// `level user`.
    User,
    /// `level operator`, and the default.
    #[default]
    Operator,
    /// `level admin`: a certificate's first staple needs it.
    Admin,
}

/// The word that HAProxy uses.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::User => "user",
            Level::Operator => "operator",
            Level::Admin => "admin",
        })
    }
}
