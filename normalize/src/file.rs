//! The file of a log type as it is written, read strictly. Meaning is given in [`crate::check`].

use std::fmt;
use std::marker::PhantomData;

use event::ColumnType;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::take::Take;
use crate::timestamp::Form;

/// One log type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogTypeFile {
    pub name: Spanned<String>,
    pub description: String,
    pub logsource: LogSourceFile,
    pub decoder: Spanned<DecoderFile>,
    /// Members that may wrap the record.
    #[serde(default)]
    pub envelopes: Vec<Spanned<String>>,
    /// The vendor also writes the same names with capital initials.
    #[serde(default)]
    pub capitals: bool,
    /// Paths of text that is JSON.
    #[serde(default)]
    pub decode: Vec<Spanned<String>>,
    /// Lists of names and values.
    #[serde(default)]
    pub pivot: Vec<Spanned<PivotFile>>,
    /// Members made of others.
    #[serde(default)]
    pub derive: Vec<DeriveFile>,
    /// What tells its records from those of others: the forms they have.
    #[serde(default)]
    pub tell: Vec<Spanned<TellFile>>,
    pub identity: Spanned<IdentityFile>,
    pub time: Spanned<Vec<TimeFile>>,
    pub columns: Ordered<Steps>,
    #[serde(default)]
    pub vendor: Ordered<VendorFile>,
    #[serde(default)]
    pub aliases: Ordered<Spanned<Texts>>,
    #[serde(default)]
    pub fields: Vec<Spanned<String>>,
    #[serde(default = "yes")]
    pub raw: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogSourceFile {
    pub product: Option<Texts>,
    pub category: Option<Texts>,
    pub service: Option<Texts>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PivotFile {
    pub at: String,
    pub name: String,
    pub value: Option<Texts>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeriveFile {
    pub name: Spanned<String>,
    pub from: Spanned<Texts>,
    pub values: Option<Ordered<String>>,
    pub otherwise: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TellFile {
    pub has: Option<Spanned<Texts>>,
    pub lacks: Option<Spanned<Texts>>,
    #[serde(default)]
    pub is: Ordered<Texts>,
}

/// Exactly one is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecoderFile {
    pub json: Option<JsonFile>,
    pub columns: Option<ColumnsFile>,
    pub syslog: Option<SyslogFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonFile {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyslogFile {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnsFile {
    pub separator: Spanned<String>,
    pub missing: Option<String>,
    /// Pairs of marks between which a separator is text: `"`, `[]`.
    #[serde(default)]
    pub quotes: Vec<Spanned<String>>,
    /// Column orders of text without a header, told apart by their number of columns.
    #[serde(default)]
    pub layouts: Vec<Spanned<Vec<String>>>,
    /// The vendor adds columns at the end: this many values are enough, and more than the layout has
    /// are left in the record.
    pub least: Option<Spanned<usize>>,
}

/// `position` alone, or one or both of the others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityFile {
    pub any: Option<Texts>,
    pub all: Option<Texts>,
    /// Goes with `all`.
    pub parts: Option<Texts>,
    pub position: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeFile {
    pub from: Spanned<Texts>,
    #[serde(default)]
    pub form: Form,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepFile {
    pub from: Option<Spanned<Texts>>,
    pub value: Option<Spanned<Texts>>,
    #[serde(default)]
    pub when: Ordered<Texts>,
    pub take: Option<Spanned<TakeFile>>,
    pub values: Option<Ordered<Texts>>,
    pub otherwise: Option<Spanned<Texts>>,
    pub except: Option<Texts>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VendorFile {
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    pub from: Spanned<Texts>,
    pub take: Option<Spanned<TakeFile>>,
    #[serde(default)]
    pub when: Ordered<Texts>,
    #[serde(default)]
    pub doc: String,
}

/// A function, or a list of functions of which each takes what the one before gives.
#[derive(Debug)]
pub(crate) struct TakeFile(pub Take);

impl<'de> Deserialize<'de> for TakeFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Take;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a function or a list of functions")
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Take, E> {
                Take::deserialize(name.into_deserializer())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Take, A::Error> {
                Take::deserialize(MapAccessDeserializer::new(map))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Take, A::Error> {
                let mut chain = Vec::new();
                while let Some(TakeFile(take)) = seq.next_element()? {
                    chain.push(take);
                }
                Ok(Take::Chain(chain))
            }
        }
        deserializer.deserialize_any(V).map(Self)
    }
}

/// One text or a list of them. A whole number or a boolean is its text.
#[derive(Clone, Debug)]
pub(crate) struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Texts, E> {
                Ok(Texts(vec![value.to_string()]))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Texts, E> {
                Ok(Texts(vec![value.to_string()]))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Texts, E> {
                Ok(Texts(vec![value.to_string()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// How a column is filled: the first step that has something. A bare text is a step that only
/// names a path.
#[derive(Debug)]
pub(crate) struct Steps(pub Vec<Spanned<Step>>);

/// One step, from its short or its long form.
#[derive(Debug)]
pub(crate) enum Step {
    Path(String),
    Full(Box<StepFile>),
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Step;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a step with `from` or `value`")
            }
            fn visit_str<E>(self, path: &str) -> Result<Step, E> {
                Ok(Step::Path(path.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Step, A::Error> {
                StepFile::deserialize(MapAccessDeserializer::new(map))
                    .map(|step| Step::Full(Box::new(step)))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Vec<Spanned<Step>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, a step, or a list of paths and steps")
            }
            fn visit_str<E>(self, path: &str) -> Result<Self::Value, E> {
                Ok(vec![nowhere(Step::Path(path.to_owned()))])
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let step = StepFile::deserialize(MapAccessDeserializer::new(map))?;
                Ok(vec![nowhere(Step::Full(Box::new(step)))])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut steps = Vec::new();
                while let Some(step) = seq.next_element()? {
                    steps.push(step);
                }
                Ok(steps)
            }
        }
        // The place of a step that stands alone is the place of the column.
        let spanned = Spanned::<Inner>::deserialize(deserializer)?;
        struct Inner(Vec<Spanned<Step>>);
        impl<'de> Deserialize<'de> for Inner {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(V).map(Inner)
            }
        }
        let place = spanned.referenced;
        let steps = spanned.value.0.into_iter();
        Ok(Self(
            steps
                .map(|mut step| {
                    if step.referenced.line() == 0 {
                        step.referenced = place;
                    }
                    step
                })
                .collect(),
        ))
    }
}

fn nowhere<T>(value: T) -> Spanned<T> {
    let unknown = serde_saphyr::Location::UNKNOWN;
    Spanned { value, referenced: unknown, defined: unknown }
}

/// A mapping in the order in which it is written.
#[derive(Debug)]
pub(crate) struct Ordered<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(V(PhantomData))
    }
}
