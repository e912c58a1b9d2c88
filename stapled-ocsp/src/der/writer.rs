//! Writes DER elements.

/// The tag and the length of an element, as they are written before its contents.
pub(crate) struct Header {
    bytes: [u8; 2 + size_of::<usize>()],
    length: usize,
}

impl Header {
    /// The header of an element with this number of content bytes.
    pub(crate) fn new(tag: u8, contents: usize) -> Self {
        let mut header = Header { bytes: [0; 2 + size_of::<usize>()], length: 0 };
        header.push(tag);
        match contents {
            0..=0x7f => header.push(contents as u8),
            _ => {
                let bytes = contents.to_be_bytes();
                let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
                header.push(0x80 | (bytes.len() - skip) as u8);
                bytes.iter().skip(skip).for_each(|&byte| header.push(byte));
            }
        }
        header
    }

    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.length) {
            *free = byte;
            self.length += 1;
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The number of bytes of the header.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

/// Writes one element.
pub(crate) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let header = Header::new(tag, contents.len());
    let mut out = Vec::with_capacity(header.len() + contents.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(contents);
    out
}

/// Appends one element, whose contents are these parts.
pub(crate) fn push_element(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let header = Header::new(tag, parts.iter().map(|part| part.len()).sum());
    out.extend_from_slice(header.as_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::OCTET_STRING;

    #[test]
    fn parts_are_written_as_one_element() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let contents = vec![0xaa; length];
            let bytes = element(OCTET_STRING, &contents);
            let mut pushed = vec![1];
            let (front, back) = contents.split_at(length / 2);
            push_element(&mut pushed, OCTET_STRING, &[front, &[], back]);
            assert_eq!(pushed.get(1..), Some(bytes.as_slice()));
        }
    }

    #[test]
    fn the_longest_length_has_room() {
        let header = Header::new(OCTET_STRING, usize::MAX);
        assert_eq!(header.len(), header.bytes.len());
    }
}
