//! The kinds of difference, each with the change that removes it.
//!
//! A difference is explained by proof. The part of the response that a kind blames is corrected, and nothing else.
//! Every signature over it is made again, and both sides judge anew. When they agree, the corrected kinds are the
//! explanation. A difference that no kind corrects is unexplained.

use stapled_core::staple::Refusal;

use crate::judges::Verdict;
use crate::ours::Ours;
use crate::state::State;

pub(crate) mod forms;
mod refused;
mod theirs;

/// The implementation in a comparison.
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

/// A difference between our verdict and an implementation's, at one step of the search.
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

/// One kind of difference.
pub(crate) struct Kind {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// The implementations with this kind of difference.
    pub(crate) implementations: &'static [Implementation],
    /// Whether the words of both sides are those of this kind.
    pub(crate) applies: fn(&Difference<'_>) -> bool,
    /// Corrects the part that the kind blames; `None` if the response has no such part.
    pub(crate) mend: fn(&mut State<'_>, &Difference<'_>) -> Option<()>,
}

/// All kinds, in the order of the search.
pub(crate) fn kinds() -> Vec<&'static Kind> {
    [forms::KINDS, refused::KINDS, theirs::KINDS].into_iter().flatten().collect()
}
