//! JSON whose every value knows its place, for errors that say where.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What is wrong with a policy, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PolicyError {
    pub(super) at: String,
    pub(super) why: String,
}

/// A JSON value whose objects have no member twice.
///
/// The parser refuses what is nested more than 128 deep.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// A number, `true` or `false`, as it is written.
    Scalar(String),
    Null,
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn parse(text: &str) -> Result<Self, PolicyError> {
        serde_json::from_str(text).map_err(|error| PolicyError {
            at: "the document".to_owned(),
            why: error.to_string(),
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut found: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = found.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut found: A) -> Result<Node, A::Error> {
        let (mut map, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some((name, node)) = found.next_entry::<String, Node>()? {
            if !seen.insert(name.clone()) {
                return Err(de::Error::custom(format!("`{name}` stands here twice")));
            }
            map.push((name, node));
        }
        Ok(Node::Map(map))
    }
}

/// A value and its place: `Statement[0].Principal.AWS`.
pub(super) struct Located<'a> {
    path: String,
    node: &'a Node,
}

impl<'a> Located<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self {
            path: String::new(),
            node,
        }
    }

    pub(super) fn error(&self, why: impl Into<String>) -> PolicyError {
        let at = match self.path.as_str() {
            "" => "the document",
            path => path,
        };
        PolicyError {
            at: at.to_owned(),
            why: why.into(),
        }
    }

    fn child(&self, name: &str, node: &'a Node) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self {
            path: format!("{}{dot}{name}", self.path),
            node,
        }
    }

    fn map(&self) -> Result<&'a [(String, Node)], PolicyError> {
        match self.node {
            Node::Map(map) => Ok(map),
            _ => Err(self.error("an object is expected here")),
        }
    }

    /// The members of an object.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Self)>, PolicyError> {
        let map = self.map()?.iter();
        Ok(map
            .map(|(name, node)| (name.as_str(), self.child(name, node)))
            .collect())
    }

    /// Refuses members of other names.
    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), PolicyError> {
        let mut unknown = self.entries()?.into_iter();
        match unknown.find(|(name, _)| !allowed.contains(name)) {
            None => Ok(()),
            Some((_, found)) => {
                Err(found.error(format!("it is unknown: allowed are {}", allowed.join(", "))))
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Self>, PolicyError> {
        let found = self.map()?.iter().find(|(found, _)| found == name);
        Ok(found.map(|(name, node)| self.child(name, node)))
    }

    pub(super) fn need(&self, name: &str) -> Result<Self, PolicyError> {
        let missing = || self.error(format!("`{name}` is missing"));
        self.get(name)?.ok_or_else(missing)
    }

    /// Exactly one of two members, and whether it is the second.
    pub(super) fn either(&self, one: &str, other: &str) -> Result<(bool, Self), PolicyError> {
        match (self.get(one)?, self.get(other)?) {
            (Some(found), None) => Ok((false, found)),
            (None, Some(found)) => Ok((true, found)),
            (None, None) => Err(self.error(format!("`{one}` is missing"))),
            (Some(_), Some(found)) => {
                Err(found.error(format!("`{one}` and `{other}` exclude each other")))
            }
        }
    }

    /// The elements of a list that has some, or the value itself.
    pub(super) fn one_or_many(&self) -> Result<Vec<Self>, PolicyError> {
        match self.node {
            Node::List(list) if list.is_empty() => Err(self.error("the list is empty")),
            Node::List(list) => {
                let list = list.iter().enumerate();
                let element = |(at, node)| Self {
                    path: format!("{}[{at}]", self.path),
                    node,
                };
                Ok(list.map(element).collect())
            }
            node => Ok(vec![Self {
                path: self.path.clone(),
                node,
            }]),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.node, Node::Text(_))
    }

    pub(super) fn text(&self) -> Result<&'a str, PolicyError> {
        match self.node {
            Node::Text(text) => Ok(text),
            _ => Err(self.error("a string is expected here")),
        }
    }

    /// A string, a number, `true` or `false`.
    pub(super) fn scalar(&self) -> Result<String, PolicyError> {
        match self.node {
            Node::Text(text) | Node::Scalar(text) => Ok(text.clone()),
            _ => Err(self.error("a string, a number or a boolean is expected here")),
        }
    }

    pub(super) fn one_of<T: Copy>(&self, allowed: &[(&str, T)]) -> Result<T, PolicyError> {
        let text = self.text()?;
        let found = allowed.iter().find(|(name, _)| *name == text);
        let names: Vec<_> = allowed
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let wrong = || self.error(format!("`{text}` is not one of {}", names.join(", ")));
        found.map(|(_, value)| *value).ok_or_else(wrong)
    }
}
