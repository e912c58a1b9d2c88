//! RSA moduli that are easy to factor.

use num_bigint::BigUint;

/// Up to where factors are searched.
const LARGEST_FACTOR: u32 = 5000;
/// The primes whose residues show a key of CVE-2017-15361 (ROCA). Its primes are `k * M + 65537^a mod M`, where M is a product of
/// the first primes, so the modulus is a power of 65,537 by each of them.
const ROCA_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Whether a modulus is odd, has no small factor, and does not have the form of ROCA.
pub(crate) fn is_sound(modulus: &BigUint) -> bool {
    modulus.bit(0) && !has_small_factor(modulus) && !is_roca(modulus)
}

fn has_small_factor(modulus: &BigUint) -> bool {
    (3..LARGEST_FACTOR).step_by(2).any(|factor| residue(modulus, factor) == 0)
}

fn is_roca(modulus: &BigUint) -> bool {
    ROCA_PRIMES.iter().all(|&prime| is_power(residue(modulus, prime), prime))
}

/// Whether a residue is a power of 65,537.
fn is_power(residue: u32, prime: u32) -> bool {
    let powers = std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime));
    powers.take(prime as usize).any(|power| power == residue)
}

fn residue(modulus: &BigUint, by: u32) -> u32 {
    (modulus % by).try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2^2048 - n, for an odd number with these low bits.
    fn large(low: u32) -> BigUint {
        (BigUint::from(1_u32) << 2048) - low
    }

    #[test]
    fn factors_are_found() {
        for factor in [3_u32, 7, 17, 4993, 4999] {
            let modulus = (large(1) / factor) * factor;
            assert!(has_small_factor(&modulus), "{factor}");
        }
        assert!(!is_sound(&large(2)), "even");
        // A Mersenne prime has no factor.
        let prime = (BigUint::from(1_u32) << 2203) - 1_u32;
        assert!(is_sound(&prime));
    }

    /// Moduli in the form of the weak keys, made here: their factors are no primes, which does not matter to the form.
    #[test]
    fn the_form_of_roca_is_found_and_others_are_not() {
        let product: BigUint = ROCA_PRIMES.iter().fold(BigUint::from(2_u32), |product, prime| product * *prime);
        let generator = BigUint::from(65_537_u32);
        let factor = |multiple: u32, power: u32| {
            let multiple = (large(1) >> 1250) * multiple;
            &product * multiple + generator.modpow(&power.into(), &product)
        };
        for (first, second) in [((11, 5), (12, 77_777)), ((3, 1_000_003), (5, 42)), ((1, 0), (2, 0))] {
            let modulus = factor(first.0, first.1) * factor(second.0, second.1);
            assert!(is_roca(&modulus) && !is_sound(&modulus), "{first:?} {second:?}");
            assert!(!is_roca(&(&modulus + 2_u32)), "{first:?} {second:?}");
        }
        let prime = (BigUint::from(1_u32) << 2203) - 1_u32;
        assert!(!is_roca(&prime));
        // Ordinary moduli have the form by an accident of 2^-27.
        let found = (0..2000_u32).filter(|&number| is_roca(&(large(2 * number + 1) >> 7))).count();
        assert_eq!(found, 0);
    }
}
