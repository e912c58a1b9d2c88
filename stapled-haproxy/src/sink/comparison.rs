//! Whether what HAProxy shows is what it was given. Pure.

use stapled_core::ocsp::OcspResponse;
use stapled_core::time::Timestamp;

use crate::cli::reply::Shown;

/// What a process should have.
pub(crate) struct Compared<'a> {
    pub(crate) response: &'a [u8],
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
}

/// How what is shown compares with what should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    Same,
    /// Another one, from before.
    Older,
    /// Another one, from the same second or after.
    Newer,
    Nothing,
    Unknown,
}

impl Compared<'_> {
    /// How many certificates the response brings.
    fn certificates(&self) -> usize {
        match OcspResponse::from_der(self.response) {
            Ok(OcspResponse::Basic(basic)) => basic.certificates.len(),
            _ => 0,
        }
    }

    pub(crate) fn with(&self, shown: &Shown) -> Agreement {
        let by_age = |this_update: &str| match this_update >= self.this_update.to_string().as_str() {
            true => Agreement::Newer,
            false => Agreement::Older,
        };
        match shown {
            Shown::Unclear | Shown::Garbled(_) => Agreement::Unknown,
            Shown::Nothing => Agreement::Nothing,
            Shown::Response(response) if response == self.response => Agreement::Same,
            Shown::Response(response) => match OcspResponse::from_der(response) {
                Ok(OcspResponse::Basic(basic)) => match basic.responses.first() {
                    Some(single) => by_age(&single.this_update.to_string()),
                    None => Agreement::Older,
                },
                _ => Agreement::Older,
            },
            Shown::Times { is_good: true, this_update, next_update, certificates }
                if *this_update == self.this_update.to_string()
                    && *next_update == self.next_update.to_string()
                    && *certificates == self.certificates() =>
            {
                Agreement::Same
            }
            Shown::Times { this_update, .. } => by_age(this_update),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_compared_by_bytes_or_by_times() {
        let at = |seconds: i64| Timestamp::from_unix(1_800_000_000 + seconds);
        let given = Compared { response: b"x", this_update: at(0), next_update: at(3600) };
        let times = |is_good, this, next| Shown::Times {
            is_good,
            this_update: at(this).to_string(),
            next_update: at(next).to_string(),
            certificates: 0,
        };
        let with_certificate = Shown::Times {
            is_good: true,
            this_update: at(0).to_string(),
            next_update: at(3600).to_string(),
            certificates: 1,
        };
        for (shown, expected) in [
            (Shown::Response(b"x".to_vec()), Agreement::Same),
            (Shown::Response(b"y".to_vec()), Agreement::Older),
            (Shown::Nothing, Agreement::Nothing),
            (Shown::Unclear, Agreement::Unknown),
            (times(true, 0, 3600), Agreement::Same),
            (with_certificate, Agreement::Newer),
            (times(false, 0, 3600), Agreement::Newer),
            (times(true, 0, 60), Agreement::Newer),
            (times(true, -1, 3600), Agreement::Older),
            (times(true, 1, 3600), Agreement::Newer),
        ] {
            assert_eq!(given.with(&shown), expected, "{shown:?}");
        }
    }
}
