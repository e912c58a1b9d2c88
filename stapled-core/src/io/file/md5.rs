//! MD5 (RFC 1321), for names alone: some servers look for a staple under the MD5 of their certificate's path.

/// The sine of which integer is in which step, as RFC 1321 §3.4 has it: `floor(2^32 · |sin(i + 1)|)`.
fn constant(step: u32) -> u32 {
    let scaled = 4_294_967_296.0 * f64::from(step + 1).sin().abs();
    // Below 2^32, since no sine is 1 here.
    scaled as u32
}

/// By how many bits each step of a round rotates.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
/// The state before the first block.
const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
const BLOCK: usize = 64;

/// The MD5 of a text in hexadecimal digits.
pub(super) fn md5(text: &[u8]) -> String {
    let bits = (text.len() as u64).wrapping_mul(8);
    let zeros = (2 * BLOCK - 9 - text.len() % BLOCK) % BLOCK;
    let padded = [text, &[0x80], &vec![0; zeros], &bits.to_le_bytes()].concat();
    let state = padded.chunks_exact(BLOCK).fold(BEGIN, with_block);
    state.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

/// The state after a further block.
fn with_block(before: [u32; 4], block: &[u8]) -> [u32; 4] {
    let word = |at: u32| {
        let bytes = block.chunks_exact(4).nth(at as usize % 16).and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let [mut a, mut b, mut c, mut d] = before;
    for (step, (round, rotations)) in
        (0_u32..).zip((0_u32..).zip(ROTATIONS).flat_map(|round| std::iter::repeat_n(round, 16)))
    {
        let (mixed, at) = match round {
            0 => (b & c | !b & d, step),
            1 => (d & b | !d & c, 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a.wrapping_add(mixed).wrapping_add(constant(step)).wrapping_add(word(at));
        let [first, second, third, fourth] = rotations;
        let rotation = match step % 4 {
            0 => first,
            1 => second,
            2 => third,
            _ => fourth,
        };
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(rotation)));
    }
    let [p, q, r, s] = before;
    [p.wrapping_add(a), q.wrapping_add(b), r.wrapping_add(c), s.wrapping_add(d)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(md5(text.as_bytes()), expected, "{text}");
        }
        // Lengths at the border of a block, as OpenSSL has them.
        for (length, expected) in [
            (55, "ef1772b6dff9a122358552954ad0df65"),
            (56, "3b0c8ac703f828b04c6c197006d17218"),
            (63, "b06521f39153d618550606be297466d5"),
            (64, "014842d480b571495a4a0363793f7367"),
        ] {
            assert_eq!(md5(&vec![b'a'; length]), expected, "{length}");
        }
    }
}
