//! From a log type's file to a [`Mapping`]: everything that can be wrong with it is found here, at
//! start, with its line, column and a hint.

mod record;

use std::fmt::Display;
use std::sync::Arc;

use event::{ColumnDef, ColumnType, LogSource, LogType, TableSchema, Tag};
use hashbrown::HashMap;
use serde_saphyr::{Location, Spanned};

use crate::columns::{self, COMMON, Filled};
use crate::error::{MappingError, nearest};
use crate::file;
use crate::file::{LogTypeFile, Ordered, StepFile, Steps, TakeFile, Texts, VendorFile};
use crate::mapping::{Known, Mapping, Spelling};
use crate::plan::{Path, Step, Table, Target};
use crate::take::Take;

/// Compiles the text of a file. `name` is what errors call the file.
pub(crate) fn compile(name: &str, text: &str) -> Result<Mapping, Vec<MappingError>> {
    // `n` and `on` are names here, not booleans.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let file: LogTypeFile = serde_saphyr::from_str_with_options(text, options)
        .map_err(|e| vec![unreadable(name, &e)])?;
    let spelling = Spelling {
        envelopes: file.envelopes.iter().map(|e| e.value.clone()).collect(),
        capitals: file.capitals,
    };
    let mut check = Check { name, spelling, errors: Vec::new(), known: Known::default() };
    let mapping = check.mapping(file);
    if check.errors.is_empty() { Ok(mapping) } else { Err(check.errors) }
}

fn unreadable(file: &str, error: &serde_saphyr::Error) -> MappingError {
    let location = error.location();
    let text = error.without_snippet().to_string();
    // The place is told apart from the reason, which otherwise ends in it.
    let reason = text.lines().next().unwrap_or_default();
    let reason = reason.split(" at line ").next().unwrap_or(reason);
    let reason = reason.rsplit_once(": line ").map_or(reason, |(reason, _)| reason);
    let reason = reason.split(", set DuplicateKeyPolicy").next().unwrap_or(reason);
    let (reason, expected) = reason.split_once(", expected ").unwrap_or((reason, ""));
    let word = reason.split('`').nth(1).unwrap_or_default();
    let known = expected.strip_prefix("one of ").unwrap_or_default().split(", ");
    let hint = match nearest(word, known) {
        Some(meant) if !word.is_empty() => Some(format!("did you mean `{meant}`?")),
        _ => (!expected.is_empty()).then(|| format!("expected {expected}")),
    };
    MappingError {
        file: file.into(),
        line: location.map_or(0, |l| l.line()),
        column: location.map_or(0, |l| l.column()),
        reason: reason.into(),
        hint,
    }
}

struct Check<'f> {
    name: &'f str,
    spelling: Spelling,
    errors: Vec<MappingError>,
    known: Known,
}

impl Check<'_> {
    fn fault(&mut self, place: Location, reason: impl Display, hint: impl Into<Option<String>>) {
        self.errors.push(MappingError {
            file: self.name.into(),
            line: place.line(),
            column: place.column(),
            reason: reason.to_string(),
            hint: hint.into(),
        });
    }

    fn mapping(&mut self, file: LogTypeFile) -> Mapping {
        self.log_type_name(&file.name);
        for envelope in &file.envelopes {
            self.check_path(&envelope.value, envelope.referenced);
        }
        let identity = self.identity(&file.identity);
        let times = self.times(&file.time);
        let mut targets = self.common(&file.columns);
        let mut defs: Vec<ColumnDef> = COMMON.iter().map(columns::Common::def).collect();
        self.vendor(&file.vendor, &mut targets, &mut defs);
        let raw = file.raw.then_some(defs.len());
        if file.raw {
            let doc = "The vendor's record, byte for byte.".into();
            defs.push(ColumnDef { name: columns::RAW.into(), column_type: ColumnType::Text, doc });
        }
        let aliases = self.aliases(&file.aliases);
        let beside = self.beside(&file);
        let tells = self.tells(&file.tell);
        self.fields(&file.fields);
        let log_type = LogType::from(file.name.value.as_str());
        let mut known = std::mem::take(&mut self.known);
        for paths in [&mut known.paths, &mut known.free] {
            paths.sort_unstable();
            paths.dedup();
        }
        Mapping {
            schema: Arc::new(TableSchema { table: log_type.table(), columns: defs }),
            log_type,
            description: file.description,
            log_source: LogSource {
                product: tag(file.logsource.product.as_ref()),
                category: tag(file.logsource.category.as_ref()),
                service: tag(file.logsource.service.as_ref()),
            },
            raw,
            decoder: self.decoder(&file.decoder),
            spelling: self.spelling.clone(),
            beside: (!beside.is_empty()).then(|| Arc::new(beside)),
            tells,
            identity,
            times,
            targets,
            aliases,
            known,
        }
    }

    fn log_type_name(&mut self, name: &Spanned<String>) {
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if !name.value.split('.').all(part) {
            let hint = "lower-case words joined by dots, like `okta.system`".to_owned();
            self.fault(name.referenced, format!("`{}` is no name", name.value), hint);
        }
    }

    fn common(&mut self, file: &Ordered<Steps>) -> Vec<Target<Path>> {
        let mut targets = Vec::new();
        for (name, steps) in &file.0 {
            let Some(index) = columns::index_of(&name.value) else {
                let hint = nearest(&name.value, COMMON.iter().map(|c| c.name))
                    .map(|n| format!("did you mean `{n}`?"))
                    .unwrap_or("columns of the vendor's own belong under `vendor:`".into());
                self.fault(name.referenced, format!("no common column `{}`", name.value), hint);
                continue;
            };
            let common = &COMMON[index];
            if common.filled == Filled::ByMapper {
                let reason = format!("`{}` is filled for every log type", name.value);
                self.fault(name.referenced, reason, "leave it out".to_owned());
                continue;
            }
            let steps = self.steps(common, name.referenced, steps);
            targets.push(Target {
                column: index,
                column_type: common.column_type,
                also_in: common.also_in.and_then(columns::index_of),
                gathers: common.gathers(),
                steps,
            });
        }
        targets
    }

    fn steps(&mut self, common: &columns::Common, name: Location, file: &Steps) -> Vec<Step<Path>> {
        let mut steps = Vec::new();
        for step in &file.0 {
            let place = step.referenced;
            let compiled = match &step.value {
                file::Step::Path(path) => Step {
                    from: self.paths(&Texts(vec![path.clone()]), place),
                    constant: Vec::new(),
                    when: Vec::new(),
                    take: None,
                    table: None,
                    except: Vec::new(),
                },
                file::Step::Full(full) => self.step(full, place),
            };
            self.words(common, &compiled, place);
            self.number(common, &compiled, place);
            steps.push(compiled);
        }
        if steps.is_empty() {
            self.fault(name, format!("column `{}` has no step", common.name), None);
        }
        steps
    }

    fn step(&mut self, file: &StepFile, place: Location) -> Step<Path> {
        if file.from.is_some() == file.value.is_some() {
            let hint = "`from: path` or `value: text`".to_owned();
            self.fault(place, "a step needs exactly one of `from` and `value`", hint);
        }
        if file.value.is_some() && (file.take.is_some() || file.values.is_some()) {
            self.fault(place, "`take` and `values` need `from`", None);
        }
        if file.otherwise.is_some() && file.values.is_none() {
            let hint = "what no line of `values` names becomes `otherwise`".to_owned();
            self.fault(place, "`otherwise` needs `values`", hint);
        }
        for (key, _) in file.values.iter().flat_map(|values| &values.0) {
            if key.value.strip_suffix('*').unwrap_or(&key.value).contains('*') {
                let hint = "`*` stands only at the end, for any rest".to_owned();
                self.fault(key.referenced, format!("`{}` is no value", key.value), hint);
            }
        }
        if let Some(take) = &file.take {
            self.take(take);
        }
        let from = file.from.as_ref().map(|f| self.paths(&f.value, f.referenced));
        let when = self.when(&file.when);
        Step {
            from: from.unwrap_or_default(),
            constant: file.value.as_ref().map(|v| v.value.0.clone()).unwrap_or_default(),
            when,
            take: file.take.as_ref().map(|t| t.value.0.clone()),
            table: file.values.as_ref().map(|values| table(values, file.otherwise.as_ref())),
            except: file.except.as_ref().map(|e| e.0.clone()).unwrap_or_default(),
        }
    }

    fn when(&mut self, file: &Ordered<Texts>) -> Vec<(Path, Vec<String>)> {
        let mut when = Vec::new();
        for (path, words) in &file.0 {
            self.check_path(&path.value, path.referenced);
            self.known.paths.push(path.value.clone());
            when.push((self.spelling.all(&path.value), words.0.clone()));
        }
        when
    }

    fn take(&mut self, take: &Spanned<TakeFile>) {
        if let Some(fault) = take.value.0.fault() {
            self.fault(take.referenced, fault, None);
        }
    }

    /// A column of few words gets only those.
    fn words(&mut self, common: &columns::Common, step: &Step<Path>, place: Location) {
        let Filled::ByFileFrom(words) = common.filled else { return };
        let from_table = step.table.iter().flat_map(|t| {
            let prefixes = t.prefixes.iter().map(|(_, v)| v);
            t.exact.values().chain(prefixes).chain(&t.otherwise).flatten()
        });
        let made: Vec<&String> = step.constant.iter().chain(from_table).collect();
        let hint = || Some(format!("one of {}", words.join(", ")));
        if made.is_empty() && step.take != Some(Take::HttpOutcome) {
            let reason = format!("`{}` needs `value` or `values`", common.name);
            self.fault(place, reason, hint());
        }
        for word in made.into_iter().filter(|w| !words.contains(&w.as_str())) {
            let reason = format!("`{word}` is no value of `{}`", common.name);
            self.fault(place, reason, hint());
        }
    }

    /// A column of numbers gets no text that is none.
    fn number(&mut self, common: &columns::Common, step: &Step<Path>, place: Location) {
        let from_table = step.table.iter().flat_map(|t| {
            let prefixes = t.prefixes.iter().map(|(_, v)| v);
            t.exact.values().chain(prefixes).chain(&t.otherwise).flatten()
        });
        let made = step.constant.iter().chain(from_table);
        if common.column_type != ColumnType::Int {
            if step.take.as_ref().is_some_and(Take::makes_number) {
                self.fault(place, format!("`{}` is text, not a number", common.name), None);
            }
            return;
        }
        for word in made.filter(|w| w.parse::<i64>().is_err()) {
            let reason = format!("`{word}` is no number, and `{}` is one", common.name);
            self.fault(place, reason, None);
        }
    }

    fn vendor(
        &mut self,
        file: &Ordered<VendorFile>,
        targets: &mut Vec<Target<Path>>,
        defs: &mut Vec<ColumnDef>,
    ) {
        for (name, vendor) in &file.0 {
            self.vendor_name(name);
            if let Some(take) = &vendor.take {
                self.take(take);
            }
            let from = self.paths(&vendor.from.value, vendor.from.referenced);
            let step = Step {
                from,
                constant: Vec::new(),
                when: self.when(&vendor.when),
                take: vendor.take.as_ref().map(|t| t.value.0.clone()),
                table: None,
                except: Vec::new(),
            };
            targets.push(Target {
                column: defs.len(),
                column_type: vendor.column_type,
                also_in: None,
                gathers: vendor.column_type == ColumnType::TextList,
                steps: vec![step],
            });
            let doc = match vendor.doc.as_str() {
                "" => format!("The vendor's {}.", vendor.from.value.0.join(" or ")),
                doc => doc.to_owned(),
            };
            let name = name.value.clone();
            defs.push(ColumnDef { name, column_type: vendor.column_type, doc });
        }
    }

    fn vendor_name(&mut self, name: &Spanned<String>) {
        let text = name.value.as_str();
        let snake = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !snake {
            let hint = "lower-case letters, digits and `_`".to_owned();
            self.fault(name.referenced, format!("`{text}` is no column name"), hint);
        }
        if columns::index_of(text).is_some() || text == columns::RAW {
            let hint = format!("another name, such as `vendor_{text}`");
            self.fault(name.referenced, format!("`{text}` is a common column"), hint);
        }
    }

    fn aliases(&mut self, file: &Ordered<Spanned<Texts>>) -> HashMap<String, Vec<String>> {
        let mut aliases = HashMap::new();
        for (alias, paths) in &file.0 {
            self.check_path(&alias.value, alias.referenced);
            for path in &paths.value.0 {
                self.check_path(path, paths.referenced);
            }
            aliases.insert(alias.value.clone(), paths.value.0.clone());
        }
        aliases
    }

    fn fields(&mut self, file: &[Spanned<String>]) {
        for field in file {
            let (path, free) = match field.value.strip_suffix(".*") {
                Some(path) => (path, true),
                None => (field.value.as_str(), false),
            };
            self.check_path(path, field.referenced);
            let list = if free { &mut self.known.free } else { &mut self.known.paths };
            list.push(path.to_owned());
        }
    }

    /// The spellings of each path. What a column reads is known to exist.
    fn paths(&mut self, texts: &Texts, place: Location) -> Vec<Path> {
        if texts.0.is_empty() {
            self.fault(place, "no path", None);
        }
        for path in &texts.0 {
            self.check_path(path, place);
            self.known.paths.push(path.clone());
        }
        texts.0.iter().map(|path| self.spelling.all(path)).collect()
    }

    fn check_path(&mut self, path: &str, place: Location) {
        let hint = if path.starts_with('$') || path.contains(['[', ']', '*']) {
            "names joined by dots; arrays are looked through, so `target.id` needs no index"
        } else {
            "names joined by dots, in the vendor's spelling"
        };
        let bad = path.split('.').any(str::is_empty)
            || path.starts_with('$')
            || path.contains(['[', ']', '*']);
        if bad {
            self.fault(place, format!("`{path}` is no path"), hint.to_owned());
        }
    }
}

fn tag(value: Option<&Texts>) -> Tag {
    let lower = |text: &String| Arc::from(text.to_lowercase());
    match value.map(|texts| texts.0.as_slice()) {
        None | Some([]) => Tag::None,
        Some([one]) => Tag::Is(lower(one)),
        Some(all) => Tag::AnyOf(all.iter().map(lower).collect()),
    }
}

fn table(values: &Ordered<Texts>, otherwise: Option<&Spanned<Texts>>) -> Table {
    let mut table = Table { otherwise: otherwise.map(|o| o.value.0.clone()), ..Table::default() };
    for (key, made) in &values.0 {
        match key.value.strip_suffix('*') {
            Some(prefix) => table.prefixes.push((prefix.to_owned(), made.0.clone())),
            None => drop(table.exact.insert(key.value.clone(), made.0.clone())),
        }
    }
    table.order();
    table
}

#[cfg(test)]
mod tests;
