//! RSASSA-PSS: reads the parameters (RFC 4055 §3.1), and verifies signatures (RFC 8017 §8.1.2).
//!
//! The provider verifies a signature if message and mask use the same SHA-2 hash, and the key has at least 2048 bits.
//! RFC 4055 allows more: another hash for the mask (SHA-1 by default), and SHA-1 or SHA-224 for the message. This
//! module verifies such signatures itself. It works on public keys only, so no secret can leak through its timing.

use num_bigint::BigUint;

use super::key::{NULL_PARAMETERS, PublicKey, RSA_ENCRYPTION, RSASSA_PSS, SHORTEST_PROVIDED, SignatureError};
use crate::der::{self, DerError, Element, INTEGER, NULL, OID, Reader, SEQUENCE, context};
use crate::provider::{self, Check, Digest};

/// id-mgf1, 1.2.840.113549.1.1.8.
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// The length of the salt, in bytes, if the parameters do not give it (RFC 4055 §3.1).
const DEFAULT_SALT: usize = 20;
/// The largest public exponent, in bits. The provider has the same limit.
const LONGEST_EXPONENT: u64 = 33;

/// RSASSA-PSS-params (RFC 4055 §3.1) with supported hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    hash: Hash,
    mask_hash: Hash,
    /// The length of the salt in bytes; for a key, the shortest that a signature may have.
    salt: usize,
}

/// A hash function of RSASSA-PSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Provided(provider::Hash),
}

const SHA1: Hash = Hash::Provided(provider::Hash::Sha1);

/// The parameters to which a key restricts its signatures.
enum Restriction {
    None,
    To(Parameters),
}

impl Parameters {
    /// Reads the parameters of a signature from the contents of its AlgorithmIdentifier. They must be present (RFC 4055
    /// §3.1).
    pub(super) fn of_signature(algorithm: &[u8]) -> Result<Self, SignatureError> {
        match read(algorithm) {
            Ok(Some(parameters)) => parameters.ok_or(SignatureError::UnsupportedAlgorithm),
            _ => Err(SignatureError::UnsupportedAlgorithm),
        }
    }

    /// The name of the algorithm, such as `RSASSA-PSS-SHA256`.
    pub(super) fn name(self) -> &'static str {
        match self.hash {
            Hash::Sha224 => "RSASSA-PSS-SHA224",
            Hash::Provided(provider::Hash::Sha1) => "RSASSA-PSS-SHA1",
            Hash::Provided(provider::Hash::Sha256) => "RSASSA-PSS-SHA256",
            Hash::Provided(provider::Hash::Sha384) => "RSASSA-PSS-SHA384",
            Hash::Provided(provider::Hash::Sha512) => "RSASSA-PSS-SHA512",
        }
    }

    /// Whether the message is hashed with SHA-1. In the mask, SHA-1 is harmless, because collisions do not matter
    /// there.
    pub(super) fn is_sha1(self) -> bool {
        self.hash == SHA1
    }

    /// Checks that the key may be used with these parameters: an rsaEncryption key with any, an id-RSASSA-PSS key with
    /// those that it allows (RFC 4055 §3.3).
    pub(super) fn check_key(self, key: PublicKey<'_>) -> Result<(), SignatureError> {
        if let Some(parameters) = key.algorithm.strip_prefix(RSA_ENCRYPTION) {
            // RFC 3279 §2.3.1: the parameters of the key are NULL.
            return if parameters == NULL_PARAMETERS { Ok(()) } else { Err(SignatureError::UnsupportedAlgorithm) };
        }
        match Restriction::of(key.algorithm)? {
            Restriction::None => Ok(()),
            Restriction::To(least) => {
                let is_kept = self.hash == least.hash && self.mask_hash == least.mask_hash && self.salt >= least.salt;
                if is_kept { Ok(()) } else { Err(SignatureError::OtherKey) }
            }
        }
    }

    /// Verifies a signature. The key must be an RSA key of a supported size.
    pub(super) fn verify(self, key: PublicKey<'_>, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let is_long = key.rsa_bits().is_some_and(|bits| bits >= SHORTEST_PROVIDED);
        let check = match self.hash {
            Hash::Provided(hash) if is_long && self.hash == self.mask_hash => {
                provider::verify_pss(hash, self.salt, key.bits, message, signature)
            }
            _ => Check::Unsupported,
        };
        match check {
            Check::Holds => return Ok(()),
            Check::Broken => return Err(SignatureError::BadSignature),
            Check::Unsupported => {}
        }
        if [self.hash, self.mask_hash].into_iter().any(|hash| hash.digest(&[]).is_none()) {
            return Err(SignatureError::UnsupportedAlgorithm);
        }
        let holds = self.verify_by_hand(RsaKey::read(key.bits)?, message, signature).is_some();
        if holds { Ok(()) } else { Err(SignatureError::BadSignature) }
    }

    /// RSASSA-PSS-VERIFY and EMSA-PSS-VERIFY (RFC 8017 §8.1.2, §9.1.2).
    fn verify_by_hand(self, key: RsaKey, message: &[u8], signature: &[u8]) -> Option<()> {
        let encoded_bits = usize::try_from(key.modulus.bits()).ok()?.checked_sub(1)?;
        let encoded = key.open(signature, encoded_bits.div_ceil(8))?;

        let hash = self.hash.digest(&[message])?;
        let length = hash.as_ref().len();
        let (encoded, [0xbc]) = encoded.split_last_chunk()? else { return None };
        let (masked, stated) = encoded.split_at_checked(encoded.len().checked_sub(length)?)?;
        let mut block: Vec<u8> =
            masked.iter().zip(self.mask_hash.mask(stated)).map(|(masked, mask)| masked ^ mask).collect();
        // The bits of the first byte that are not a part of the encoded message.
        let surplus = !(0xff_u8 >> (8 * (masked.len() + length + 1) - encoded_bits));
        if masked.first()? & surplus != 0 {
            return None;
        }
        *block.first_mut()? &= !surplus;
        let (padding, salt) = block.split_at_checked(block.len().checked_sub(self.salt)?)?;
        let [zeros @ .., 1] = padding else { return None };
        let expected = self.hash.digest(&[&[0; 8], hash.as_ref(), salt])?;
        let is_right = zeros.iter().all(|byte| *byte == 0) && expected.as_ref() == stated;
        is_right.then_some(())
    }
}

impl Hash {
    /// Reads a `HashAlgorithm`. Its parameters are NULL or absent (RFC 4055 §2.1). `None` for an unknown hash.
    fn read(algorithm: Element<'_>) -> Result<Option<Self>, DerError> {
        let mut fields = Reader::new(algorithm.contents);
        let oid = fields.expect(OID)?.contents;
        fields.optional(NULL)?;
        fields.end()?;
        Ok(match oid {
            [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(SHA1),
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
                1 => Some(Hash::Provided(provider::Hash::Sha256)),
                2 => Some(Hash::Provided(provider::Hash::Sha384)),
                3 => Some(Hash::Provided(provider::Hash::Sha512)),
                4 => Some(Hash::Sha224),
                _ => None,
            },
            _ => None,
        })
    }

    /// The hash of these parts. `None` if the provider does not have this hash function.
    fn digest(self, parts: &[&[u8]]) -> Option<Digest> {
        match self {
            Hash::Sha224 => provider::sha224(parts),
            Hash::Provided(hash) => Some(provider::digest(hash, parts)),
        }
    }

    /// MGF1 (RFC 8017 §B.2.1), as an iterator without a fixed length.
    fn mask(self, seed: &[u8]) -> impl Iterator<Item = u8> {
        let block = move |counter: u32| self.digest(&[seed, &counter.to_be_bytes()]);
        (0..u32::MAX).map_while(block).flat_map(|block| block.as_ref().to_vec())
    }
}

impl Restriction {
    fn of(key: &[u8]) -> Result<Self, SignatureError> {
        if Reader::new(key).expect(OID).map(|oid| oid.contents) != Ok(RSASSA_PSS) {
            return Err(SignatureError::OtherKey);
        }
        match read(key) {
            Ok(None) => Ok(Restriction::None),
            Ok(Some(Some(parameters))) => Ok(Restriction::To(parameters)),
            _ => Err(SignatureError::UnsupportedAlgorithm),
        }
    }
}

/// Reads RSASSA-PSS-params from the contents of an AlgorithmIdentifier. The outer `None`: it has no parameters. The
/// inner `None`: the parameters are not supported. Encoded defaults are not DER, but they occur and mean the same.
fn read(algorithm: &[u8]) -> Result<Option<Option<Parameters>>, DerError> {
    let mut fields = Reader::new(algorithm);
    fields.expect(OID)?;
    let Some(parameters) = fields.optional(SEQUENCE)? else {
        fields.end()?;
        return Ok(None);
    };
    fields.end()?;
    let mut fields = Reader::new(parameters.contents);
    let hash = match explicit(&mut fields, 0, SEQUENCE)? {
        Some(hash) => Hash::read(hash)?,
        None => Some(SHA1),
    };
    let mask_hash = match explicit(&mut fields, 1, SEQUENCE)? {
        Some(mask) => {
            let mut mask = Reader::new(mask.contents);
            let function = mask.expect(OID)?.contents;
            if function != MGF1 {
                return Ok(Some(None));
            }
            let hash = Hash::read(mask.expect(SEQUENCE)?)?;
            mask.end()?;
            hash
        }
        None => Some(SHA1),
    };
    let salt = match explicit(&mut fields, 2, INTEGER)? {
        Some(salt) => small(salt),
        None => Some(DEFAULT_SALT),
    };
    // The only trailer is 1: the last byte is BC.
    let trailer = explicit(&mut fields, 3, INTEGER)?.map_or(Some(1), small);
    fields.end()?;
    Ok(Some(match (hash, mask_hash, salt, trailer) {
        (Some(hash), Some(mask_hash), Some(salt), Some(1)) => Some(Parameters { hash, mask_hash, salt }),
        _ => None,
    }))
}

/// Reads an optional element `[number] EXPLICIT`.
fn explicit<'a>(fields: &mut Reader<'a>, number: u8, tag: u8) -> Result<Option<Element<'a>>, DerError> {
    let Some(explicit) = fields.optional(context(number))? else { return Ok(None) };
    let mut explicit = Reader::new(explicit.contents);
    let element = explicit.expect(tag)?;
    explicit.end()?;
    Ok(Some(element))
}

/// Reads a number that is not negative and has at most 15 bits. `None` for other numbers.
fn small(number: Element<'_>) -> Option<usize> {
    match der::shortest_integer(number.contents) {
        [low @ 0..0x80] => Some(usize::from(*low)),
        [high @ 0..0x80, low] => Some(usize::from(*high) << 8 | usize::from(*low)),
        _ => None,
    }
}

/// RSAPublicKey (RFC 8017 §A.1.1).
struct RsaKey {
    modulus: BigUint,
    exponent: BigUint,
}

impl RsaKey {
    fn read(bits: &[u8]) -> Result<Self, SignatureError> {
        let read = || -> Result<_, DerError> {
            let mut outer = Reader::new(bits);
            let mut fields = outer.inside(SEQUENCE)?;
            outer.end()?;
            let (modulus, exponent) = (fields.expect(INTEGER)?.contents, fields.expect(INTEGER)?.contents);
            fields.end()?;
            Ok((modulus, exponent))
        };
        let (modulus, exponent) = read().map_err(|_| SignatureError::BadSignature)?;
        let is_negative = |number: &[u8]| number.first().is_none_or(|first| *first >= 0x80);
        let (is_odd, is_sound) = (|number: &BigUint| number.bit(0), !is_negative(modulus) && !is_negative(exponent));
        let key = RsaKey { modulus: BigUint::from_bytes_be(modulus), exponent: BigUint::from_bytes_be(exponent) };
        let is_exponent = (2..=LONGEST_EXPONENT).contains(&key.exponent.bits()) && is_odd(&key.exponent);
        if is_sound && is_exponent && is_odd(&key.modulus) { Ok(key) } else { Err(SignatureError::BadSignature) }
    }

    /// RSAVP1 (RFC 8017 §5.2.2): recovers the encoded message, in `length` bytes.
    fn open(&self, signature: &[u8], length: usize) -> Option<Vec<u8>> {
        let size = usize::try_from(self.modulus.bits().div_ceil(8)).ok()?;
        let number = BigUint::from_bytes_be(signature);
        if signature.len() != size || number >= self.modulus {
            return None;
        }
        let opened = number.modpow(&self.exponent, &self.modulus).to_bytes_be();
        let mut padded = vec![0; length.checked_sub(opened.len())?];
        padded.extend(opened);
        Some(padded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::element;

    fn oid(contents: &[u8]) -> Vec<u8> {
        element(OID, contents)
    }

    fn hash(last: u8, parameters: &[u8]) -> Vec<u8> {
        let oid = oid(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]);
        element(SEQUENCE, &[&oid, parameters].concat())
    }

    fn mask(function: &[u8], hash: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[oid(function), hash.to_vec()].concat())
    }

    /// The contents of an AlgorithmIdentifier with these fields of RSASSA-PSS-params.
    fn algorithm(fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let fields: Vec<u8> = fields.iter().flat_map(|(number, field)| element(context(*number), field)).collect();
        [oid(RSASSA_PSS), element(SEQUENCE, &fields)].concat()
    }

    fn number(contents: &[u8]) -> Vec<u8> {
        element(INTEGER, contents)
    }

    #[test]
    fn parameters_in_all_their_forms() {
        let read = |fields: &[(u8, Vec<u8>)]| Parameters::of_signature(&algorithm(fields)).ok();
        let sha1 = Parameters { hash: SHA1, mask_hash: SHA1, salt: 20 };
        assert_eq!(read(&[]), Some(sha1), "all defaults");
        assert_eq!(read(&[(3, number(&[1]))]), Some(sha1), "an encoded trailer");
        for null in [&[][..], &[5, 0]] {
            let (sha256, sha512) = (hash(1, null), hash(3, null));
            let fields = |salt: &[u8]| [(0, sha256.clone()), (1, mask(MGF1, &sha512)), (2, number(salt))];
            let expected = |salt| {
                Some(Parameters {
                    hash: Hash::Provided(provider::Hash::Sha256),
                    mask_hash: Hash::Provided(provider::Hash::Sha512),
                    salt,
                })
            };
            assert_eq!(read(&fields(&[32])), expected(32));
            assert_eq!(read(&fields(&[0])), expected(0));
            assert_eq!(read(&fields(&[1, 0])), expected(256));
            assert_eq!(read(&fields(&[0, 0x80])), expected(128));
            assert_eq!(read(&fields(&[0, 5])), expected(5), "padded, as certificates may have numbers");
            for salt in [&[0xff][..], &[0x80, 0], &[1, 0, 0], &[0x7f, 0xff, 0xff, 0xff, 0xff]] {
                assert_eq!(read(&fields(salt)), None, "{salt:02x?}");
            }
        }
        let sha256 = || hash(1, &[5, 0]);
        assert_eq!(read(&[(0, sha256())]), Some(Parameters { hash: Hash::Provided(provider::Hash::Sha256), ..sha1 }));
        assert_eq!(
            read(&[(1, mask(MGF1, &sha256()))]),
            Some(Parameters { mask_hash: Hash::Provided(provider::Hash::Sha256), ..sha1 })
        );
        for odd in [
            vec![(3, number(&[2]))],
            vec![(0, hash(8, &[5, 0]))], // SHA3-256
            vec![(1, mask(RSASSA_PSS, &sha256()))],
            vec![(0, hash(1, &[4, 0]))],
            vec![(0, hash(1, &[5, 0, 5, 0]))],
            vec![(2, number(&[32])), (0, sha256())],
            vec![(0, [sha256(), sha256()].concat())],
            vec![(4, number(&[1]))],
            vec![(1, element(SEQUENCE, &oid(MGF1)))],
        ] {
            assert_eq!(read(&odd), None, "{odd:02x?}");
        }
        // The parameters of a signature must be present.
        assert!(Parameters::of_signature(&oid(RSASSA_PSS)).is_err());
        assert!(Parameters::of_signature(&[oid(RSASSA_PSS), vec![5, 0]].concat()).is_err());
        assert!(Parameters::of_signature(&[algorithm(&[]), vec![5, 0]].concat()).is_err());
    }

    /// RFC 4055 §3.3: the same hashes, and a salt that is not shorter.
    #[test]
    fn a_key_restricts_hashes_and_salt() {
        let fields = |hashes: (u8, u8), salt: u8| {
            let (hash_, mask_) = (hash(hashes.0, &[]), mask(MGF1, &hash(hashes.1, &[5, 0])));
            algorithm(&[(0, hash_), (1, mask_), (2, number(&[salt]))])
        };
        let check = |signature: &[u8], key: &[u8]| {
            Parameters::of_signature(signature).unwrap().check_key(PublicKey {
                algorithm: key,
                bits: &[],
                prepared: None,
            })
        };
        let used = fields((1, 1), 32);
        let rsa = [RSA_ENCRYPTION, NULL_PARAMETERS].concat();
        for allowed in [&rsa[..], &oid(RSASSA_PSS), &used, &fields((1, 1), 31), &fields((1, 1), 0)] {
            assert_eq!(check(&used, allowed), Ok(()), "{allowed:02x?}");
        }
        for other in [&fields((1, 1), 33)[..], &fields((2, 1), 32), &fields((1, 2), 32), &algorithm(&[])] {
            assert_eq!(check(&used, other), Err(SignatureError::OtherKey), "{other:02x?}");
        }
        assert_eq!(check(&used, super::super::P256), Err(SignatureError::OtherKey));
        let unknown = algorithm(&[(0, hash(8, &[]))]);
        for odd in [&unknown[..], RSA_ENCRYPTION, &[oid(RSASSA_PSS), vec![5, 0]].concat()] {
            assert_eq!(check(&used, odd), Err(SignatureError::UnsupportedAlgorithm), "{odd:02x?}");
        }
    }

    /// A key of 1026 bits, made for this test. It protects nothing.
    const MODULUS: &str = "02c6d5e2edd9fc99daceb56877c626f3bf1fc96afe5bb5da352336c7804d8c52b133465c594ee1d699b2f765d76fde01d\
                           84374f6ac81850126f743394f55961c34d95a700cb4e0308830ff964003ab9a6e1499e014196fe5ccde497c4d65df\
                           0337191e1006090f2097af80a5a1180463e80d9e633a0e674de99eb3860a5be48df5";
    const PRIVATE_EXPONENT: &[u8] = b"9ab37bf2d5e942b6bb1c0203672d9d08b06b4e8cd2facde598a7585dd502c0106e9f5683dd460b45620cb3ae625b47\
                                      bd8058d9428be19d7194889dd565440918c18d4e955ca7f57fb37db51a1ffe219c194eeee1501978a1c6e2ea12378\
                                      b44e1c51ead75ecedd09c9e0d50b9d332e3f97b5f22ce994d3c293f9b1d8583052321";

    fn modulus() -> BigUint {
        BigUint::parse_bytes(MODULUS.as_bytes(), 16).unwrap()
    }

    /// The block from which a signature is made: zeros, 1, the salt.
    struct Block {
        parameters: Parameters,
        block: Vec<u8>,
        stated: Vec<u8>,
        trailer: u8,
    }

    impl Block {
        /// EMSA-PSS-ENCODE (RFC 8017 §9.1.1), before the mask.
        fn new(parameters: Parameters, message: &[u8], salt: &[u8]) -> Self {
            let hash = parameters.hash.digest(&[message]).unwrap();
            let stated = parameters.hash.digest(&[&[0; 8], hash.as_ref(), salt]).unwrap().as_ref().to_vec();
            let mut block = vec![0; 129 - stated.len() - 1 - salt.len() - 1];
            block.push(1);
            block.extend(salt);
            Block { parameters, block, stated, trailer: 0xbc }
        }

        fn sign(&self) -> Vec<u8> {
            let mask = self.parameters.mask_hash.mask(&self.stated);
            let mut encoded: Vec<u8> = self.block.iter().zip(mask).map(|(block, mask)| block ^ mask).collect();
            // 1025 bits in 129 bytes.
            encoded[0] &= 1;
            encoded[0] |= self.block[0] & 0xfe;
            encoded.extend(&self.stated);
            encoded.push(self.trailer);
            let private = BigUint::parse_bytes(PRIVATE_EXPONENT, 16).unwrap();
            let number = BigUint::from_bytes_be(&encoded);
            // A number that is too large for the key is signed modulo the key.
            let signed = number.modpow(&private, &modulus()).to_bytes_be();
            [vec![0; 129 - signed.len()], signed].concat()
        }
    }

    fn holds(parameters: Parameters, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaKey { modulus: modulus(), exponent: BigUint::from(65_537u32) };
        parameters.verify_by_hand(key, message, signature).is_some()
    }

    /// Every part of a signature counts.
    #[test]
    fn signatures_are_verified_without_the_provider() {
        use Hash::Sha224;
        let [sha256, sha384, sha512] =
            [provider::Hash::Sha256, provider::Hash::Sha384, provider::Hash::Sha512].map(Hash::Provided);
        for (hash, mask_hash, salt) in [
            (SHA1, SHA1, 20),
            (Sha224, sha256, 28),
            (sha256, SHA1, 32),
            (sha256, sha512, 0),
            (sha384, sha256, 17),
            (sha512, SHA1, 63), // the longest salt that fits: 129 bytes, less the hash, the 1 and BC
        ] {
            let parameters = Parameters { hash, mask_hash, salt };
            if [hash, mask_hash].contains(&Sha224) && provider::sha224(&[]).is_none() {
                continue; // this provider has no SHA-224
            }
            let what = format!("{parameters:?}");
            let block = || Block::new(parameters, b"message", &vec![0xa5; salt]);
            let signature = block().sign();
            assert!(holds(parameters, b"message", &signature), "{what}");
            assert!(!holds(parameters, b"massage", &signature), "{what}");
            for other in [
                Parameters { salt: salt + 1, ..parameters },
                Parameters { salt: salt.wrapping_sub(1), ..parameters },
                Parameters { hash: if hash == sha256 { sha384 } else { sha256 }, ..parameters },
                Parameters { mask_hash: if mask_hash == sha384 { SHA1 } else { sha384 }, ..parameters },
            ] {
                assert!(!holds(other, b"message", &signature), "{what} as {other:?}");
            }
            assert!(!holds(parameters, b"message", &Block { trailer: 0xcc, ..block() }.sign()), "{what}, trailer");
            // Surplus bits, the zeros, the 1, the byte before it, and the salt.
            let length = block().block.len();
            let one = length - salt - 1;
            for place in [0, 1, one / 2, one.saturating_sub(1), one, (one + 1).min(length - 1), length - 1] {
                let mut odd = block();
                odd.block[place] ^= 2;
                assert!(!holds(parameters, b"message", &odd.sign()), "{what}, byte {place} of the block");
            }
            let mut odd = block();
            odd.stated[5] ^= 1;
            assert!(!holds(parameters, b"message", &odd.sign()), "{what}, the hash");
            // The same number with another length, or with the modulus added.
            assert!(!holds(parameters, b"message", &[&[0], &signature[..]].concat()), "{what}, one byte more");
            assert!(!holds(parameters, b"message", &signature[1..]), "{what}, one byte less");
            let more = (BigUint::from_bytes_be(&signature) + modulus()).to_bytes_be();
            assert!(more.len() == 129 && !holds(parameters, b"message", &more), "{what}, the modulus added");
            assert!(!holds(parameters, b"message", &[0; 129]) && !holds(parameters, b"message", &[]), "{what}");
        }
    }

    /// This module and the provider agree on the signatures that both support.
    #[test]
    fn the_provider_agrees() {
        use stapled_ca::{KeyType, SignatureScheme};
        for (scheme, hash, salt) in [
            (SignatureScheme::RsaPssSha256, Hash::Provided(provider::Hash::Sha256), 32),
            (SignatureScheme::RsaPssSha384, Hash::Provided(provider::Hash::Sha384), 48),
            (SignatureScheme::RsaPssSha512, Hash::Provided(provider::Hash::Sha512), 64),
        ] {
            let key = stapled_ca::Key::generate(KeyType::Rsa2048).unwrap();
            let signature = key.sign_with(scheme, b"message").unwrap();
            let authority = stapled_ca::Authority::root("x").existing_key(std::sync::Arc::new(key)).create().unwrap();
            let bits = &authority.identity().public_key;
            let public = PublicKey { algorithm: &[RSA_ENCRYPTION, NULL_PARAMETERS].concat(), bits, prepared: None };
            let both = |salt: usize, message: &[u8], signature: &[u8]| {
                let parameters = Parameters { hash, mask_hash: hash, salt };
                let by_hand = parameters.verify_by_hand(RsaKey::read(bits).unwrap(), message, signature).is_some();
                assert_eq!(parameters.verify(public, message, signature).is_ok(), by_hand);
                by_hand
            };
            assert!(both(salt, b"message", &signature));
            assert!(!both(salt, b"massage", &signature));
            for other in [0, salt - 1, salt + 1, 400, 1023] {
                assert!(!both(other, b"message", &signature), "a salt of {other}");
            }
            for place in (0..signature.len()).step_by(37) {
                let mut odd = signature.clone();
                odd[place] ^= 1;
                assert!(!both(salt, b"message", &odd), "byte {place}");
            }
        }
    }

    #[test]
    fn numbers_that_are_no_rsa_key_are_refused() {
        let key = |modulus: &[u8], exponent: &[u8]| {
            RsaKey::read(&element(SEQUENCE, &[number(modulus), number(exponent)].concat())).is_ok()
        };
        assert!(key(&[0, 0xc5], &[1, 0, 1]) && key(&[0x55], &[3]));
        for (modulus, exponent) in [
            (&[0x54][..], &[3][..]),
            (&[0xc5], &[3]),
            (&[0x55], &[1]),
            (&[0x55], &[4]),
            (&[0x55], &[0]),
            (&[0], &[3]),
            (&[0x55], &[0x83]),
            (&[0x55], &[4, 0, 0, 0, 1]),
        ] {
            assert!(!key(modulus, exponent), "{modulus:02x?} {exponent:02x?}");
        }
        assert!(key(&[0x55], &[1, 0, 0, 0, 1]));
    }
}
