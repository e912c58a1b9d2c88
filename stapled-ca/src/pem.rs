//! PEM text (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The number of base64 characters on a line.
const LINE: usize = 64;

/// One PEM block with this label, ending in a newline.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// One `CERTIFICATE` block.
#[must_use]
pub fn certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// The certificates in a PEM text, DER, in their order. Other blocks are skipped; a malformed block ends the list.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).map_while(|block| block.ok().map(|der| der.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_undoes_writing() {
        for length in [0, 1, 47, 48, 49, 500] {
            let der = vec![7; length];
            let text = certificate(&der);
            assert!(text.lines().all(|line| line.len() <= LINE));
            if length > 0 {
                assert_eq!(certificates(text.repeat(2).as_bytes()), [der.clone(), der]);
            }
        }
    }
}
