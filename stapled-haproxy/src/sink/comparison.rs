//! Whether HAProxy shows the response that it was given. Pure.

use stapled_core::ocsp::OcspResponse;
use stapled_core::time::Timestamp;

use crate::cli::reply::response::ShownResponse;

/// The response that a process was given.
pub(crate) struct Expected<'a> {
    pub(crate) response: &'a [u8],
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
}

/// How a shown response compares with the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Same,
    /// Another response of an earlier thisUpdate.
    Older,
    /// Another response of the same second or later.
    Newer,
    /// No response.
    Missing,
    /// HAProxy does not show it.
    Unknown,
}

impl Comparison {
    /// Compares the shown response with the expected one.
    pub(crate) fn of(expected: &Expected<'_>, shown: &ShownResponse) -> Self {
        // HAProxy shows whole seconds.
        let by_age = |this_update: Timestamp| match this_update.unix() >= expected.this_update.unix() {
            true => Comparison::Newer,
            false => Comparison::Older,
        };
        match shown {
            ShownResponse::Unknown | ShownResponse::Garbled(_) => Comparison::Unknown,
            ShownResponse::None => Comparison::Missing,
            ShownResponse::Bytes(response) if response == expected.response => Comparison::Same,
            ShownResponse::Bytes(response) => match OcspResponse::from_der(response) {
                Ok(OcspResponse::Basic(basic)) => match basic.responses.first() {
                    Some(single) => by_age(single.this_update),
                    None => Comparison::Older,
                },
                _ => Comparison::Older,
            },
            ShownResponse::Times { is_good: true, this_update, next_update, certificates }
                if this_update.unix() == expected.this_update.unix()
                    && next_update.unix() == expected.next_update.unix()
                    && *certificates == expected.certificates() =>
            {
                Comparison::Same
            }
            ShownResponse::Times { this_update, .. } => by_age(*this_update),
        }
    }
}

impl Expected<'_> {
    /// The number of certificates in the response.
    fn certificates(&self) -> usize {
        match OcspResponse::from_der(self.response) {
            Ok(OcspResponse::Basic(basic)) => basic.certificates.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_responses_are_compared_by_bytes_or_by_times() {
        let at = |seconds: i64| Timestamp::from_unix(1_800_000_000 + seconds);
        let expected = Expected { response: b"x", this_update: at(0), next_update: at(3600) };
        let times = |is_good, this, next| ShownResponse::Times {
            is_good,
            this_update: at(this),
            next_update: at(next),
            certificates: 0,
        };
        let with_certificate =
            ShownResponse::Times { is_good: true, this_update: at(0), next_update: at(3600), certificates: 1 };
        for (shown, comparison) in [
            (ShownResponse::Bytes(b"x".to_vec()), Comparison::Same),
            (ShownResponse::Bytes(b"y".to_vec()), Comparison::Older),
            (ShownResponse::None, Comparison::Missing),
            (ShownResponse::Unknown, Comparison::Unknown),
            (times(true, 0, 3600), Comparison::Same),
            (with_certificate, Comparison::Newer),
            (times(false, 0, 3600), Comparison::Newer),
            (times(true, 0, 60), Comparison::Newer),
            (times(true, -1, 3600), Comparison::Older),
            (times(true, 1, 3600), Comparison::Newer),
        ] {
            assert_eq!(Comparison::of(&expected, &shown), comparison, "{shown:?}");
        }
    }

    #[test]
    fn fractions_of_a_second_do_not_count() {
        let at = |milliseconds: i64| Timestamp::from_unix_millis(1_800_000_000_000 + milliseconds);
        let expected = Expected { response: b"x", this_update: at(700), next_update: at(60_700) };
        let shown =
            ShownResponse::Times { is_good: true, this_update: at(0), next_update: at(60_000), certificates: 0 };
        assert_eq!(Comparison::of(&expected, &shown), Comparison::Same);
    }
}
