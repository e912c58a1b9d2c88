//! Compressed answers. The fetcher does not ask for compression, but some caches and proxies compress anyway.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use miniz_oxide::inflate::{decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit};

/// The largest number of codings that are removed from one body.
const MAX_CODINGS: usize = 3;
/// The first bytes of a gzip member (RFC 1952 §2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The flags of a gzip header (RFC 1952 §2.3.1).
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// Decompresses a body. The header names the coding; without a header, the first bytes tell it. A body that cannot be
/// decompressed within `limit` bytes is returned unchanged, so that its judge reports the fault.
pub(super) fn unpacked(body: Bytes, headers: &HeaderMap, limit: usize) -> Bytes {
    let said = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let said = said.flat_map(|value| value.split(',')).filter_map(coding).collect::<Vec<_>>();
    // The coding that was applied last is removed first.
    let mut codings = said.into_iter().rev();
    let mut unpacked = body.clone();
    // Some gzip files decompress to themselves, so the number of codings is bounded, whatever the header or the bytes
    // say.
    for _ in 0..MAX_CODINGS {
        let is_gzip = unpacked.starts_with(GZIP);
        let coding = match (codings.next(), is_gzip) {
            (_, true) => Coding::Gzip,
            // The header is wrong: an OCSP response begins with a SEQUENCE, deflated data does not.
            (Some(_), false) if unpacked.first() == Some(&0x30) => return unpacked,
            (Some(Coding::Deflate), false) => Coding::Deflate,
            (Some(Coding::Gzip), false) | (None, false) => return unpacked,
        };
        match unpack(&unpacked, coding, limit) {
            Some(bytes) => unpacked = bytes.into(),
            None => return body,
        }
        if unpacked.is_empty() {
            return unpacked;
        }
    }
    if unpacked.starts_with(GZIP) { body } else { unpacked }
}

fn coding(name: &str) -> Option<Coding> {
    let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
    if is("gzip") || is("x-gzip") {
        return Some(Coding::Gzip);
    }
    is("deflate").then_some(Coding::Deflate)
}

fn unpack(packed: &[u8], coding: Coding, limit: usize) -> Option<Vec<u8>> {
    match coding {
        Coding::Gzip => decompress_to_vec_with_limit(gzip_contents(packed)?, limit).ok(),
        // The format is zlib (RFC 9110 §8.4.1.2), but some servers omit the zlib frame.
        Coding::Deflate => decompress_to_vec_zlib_with_limit(packed, limit)
            .or_else(|_| decompress_to_vec_with_limit(packed, limit))
            .ok(),
    }
}

/// The part of a gzip member after its header (RFC 1952 §2.3). Its checksum is ignored, because the signature in a
/// response protects more.
fn gzip_contents(packed: &[u8]) -> Option<&[u8]> {
    let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, rest @ ..] = packed else { return None };
    let mut rest = rest;
    if flags & EXTRA != 0 {
        let [low, high, more @ ..] = rest else { return None };
        rest = more.get(usize::from(u16::from_le_bytes([*low, *high]))..)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & HEADER_CRC != 0 { rest.get(2..) } else { Some(rest) }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
    use proptest::prelude::*;

    use super::*;

    const RESPONSE: &[u8] = &[0x30, 3, 2, 1, 5];

    fn gzip(contents: &[u8], flags: u8, extras: &[u8]) -> Vec<u8> {
        let mut packed = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        packed.extend_from_slice(extras);
        packed.extend(compress_to_vec(contents, 6));
        // The checksum and the length.
        packed.extend([0, 0, 0, 0]);
        packed.extend(u32::try_from(contents.len()).unwrap().to_le_bytes());
        packed
    }

    fn unpack_as(body: Vec<u8>, encoding: Option<&'static str>) -> Bytes {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        unpacked(body.into(), &headers, 1000)
    }

    #[test]
    fn what_is_compressed_is_unpacked() {
        let plain = gzip(RESPONSE, 0, &[]);
        let zlib = compress_to_vec_zlib(RESPONSE, 6);
        for (body, encoding) in [
            (plain.clone(), Some("gzip")),
            (plain.clone(), Some("X-GZIP")),
            (plain.clone(), None),
            (plain.clone(), Some("identity")),
            (plain.clone(), Some("deflate")),
            (gzip(RESPONSE, EXTRA | NAME | COMMENT | HEADER_CRC, b"\x02\x00xyname\0comment\0zz"), Some("gzip")),
            (zlib.clone(), Some("deflate")),
            (compress_to_vec(RESPONSE, 6), Some("deflate")),
            (gzip(&plain, 0, &[]), Some("gzip, gzip")),
            (gzip(&zlib, 0, &[]), Some("deflate, gzip")),
            (RESPONSE.to_vec(), Some("gzip")),
            (RESPONSE.to_vec(), Some("deflate")),
            (RESPONSE.to_vec(), Some("br")),
        ] {
            assert_eq!(unpack_as(body.clone(), encoding), RESPONSE, "{encoding:?} {body:02x?}");
        }
    }

    #[test]
    fn what_cannot_be_unpacked_stays_as_it_came() {
        let large = gzip(&[0; 100_000], 0, &[]);
        let cut: Vec<u8> = gzip(RESPONSE, 0, &[]).into_iter().take(12).collect();
        let odd = gzip(RESPONSE, EXTRA, b"\xff\xff");
        let empty = vec![0x1f, 0x8b];
        let deep = (0..20).fold(RESPONSE.to_vec(), |inner, _| gzip(&inner, 0, &[]));
        for body in [large, cut, odd, empty, deep] {
            assert_eq!(unpack_as(body.clone(), Some("gzip")), body);
        }
        assert_eq!(unpack_as(Vec::new(), Some("gzip")), Bytes::new());
        assert_eq!(unpack_as(b"<html>".to_vec(), Some("deflate")), &b"<html>"[..]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_the_limit_holds(body in proptest::collection::vec(any::<u8>(), 0..200), flags in any::<u8>()) {
            let mut framed = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
            framed.extend_from_slice(&body);
            for (body, encoding) in [(framed, None), (body, Some("deflate, gzip, deflate"))] {
                prop_assert!(unpack_as(body, encoding).len() <= 1000);
            }
        }
    }
}
