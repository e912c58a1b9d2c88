//! Refusals that several commands have in common.

/// A reply that may say that HAProxy was executing another client's command about certificates.
pub(crate) trait MayBeLocked {
    /// Whether HAProxy did nothing for that reason: the same command may succeed in a moment. It means nothing else.
    fn is_locked(&self) -> bool;
}

/// Whether the socket's level does not allow the command.
pub(crate) fn is_denied(reply: &str) -> bool {
    reply == "Permission denied"
}

/// Whether the socket's level does not allow `show ssl cert`: below level operator HAProxy says that it cannot allocate
/// memory.
pub(crate) fn is_listing_denied(reply: &str) -> bool {
    is_denied(reply) || reply == "Can't allocate memory!"
}

/// Whether HAProxy was executing another client's command about certificates.
pub(crate) fn is_locked(reply: &str) -> bool {
    reply.trim_end().ends_with("Operations on certificates are currently locked!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_sentence_says_locked() {
        assert!(is_locked("Can't display the certificate!\nOperations on certificates are currently locked!\n"));
        assert!(!is_locked("currently locked!"));
    }
}
