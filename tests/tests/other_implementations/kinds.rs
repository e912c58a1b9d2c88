//! The kinds of difference, each with what it takes to make it go away.
//!
//! A difference is explained by proof: what a kind blames is mended in the response, and only that, everything signed is
//! signed again, and both sides judge anew. When they agree, the kinds that were mended on the way are the explanation.
//! What no kind mends is unexplained.

use stapled_core::staple::Refusal;

use crate::judges::Verdict;
use crate::ours::Ours;
use crate::state::State;

mod forms;
mod refused;
mod theirs;

/// Who is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Implementation {
    OpenSsl,
    GnuTls,
    Cryptography,
}

pub(crate) const OTHERS: [Implementation; 3] =
    [Implementation::OpenSsl, Implementation::GnuTls, Implementation::Cryptography];

impl Implementation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Implementation::OpenSsl => "OpenSSL",
            Implementation::GnuTls => "GnuTLS",
            Implementation::Cryptography => "cryptography",
        }
    }
}

/// A difference at one step.
pub(crate) struct Difference<'d> {
    pub(crate) implementation: Implementation,
    pub(crate) ours: &'d Ours,
    pub(crate) theirs: &'d Verdict,
    pub(crate) now: i64,
}

impl Difference<'_> {
    fn refusal(&self) -> Option<&Refusal> {
        self.ours.refusal.as_ref()
    }
}

/// One kind.
pub(crate) struct Kind {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// With whom it occurs.
    pub(crate) implementations: &'static [Implementation],
    /// Whether both sides' words are those of this kind.
    pub(crate) applies: fn(&Difference<'_>) -> bool,
    /// Mends what the kind blames; `None` where it finds nothing of that sort.
    pub(crate) mend: fn(&mut State<'_>, &Difference<'_>) -> Option<()>,
}

/// All kinds, in the order in which they are tried.
pub(crate) fn kinds() -> Vec<&'static Kind> {
    [forms::KINDS, refused::KINDS, theirs::KINDS].into_iter().flatten().collect()
}
