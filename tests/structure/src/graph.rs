//! Finds circles in a graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A directed graph, as the set of its edges.
pub type Edges = BTreeSet<(String, String)>;

/// The edges that are part of a circle: those whose end leads back to their beginning.
pub fn edges_in_circles(edges: &Edges) -> Edges {
    edges.iter().filter(|(from, to)| shortest_way(edges, to, from).is_some()).cloned().collect()
}

/// The shortest circle through an edge, from its beginning back to it.
pub fn circle_through(edges: &Edges, (from, to): &(String, String)) -> Option<Vec<String>> {
    let way = shortest_way(edges, to, from)?;
    Some([vec![from.clone()], way].concat())
}

/// The shortest way from one node to another, both included.
fn shortest_way(edges: &Edges, from: &str, to: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(node) = next.pop_front() {
        if node == to {
            let mut way = vec![node.to_owned()];
            let mut at = node;
            while at != from {
                at = before[at];
                way.push(at.to_owned());
            }
            way.reverse();
            return Some(way);
        }
        for (_, target) in edges.iter().filter(|(source, _)| source == node) {
            if target != from && !before.contains_key(target.as_str()) {
                before.insert(target, node);
                next.push_back(target);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(text: &str) -> Edges {
        text.split(' ').map(|edge| edge.split_once('>').unwrap()).map(|(a, b)| (a.into(), b.into())).collect()
    }

    #[test]
    fn only_edges_of_circles_are_named() {
        assert_eq!(edges_in_circles(&edges("a>b b>c a>c")), Edges::new());
        assert_eq!(edges_in_circles(&edges("a>b b>c c>b c>d")), edges("b>c c>b"));
        assert_eq!(edges_in_circles(&edges("a>b b>c c>a d>a")), edges("a>b b>c c>a"));
    }

    #[test]
    fn the_shortest_circle_is_shown() {
        let edges = edges("a>b b>c c>a b>d d>e e>a");
        assert_eq!(circle_through(&edges, &("a".into(), "b".into())).unwrap(), ["a", "b", "c", "a"]);
        assert_eq!(circle_through(&edges, &("d".into(), "e".into())).unwrap(), ["d", "e", "a", "b", "d"]);
    }
}
