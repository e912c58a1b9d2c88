//! The contents of a staple's file while there is no staple, for servers that do not start without the file.

/// An OCSP response of status tryLater, without a body (RFC 6960 §4.2.1): the shortest contents that such a server accepts. It says
/// nothing about any certificate, so it cannot be taken for a staple, and a client that insists on a staple rejects it.
pub(super) const PLACEHOLDER: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x03];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::OcspResponse;

    #[test]
    fn it_is_an_error_and_no_answer() {
        let Ok(OcspResponse::Error(status)) = OcspResponse::from_der(PLACEHOLDER) else { panic!("not an error") };
        assert_eq!(status.name(), "tryLater");
    }
}
