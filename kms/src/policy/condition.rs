//! The `Condition` of a statement.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::policy::pattern::{ArnPattern, Pattern, literal};
use crate::policy::request::{ConditionKey, Request};

/// One operator on one condition key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    operator: Operator,
    key: ConditionKey,
    values: Values,
}

impl Condition {
    /// What `operator` says of `key`, compared with `values`.
    ///
    /// # Errors
    /// The value (by its place) or the key that is wrong, and why.
    pub(super) fn new(
        operator: Operator,
        key: ConditionKey,
        values: &[String],
        escapes: bool,
    ) -> Result<Self, (usize, String)> {
        let values = Values::parse(operator.comparison, values, escapes)?;
        Ok(Self {
            operator,
            key,
            values,
        })
    }

    /// Whether it is fulfilled.
    ///
    /// A key that the request does not have fulfils the negated operators, those `…IfExists` and
    /// `ForAllValues:`, as in AWS.
    pub(super) fn holds(&self, request: &Request<'_>) -> bool {
        let Operator {
            quantifier,
            if_exists,
            negated,
            ..
        } = self.operator;
        let found = request.values(&self.key);
        if let Values::Null(expected) = &self.values {
            return expected.contains(&found.is_empty());
        }
        if found.is_empty() {
            let without = match quantifier {
                Some(Quantifier::All) => true,
                Some(Quantifier::Any) => false,
                None => negated,
            };
            return without || if_exists;
        }
        let mut found = found.iter();
        match quantifier {
            None => found.any(|value| self.values.match_one(value)) != negated,
            Some(Quantifier::All) => found.all(|value| self.values.match_one(value) != negated),
            Some(Quantifier::Any) => found.any(|value| self.values.match_one(value) != negated),
        }
    }
}

/// `ForAnyValue:StringNotLikeIfExists`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    quantifier: Option<Quantifier>,
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    All,
    Any,
}

/// How values are compared; the negation is the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Text,
    TextIgnoringCase,
    Like,
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Address,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// The operator of that name.
    ///
    /// # Errors
    /// Where AWS has none of that name.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{text}` is no condition operator");
        let (quantifier, rest) = match text.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Quantifier::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Quantifier::Any), rest),
            Some(_) => return Err(unknown()),
            None => (None, text),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (comparison, negated) = comparison(name).ok_or_else(unknown)?;
        if comparison == Comparison::Null && (quantifier.is_some() || if_exists) {
            return Err(unknown());
        }
        Ok(Self {
            quantifier,
            comparison,
            negated,
            if_exists,
        })
    }
}

fn comparison(name: &str) -> Option<(Comparison, bool)> {
    if let Some(order) = name.strip_prefix("Numeric") {
        return order_named(order).map(|(order, negated)| (Comparison::Number(order), negated));
    }
    if let Some(order) = name.strip_prefix("Date") {
        return order_named(order).map(|(order, negated)| (Comparison::Date(order), negated));
    }
    Some(match name {
        "StringEquals" => (Comparison::Text, false),
        "StringNotEquals" => (Comparison::Text, true),
        "StringEqualsIgnoreCase" => (Comparison::TextIgnoringCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::TextIgnoringCase, true),
        "StringLike" => (Comparison::Like, false),
        "StringNotLike" => (Comparison::Like, true),
        "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
        "Bool" => (Comparison::Bool, false),
        "IpAddress" => (Comparison::Address, false),
        "NotIpAddress" => (Comparison::Address, true),
        "Null" => (Comparison::Null, false),
        _ => return None,
    })
}

fn order_named(name: &str) -> Option<(Order, bool)> {
    Some(match name {
        "Equals" => (Order::Equal, false),
        "NotEquals" => (Order::Equal, true),
        "LessThan" => (Order::Less, false),
        "LessThanEquals" => (Order::LessOrEqual, false),
        "GreaterThan" => (Order::Greater, false),
        "GreaterThanEquals" => (Order::GreaterOrEqual, false),
        _ => return None,
    })
}

impl Order {
    fn holds<T: PartialOrd>(self, found: &T, expected: &T) -> bool {
        match self {
            Self::Equal => found == expected,
            Self::Less => found < expected,
            Self::LessOrEqual => found <= expected,
            Self::Greater => found > expected,
            Self::GreaterOrEqual => found >= expected,
        }
    }
}

/// What a policy compares with, understood when it is read.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Text(Vec<String>),
    TextIgnoringCase(Vec<String>),
    Like(Vec<Pattern>),
    Arn(Vec<ArnPattern>),
    Number(Order, Vec<f64>),
    Date(Order, Vec<Timestamp>),
    Bool(Vec<bool>),
    Address(Vec<IpNet>),
    /// Whether the key is absent.
    Null(Vec<bool>),
}

impl Values {
    fn parse(
        comparison: Comparison,
        texts: &[String],
        escapes: bool,
    ) -> Result<Self, (usize, String)> {
        Ok(match comparison {
            Comparison::Text => Self::Text(each(texts, |text| literal(text, escapes))?),
            Comparison::TextIgnoringCase => {
                Self::TextIgnoringCase(each(texts, |text| literal(text, escapes))?)
            }
            Comparison::Like => Self::Like(each(texts, |text| Pattern::parse(text, escapes))?),
            Comparison::Arn => Self::Arn(each(texts, |text| ArnPattern::parse(text, escapes))?),
            Comparison::Number(order) => Self::Number(
                order,
                each(texts, |text| known(number(text), text, "number"))?,
            ),
            Comparison::Date(order) => Self::Date(
                order,
                each(texts, |text| {
                    known(date(text), text, "date (2026-01-31T12:00:00Z)")
                })?,
            ),
            Comparison::Bool => Self::Bool(each(texts, bool_of)?),
            Comparison::Null => Self::Null(each(texts, bool_of)?),
            Comparison::Address => Self::Address(each(texts, |text| {
                known(network(text), text, "address or network (10.0.0.0/8)")
            })?),
        })
    }

    /// Whether any of these matches what the request has.
    fn match_one(&self, found: &str) -> bool {
        match self {
            Self::Text(texts) => texts.iter().any(|text| text == found),
            Self::TextIgnoringCase(texts) => {
                let found = found.to_lowercase();
                texts.iter().any(|text| text.to_lowercase() == found)
            }
            Self::Like(patterns) => patterns.iter().any(|pattern| pattern.matches(found)),
            Self::Arn(patterns) => patterns.iter().any(|pattern| pattern.matches(found)),
            Self::Number(order, expected) => number(found)
                .is_some_and(|found| expected.iter().any(|one| order.holds(&found, one))),
            Self::Date(order, expected) => {
                date(found).is_some_and(|found| expected.iter().any(|one| order.holds(&found, one)))
            }
            Self::Bool(expected) => bool_of(found).is_ok_and(|found| expected.contains(&found)),
            Self::Address(networks) => found
                .parse::<IpAddr>()
                .is_ok_and(|found| networks.iter().any(|network| network.contains(&found))),
            // Judged before: it is about a key's presence, not its values.
            Self::Null(_) => false,
        }
    }
}

fn each<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, (usize, String)> {
    let parsed = texts.iter().enumerate();
    parsed
        .map(|(at, text)| parse(text).map_err(|why| (at, why)))
        .collect()
}

fn known<T>(parsed: Option<T>, text: &str, what: &str) -> Result<T, String> {
    parsed.ok_or_else(|| format!("`{text}` is no {what}"))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// ISO 8601, in UTC without a zone and at midnight without a time; or seconds since 1970.
fn date(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse() {
        return Timestamp::from_second(seconds).ok();
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let civil: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

fn bool_of(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests;
