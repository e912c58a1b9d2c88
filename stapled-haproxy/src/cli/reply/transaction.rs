//! The replies to the commands of a transaction: `set ssl cert`, `commit ssl cert`, `abort ssl cert`.

use crate::cli::reply::refusal::{MayBeLocked, is_denied, is_locked};

/// The reply to `set ssl cert NAME.…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetReply {
    /// HAProxy began a transaction with the part: it is ours.
    Created,
    /// HAProxy added the part to a transaction that was open.
    Joined,
    /// A transaction about another certificate is open.
    Busy,
    /// HAProxy has no such certificate.
    NotLoaded,
    /// HAProxy was executing another client's command.
    Locked,
    /// The socket's level is too low.
    Denied,
    /// Any other reply.
    Other(String),
}

/// The reply to `commit ssl cert NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitReply {
    /// The change is committed.
    Done,
    /// No transaction is open, or the open one is about another certificate.
    Over(String),
    /// HAProxy was executing another client's command.
    Locked,
    /// The socket's level is too low.
    Denied,
    /// Any other reply.
    Failed(String),
}

/// The reply to `abort ssl cert /`, which tells whether a transaction is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeReply {
    /// No transaction is open.
    None,
    /// A transaction about this certificate is open.
    Busy(String),
    /// HAProxy was executing another client's command.
    Locked,
    /// The socket's level is too low.
    Denied,
    /// Any other reply.
    Other(String),
}

/// The reply to `abort ssl cert NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AbortReply {
    /// The transaction is over, aborted now or before.
    Over,
    /// HAProxy was executing another client's command.
    Locked,
}

/// Reads the reply to `set ssl cert NAME.…`.
pub(crate) fn set(reply: &str, name: &str) -> SetReply {
    let text = reply.trim_end_matches('\n');
    let about = |beginning: &str| {
        text.strip_prefix(beginning).and_then(|rest| rest.strip_suffix('!')).is_some_and(|about| about == name)
    };
    if is_locked(text) {
        SetReply::Locked
    } else if about("Transaction created for certificate ") {
        SetReply::Created
    } else if about("Transaction updated for certificate ") {
        SetReply::Joined
    } else if text.starts_with("The ongoing transaction is about ")
        || text.starts_with("Transaction updated for certificate ")
    {
        // HAProxy 2.6 says "updated" and names the other certificate.
        SetReply::Busy
    } else if text.starts_with("Can't replace a certificate which is not referenced by the configuration!") {
        SetReply::NotLoaded
    } else if is_denied(text) {
        SetReply::Denied
    } else {
        SetReply::Other(text.to_owned())
    }
}

/// Reads the reply to `commit ssl cert NAME`.
pub(crate) fn commit(reply: &str, name: &str) -> CommitReply {
    let text = reply.trim_end_matches('\n');
    if is_denied(text) {
        return CommitReply::Denied;
    }
    if is_locked(text) {
        return CommitReply::Locked;
    }
    if text.starts_with("No ongoing transaction!") || text.starts_with("The ongoing transaction is about '") {
        return CommitReply::Over(text.to_owned());
    }
    // Each dot stands for ten or so instances of the certificate; warnings may follow.
    let begun = text
        .strip_prefix("Committing ")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.lines().next())
        .is_some_and(|dots| dots.chars().all(|c| c == '.'));
    if begun && text.lines().last() == Some("Success!") {
        CommitReply::Done
    } else {
        CommitReply::Failed(text.to_owned())
    }
}

/// Reads the reply to `abort ssl cert /`.
pub(crate) fn probe(reply: &str) -> ProbeReply {
    let text = reply.trim_end_matches('\n');
    if is_locked(text) {
        return ProbeReply::Locked;
    }
    match text {
        "No ongoing transaction!" => ProbeReply::None,
        text if is_denied(text) => ProbeReply::Denied,
        _ => match text.strip_prefix("The ongoing transaction is about '").and_then(|rest| rest.split_once("' but ")) {
            Some((about, _)) => ProbeReply::Busy(about.to_owned()),
            None => ProbeReply::Other(text.to_owned()),
        },
    }
}

/// Reads the reply to `abort ssl cert NAME`.
pub(crate) fn abort(reply: &str) -> AbortReply {
    if is_locked(reply) { AbortReply::Locked } else { AbortReply::Over }
}

impl MayBeLocked for SetReply {
    fn is_locked(&self) -> bool {
        *self == SetReply::Locked
    }
}

impl MayBeLocked for CommitReply {
    fn is_locked(&self) -> bool {
        *self == CommitReply::Locked
    }
}

impl MayBeLocked for ProbeReply {
    fn is_locked(&self) -> bool {
        *self == ProbeReply::Locked
    }
}

impl MayBeLocked for AbortReply {
    fn is_locked(&self) -> bool {
        *self == AbortReply::Locked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_transaction_is_ours_only_if_our_command_created_it() {
        assert_eq!(set("Transaction created for certificate a.pem!\n", "a.pem"), SetReply::Created);
        assert_eq!(set("Transaction updated for certificate a.pem!\n", "a.pem"), SetReply::Joined);
        assert_eq!(set("Transaction updated for certificate b.pem!\n", "a.pem"), SetReply::Busy);
        assert!(matches!(set("Transaction created for certificate b.pem!\n", "a.pem"), SetReply::Other(_)));
        let busy =
            "The ongoing transaction is about 'a.pem' but you are trying to set 'b.pem'\nCan't update b.pem.ocsp!\n";
        assert_eq!(set(busy, "b.pem"), SetReply::Busy);
    }

    #[test]
    fn a_commit_may_have_many_dots_and_warnings() {
        assert_eq!(commit("Committing a.pem.\nSuccess!\n", "a.pem"), CommitReply::Done);
        assert_eq!(commit("Committing a.pem.....\nSuccess!\n", "a.pem"), CommitReply::Done);
        assert_eq!(
            commit("Committing a.pem.\nLoading: something. Content will be ignored.\nSuccess!\n", "a.pem"),
            CommitReply::Done
        );
        for failed in ["Committing a.pem.\n bad\nFailed!\n", "Committing b.pem.\nSuccess!\n", "Success!\n"] {
            assert!(matches!(commit(failed, "a.pem"), CommitReply::Failed(_)), "{failed}");
        }
        for over in
            ["No ongoing transaction! !\n", "The ongoing transaction is about 'b.pem' but you are trying to set"]
        {
            let reply = format!("{over}\nCan't commit a.pem!\n");
            assert!(matches!(commit(&reply, "a.pem"), CommitReply::Over(_)), "{reply}");
        }
        let locked = "Can't commit the certificate!\nOperations on certificates are currently locked!\n";
        assert_eq!(commit(locked, "a.pem"), CommitReply::Locked);
    }

    #[test]
    fn the_probe_names_the_other_certificate() {
        let said = "The ongoing transaction is about 'it's.pem' but you are trying to abort a transaction for '/'\n";
        assert_eq!(probe(said), ProbeReply::Busy("it's.pem".to_owned()));
        assert_eq!(probe("No ongoing transaction!\n"), ProbeReply::None);
    }

    proptest! {
        #[test]
        fn no_reply_panics(said in "(?s).{0,200}", name in ".{0,20}") {
            let _ = (set(&said, &name), commit(&said, &name), probe(&said), abort(&said));
        }
    }
}
