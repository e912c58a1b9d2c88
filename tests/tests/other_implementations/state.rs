//! A response that is corrected step by step: its parts have the names of RFC 6960.

use stapled_ca::SignatureScheme;
use stapled_ca::ocsp::Signer;
use stapled_core::staple::JudgePolicy;

use crate::tlv::{Body, Length, Node};
use crate::world::World;

/// A response in parts, with the signer that can sign it again, and the policy of our judgement.
#[derive(Clone)]
pub(crate) struct State<'a> {
    pub(crate) world: &'a World,
    /// The index of the signer.
    pub(crate) candidate: usize,
    pub(crate) scheme: SignatureScheme,
    pub(crate) tree: Node,
    /// The bytes after the response.
    pub(crate) behind: Vec<u8>,
    pub(crate) policy: JudgePolicy,
}

impl<'a> State<'a> {
    /// Takes a response apart; `None` if even the most tolerant reading fails.
    pub(crate) fn new(world: &'a World, candidate: usize, scheme: SignatureScheme, response: &[u8]) -> Option<Self> {
        let is_open = |(tree, _): &(Node, &[u8])| tree.at(&[1, 0, 1, 0]).is_some();
        let (tree, behind) = Node::read_first(response)
            .filter(is_open)
            .or_else(|| Node::read_first_generously(response).filter(is_open))
            .or_else(|| Node::read_first_opaquely(response).filter(is_open))?;
        Some(State { world, candidate, scheme, tree, behind: behind.to_vec(), policy: JudgePolicy::default() })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.tree.encode(), self.behind.clone()].concat()
    }

    pub(crate) fn signer(&self) -> &Signer {
        &self.world.signers[self.candidate].signer
    }

    /// BasicOCSPResponse.
    pub(crate) fn basic(&mut self) -> Option<&mut Vec<Node>> {
        self.tree.at_mut(&[1, 0, 1, 0])?.children_mut()
    }

    /// The elements of tbsResponseData.
    pub(crate) fn tbs(&mut self) -> Option<&mut Vec<Node>> {
        self.basic()?.first_mut()?.children_mut()
    }

    /// The responderID in tbsResponseData.
    pub(crate) fn responder_id(&mut self) -> Option<&mut Node> {
        let place = self.tbs()?.iter().position(|node| matches!(node.tag, 0xa1 | 0xa2))?;
        self.tbs()?.get_mut(place)
    }

    /// The SingleResponses.
    pub(crate) fn singles(&mut self) -> Option<&mut Vec<Node>> {
        self.tbs()?.iter_mut().find(|node| node.tag == 0x30)?.children_mut()
    }

    /// The lists of extensions: of the whole response, and of each SingleResponse.
    pub(crate) fn extensions(&mut self) -> Vec<&mut Vec<Node>> {
        let Some(tbs) = self.tbs() else { return Vec::new() };
        let mut lists = Vec::new();
        let mut past = false;
        for node in tbs {
            match node.tag {
                0x30 if !past => {
                    past = true;
                    for single in node.children_mut().into_iter().flatten() {
                        // The fields after certID and certStatus, which may have the tag [1] as well.
                        let fields = single.children_mut().into_iter().flatten().skip(2);
                        lists.extend(fields.filter(|node| node.tag == 0xa1).filter_map(list));
                    }
                }
                0xa1 if past => lists.extend(list(node)),
                _ => {}
            }
        }
        lists
    }

    /// The embedded certificates.
    pub(crate) fn certificates(&mut self) -> Option<&mut Vec<Node>> {
        self.basic()?.iter_mut().find(|node| node.tag == 0xa0)?.children_mut()?.first_mut()?.children_mut()
    }

    /// Signs the response again. This makes sense only if its signature was right before.
    pub(crate) fn sign(&mut self) {
        let key = std::sync::Arc::clone(self.signer().key());
        let scheme = self.scheme;
        let Some(basic) = self.basic() else { return };
        let Some(tbs) = basic.first().map(Node::encode) else { return };
        let Ok(signature) = key.sign_with(scheme, &tbs) else { return };
        if let Some(node) = basic.get_mut(2) {
            *node = Node::new(0x03, &[&[0], &signature[..]].concat());
        }
    }

    /// Signs an embedded certificate again, in the way of its issuer.
    pub(crate) fn sign_certificate(&mut self, place: usize) {
        let key = std::sync::Arc::clone(self.world.issuer.key());
        let Some(certificate) = self.certificates().and_then(|list| list.get_mut(place)) else { return };
        let Some(tbs) = certificate.children().first().map(Node::encode) else { return };
        let Ok(signature) = key.sign_with(key.default_scheme(), &tbs) else { return };
        if let Some([_, _, node, ..]) = certificate.children_mut().map(Vec::as_mut_slice) {
            *node = Node::new(0x03, &[&[0], &signature[..]].concat());
        }
    }

    /// Applies `edit`, and corrects every signature over the changed parts. `None` if `edit` changed nothing.
    pub(crate) fn mended(&self, edit: impl FnOnce(&mut State<'a>) -> Option<()>) -> Option<State<'a>> {
        let mut next = self.clone();
        edit(&mut next)?;
        let data = |state: &mut State<'_>| state.basic().and_then(|basic| basic.first().map(Node::encode));
        let certificates = |state: &mut State<'_>| -> Vec<Option<Vec<u8>>> {
            let tbs = |node: &Node| node.children().first().map(Node::encode);
            state.certificates().map(|list| list.iter().map(tbs).collect()).unwrap_or_default()
        };
        let (before, after) = (certificates(&mut self.clone()), certificates(&mut next));
        if before.len() == after.len() {
            for place in (0..after.len()).filter(|place| before[*place] != after[*place]) {
                next.sign_certificate(place);
            }
        }
        if data(&mut self.clone()) != data(&mut next) {
            next.sign();
        }
        let changed = next.bytes() != self.bytes()
            || format!("{:?}", next.policy) != format!("{:?}", self.policy)
            || next.tree != self.tree;
        changed.then_some(next)
    }

    /// Whether the signer's key is in this certificate.
    pub(crate) fn is_signers(&self, certificate: &Node) -> bool {
        let key = &self.signer().identity().public_key;
        let bytes = certificate.encode();
        bytes.windows(key.len()).any(|window| window == &key[..])
    }
}

fn list(explicit: &mut Node) -> Option<&mut Vec<Node>> {
    explicit.children_mut()?.first_mut()?.children_mut()
}

/// A node that contains nodes.
pub(crate) fn nodes(tag: u8, nodes: Vec<Node>) -> Node {
    Node { tag, body: Body::Nodes(nodes), length: Length::Shortest }
}
