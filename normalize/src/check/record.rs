//! The part of a log type's file that says how records are written, told apart and dated. Must not read
//! records.

use event::{Beside, Derived, Pivot};
use serde_saphyr::Spanned;

use super::Check;
use crate::decode::{Columns, Decoder};
use crate::file::{
    ColumnsFile, DecoderFile, DeriveFile, IdentityFile, LogTypeFile, PivotFile, TellFile, Texts,
    TimeFile,
};
use crate::plan::{Identity, Path, Tell};
use crate::timestamp::Form;

impl Check<'_> {
    pub(super) fn decoder(&mut self, file: &Spanned<DecoderFile>) -> Decoder {
        let DecoderFile { json, columns, syslog } = &file.value;
        match (json, columns, syslog) {
            (Some(_), None, None) => Decoder::Json,
            (None, None, Some(_)) => Decoder::Syslog,
            (None, Some(columns), None) => {
                self.columns(file, columns);
                let quotes = columns.quotes.iter().filter_map(|q| quote(&q.value));
                Decoder::Columns(Columns {
                    separator: columns.separator.value.clone(),
                    missing: columns.missing.clone(),
                    quotes: quotes.collect(),
                    layouts: columns.layouts.iter().map(|l| l.value.clone()).collect(),
                    least: columns.least.as_ref().map(|least| least.value),
                })
            }
            _ => {
                let hint = "`json: {}`, `syslog: {}` or `columns: …`".to_owned();
                self.fault(file.referenced, "a decoder is exactly one of three", hint);
                Decoder::Json
            }
        }
    }

    fn columns(&mut self, file: &Spanned<DecoderFile>, columns: &ColumnsFile) {
        if columns.separator.value.is_empty() {
            let hint = "\" \" for any run of blanks".to_owned();
            self.fault(columns.separator.referenced, "the separator is empty", hint);
        }
        for layout in columns.layouts.iter().filter(|layout| layout.value.is_empty()) {
            self.fault(layout.referenced, "a layout without columns", None);
        }
        for mark in columns.quotes.iter().filter(|mark| quote(&mark.value).is_none()) {
            let hint = "one character, or an opening and a closing one: `\"` or `[]`".to_owned();
            self.fault(mark.referenced, format!("`{}` is no quote", mark.value), hint);
        }
        let mut lengths: Vec<usize> = columns.layouts.iter().map(|l| l.value.len()).collect();
        lengths.sort_unstable();
        if lengths.windows(2).any(|pair| pair[0] == pair[1]) {
            let reason = "two layouts have the same number of columns";
            let hint = "they are told apart by that number only".to_owned();
            self.fault(file.referenced, reason, hint);
        }
        let Some(least) = &columns.least else { return };
        if lengths.len() != 1 || !(1..=lengths[0]).contains(&least.value) {
            let reason = "`least` needs one layout of at least so many columns";
            self.fault(least.referenced, reason, None);
        }
    }

    pub(super) fn identity(&mut self, file: &Spanned<IdentityFile>) -> Identity<Path> {
        let place = file.referenced;
        let IdentityFile { any, all, parts, position } = &file.value;
        if parts.is_some() && all.is_none() {
            self.fault(place, "`parts` of an identity go with `all`", None);
        }
        if *position == Some(false) || (any.is_some() || all.is_some()) == position.is_some() {
            let hint = "`any: [paths]`, `all: [paths]`, both, or `position: true`".to_owned();
            self.fault(place, "an identity is of paths or of the position", hint);
        }
        let mut paths = |texts: &Option<Texts>| {
            texts.as_ref().map(|texts| self.paths(texts, place)).unwrap_or_default()
        };
        Identity { any: paths(any), all: paths(all), parts: paths(parts) }
    }

    pub(super) fn times(&mut self, file: &Spanned<Vec<TimeFile>>) -> Vec<(Path, Form)> {
        if file.value.is_empty() {
            let hint = "the paths where the event's time stands, best first".to_owned();
            self.fault(file.referenced, "no path to the event's time", hint);
        }
        let mut times = Vec::new();
        for time in &file.value {
            let paths = self.paths(&time.from.value, time.from.referenced);
            times.extend(paths.into_iter().map(|path| (path, time.form)));
        }
        times
    }

    /// What is put beside what a record says. What stands there is known to exist.
    pub(super) fn beside(&mut self, file: &LogTypeFile) -> Beside {
        let mut beside = Beside::default();
        for path in &file.decode {
            self.check_path(&path.value, path.referenced);
            self.known.free.push(path.value.clone());
            // Inside text of a column with a capital, names are small.
            let name = path.value.rsplit('.').next().unwrap_or_default();
            self.spelling.all(&path.value).iter().for_each(|path| beside.decode(path, name));
        }
        for pivot in &file.pivot {
            self.pivot(pivot, &mut beside);
        }
        for derive in &file.derive {
            self.derive(derive, &mut beside);
        }
        beside
    }

    fn pivot(&mut self, file: &Spanned<PivotFile>, beside: &mut Beside) {
        let PivotFile { at, name, value } = &file.value;
        self.check_path(at, file.referenced);
        self.known.free.push(at.clone());
        let values = value.as_ref().map(|v| v.0.clone()).unwrap_or_default();
        for member in values.iter().chain([name]) {
            if member.is_empty() || member.contains('.') {
                let hint = "the name of one member of an element".to_owned();
                self.fault(file.referenced, format!("`{member}` is no member"), hint);
            }
        }
        for path in self.spelling.all(at) {
            let spelled = |text: &String| self.spelling.member_below(&path, at, text);
            let value = values.iter().map(spelled).collect();
            beside.pivot(&path, Pivot { name: spelled(name), value });
        }
    }

    fn derive(&mut self, file: &DeriveFile, beside: &mut Beside) {
        self.check_path(&file.name.value, file.name.referenced);
        self.known.paths.push(file.name.value.clone());
        if let (Some(otherwise), None) = (&file.otherwise, &file.values) {
            let hint = "what no line of `values` names becomes `otherwise`".to_owned();
            self.fault(otherwise.referenced, "`otherwise` needs `values`", hint);
        }
        let paths = self.paths(&file.from.value, file.from.referenced);
        let values = file.values.as_ref().map(|values| {
            values.0.iter().map(|(from, to)| (from.value.clone(), to.clone())).collect()
        });
        beside.derive(Derived {
            name: file.name.value.clone(),
            from: paths.into_iter().flatten().collect(),
            values,
            otherwise: file.otherwise.as_ref().map(|o| o.value.clone()),
        });
    }

    pub(super) fn tells(&mut self, file: &[Spanned<TellFile>]) -> Vec<Tell<Path>> {
        let mut tells = Vec::new();
        for tell in file {
            let TellFile { has, lacks, is } = &tell.value;
            if has.is_none() && is.0.is_empty() {
                let hint = "`has: [paths]`, `is: {path: [texts]}` or both".to_owned();
                self.fault(tell.referenced, "a form that every record has", hint);
            }
            let has = has.as_ref().map(|has| self.paths(&has.value, has.referenced));
            let has = has.unwrap_or_default();
            let lacks = lacks.as_ref().map_or(Vec::new(), |lacks| {
                lacks.value.0.iter().for_each(|path| self.check_path(path, lacks.referenced));
                lacks.value.0.iter().map(|path| self.spelling.all(path)).collect()
            });
            tells.push(Tell { has, lacks, is: self.when(is) });
        }
        tells
    }
}

/// An opening and a closing mark.
fn quote(text: &str) -> Option<(char, char)> {
    let mut chars = text.chars();
    let open = chars.next()?;
    let close = chars.next().unwrap_or(open);
    chars.next().is_none().then_some((open, close))
}
