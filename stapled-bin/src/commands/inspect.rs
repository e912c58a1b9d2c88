//! `stapled inspect`: shows what is in a response, a request or certificates, and vouches for nothing.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::describe::Object;
use stapled_core::overview::json::json_line;
use stapled_core::time::Timestamp;

use super::answer::{CommandError, GOOD, INVALID, answer};
use super::input::{self, MAX_FILE};

/// Show what an OCSP response, a request or a certificate says
///
/// Nothing is vouched for: no signature, time or name is judged; `stapled verify` does that. Of a PEM file everything
/// is shown, but for private keys, which are passed over.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// The response, request or certificate: DER, PEM or base64; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print one JSON object a line, for each response, request or certificate in the file
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  stapled inspect /etc/haproxy/certs/site.pem.ocsp
  echo 'show ssl ocsp-response base64 /etc/haproxy/certs/site.pem' | socat - /run/haproxy/admin.sock | stapled inspect -

Exit codes:
  0   everything in the file is shown
  20  something in it cannot be read; what it is, is said in its place
  1   the answer could not be written
  2   wrong arguments, or a file that cannot be opened";

impl Inspect {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let objects = match input::read(&self.file)? {
            Some(bytes) => Object::all_in(&bytes),
            None => vec![Object::malformed(format!("more than the {MAX_FILE} bytes that are read"))],
        };
        let text = if self.json { in_json(&objects) } else { in_words(&objects, SystemClock.now()) };
        let is_broken = objects.iter().any(|object| matches!(object, Object::Malformed { .. }));
        answer(out, &text, if is_broken { INVALID } else { GOOD })
    }
}

/// As lines, with an empty line between objects.
fn in_words(objects: &[Object], now: Timestamp) -> String {
    objects.iter().map(|object| object.in_words(now)).collect::<Vec<_>>().join("\n")
}

fn in_json(objects: &[Object]) -> String {
    objects.iter().filter(|object| !matches!(object, Object::PassedOver { .. })).map(json_line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stapled_ca::ocsp::{HashAlgorithm, OcspRequest, ResponseBuilder};
    use stapled_ca::{Authority, Profile, pem};

    use super::*;

    /// A certificate, a request, a response.
    fn originals() -> [(&'static str, Vec<u8>); 3] {
        let ca = Authority::root("CA").create().unwrap();
        let leaf = ca.issue(&Profile::server("a.test").must_staple(true)).unwrap();
        let id = ca.cert_id(leaf.serial(), HashAlgorithm::Sha256);
        let response = ResponseBuilder::signed_by(ca.delegate(stapled_ca::KeyType::EcdsaP256).unwrap()).good(&id);
        [
            ("CERTIFICATE", leaf.der().to_vec()),
            ("OCSP REQUEST", OcspRequest::for_certificate(id).to_der()),
            ("OCSP RESPONSE", response.nonce(&[1; 8]).build().unwrap()),
        ]
    }

    thread_local! {
        static ORIGINALS: [(&'static str, Vec<u8>); 3] = originals();
    }

    fn check(bytes: &[u8]) {
        let objects = Object::all_in(bytes);
        assert!(!objects.is_empty());
        let words = in_words(&objects, Timestamp::from_unix(1_800_000_000));
        assert!(words.ends_with('\n'));
        for line in in_json(&objects).lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }

    proptest! {
        /// Whatever is in a file, something can be said of it.
        #[test]
        fn any_bytes_are_shown(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            check(&bytes);
            check(pem::encode("CERTIFICATE", &bytes).as_bytes());
            check(pem::encode("OCSP REQUEST", &bytes).as_bytes());
            check(pem::encode("OCSP RESPONSE", &bytes).as_bytes());
        }

        /// Nearly right is harder than wrong.
        #[test]
        fn any_change_is_shown(which in 0usize..3, place: prop::sample::Index, byte: u8, cut: bool) {
            ORIGINALS.with(|originals| {
                let (label, original) = &originals[which];
                let mut bytes = original.clone();
                *place.get_mut(&mut bytes) = byte;
                if cut {
                    bytes.truncate(place.index(original.len()));
                }
                check(&bytes);
                check(pem::encode(label, &bytes).as_bytes());
            });
        }
    }
}
