//! Values that a single test holds for.

use std::net::{IpAddr, Ipv6Addr};

use event::{Timestamp, Value};

use crate::ip::Network;
use crate::ir::{Comparison, Item, Shape, Test, TimePart, TimeTest};
use crate::number::Number;
use crate::value::Seen;

use super::pattern;

/// A value of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Sample {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl Sample {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Sample::Text(text) => Value::Str(text),
            Sample::Int(n) => Value::I64(*n),
            Sample::Bool(b) => Value::Bool(*b),
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Sample::Text(text) => text.as_str().into(),
            Sample::Int(n) => (*n).into(),
            Sample::Bool(b) => (*b).into(),
        }
    }

    /// Whether some test of the item holds for this value alone.
    pub(super) fn holds(&self, item: &Item) -> bool {
        let seen = Seen::new(self.value());
        item.tests.iter().any(|test| test.holds(&seen))
    }

    fn is_good(&self, test: &Test) -> bool {
        test.holds(&Seen::new(self.value()))
    }
}

/// Some values for which the test holds, the plainest first. None for tests that ask about more than one
/// value.
pub(super) fn of(test: &Test, written: &[String]) -> Vec<Sample> {
    let text = |text: String| Sample::Text(text);
    let mut all: Vec<Sample> = match test {
        Test::Text(t) => around(t.shape, &t.text, written),
        Test::Pattern(p) => pattern::of_wildcards(p).into_iter().map(text).collect(),
        Test::Regex(r) => pattern::of_regex(r).into_iter().map(text).collect(),
        Test::Network(network) => addresses(network).into_iter().map(text).collect(),
        Test::Number { value, .. } => vec![number(value)],
        Test::Bool(wanted) => vec![Sample::Bool(*wanted)],
        Test::Compare { op, value } => compared(*op, value),
        Test::Time(t) => time(&[*t]).into_iter().map(text).collect(),
        Test::Null | Test::Exists(_) | Test::FieldRef(_) => Vec::new(),
    };
    all.retain(|sample| sample.is_good(test));
    all
}

/// The literal itself, and with text where its shape allows it; in the rule's own spelling if that is
/// among `written`.
fn around(shape: Shape, literal: &str, written: &[String]) -> Vec<Sample> {
    let spelled = written.iter().find(|w| crate::fold::folded(w) == *literal);
    let literal = spelled.map_or(literal, String::as_str);
    let mut texts = vec![literal.to_owned()];
    if matches!(shape, Shape::StartsWith | Shape::Contains) {
        texts.push(format!("{literal}x"));
    }
    if matches!(shape, Shape::EndsWith | Shape::Contains) {
        texts.push(format!("x{literal}"));
    }
    if shape == Shape::Contains {
        texts.push(format!("x {literal} x"));
    }
    texts.into_iter().map(Sample::Text).collect()
}

/// As a number if it is whole and not too large, else as text.
pub(super) fn number(value: &Number) -> Sample {
    value.as_i64().map_or_else(|| Sample::Text(value.text()), Sample::Int)
}

fn compared(op: Comparison, value: &Number) -> Vec<Sample> {
    let mut all = vec![number(value)];
    let text = value.text();
    // Cut at the point: the whole number beside it.
    let beside = text.split('.').next().and_then(|whole| whole.parse::<i64>().ok());
    for step in [1, -1, 2, -2] {
        all.extend(beside.and_then(|n| n.checked_add(step)).map(Sample::Int));
    }
    // Ten times as much is far enough for what is too large for us, on its own side of 0.
    all.push(Sample::Int(0));
    all.push(Sample::Text(format!("{}0", text.split('.').next().unwrap_or_default())));
    all.push(Sample::Int(match op {
        Comparison::Gt | Comparison::Gte => i64::MAX,
        Comparison::Lt | Comparison::Lte => i64::MIN,
        Comparison::Eq => 0,
    }));
    all
}

/// The first addresses of a network.
fn addresses(network: &Network) -> Vec<String> {
    [network.base() | 1, network.base(), network.base() | 2].into_iter().map(address).collect()
}

/// As logs write it.
pub(super) fn address(bits: u128) -> String {
    IpAddr::V6(Ipv6Addr::from(bits)).to_canonical().to_string()
}

/// A timestamp for which all of the tests hold.
pub(super) fn time(tests: &[TimeTest]) -> Option<String> {
    const YEAR: i64 = 2026;
    let holds = |part: TimePart, have: i64| {
        tests.iter().filter(|t| t.part == part).all(|t| t.op.holds(&have, &t.value))
    };
    let near = |value: i64| [value, value + 1, value - 1];
    let wanted = tests.iter().filter(|t| t.part == TimePart::Year).flat_map(|t| near(t.value));
    let years = [YEAR, YEAR + 2].into_iter().chain(wanted).filter(|year| (0..=9999).contains(year));
    let hour = [10].into_iter().chain(0..24).find(|hour| holds(TimePart::Hour, *hour))?;
    let minute = [20].into_iter().chain(0..60).find(|minute| holds(TimePart::Minute, *minute))?;
    let days = years.filter(|year| holds(TimePart::Year, *year)).flat_map(|year| {
        (1..=12).flat_map(move |month| (1..=31).map(move |day| (year, month, day)))
    });
    let dated = |(year, month, day): (i64, u32, u32)| {
        Timestamp::from_civil((year, month, day), (0, 0, 0), 0)?;
        Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z"))
    };
    days.filter_map(dated).find(|text| {
        let seen = Seen::new(Value::Str(text));
        tests.iter().all(|t| Test::Time(*t).holds(&seen))
    })
}
