//! Checks a request against its shapes, in AWS's wording, before anything of it is read.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::exception::Exception;
use super::shape::{Member, Shape};

/// Checks `input`, the JSON of a structure with these members.
///
/// # Errors
/// `SerializationException` where it is no JSON or a type is wrong, `ValidationException` with all that
/// is out of bounds.
pub(super) fn validate(input: &[u8], members: &'static [Member]) -> Result<(), Exception> {
    let mut violations = Vec::new();
    let check = Check {
        shape: &Shape::Structure(members),
        path: "",
        violations: &mut violations,
    };
    let mut json = serde_json::Deserializer::from_slice(input);
    let read = check.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| Exception::serialization(&error))?;
    match violations.as_slice() {
        [] => Ok(()),
        [one] => Err(Exception::validation(format!(
            "1 validation error detected: {one}"
        ))),
        many => Err(Exception::validation(format!(
            "{} validation errors detected: {}",
            many.len(),
            many.join("; ")
        ))),
    }
}

/// Checks one value.
struct Check<'a, 's> {
    shape: &'s Shape,
    /// `tags.1.member.tagKey`; empty for the request itself.
    path: &'a str,
    violations: &'a mut Vec<String>,
}

impl Check<'_, '_> {
    /// Notes that a value is out of bounds; none is shown that may be secret.
    fn violated(&mut self, shown: Option<&dyn fmt::Display>, constraint: &dyn fmt::Display) {
        let shown = shown.map_or_else(String::new, |shown| format!(" '{shown}'"));
        self.violations.push(format!(
            "Value{shown} at '{}' failed to satisfy constraint: Member must {constraint}",
            self.path
        ));
    }

    fn check_length(
        &mut self,
        shown: Option<&dyn fmt::Display>,
        length: usize,
        min: usize,
        max: usize,
    ) {
        if length < min {
            let least = format!("have length greater than or equal to {min}");
            self.violated(shown, &least);
        } else if length > max {
            let most = format!("have length less than or equal to {max}");
            self.violated(shown, &most);
        }
    }

    fn check_text(&mut self, text: &str) {
        match self.shape {
            Shape::Text { min, max, pattern } => {
                self.check_length(Some(&text), text.chars().count(), *min, *max);
                if let Some(pattern) = pattern.filter(|pattern| !(pattern.matches)(text)) {
                    let pattern = pattern.expression;
                    let constraint = format!("satisfy regular expression pattern: {pattern}");
                    self.violated(Some(&text), &constraint);
                }
            }
            Shape::Word(words) if !words.contains(&text) => {
                let constraint = format!("satisfy enum value set: [{}]", words.join(", "));
                self.violated(Some(&text), &constraint);
            }
            Shape::Secret { min, max } => {
                self.check_length(None, text.chars().count(), *min, *max);
            }
            Shape::Blob { min, max } => self.check_length(None, decoded_length(text), *min, *max),
            _ => {}
        }
    }

    fn check_integer(&mut self, value: i64) {
        let Shape::Integer { min, max } = self.shape else {
            return;
        };
        if value < *min {
            let least = format!("have value greater than or equal to {min}");
            self.violated(Some(&value), &least);
        } else if value > *max {
            let most = format!("have value less than or equal to {max}");
            self.violated(Some(&value), &most);
        }
    }

    /// A member of this structure, by its name in JSON; none that is not known.
    fn member(&self, name: &str) -> Option<&'static Member> {
        match self.shape {
            Shape::Structure(members) => members.iter().find(|member| member.is_named(name)),
            _ => None,
        }
    }

    fn path_of(&self, label: &str) -> String {
        match self.path {
            "" => label.to_owned(),
            path => format!("{path}.{label}"),
        }
    }

    fn check_missing(&mut self, seen: &BTreeSet<&'static str>) {
        let Shape::Structure(members) = self.shape else {
            return;
        };
        let missing = |member: &&Member| member.required && !seen.contains(member.field);
        for member in members.iter().filter(missing) {
            let path = self.path_of(&member.label());
            self.violations.push(format!(
                "Value null at '{path}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            Shape::Text { .. } | Shape::Secret { .. } | Shape::Word(_) | Shape::Blob { .. } => {
                deserializer.deserialize_str(self)
            }
            Shape::Integer { .. } => deserializer.deserialize_i64(self),
            Shape::Boolean => deserializer.deserialize_bool(self),
            Shape::List { .. } => deserializer.deserialize_seq(self),
            Shape::Map | Shape::Structure(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Check<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shape {
            Shape::Text { .. } | Shape::Secret { .. } | Shape::Word(_) => "a string",
            Shape::Blob { .. } => "a string of base64",
            Shape::Integer { .. } => "an integer",
            Shape::Boolean => "a boolean",
            Shape::List { .. } => "a list",
            Shape::Map | Shape::Structure(_) => "an object",
        })
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.check_text(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.shape {
            Shape::Boolean => Ok(()),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.check_integer(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let Shape::List { of, min, max } = self.shape else {
            return Err(A::Error::custom("a list stands where none may"));
        };
        let mut count = 0;
        loop {
            let path = self.path_of(&format!("{}.member", count + 1));
            let element = Check {
                shape: of,
                path: &path,
                violations: self.violations,
            };
            match elements.next_element_seed(element)? {
                Some(()) => count += 1,
                None => break,
            }
        }
        self.check_length(None, count, *min, *max);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        if let Shape::Map = self.shape {
            while entries.next_entry::<String, String>()?.is_some() {}
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Some(member) = self.member(&name) else {
                entries.next_value::<IgnoredAny>()?;
                let path = self.path_of(&name);
                self.violations.push(format!(
                    "Value at '{path}' failed to satisfy constraint: Member must be known to the operation"
                ));
                continue;
            };
            let path = self.path_of(&member.label());
            let value = Present(Check {
                shape: member.shape,
                path: &path,
                violations: self.violations,
            });
            if entries.next_value_seed(value)? && !seen.insert(member.field) {
                return Err(A::Error::custom(format!("`{name}` stands twice")));
            }
        }
        self.check_missing(&seen);
        Ok(())
    }
}

/// Checks a value that may be `null`, which is as good as absent; says whether it is present.
struct Present<'a, 's>(Check<'a, 's>);

impl<'de> DeserializeSeed<'de> for Present<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Present<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        self.0.deserialize(deserializer).map(|()| true)
    }
}

/// The bytes that a text of base64 stands for.
fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() - padding) * 3 / 4
}
