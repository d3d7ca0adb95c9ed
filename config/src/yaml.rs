//! YAML text to a tree of values with places: the one module that knows a YAML parser.
//!
//! Two parsers read the same text. `serde_yaml` says what the values are, `saphyr-parser` says where
//! they stand; a text that the two read differently is refused, so that nobody (an editor, a linter,
//! a deployment tool) sees another document than the balancer does. What a configuration does not
//! need is refused too: anchors and aliases (which can make a small text a huge document), tags,
//! several documents in one text, keys that are no plain words, and deep nesting.

mod events;
mod tree;

use crate::fault::Fault;
use crate::span::Span;

pub(crate) use tree::{Entry, Node, Scalar, Value, shorten};

/// Lists and mappings inside of each other.
const MAX_DEPTH: usize = 32;

/// The tree of `text`, with the faults that left a tree; or none, with those that did not.
pub(crate) fn read(text: &str) -> (Option<Node>, Vec<Fault>) {
    let (events, faults) = events::scan(text);
    if faults.is_empty() {
        tree::build(text, events)
    } else {
        (None, faults)
    }
}

/// The keys and indices that lead from `root` to what stands at `span`, as far as there is something.
pub(crate) fn path(root: &Node, span: Span) -> String {
    let mut path = String::new();
    let mut node = root;
    while node.span != span {
        let Some((step, next)) = node.child_at(span.start) else {
            break;
        };
        step.write_to(&mut path);
        match next {
            Some(child) if child.span.end >= span.end => node = child,
            _ => break,
        }
    }
    path
}

/// The place of the value to which `wanted` leads, written as [`path()`] writes it.
pub(crate) fn find(root: &Node, wanted: &str) -> Option<Span> {
    find_below(root, root, wanted)
}

fn find_below(root: &Node, node: &Node, wanted: &str) -> Option<Span> {
    let children: Vec<&Node> = match &node.value {
        Value::Scalar(..) => Vec::new(),
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|entry| &entry.value).collect(),
    };
    children.into_iter().find_map(|child| {
        let path = path(root, child.span);
        match path == wanted {
            true => Some(child.span),
            false if wanted.starts_with(&path) => find_below(root, child, wanted),
            false => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        read(text)
            .1
            .into_iter()
            .map(|fault| fault.message)
            .collect()
    }

    #[test]
    fn a_path_leads_back_to_its_place() {
        let text = "a: [1, { b.c: x }]\nab: { d: y }\n";
        let root = read(text).0.expect("a tree");
        for word in ["1", "x", "y"] {
            let start = text.rfind(word).expect("a word of the text");
            let span = Span::new(start, start + 1);
            assert_eq!(find(&root, &path(&root, span)), Some(span), "{word}");
        }
        assert_eq!(find(&root, "a[2]"), None);
    }

    #[test]
    fn values_have_kinds_and_places() {
        let text = "a: [1, 'ü', x]\nb:\n  c: true\n  d: ~\n";
        let (root, faults) = read(text);
        assert_eq!(faults, []);
        let root = root.expect("a tree");
        for (word, path_of_it) in [
            ("'ü'", "a[1]"),
            ("x", "a[2]"),
            ("true", "b.c"),
            ("c:", "b.c"),
        ] {
            let start = text.find(word).expect("a word of the text");
            let end = start + word.trim_end_matches(':').len();
            assert_eq!(path(&root, Span::new(start, end)), path_of_it);
        }
    }

    #[test]
    fn what_a_configuration_does_not_need_is_refused() {
        for (text, message) in [
            ("a: &x 1\nb: *x\n", "anchors and aliases are not supported"),
            ("a: !t 1\n", "tags are not supported"),
            ("a: 1\n---\nb: 1\n", "more than one document"),
            ("? [a]\n: 1\n", "a key must be a word"),
            ("", "the document is empty"),
            ("# nothing\n", "the document is empty"),
        ] {
            assert!(
                messages(text).iter().any(|found| found == message),
                "{text:?}: {:?}",
                messages(text)
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(messages(&deep(MAX_DEPTH)), [""; 0]);
        assert_eq!(messages(&deep(MAX_DEPTH + 1)), ["nested too deeply"]);
        assert!(!messages(&"[".repeat(1_000_000)).is_empty());
    }

    #[test]
    fn second_of_two_equal_keys_is_a_fault_and_marked() {
        let text = "a: 1\nb: 2\na: 3\n";
        let (root, faults) = read(text);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].span, Some(Span::new(10, 11)));
        assert_eq!(
            faults[0].related,
            Some((Span::new(0, 1), "first used here"))
        );
        let Some(Node {
            value: Value::Map(entries),
            ..
        }) = root
        else {
            panic!("a mapping")
        };
        let repeated: Vec<bool> = entries.iter().map(|entry| entry.repeated).collect();
        assert_eq!(repeated, [false, false, true]);
    }
}
