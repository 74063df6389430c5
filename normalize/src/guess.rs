//! What log type a sample is of: the forms that each log type's file tells under `tell:`, looked for in
//! every record.
//!
//! For people who have a file and no name for it. Must not be used to choose a log type for a stream: a
//! record that an attacker writes would choose its own mapping.

use std::fmt::Write as _;

use event::{FieldId, Fields, FieldsBuilder, LogType, Parser, Slots, Value};

use crate::decode::Decoder;
use crate::mapping::Mapping;
use crate::plan::{Path, Tell};
use crate::{Catalog, Mapper};

/// One log type that some records of a sample look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    pub log_type: LogType,
    /// How many records have one of its forms.
    pub records: usize,
    /// What these records have, the most frequent form first.
    pub reasons: Vec<String>,
    /// How much its forms ask for, over all records: it decides between equals.
    weight: usize,
    /// Its file tells it; the others come after.
    is_told: bool,
}

/// The log types that some of the records look like, the best first. `header` is the line of column names
/// of text that has one.
pub fn guess(catalog: &Catalog, records: &[&[u8]], header: Option<&[u8]>) -> Vec<Guess> {
    let mut parser = Parser::default();
    let mut guesses: Vec<Guess> = catalog
        .by_name()
        .map(|mapping| Forms::of(mapping).look(records, header, &mut parser))
        .filter(|guess| guess.records > 0)
        .collect();
    guesses.sort_by(|a, b| {
        let rank = |guess: &Guess| (guess.is_told, guess.records, guess.weight);
        rank(b).cmp(&rank(a)).then_with(|| a.log_type.cmp(&b.log_type))
    });
    guesses
}

/// The forms of one log type, ready to be looked for.
struct Forms<'m> {
    mapping: &'m Mapping,
    mapper: Mapper,
    fields: Fields,
    tells: Vec<(Tell<FieldId>, String)>,
}

impl<'m> Forms<'m> {
    fn of(mapping: &'m Mapping) -> Self {
        let mut builder = FieldsBuilder::default();
        let told: Vec<Tell<Path>> = match mapping.tells.as_slice() {
            [] => by_identity(mapping),
            tells => tells.to_vec(),
        };
        let tells = told.iter().map(|tell| (tell.bind(|path| builder.field(path)), words(tell)));
        let tells = tells.collect();
        let mapper = mapping.bind(&mut builder);
        Self { mapping, mapper, fields: builder.build(), tells }
    }

    fn look(&self, records: &[&[u8]], header: Option<&[u8]>, parser: &mut Parser) -> Guess {
        let mut slots = Slots::default();
        let mut counts = vec![0; self.tells.len()];
        for record in records {
            if let Some(found) = self.form(record, header, parser, &mut slots) {
                counts[found] += 1;
            }
        }
        let mut forms: Vec<usize> = (0..counts.len()).filter(|form| counts[*form] > 0).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(counts[*form]));
        let weight = |form: &usize| counts[*form] * self.tells[*form].0.weight();
        Guess {
            log_type: self.mapping.log_type().clone(),
            records: counts.iter().sum(),
            weight: forms.iter().map(weight).sum(),
            is_told: !self.mapping.tells.is_empty(),
            reasons: forms.iter().map(|form| self.tells[*form].1.clone()).collect(),
        }
    }

    /// The form that a record has, the one that asks for most.
    fn form(
        &self,
        record: &[u8],
        header: Option<&[u8]>,
        parser: &mut Parser,
        slots: &mut Slots,
    ) -> Option<usize> {
        let is_text = matches!(self.mapping.decoder, Decoder::Columns(_));
        let header = header.filter(|_| is_text);
        let doc = self.mapper.parse(parser, record, header).ok()?;
        slots.fill(&self.fields, &doc);
        let texts = |field: FieldId, is: &dyn Fn(&str) -> bool| {
            slots.values(&doc, field).any(|value| match value {
                Value::Str(text) => is(text),
                Value::I64(n) => is(&n.to_string()),
                Value::Bool(b) => is(if b { "true" } else { "false" }),
                _ => false,
            })
        };
        let holds = |tell: &Tell<FieldId>| {
            tell.has.iter().all(|field| slots.present(*field))
                && !tell.lacks.iter().any(|field| slots.present(*field))
                && tell.is.iter().all(|(field, words)| {
                    texts(*field, &|text| words.iter().any(|word| matches(word, text)))
                })
        };
        let found = self.tells.iter().enumerate().filter(|(_, (tell, _))| holds(tell));
        found.max_by_key(|(_, (tell, _))| tell.weight()).map(|(form, _)| form)
    }
}

impl<F> Tell<F> {
    /// How much it asks for. What a field says tells more than that it is there.
    fn weight(&self) -> usize {
        self.has.len() + self.lacks.len() + 3 * self.is.len()
    }
}

fn matches(word: &str, text: &str) -> bool {
    match word.strip_suffix('*') {
        Some(start) => text.starts_with(start) && !text.is_empty(),
        None => word == text,
    }
}

/// Of a log type that tells nothing: its identity and a time.
fn by_identity(mapping: &Mapping) -> Vec<Tell<Path>> {
    let identity = &mapping.identity;
    let mut tells = Vec::new();
    for (time, _) in &mapping.times {
        for id in identity.any.iter().chain(identity.all.first()) {
            let has = vec![id.clone(), time.clone()];
            tells.push(Tell { has, ..Tell::default() });
        }
    }
    tells
}

/// A form in words: `has eventName, awsRegion; category is SignInLogs`.
fn words(tell: &Tell<Path>) -> String {
    let mut text = String::new();
    let shortest = |path: &Path| path.iter().min_by_key(|p| p.len()).cloned().unwrap_or_default();
    let names = |paths: &[Path]| paths.iter().map(shortest).collect::<Vec<_>>().join(", ");
    let mut add = |part: String| {
        let written = write!(text, "{}{part}", if text.is_empty() { "" } else { "; " });
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    };
    for (path, values) in &tell.is {
        add(format!("{} is {}", shortest(path), values.join(" or ")));
    }
    if !tell.has.is_empty() {
        add(format!("has {}", names(&tell.has)));
    }
    if !tell.lacks.is_empty() {
        add(format!("has no {}", names(&tell.lacks)));
    }
    text
}

#[cfg(test)]
mod tests;
