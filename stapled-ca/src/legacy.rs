//! Weak RSA: signatures with SHA-1 and keys of 1024 bits.
//!
//! The cryptographic library refuses both, because they are not secure. They exist here for tests of verifiers, which
//! must refuse them, too.
//! The arithmetic takes a time that depends on the key, so such a key must not protect anything of value.

use num_bigint::BigUint;

use crate::der;
use crate::hash::{HashAlgorithm, NullParameters};
use crate::scheme::SignatureScheme;

/// An RSA key that signs by modular exponentiation without blinding.
pub(crate) struct WeakRsaKey {
    pkcs1: Vec<u8>,
    public_key: Vec<u8>,
    modulus: BigUint,
    exponent: BigUint,
}

impl WeakRsaKey {
    /// Makes a key of 1024 bits; `None` when the system has no randomness.
    pub(crate) fn generate() -> Option<Self> {
        let e = BigUint::from(65_537u32);
        let one = BigUint::from(1u32);
        loop {
            let (p, q) = (prime(512)?, prime(512)?);
            let (p1, q1) = (&p - &one, &q - &one);
            let Some(d) = e.modinv(&(&p1 * &q1)) else { continue };
            let Some(coefficient) = q.modinv(&p) else { continue };
            let numbers =
                [BigUint::ZERO, &p * &q, e.clone(), d.clone(), p.clone(), q.clone(), &d % &p1, &d % &q1, coefficient];
            let parts: Vec<Vec<u8>> = numbers.iter().map(|number| der::unsigned(&number.to_bytes_be())).collect();
            return Self::from_pkcs1(&der::sequence(&parts));
        }
    }

    /// Reads a key in PKCS#8, DER; `None` when it is not an RSA key.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let mut fields = der::only(pkcs8, der::SEQUENCE)?.contents;
        der::expect(&mut fields, der::INTEGER)?;
        let algorithm = der::expect(&mut fields, der::SEQUENCE)?;
        if algorithm.whole != rsa_encryption() {
            return None;
        }
        Self::from_pkcs1(der::expect(&mut fields, der::OCTET_STRING)?.contents)
    }

    /// The key in PKCS#8, DER.
    pub(crate) fn to_pkcs8(&self) -> Vec<u8> {
        der::sequence(&[der::unsigned(&[0]), rsa_encryption(), der::value(der::OCTET_STRING, &self.pkcs1)])
    }

    /// The RSAPublicKey, DER.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.1); `None` for any other scheme.
    pub(crate) fn sign_pkcs1(&self, scheme: SignatureScheme, message: &[u8]) -> Option<Vec<u8>> {
        let hash = match scheme {
            SignatureScheme::RsaPkcs1Sha1 => HashAlgorithm::Sha1,
            SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::RsaPkcs1Sha256WithoutNull => HashAlgorithm::Sha256,
            _ => return None,
        };
        let info = der::sequence(&[
            hash.identifier(NullParameters::Present),
            der::value(der::OCTET_STRING, &hash.digest(message)),
        ]);
        let length = usize::try_from(self.modulus.bits().div_ceil(8)).ok()?;
        let mut padded = vec![0, 1];
        padded.resize(length.checked_sub(info.len() + 1)?, 0xff);
        padded.push(0);
        padded.extend_from_slice(&info);
        let number = BigUint::from_bytes_be(&padded).modpow(&self.exponent, &self.modulus).to_bytes_be();
        let mut signature = vec![0; length.checked_sub(number.len())?];
        signature.extend_from_slice(&number);
        Some(signature)
    }

    fn from_pkcs1(pkcs1: &[u8]) -> Option<Self> {
        let mut fields = der::only(pkcs1, der::SEQUENCE)?.contents;
        der::expect(&mut fields, der::INTEGER)?;
        let modulus = der::expect(&mut fields, der::INTEGER)?;
        let public_exponent = der::expect(&mut fields, der::INTEGER)?;
        let exponent = der::expect(&mut fields, der::INTEGER)?;
        Some(Self {
            pkcs1: pkcs1.to_vec(),
            public_key: der::sequence(&[modulus.whole, public_exponent.whole]),
            modulus: BigUint::from_bytes_be(modulus.contents),
            exponent: BigUint::from_bytes_be(exponent.contents),
        })
    }
}

fn rsa_encryption() -> Vec<u8> {
    der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 1, 1]), der::NULL.to_vec()])
}

/// A random prime of exactly `bits` bits. Its two highest bits are set, so that the product of two primes has twice
/// as many bits.
fn prime(bits: usize) -> Option<BigUint> {
    loop {
        let mut octets = vec![0; bits / 8];
        aws_lc_rs::rand::fill(&mut octets).ok()?;
        *octets.first_mut()? |= 0xc0;
        *octets.last_mut()? |= 1;
        let candidate = BigUint::from_bytes_be(&octets);
        if is_probably_prime(&candidate) {
            return Some(candidate);
        }
    }
}

/// Trial division, then Miller-Rabin with fixed bases: enough for random numbers, not for numbers chosen by an
/// attacker.
fn is_probably_prime(candidate: &BigUint) -> bool {
    if (3..2_000u32).step_by(2).any(|small| candidate % small == BigUint::ZERO) {
        return false;
    }
    let one = BigUint::from(1u32);
    let minus_one = candidate - &one;
    let twos = minus_one.trailing_zeros().unwrap_or(0);
    let odd = &minus_one >> twos;
    [2u32, 3, 5, 7, 11, 13, 17, 19].into_iter().all(|base| {
        let mut power = BigUint::from(base).modpow(&odd, candidate);
        if power == one || power == minus_one {
            return true;
        }
        (1..twos).any(|_| {
            power = &power * &power % candidate;
            power == minus_one
        })
    })
}
