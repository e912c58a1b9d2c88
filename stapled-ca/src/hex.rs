//! Hexadecimal text.

/// Two digits for each octet, in lower case.
pub(crate) fn lower(octets: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    let mut text = String::with_capacity(octets.len() * 2);
    text.extend(octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 0xf)]));
    text
}

/// The value of a hexadecimal digit in either case.
pub(crate) fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Two digits for each octet, in upper case.
pub(crate) fn upper(octets: &[u8]) -> String {
    lower(octets).to_ascii_uppercase()
}

/// The octets of a text of hexadecimal digits in either case; `None` when it has anything else. An odd number of
/// digits is read as if a zero stood before them.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut digits = text.chars().map(|letter| letter.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | *digit as u8)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_undoes_encoding() {
        let octets: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&lower(&octets)), Some(octets.clone()));
        assert_eq!(decode(&upper(&octets)), Some(octets));
        assert_eq!(lower(&[0x0a, 0xff]), "0aff");
        assert_eq!(upper(&[0x0a, 0xff]), "0AFF");
    }

    #[test]
    fn odd_and_malformed_texts() {
        assert_eq!(decode("abc"), Some(vec![0x0a, 0xbc]));
        assert_eq!(decode(""), Some(vec![]));
        for text in ["g0", "0x", " 00", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
