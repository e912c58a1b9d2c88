//! Properties of requests: no bytes cause a panic, and independent decoders read the same.

use stapled_core::ocsp::OcspRequest;
use stapled_core::ocsp::request::RequestContents;

/// Reads the bytes as a request, compares the result with other decoders, and encodes it again.
pub fn request(bytes: &[u8]) {
    let Ok(read) = RequestContents::from_der(bytes) else { return };
    assert!(read.requests.len() <= 1024);
    let nonce = read.nonce();
    assert!(nonce.is_none_or(|nonce| nonce.len() <= bytes.len()));
    if let Ok(theirs) = rasn::der::decode::<rasn_ocsp::OcspRequest>(bytes) {
        let tbs = &theirs.tbs_request;
        assert_eq!(read.requestor_name.is_some(), tbs.requestor_name.is_some());
        assert_eq!(read.signature.is_some(), theirs.optional_signature.is_some());
        assert_eq!(read.extensions.len(), tbs.request_extensions.as_ref().map_or(0, |list| list.len()));
        assert_eq!(read.requests.len(), tbs.request_list.len());
        for (ours, theirs) in read.requests.iter().zip(&tbs.request_list) {
            assert_eq!(ours.cert_id.issuer_key_hash(), theirs.req_cert.issuer_key_hash.as_ref());
            assert_eq!(ours.cert_id.issuer_name_hash(), theirs.req_cert.issuer_name_hash.as_ref());
            let serial = rasn::der::encode(&theirs.req_cert.serial_number).unwrap();
            assert!(serial.ends_with(ours.cert_id.serial_number()));
            let extensions = theirs.single_request_extensions.as_ref().map_or(0, |list| list.len());
            assert_eq!(ours.extensions.len(), extensions);
        }
    }
    // The test authority's responder allows fewer certificates per request, and reads the same of those.
    if let Ok(theirs) = stapled_ca::ocsp::OcspRequest::from_der(bytes) {
        assert_eq!(read.requests.len(), theirs.cert_ids.len());
        assert!(theirs.nonce.is_none_or(|theirs| nonce == Some(theirs.as_slice())));
        for (ours, theirs) in read.requests.iter().zip(&theirs.cert_ids) {
            assert_eq!(ours.cert_id.issuer_key_hash(), theirs.issuer_key_hash());
        }
    }
    for single in &read.requests {
        let Ok(asked) = OcspRequest::new(&single.cert_id, nonce) else { continue };
        let again = RequestContents::from_der(asked.as_der()).expect("what was asked can be read");
        assert_eq!(again.requests.len(), 1);
        assert_eq!(again.requests[0].cert_id, single.cert_id);
        assert_eq!(again.nonce(), nonce);
        assert!(again.signature.is_none());
    }
}
