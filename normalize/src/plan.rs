//! What a log type's file means, checked and compiled: how each column is filled. Paths are still
//! text here (`F` is a list of spellings); [`crate::Mapping::bind`] turns them into fields.

use event::ColumnType;
use hashbrown::HashMap;

use crate::take::Take;

/// The spellings of one path, best first.
pub(crate) type Path = Vec<String>;

/// One column and how it is filled.
#[derive(Clone, Debug)]
pub(crate) struct Target<F> {
    /// Index in the table.
    pub column: usize,
    pub column_type: ColumnType,
    /// The list column that gets the value too.
    pub also_in: Option<usize>,
    /// All steps add to a list; otherwise the first step that has something ends it.
    pub gathers: bool,
    pub steps: Vec<Step<F>>,
}

/// One way to fill a column.
#[derive(Clone, Debug)]
pub(crate) struct Step<F> {
    /// Tried in order.
    pub from: Vec<F>,
    /// Instead of `from`: always this.
    pub constant: Vec<String>,
    /// All must hold: one of the field's texts is one of these words; `*` is any but the empty one.
    pub when: Vec<(F, Vec<String>)>,
    pub take: Option<Take>,
    pub table: Option<Table>,
    /// Texts that stand for no value.
    pub except: Vec<String>,
}

/// Values to other values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub exact: HashMap<String, Vec<String>>,
    /// Written `user.session.*`; in the order of [`Table::order`].
    pub prefixes: Vec<(String, Vec<String>)>,
    pub otherwise: Option<Vec<String>>,
}

impl Table {
    /// Brings the prefixes into the order in which they are looked for: by first byte (the empty one
    /// comes first), of each the longest first.
    pub fn order(&mut self) {
        self.prefixes.sort_by(|(a, _), (b, _)| {
            (a.as_bytes().first(), b.len()).cmp(&(b.as_bytes().first(), a.len()))
        });
    }

    /// What a value becomes; `None` when the table says nothing about it.
    pub fn get(&self, value: &str) -> Option<&[String]> {
        if let Some(found) = self.exact.get(value) {
            return Some(found);
        }
        let first = |text: &str| text.as_bytes().first().copied();
        let wanted = first(value);
        let from = self.prefixes.partition_point(|(prefix, _)| first(prefix) < wanted);
        let mut near = self.prefixes[from..].iter().take_while(|(p, _)| first(p) == wanted);
        near.find(|(prefix, _)| value.starts_with(prefix.as_str()))
            .or_else(|| self.prefixes.first().filter(|(prefix, _)| prefix.is_empty()))
            .map(|(_, found)| found)
            .or(self.otherwise.as_ref())
            .map(Vec::as_slice)
    }
}

impl<F> Target<F> {
    /// The same with paths as fields.
    pub fn bind<G>(&self, field: &mut impl FnMut(&F) -> G) -> Target<G> {
        let steps = self.steps.iter().map(|step| Step {
            from: step.from.iter().map(&mut *field).collect(),
            constant: step.constant.clone(),
            when: step.when.iter().map(|(f, words)| (field(f), words.clone())).collect(),
            take: step.take.clone(),
            table: step.table.clone(),
            except: step.except.clone(),
        });
        Target {
            steps: steps.collect(),
            column: self.column,
            column_type: self.column_type,
            also_in: self.also_in,
            gathers: self.gathers,
        }
    }
}

/// What makes two records the same event. Without either: the place where the record stood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity<F> {
    /// The first of these that the record has.
    pub any: Vec<F>,
    /// Where it has none of those: all values of all of these together; the record must have the first.
    pub all: Vec<F>,
    /// With `all`: what tells the events of one vendor's id apart. Only its hash is shown.
    pub parts: Vec<F>,
}

impl<F> Identity<F> {
    pub fn bind<G>(&self, mut field: impl FnMut(&F) -> G) -> Identity<G> {
        Identity {
            any: self.any.iter().map(&mut field).collect(),
            all: self.all.iter().map(&mut field).collect(),
            parts: self.parts.iter().map(&mut field).collect(),
        }
    }
}

/// One form of a log type's records, and how it is told from others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tell<F> {
    /// Every one of these is there.
    pub has: Vec<F>,
    /// None of these is there.
    pub lacks: Vec<F>,
    /// Each has one of these texts; they may end in `*`.
    pub is: Vec<(F, Vec<String>)>,
}

impl<F> Tell<F> {
    pub fn bind<G>(&self, mut field: impl FnMut(&F) -> G) -> Tell<G> {
        Tell {
            has: self.has.iter().map(&mut field).collect(),
            lacks: self.lacks.iter().map(&mut field).collect(),
            is: self.is.iter().map(|(f, words)| (field(f), words.clone())).collect(),
        }
    }
}
