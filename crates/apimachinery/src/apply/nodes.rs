//! The path elements at one place of a set, with what stands there: a sorted list.
//!
//! A tree of small maps is mostly room for entries that never come; most places hold a handful.

use super::fieldset::Node;

/// Elements in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes(Vec<(Box<str>, Node)>);

impl Nodes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(element, node)| (&**element, node))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.0.iter_mut().map(|(element, node)| (&**element, node))
    }

    pub fn get(&self, element: &str) -> Option<&Node> {
        self.find(element).ok().map(|index| &self.0[index].1)
    }

    pub fn get_mut(&mut self, element: &str) -> Option<&mut Node> {
        self.find(element).ok().map(|index| &mut self.0[index].1)
    }

    /// Puts a node in its place, instead of one that is there.
    pub fn insert(&mut self, element: Box<str>, node: Node) {
        match self.find(&element) {
            Ok(index) => self.0[index].1 = node,
            Err(index) => self.0.insert(index, (element, node)),
        }
    }

    pub fn remove(&mut self, element: &str) -> Option<Node> {
        self.find(element).ok().map(|index| self.0.remove(index).1)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Node) -> bool) {
        self.0.retain_mut(|(element, node)| keep(element, node));
    }

    /// Returns where an element stands, or would stand.
    fn find(&self, element: &str) -> Result<usize, usize> {
        match self.0.last() {
            // Elements mostly come in order.
            Some((last, _)) if **last < *element => Err(self.0.len()),
            _ => self.0.binary_search_by(|(known, _)| (**known).cmp(element)),
        }
    }
}

impl FromIterator<(Box<str>, Node)> for Nodes {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Node)>>(nodes: I) -> Self {
        let mut sorted = Self::default();
        nodes.into_iter().for_each(|(element, node)| sorted.insert(element, node));
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_in_order_and_once() {
        let empty = || Node { is_member: false, ..Node::member() };
        let mut nodes: Nodes = ["f:b", "f:a", "f:c", "f:b"].into_iter().map(|element| (element.into(), Node::member())).collect();
        nodes.insert("f:a".into(), empty());
        assert_eq!(
            nodes.iter().map(|(element, node)| (element, node.is_member)).collect::<Vec<_>>(),
            [("f:a", false), ("f:b", true), ("f:c", true)]
        );
        assert_eq!((nodes.remove("f:b"), nodes.remove("f:x")), (Some(Node::member()), None));
        nodes.retain(|_, node| node.is_member);
        assert_eq!((nodes.get("f:c"), nodes.get("f:a"), nodes.get("f:b")), (Some(&Node::member()), None, None));
    }
}
