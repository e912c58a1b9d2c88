//! Certificates as PEM (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr_iter;

/// The line before a certificate.
pub(crate) const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// The line behind a certificate.
pub(crate) const END: &str = "-----END CERTIFICATE-----";

/// The number of characters in a line of base64.
const LINE: usize = 64;

/// A certificate as PEM, with a line feed at its end.
pub(crate) fn certificate(der: &[u8]) -> String {
    let mut pem = BEGIN.to_owned();
    for (position, c) in STANDARD.encode(der).chars().enumerate() {
        if position % LINE == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem + "\n" + END + "\n"
}

/// The contents of a section, from the text between its BEGIN line and its END line: lines of padded base64. `None`: the text has
/// another form, which the general reader may still accept.
pub(crate) fn plain_contents(body: &[u8]) -> Option<Vec<u8>> {
    let body = body.strip_suffix(b"\n")?;
    let mut text = Vec::with_capacity(body.len());
    let mut line_start = 0;
    for line_end in memchr_iter(b'\n', body).chain([body.len()]) {
        let line = body.get(line_start..line_end)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // The BEGIN line ends where the body begins.
        if line_start == 0 && !line.is_empty() {
            return None;
        }
        text.extend_from_slice(line);
        line_start = line_end + 1;
    }
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn contents_are_those_that_the_general_reader_finds() {
        // Whether the contents were found without the general reader.
        let is_plain = |body: &str| {
            let Some(contents) = plain_contents(body.as_bytes()) else { return false };
            let whole = format!("{BEGIN}{body}{END}");
            assert_eq!(CertificateDer::from_pem_slice(whole.as_bytes()).unwrap().as_ref(), contents, "{body:?}");
            true
        };
        for length in 0..200 {
            let der: Vec<u8> = (0..length).map(|byte| byte as u8 ^ 0xa5).collect();
            let pem = certificate(&der);
            let body = pem.strip_prefix(BEGIN).and_then(|pem| pem.trim_end().strip_suffix(END)).unwrap();
            let one_line = format!("\n{}\n", body.replace('\n', ""));
            assert!(is_plain(body) && is_plain(&body.replace('\n', "\r\n")) && is_plain(&one_line));
        }
        for odd in ["", "x\nMAA=\n", "\nMAA=", "\nMAA\n", "\nM AA=\n", "\nMAB=\n", "\nMAA=\nMAA=\n", "\n MAA=\n"] {
            assert!(!is_plain(odd), "{odd:?}");
        }
        for odd in ["\n", "\n\n", "\n\rMAA=\n", "\nMA\rA=\n", "\nA: b\n\nMAA=\n", "\nMAA=\n\n", "\nMA\n\nA=\n"] {
            is_plain(odd);
        }
    }

    #[test]
    fn lines_have_64_characters() {
        let pem = certificate(&[0; 49]);
        let lengths: Vec<usize> = pem.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 4, 25], "{pem}");
    }
}
