//! Values by `serde_yaml`, each with the place of its event.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::iter::Peekable;
use std::vec;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::events::{Event, EventKind};
use crate::fault::{self, Fault};
use crate::span::Span;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// Kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// What it is, and how it is written (without quotes, with escapes resolved).
    Scalar(Scalar, String),
    List(Vec<Node>),
    /// In the order of the text.
    Map(Vec<Entry>),
}

/// Kinds of scalars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Always text.
    pub(crate) key: Node,
    pub(crate) value: Node,
    /// Whether an earlier entry has the same key, which is reported. This one is not to be read.
    pub(crate) repeated: bool,
}

/// The tree that `serde_yaml` reads in `text`, with the places of `events`.
pub(super) fn build(text: &str, events: Vec<Event>) -> (Option<Node>, Vec<Fault>) {
    let mut cursor = Cursor {
        events: events.into_iter().peekable(),
        faults: Vec::new(),
        last: Span::default(),
    };
    let read = Builder(&mut cursor).deserialize(serde_yaml::Deserializer::from_str(text));
    match read {
        Ok(node) => (Some(node), cursor.faults),
        Err(error) => {
            cursor.faults.push(values_fault(&error, cursor.last));
            (None, cursor.faults)
        }
    }
}

impl Node {
    /// The text of a scalar that is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Text, text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(Scalar::Null, _) => "nothing".to_owned(),
            Value::Scalar(Scalar::Text, text) if text.is_empty() => "empty text".to_owned(),
            Value::Scalar(Scalar::Text, text) if text.parse::<f64>().is_ok() => {
                format!("the text `{text}`")
            }
            Value::Scalar(Scalar::Text, text) => format!("`{}`", shorten(text)),
            Value::Scalar(Scalar::Bool(_), text) => format!("`{text}`"),
            Value::Scalar(_, text) => format!("the number `{}`", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The step to the child that stands at `offset`; no child: the step is to a key.
    pub(super) fn child_at(&self, offset: u32) -> Option<(Step<'_>, Option<&Node>)> {
        match &self.value {
            Value::Scalar(..) => None,
            Value::List(items) => {
                let index = items
                    .partition_point(|item| item.span.start <= offset)
                    .checked_sub(1)?;
                Some((Step::Index(index), Some(&items[index])))
            }
            Value::Map(entries) => {
                let after = entries.partition_point(|entry| entry.key.span.start <= offset);
                let entry = &entries[after.checked_sub(1)?];
                let on_key = offset < entry.key.span.end;
                let key = entry.key.text().unwrap_or_default();
                Some((Step::Key(key), (!on_key).then_some(&entry.value)))
            }
        }
    }
}

/// A part of a path.
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Step<'_> {
    /// Appends it: `.key`, `."odd key"` or `[3]`.
    pub(super) fn write_to(&self, path: &mut String) {
        let dot = if path.is_empty() { "" } else { "." };
        let plain = |key: &str| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let written = match self {
            Self::Index(index) => write!(path, "[{index}]"),
            Self::Key(key) if plain(key) => write!(path, "{dot}{key}"),
            Self::Key(key) => write!(path, "{dot}{:?}", shorten(key)),
        };
        written.expect("writing to a string does not fail");
    }
}

/// At most 60 characters of `text`, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let mut short = String::new();
    for (index, character) in text.chars().enumerate() {
        match character {
            _ if index == 60 => {
                short.push('…');
                break;
            }
            control if control.is_control() => short.extend(control.escape_default()),
            other => short.push(other),
        }
    }
    short
}

/// The events that are not used up yet.
struct Cursor {
    events: Peekable<vec::IntoIter<Event>>,
    faults: Vec<Fault>,
    /// The last event taken: where the two parsers part, if they do.
    last: Span,
}

impl Cursor {
    fn next<E: serde::de::Error>(&mut self) -> Result<Event, E> {
        let event = self.events.next().ok_or_else(|| E::custom(DIFFERENCE))?;
        self.last = event.span;
        Ok(event)
    }

    /// Takes the next event, which must be of this kind.
    fn expect<E: serde::de::Error>(&mut self, kind: &EventKind) -> Result<Span, E> {
        let event = self.next()?;
        if event.kind == *kind {
            Ok(event.span)
        } else {
            Err(E::custom(DIFFERENCE))
        }
    }

    /// Takes the next event, which must be a scalar written so, if this is given.
    fn scalar<E: serde::de::Error>(
        &mut self,
        scalar: Scalar,
        written: Option<&str>,
    ) -> Result<Node, E> {
        let event = self.next()?;
        match event.kind {
            EventKind::Scalar { text, plain }
                if written.map_or(plain, |written| written == text) =>
            {
                Ok(Node {
                    span: event.span,
                    value: Value::Scalar(scalar, text),
                })
            }
            _ => Err(E::custom(DIFFERENCE)),
        }
    }

    /// Marks and reports all but the first of entries with the same key.
    fn mark_repeated(&mut self, entries: &mut [Entry]) {
        let mut seen: HashMap<&str, Span> = HashMap::with_capacity(entries.len());
        for Entry { key, repeated, .. } in entries {
            let name = key.text().unwrap_or_default();
            let first = *seen.entry(name).or_insert(key.span);
            if first == key.span {
                continue;
            }
            *repeated = true;
            let twice = Fault::error(key.span, format!("`{}` is used twice", shorten(name)))
                .related(first, "first used here")
                .hint("remove or rename one of the two".to_owned());
            fault::push(&mut self.faults, twice);
        }
    }
}

/// Reads one value: what `serde_yaml` visits, at the place of the next event.
struct Builder<'a>(&'a mut Cursor);

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        self.0.scalar(Scalar::Null, None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Node, E> {
        self.0.scalar(Scalar::Bool(value), None)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        self.0.scalar(Scalar::Unsigned(value), None)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node, E> {
        self.0.scalar(Scalar::Signed(value), None)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Node, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Node, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        self.0.scalar(Scalar::Float(value), None)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node, E> {
        self.0.scalar(Scalar::Text, Some(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let start = self.0.expect(&EventKind::ListStart)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Builder(self.0))? {
            list.push(item);
        }
        let end = self.0.expect(&EventKind::ListEnd)?;
        Ok(Node {
            span: start.to(end),
            value: Value::List(list),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let start = self.0.expect(&EventKind::MapStart)?;
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Key(self.0))? {
            let value = map.next_value_seed(Builder(self.0))?;
            entries.push(Entry {
                key,
                value,
                repeated: false,
            });
        }
        let end = self.0.expect(&EventKind::MapEnd)?;
        self.0.mark_repeated(&mut entries);
        Ok(Node {
            span: start.to(end),
            value: Value::Map(entries),
        })
    }
}

/// Reads a key: a scalar, whose text it is as written.
struct Key<'a>(&'a mut Cursor);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let key = Builder(self.0).deserialize(deserializer)?;
        match key.value {
            Value::Scalar(kind, text) if kind != Scalar::Null => Ok(Node {
                span: key.span,
                value: Value::Scalar(Scalar::Text, text),
            }),
            _ => {
                self.0.last = key.span;
                Err(D::Error::custom(KEY))
            }
        }
    }
}

/// Why `serde_yaml` stopped, or where the two parsers part.
fn values_fault(error: &serde_yaml::Error, last: Span) -> Fault {
    let message = error.to_string();
    if message.contains(KEY) {
        return Fault::error(last, KEY).hint("write the key in quotes".to_owned());
    }
    if message.contains(DIFFERENCE) {
        return Fault::error(last, DIFFERENCE)
            .hint("write the value more plainly, in double quotes".to_owned());
    }
    let span = error
        .location()
        .map_or(last, |at| Span::new(at.index(), at.index()));
    Fault::error(span, format!("not YAML: {message}"))
}

const KEY: &str = "a key must be a word";
const DIFFERENCE: &str = "YAML parsers read this in different ways";
