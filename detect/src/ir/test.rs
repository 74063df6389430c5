//! The closed set of predicates, and what each means for one value.
//!
//! This is the only definition of the meaning; the fast matcher is checked against it.

use crate::ip::Network;
use crate::number::Number;
use crate::time_part;
use crate::value::Seen;

use super::{Pattern, Regex};

/// One predicate.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Literal text at a place in the value's text.
    Text(TextTest),
    /// Wildcards that are not one of the simple shapes.
    Pattern(Pattern),
    Regex(Regex),
    Network(Network),
    /// The value is this number, or text that is written like it. `texts` are folded: the number in
    /// plain decimal and, if different, as the rule writes it (`0x10`).
    Number {
        value: Number,
        texts: Vec<Box<str>>,
    },
    /// The value is a number, or the decimal text of one, on this side of `value`.
    Compare {
        op: Comparison,
        value: Number,
    },
    /// The value is this Boolean, or the text `true` or `false` in any case.
    Bool(bool),
    Time(TimeTest),
    /// The field is absent or has no value but null.
    Null,
    /// The field is (not) there; null and empty arrays are there.
    Exists(bool),
    /// Some value of the item's field compares to some value of another field.
    FieldRef(FieldRef),
}

/// Where a literal must stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
}

impl Shape {
    /// Whether `text` has `literal` at this place. Both are folded, or neither.
    #[inline]
    pub fn holds(self, text: &str, literal: &str) -> bool {
        match self {
            Shape::Equals => text == literal,
            Shape::StartsWith => text.starts_with(literal),
            Shape::EndsWith => text.ends_with(literal),
            Shape::Contains => text.contains(literal),
        }
    }
}

/// Literal text. Only [`Shape::Equals`] occurs with empty text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextTest {
    pub shape: Shape,
    /// Folded unless `cased`.
    pub text: Box<str>,
    pub cased: bool,
}

/// Compares two fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRef {
    pub shape: Shape,
    /// The other field in the rule's spelling; its value is the literal.
    pub field: String,
    pub cased: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Eq,
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Comparison {
    pub fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Comparison::Eq => left == right,
            Comparison::Lt => left < right,
            Comparison::Lte => left <= right,
            Comparison::Gt => left > right,
            Comparison::Gte => left >= right,
        }
    }
}

/// A part of a timestamp as it is written, without time zone conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimePart {
    Minute,
    Hour,
    /// Of the month.
    Day,
    /// ISO 8601 week, 1 to 53.
    Week,
    Month,
    Year,
}

/// Compares a part of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeTest {
    pub part: TimePart,
    pub op: Comparison,
    pub value: i64,
}

impl Test {
    /// Whether the test holds for one value that is not null. Tests on the field as a whole
    /// ([`Test::Null`], [`Test::Exists`], [`Test::FieldRef`]) never hold here.
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        match self {
            Test::Text(t) => seen.text(t.cased).is_some_and(|text| t.shape.holds(text, &t.text)),
            Test::Pattern(p) => seen.text(p.cased()).is_some_and(|text| p.matches(text)),
            Test::Regex(r) => seen.text(true).is_some_and(|text| r.matches(text)),
            Test::Network(n) => seen.string().is_some_and(|text| n.contains_text(text)),
            Test::Number { value, texts } => match seen.number() {
                Some(number) => number == *value,
                None => {
                    let text = seen.string().and(seen.text(false));
                    text.is_some_and(|text| texts.iter().any(|t| **t == *text))
                }
            },
            Test::Compare { op, value } => {
                let number = seen.number().or_else(|| Number::parse(seen.string()?.trim()));
                number.is_some_and(|number| op.holds(&number, value))
            }
            Test::Bool(wanted) => match seen.boolean() {
                Some(have) => have == *wanted,
                None => {
                    let text = seen.string().and(seen.text(false));
                    text == Some(if *wanted { "true" } else { "false" })
                }
            },
            Test::Time(t) => {
                time_part::part_of(seen, t.part).is_some_and(|have| t.op.holds(&have, &t.value))
            }
            Test::Null | Test::Exists(_) | Test::FieldRef(_) => false,
        }
    }
}
