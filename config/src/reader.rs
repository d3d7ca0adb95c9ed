//! A tree of values to the types of the document, by serde, with every fault and not only the first.
//!
//! Serde stops at the first error. Here it does not: a [`Spanned`] value or a [`Field`] that cannot
//! be read hands its fault to the reader and stays empty, and keys that a struct does not know are
//! reported and passed over. As every field of the document is one of the two, one wrong value costs
//! only itself. What is empty was reported, so that later passes need not say it again.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::fault::{self, Fault};
use crate::hints;
use crate::span::Span;
use crate::yaml::{Entry, Node, Scalar, Value, shorten};

/// Reads a `T` from `root`, and says what is wrong.
pub(crate) fn read<T: DeserializeOwned>(root: &Node) -> (Spanned<T>, Vec<Fault>) {
    let faults = RefCell::new(Vec::new());
    let reader = Reader {
        node: root,
        name: "",
        faults: &faults,
    };
    let read = Spanned::deserialize(reader).unwrap_or(Spanned {
        span: root.span,
        value: None,
    });
    (read, faults.into_inner())
}

/// A value and its place; no value: it could not be read, which was reported.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spanned<T> {
    pub(crate) span: Span,
    pub(crate) value: Option<T>,
}

/// A field that may be left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field<T>(pub(crate) Option<Spanned<T>>);

/// A mapping of names, in the order of the document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named<T>(pub(crate) Vec<(Spanned<String>, Spanned<T>)>);

/// A list, or the one item of a list that has one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<Spanned<T>>);

/// A word, or a mapping where a word does not say enough.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WordOr<W, M> {
    /// The word.
    Word(W),
    /// The mapping.
    Map(M),
}

impl<T> Field<T> {
    /// Its value, if it is given and could be read.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()?.value.as_ref()
    }

    /// Its value and its place, if it is given and could be read.
    pub(crate) fn spanned(&self) -> Option<(&T, Span)> {
        let spanned = self.0.as_ref()?;
        Some((spanned.value.as_ref()?, spanned.span))
    }

    /// Its place, if it is given.
    pub(crate) fn span(&self) -> Option<Span> {
        self.0.as_ref().map(|spanned| spanned.span)
    }

    /// Whether it is given, readable or not.
    pub(crate) fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Named<T> {
    /// The names, with their places.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, Span)> {
        self.0
            .iter()
            .map(|(name, _)| (name.value.as_deref().unwrap_or_default(), name.span))
    }
}

// === impl Deserialize ===

const SPANNED: &str = "$spanned";
const ONE_OR_MANY: &str = "$one_or_many";
const WORD_OR: &str = "$word_or";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(SPANNED, 3, SpannedVisitor(PhantomData))
    }
}

struct SpannedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
    type Value = Spanned<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value and its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let start = parts.next_element()?.unwrap_or_default();
        let end = parts.next_element()?.unwrap_or_default();
        Ok(Spanned {
            span: Span { start, end },
            value: parts.next_element()?,
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(|spanned| Self(Some(spanned)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping of names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(map.size_hint().unwrap_or_default());
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Named(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(ONE_OR_MANY, 0, OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one value or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or_default());
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(OneOrMany(list))
    }
}

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>> Deserialize<'de> for WordOr<W, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum(WORD_OR, &[], WordOrVisitor(PhantomData))
    }
}

struct WordOrVisitor<W, M>(PhantomData<(W, M)>);

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>> Visitor<'de> for WordOrVisitor<W, M> {
    type Value = WordOr<W, M>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a word or a mapping")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
        let (is_map, value): (bool, _) = data.variant()?;
        if is_map {
            value.newtype_variant().map(WordOr::Map)
        } else {
            value.newtype_variant().map(WordOr::Word)
        }
    }
}

// === impl JsonSchema ===

/// The schema of the one type stands for the other.
macro_rules! transparent_schema {
    ($($wrapper:ident),+) => {$(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> std::borrow::Cow<'static, str> {
                T::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )+};
}

transparent_schema!(Spanned, Field);

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({"type": "object", "additionalProperties": item})
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({"anyOf": [item.clone(), {"type": "array", "items": item}]})
    }
}

impl<W: JsonSchema, M: JsonSchema> JsonSchema for WordOr<W, M> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}Or{}", W::schema_name(), M::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<W>();
        let map = generator.subschema_for::<M>();
        json_schema!({"anyOf": [word, map]})
    }
}

// === impl Reader ===

/// Reads one node.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    /// The nearest key, for messages; empty for the whole document.
    name: &'a str,
    faults: &'a RefCell<Vec<Fault>>,
}

impl<'a> Reader<'a> {
    /// The same for a part of the node.
    fn at(self, node: &'a Node, name: &'a str) -> Self {
        Self { node, name, ..self }
    }

    /// The same for the value of an entry.
    fn of(self, entry: &'a Entry) -> Self {
        self.at(&entry.value, entry.key.text().unwrap_or_default())
    }

    fn report(self, fault: Fault) {
        fault::push(&mut self.faults.borrow_mut(), fault);
    }

    /// Gives an error that came up in this node its place and what was found there.
    fn locate(self, error: ReadError) -> ReadError {
        let mut fault = error.0;
        if fault.span.is_none() {
            fault.span = Some(self.node.span);
            fault.message = match self.name {
                "" => "the document is no mapping".to_owned(),
                name => format!("invalid value for `{}`", shorten(name)),
            };
            fault.found = Some(self.node.describe());
            if matches!(self.node.value, Value::Scalar(Scalar::Null, _)) {
                fault.hint = Some("give it a value, or remove the key".to_owned());
            }
        }
        ReadError(fault)
    }

    fn wrong<T>(self, allowed: impl Into<String>, hint: Option<String>) -> Result<T, ReadError> {
        Err(self.locate(ReadError(Box::new(
            Fault::somewhere("").allowed(allowed).hint(hint),
        ))))
    }

    /// The entries of a struct with these fields. A key that is none of them is reported; if it is
    /// clear which one was meant, it is read as that, so that what it holds is looked at as well and
    /// nothing is reported as missing.
    fn fields(
        self,
        entries: &'a [Entry],
        fields: &'static [&'static str],
    ) -> Vec<(&'a str, &'a Entry)> {
        let is_known = |entry: &&Entry| entry.key.text().is_some_and(|key| fields.contains(&key));
        let entries = entries.iter().filter(|entry| !entry.repeated);
        let (known, unknown): (Vec<_>, Vec<_>) = entries.partition(is_known);
        let with_key = |entry: &'a Entry| Some((entry.key.text()?, entry));
        let mut read: Vec<_> = known.into_iter().filter_map(with_key).collect();
        for (key, entry) in unknown.into_iter().filter_map(with_key) {
            self.report(
                Fault::error(entry.key.span, format!("unknown key `{}`", shorten(key)))
                    .allowed(hints::list(fields))
                    .hint(hints::for_key(key, fields)),
            );
            let meant = hints::meant(key, fields).and_then(hints::Meant::direct);
            if let Some(meant) = meant.filter(|meant| read.iter().all(|(key, _)| key != meant)) {
                read.push((meant, entry));
            }
        }
        read
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let read = match &self.node.value {
            Value::Scalar(Scalar::Null, _) => visitor.visit_unit(),
            Value::Scalar(Scalar::Bool(value), _) => visitor.visit_bool(*value),
            Value::Scalar(Scalar::Unsigned(value), _) => visitor.visit_u64(*value),
            Value::Scalar(Scalar::Signed(value), _) => visitor.visit_i64(*value),
            Value::Scalar(Scalar::Float(value), _) => visitor.visit_f64(*value),
            Value::Scalar(Scalar::Text, text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items {
                reader: self,
                items,
            }),
            Value::Map(entries) => visitor.visit_map(Entries {
                reader: self,
                entries: entries.iter(),
                value: None,
            }),
        };
        read.map_err(|error| self.locate(error))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Value::Map(entries) = &self.node.value else {
            return self.wrong(format!("a mapping of {}", hints::list(fields)), None);
        };
        let fields = self.fields(entries, fields).into_iter();
        visitor
            .visit_map(Fields {
                reader: self,
                fields,
                value: None,
            })
            .map_err(|error| self.locate(error))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match (name, &self.node.value) {
            (SPANNED, _) => visitor.visit_seq(Parts {
                reader: self,
                part: 0,
            }),
            (ONE_OR_MANY, Value::Scalar(..) | Value::Map(_)) => visitor.visit_seq(Items {
                reader: self,
                items: std::slice::from_ref(self.node),
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == WORD_OR && matches!(self.node.value, Value::List(_)) {
            return self.wrong("one value or a mapping", None);
        }
        if name == WORD_OR {
            return visitor.visit_enum(Choice(self));
        }
        match self.node.text() {
            Some(word) if variants.contains(&word) => visitor.visit_enum(word.into_deserializer()),
            word => self.wrong(
                hints::list(variants),
                word.and_then(|word| hints::for_key(word, variants)),
            ),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple map identifier ignored_any
    }
}

/// Start, end and value of a node. A value that cannot be read is reported, and there is none.
struct Parts<'a> {
    reader: Reader<'a>,
    part: u8,
}

impl<'a> SeqAccess<'a> for Parts<'a> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.part += 1;
        let span = self.reader.node.span;
        match self.part {
            1 => seed.deserialize(span.start.into_deserializer()).map(Some),
            2 => seed.deserialize(span.end.into_deserializer()).map(Some),
            _ => Ok(seed
                .deserialize(self.reader)
                .map_err(|error| self.reader.report(*error.0))
                .ok()),
        }
    }
}

/// The items of a list.
struct Items<'a> {
    reader: Reader<'a>,
    items: &'a [Node],
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some((item, rest)) = self.items.split_first() else {
            return Ok(None);
        };
        self.items = rest;
        seed.deserialize(self.reader.at(item, self.reader.name))
            .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a mapping of names.
struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.value = self.entries.find(|entry| !entry.repeated);
        self.value
            .map(|entry| seed.deserialize(self.reader.at(&entry.key, self.reader.name)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        seed.deserialize(self.reader.of(entry))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// The fields of a struct: as which field an entry is read, and the entry.
struct Fields<'a> {
    reader: Reader<'a>,
    fields: std::vec::IntoIter<(&'a str, &'a Entry)>,
    value: Option<&'a Entry>,
}

impl<'a> MapAccess<'a> for Fields<'a> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some((field, entry)) = self.fields.next() else {
            return Ok(None);
        };
        self.value = Some(entry);
        seed.deserialize(BorrowedStrDeserializer::new(field))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        seed.deserialize(self.reader.of(entry))
    }
}

/// A word or a mapping, by what the node is.
struct Choice<'a>(Reader<'a>);

impl<'a> EnumAccess<'a> for Choice<'a> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let is_map = matches!(self.0.node.value, Value::Map(_));
        Ok((seed.deserialize(is_map.into_deserializer())?, self))
    }
}

impl<'a> VariantAccess<'a> for Choice<'a> {
    type Error = ReadError;

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, ReadError> {
        let is_word = !matches!(self.0.node.value, Value::Map(_));
        seed.deserialize(self.0).map_err(|mut error| {
            let allowed = error.0.allowed.as_mut().filter(|_| is_word);
            if let Some(allowed) = allowed {
                allowed.push_str(", or a mapping");
            }
            error
        })
    }
    fn unit_variant(self) -> Result<(), ReadError> {
        Err(de::Error::custom("a choice has a value"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(de::Error::custom("a choice has one value"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ReadError> {
        Err(de::Error::custom("a choice has one value"))
    }
}

// === impl ReadError ===

/// Why a value could not be read.
#[derive(Debug)]
struct ReadError(Box<Fault>);

impl std::error::Error for ReadError {}

impl Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl de::Error for ReadError {
    fn custom<T: Display>(message: T) -> Self {
        Self(Box::new(Fault::somewhere("").allowed(message.to_string())))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let allowed = match expected.as_str() {
            "u64" => "a whole number",
            "a boolean" => "`true` or `false`",
            "a string" => "text",
            "a sequence" => "a list",
            other => other,
        };
        let hint = hints::for_value(&unexpected, allowed);
        Self(Box::new(Fault::somewhere("").allowed(allowed).hint(hint)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }
}
