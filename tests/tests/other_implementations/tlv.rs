//! A response as a tree of elements, each of which can be made wrong separately.

/// One element. Its encoded length may be wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) tag: u8,
    pub(crate) body: Body,
    pub(crate) length: Length,
}

/// The contents of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    Nodes(Vec<Node>),
}

/// The form of an encoded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The shortest form, as DER requires.
    Shortest,
    /// A form with this many bytes after the first, whether they are needed or not.
    Long(u8),
    /// The indefinite form, with an end mark.
    Indefinite,
    /// These bytes, whatever the contents are.
    Forced(Vec<u8>),
}

impl Node {
    pub(crate) fn new(tag: u8, contents: &[u8]) -> Self {
        Node { tag, body: Body::Bytes(contents.to_vec()), length: Length::Shortest }
    }

    /// Reads one element in any form of BER, without bytes after it. The contents of an OCTET STRING are read too, if
    /// they begin with a SEQUENCE.
    pub(crate) fn read(bytes: &[u8]) -> Option<Node> {
        let (node, behind) = Self::read_first(bytes)?;
        behind.is_empty().then_some(node)
    }

    /// Reads one element, and returns the bytes after it.
    pub(crate) fn read_first(bytes: &[u8]) -> Option<(Node, &[u8])> {
        Self::read_one(bytes, 40, false)
    }

    /// Reads like [`Node::read_first`], but the contents of an element need not be elements, whatever its tag is.
    pub(crate) fn read_first_opaquely(bytes: &[u8]) -> Option<(Node, &[u8])> {
        Self::read_one(bytes, 40, true)
    }

    fn read_one(bytes: &[u8], depth: usize, opaque: bool) -> Option<(Node, &[u8])> {
        let depth = depth.checked_sub(1)?;
        let (&tag, rest) = bytes.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        if first == 0x80 {
            let mut nodes = Vec::new();
            while !rest.starts_with(&[0, 0]) {
                let (node, behind) = Self::read_one(rest, depth, opaque)?;
                nodes.push(node);
                rest = behind;
            }
            return Some((Node { tag, body: Body::Nodes(nodes), length: Length::Indefinite }, &rest[2..]));
        }
        let mut octets: &[u8] = &[first];
        if first > 0x80 {
            (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        }
        let length =
            octets.iter().try_fold(0usize, |sum, octet| sum.checked_mul(256)?.checked_add(usize::from(*octet)))?;
        let (contents, behind) = rest.split_at_checked(length)?;
        let elements = || {
            let mut nodes = Vec::new();
            let mut left = contents;
            while !left.is_empty() {
                let (node, after) = Self::read_one(left, depth, opaque)?;
                nodes.push(node);
                left = after;
            }
            Some(nodes)
        };
        let body = match tag {
            0x04 => match elements().filter(|nodes| nodes.first().is_some_and(|node| node.tag == 0x30)) {
                Some(nodes) => Body::Nodes(nodes),
                None => Body::Bytes(contents.to_vec()),
            },
            _ if tag & 0x20 != 0 => match elements() {
                Some(nodes) => Body::Nodes(nodes),
                None if opaque => Body::Bytes(contents.to_vec()),
                None => return None,
            },
            _ => Body::Bytes(contents.to_vec()),
        };
        let node = Node { tag, body, length: Length::Shortest };
        let shortest = first <= 0x80 || length_octets(length, 1) == octets && length >= 0x80;
        let length = if shortest { Length::Shortest } else { Length::Long(first & 0x7f) };
        Some((Node { length, ..node }, behind))
    }

    pub(crate) fn contents(&self) -> Vec<u8> {
        match &self.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Nodes(nodes) => {
                let mut out = Vec::new();
                nodes.iter().for_each(|node| node.encode_into(&mut out));
                out
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        let contents = self.contents();
        out.push(self.tag);
        match &self.length {
            Length::Shortest if contents.len() < 0x80 => out.push(contents.len() as u8),
            Length::Shortest | Length::Long(_) => {
                let least = if let Length::Long(least) = self.length { usize::from(least) } else { 1 };
                let octets = length_octets(contents.len(), least);
                out.push(0x80 | octets.len() as u8);
                out.extend_from_slice(&octets);
            }
            Length::Indefinite => out.push(0x80),
            Length::Forced(bytes) => out.extend_from_slice(bytes),
        }
        out.extend_from_slice(&contents);
        if self.length == Length::Indefinite {
            out.extend_from_slice(&[0, 0]);
        }
    }

    pub(crate) fn children(&self) -> &[Node] {
        match &self.body {
            Body::Nodes(nodes) => nodes,
            Body::Bytes(_) => &[],
        }
    }

    pub(crate) fn children_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.body {
            Body::Nodes(nodes) => Some(nodes),
            Body::Bytes(_) => None,
        }
    }

    pub(crate) fn at(&self, path: &[usize]) -> Option<&Node> {
        path.iter().try_fold(self, |node, place| node.children().get(*place))
    }

    pub(crate) fn at_mut(&mut self, path: &[usize]) -> Option<&mut Node> {
        path.iter().try_fold(self, |node, place| node.children_mut()?.get_mut(*place))
    }

    /// The paths of all elements below `prefix`, including itself.
    pub(crate) fn paths(&self, prefix: &[usize]) -> Vec<Vec<usize>> {
        let mut paths = Vec::new();
        if let Some(node) = self.at(prefix) {
            node.collect(prefix.to_vec(), &mut paths);
        }
        paths
    }

    fn collect(&self, path: Vec<usize>, paths: &mut Vec<Vec<usize>>) {
        for (place, child) in self.children().iter().enumerate() {
            let mut below = path.clone();
            below.push(place);
            child.collect(below, paths);
        }
        paths.push(path);
    }
}

impl Node {
    /// Reads like [`Node::read_first`], but an explicit tag `[n]` ends with the one element in it, whatever its own
    /// length is. That length is kept as [`Length::Forced`].
    pub(crate) fn read_first_generously(bytes: &[u8]) -> Option<(Node, &[u8])> {
        Self::read_generously(bytes, 40)
    }

    fn read_generously(bytes: &[u8], depth: usize) -> Option<(Node, &[u8])> {
        let depth = depth.checked_sub(1)?;
        let (&tag, rest) = bytes.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut octets: &[u8] = &[first];
        if first == 0x80 {
            return Self::read_one(bytes, depth, false);
        }
        if first > 0x80 {
            (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        }
        let length =
            octets.iter().try_fold(0usize, |sum, octet| sum.checked_mul(256)?.checked_add(usize::from(*octet)))?;
        let written = || {
            let mut written = vec![first];
            if first > 0x80 {
                written.extend(octets);
            }
            written
        };
        let forced = |body: Body| {
            let node = Node { tag, body, length: Length::Shortest };
            let encoded = node.encode();
            let written = written();
            if encoded[1..].starts_with(&written) && node.contents().len() + 1 + written.len() == encoded.len() {
                node
            } else if length == node.contents().len() && first > 0x80 {
                Node { length: Length::Long(first & 0x7f), ..node }
            } else {
                Node { length: Length::Forced(written), ..node }
            }
        };
        let children = |mut left: &[u8]| -> Option<Vec<Node>> {
            let mut nodes = Vec::new();
            while !left.is_empty() {
                let (node, after) = Self::read_generously(left, depth)?;
                nodes.push(node);
                left = after;
            }
            Some(nodes)
        };
        let whole = rest.split_at_checked(length).and_then(|(contents, behind)| {
            let body = match tag {
                0x04 => match children(contents) {
                    Some(inner) if inner.len() == 1 && inner[0].tag == 0x30 => Body::Nodes(inner),
                    _ => Body::Bytes(contents.to_vec()),
                },
                _ if tag & 0x20 != 0 => Body::Nodes(children(contents)?),
                _ => Body::Bytes(contents.to_vec()),
            };
            Some((forced(body), behind))
        });
        if whole.is_some() || !matches!(tag, 0xa0..=0xa3) {
            return whole;
        }
        let (inner, behind) = Self::read_generously(rest, depth)?;
        Some((forced(Body::Nodes(vec![inner])), behind))
    }
}

/// A length in at least `least` octets.
fn length_octets(length: usize, least: usize) -> Vec<u8> {
    let needed = (usize::BITS - length.leading_zeros()).div_ceil(8) as usize;
    let mut octets = vec![0; least.max(needed).saturating_sub(8)];
    octets.extend(&length.to_be_bytes()[8 - least.max(needed).min(8)..]);
    octets
}
