//! Selections: maps, lists of maps and keyword lists to items.

use std::collections::BTreeMap;

use crate::ip::Network;
use crate::ir::{Comparison, Expr, FieldRef, Item, ItemId, RegexFlags, Shape, Test, TimeTest};
use crate::number::Number;
use crate::yaml::{Kind as NodeKind, Node, Typed};

use super::modifier::{self, Kind, Plan, Step};
use super::regex::{Budget, Refusal};
use super::report::Report;
use super::text::{self, ALTERNATIVES_MAX, Text};

/// Values for `%name%` under `expand`.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// Reads the parts of one detection.
pub struct Selections<'p, 'f> {
    pub items: Vec<Item>,
    pub placeholders: &'p Placeholders,
    pub regexes: Budget,
    pub report: &'p mut Report<'f>,
}

/// A key of a selection.
struct Key<'n> {
    node: &'n Node,
    field: Option<&'n str>,
    plan: Plan,
}

impl Selections<'_, '_> {
    /// What a named part of `detection` means. `None` after an error.
    pub fn read(&mut self, name: &Node, node: &Node) -> Option<Expr> {
        match &node.kind {
            NodeKind::Mapping(_) => self.map(name, node),
            NodeKind::Sequence(list) if list.is_empty() => self.empty(name),
            NodeKind::Sequence(list) => {
                let each = list.iter().map(|entry| match &entry.kind {
                    NodeKind::Mapping(_) => self.map(name, entry),
                    NodeKind::Scalar(_) => self.keyword(entry),
                    NodeKind::Sequence(_) => {
                        let message = "a list inside of a list has no meaning in a selection";
                        self.report.error(entry.at, "", message, None);
                        None
                    }
                });
                // Read all of them before giving up, to report all errors.
                let parts: Vec<Option<Expr>> = each.collect();
                parts.into_iter().collect::<Option<Vec<_>>>().map(Expr::any)
            }
            NodeKind::Scalar(_) if node.is_null() => self.empty(name),
            NodeKind::Scalar(_) => self.keyword(node),
        }
    }

    fn empty(&mut self, name: &Node) -> Option<Expr> {
        let message = format!("the selection `{}` is empty and would never match", name.text());
        self.report.error(name.at, name.text(), message, None);
        None
    }

    fn map(&mut self, name: &Node, node: &Node) -> Option<Expr> {
        if node.pairs().is_empty() {
            return self.empty(name);
        }
        let parts: Vec<Option<Expr>> =
            node.pairs().iter().map(|(key, value)| self.entry(key, value)).collect();
        parts.into_iter().collect::<Option<Vec<_>>>().map(Expr::all)
    }

    /// A bare keyword of a list.
    fn keyword(&mut self, node: &Node) -> Option<Expr> {
        let plan =
            Plan { steps: Vec::new(), kind: Kind::Text, all: false, neq: false, cased: false };
        let key = Key { node, field: None, plan };
        let tests = self.tests(&key, node)?;
        Some(self.item(&key, "", tests, vec![node]))
    }

    fn entry(&mut self, key: &Node, value: &Node) -> Option<Expr> {
        let key = self.key(key)?;
        let values: Vec<&Node> = match &value.kind {
            NodeKind::Scalar(_) => vec![value],
            NodeKind::Sequence(list) if list.is_empty() => {
                let message = format!("`{}` has no values and would never match", key.node.text());
                self.report.error(key.node.at, key.node.text(), message, None);
                return None;
            }
            NodeKind::Sequence(list) => list.iter().collect(),
            NodeKind::Mapping(_) => {
                let message = "a field takes a value or a list of values, not a map";
                let hint = "nested fields are written with dots: `parent.child: value`".to_owned();
                self.report.error(value.at, "", message, Some(hint));
                return None;
            }
        };
        self.check_count(&key, &values)?;
        let tests: Vec<Option<Vec<Test>>> =
            values.iter().map(|value| self.tests(&key, value)).collect();
        let tests = tests.into_iter().collect::<Option<Vec<_>>>()?;
        let written = key.node.text();
        let expr = if key.plan.all && !key.plan.neq {
            let pairs = tests.into_iter().zip(&values);
            Expr::all(pairs.map(|(tests, v)| self.item(&key, written, tests, vec![v])).collect())
        } else {
            self.item(&key, written, tests.into_iter().flatten().collect(), values)
        };
        Some(if key.plan.neq { expr.negate() } else { expr })
    }

    fn item(&mut self, key: &Key<'_>, written: &str, tests: Vec<Test>, values: Vec<&Node>) -> Expr {
        let id = ItemId(self.items.len() as u32);
        self.items.push(Item {
            field: key.field.map(str::to_owned),
            tests,
            key: written.to_owned(),
            written: values.iter().map(|v| v.text().to_owned()).collect(),
            key_at: key.node.at,
            at: values.first().map_or(key.node.at, |v| v.at),
        });
        Expr::Item(id)
    }

    fn key<'n>(&mut self, node: &'n Node) -> Option<Key<'n>> {
        let text = node.text();
        let mut names = text.split('|');
        let field = names.next().unwrap_or("");
        let names: Vec<&str> = names.collect();
        let plan = match modifier::plan(&names) {
            Ok(plan) => plan,
            Err(faults) => {
                for fault in faults {
                    let before: usize =
                        names[..fault.index].iter().map(|n| n.chars().count() + 1).sum();
                    let at = node.inside(field.chars().count() + 1 + before);
                    self.report.error(at, names[fault.index], fault.message, fault.hint);
                }
                return None;
            }
        };
        let field = (!field.is_empty()).then_some(field);
        if field.is_none() && !matches!(plan.kind, Kind::Text | Kind::Regex(_) | Kind::Cidr) {
            let message = "keywords have no field that this could look at";
            self.report.error(node.at, text, message, None);
            return None;
        }
        Some(Key { node, field, plan })
    }

    fn check_count(&mut self, key: &Key<'_>, values: &[&Node]) -> Option<()> {
        let text = key.node.text();
        if key.plan.kind == Kind::Exists && values.len() > 1 {
            self.report.error(key.node.at, text, "`exists` takes one `true` or `false`", None);
            return None;
        }
        if key.plan.all && values.len() == 1 {
            let message = "`all` has no effect on a single value";
            self.report.warn(key.node.at, text, message, None);
        }
        Some(())
    }

    /// The alternatives that one value stands for.
    fn tests(&mut self, key: &Key<'_>, value: &Node) -> Option<Vec<Test>> {
        let Some(typed) = value.typed() else {
            let message = format!("{} cannot stand among the values of a field", value.noun());
            self.report.error(value.at, "", message, None);
            return None;
        };
        let result = match key.plan.kind {
            Kind::Text => self.text_tests(key, value, &typed),
            Kind::Exists => match typed {
                Typed::Bool(wanted) => Ok(vec![Test::Exists(wanted)]),
                _ => Err("`exists` takes `true` or `false`".to_owned()),
            },
            Kind::Compare(op) => self.numbers(key, value).and_then(|texts| {
                texts.iter().map(|t| compare(t, op)).collect::<Result<Vec<_>, _>>()
            }),
            Kind::Time(part, op) => {
                time(&typed).map(|value| vec![Test::Time(TimeTest { part, op, value })])
            }
            Kind::Regex(flags) => return self.regexes(key, value, &typed, flags),
            Kind::Cidr => self.raw(key, value, &typed).and_then(|texts| {
                let network = |t: &String| {
                    let network = Network::parse(t.trim());
                    network
                        .map(Test::Network)
                        .ok_or(format!("`{t}` is not a network in CIDR notation"))
                };
                texts.iter().map(network).collect::<Result<Vec<_>, _>>()
            }),
            Kind::FieldRef => field_ref(&key.plan, value, &typed),
        };
        match result {
            Ok(tests) => Some(tests),
            Err(message) => {
                self.report.error(value.at, value.text(), message, None);
                None
            }
        }
    }

    fn regexes(
        &mut self,
        key: &Key<'_>,
        value: &Node,
        typed: &Typed,
        flags: RegexFlags,
    ) -> Option<Vec<Test>> {
        let texts = match self.raw(key, value, typed) {
            Ok(texts) => texts,
            Err(message) => {
                self.report.error(value.at, value.text(), message, None);
                return None;
            }
        };
        let mut tests = Vec::with_capacity(texts.len());
        for text in &texts {
            match self.regexes.compile(text, flags) {
                Ok(regex) => tests.push(Test::Regex(regex)),
                Err(Refusal { message, hint }) => {
                    self.report.error(value.at, value.text(), message, hint);
                    return None;
                }
            }
        }
        Some(tests)
    }

    /// The text of a value under modifiers that do not read wildcards, placeholders replaced.
    fn raw(&self, key: &Key<'_>, value: &Node, typed: &Typed) -> Result<Vec<String>, String> {
        if *typed == Typed::Null {
            return Err("a value is missing".to_owned());
        }
        if key.plan.steps.contains(&Step::Expand) {
            return expand(value.text(), self.placeholders);
        }
        Ok(vec![value.text().to_owned()])
    }

    fn numbers(&self, key: &Key<'_>, value: &Node) -> Result<Vec<String>, String> {
        match value.typed() {
            // 0x10 is a number in YAML only.
            Some(Typed::Number(number)) => Ok(vec![number.text()]),
            Some(typed) => self.raw(key, value, &typed),
            None => Err("expected a number".to_owned()),
        }
    }

    fn text_tests(
        &mut self,
        key: &Key<'_>,
        value: &Node,
        typed: &Typed,
    ) -> Result<Vec<Test>, String> {
        let plan = &key.plan;
        let raw = value.text();
        let is_keyword = key.field.is_none();
        if plan.steps.is_empty() && !is_keyword {
            match typed {
                Typed::Null => return Ok(vec![Test::Null]),
                Typed::Bool(b) => return Ok(vec![Test::Bool(*b)]),
                Typed::Number(n) => return Ok(vec![number_test(n, raw)]),
                Typed::Text => {}
            }
        }
        if *typed == Typed::Null {
            let message = if is_keyword {
                "a keyword is missing"
            } else {
                "`null` cannot be changed by modifiers: a field that is absent or null is `field: null`"
            };
            return Err(message.to_owned());
        }
        if raw.is_empty() && (is_keyword || !plan.steps.is_empty()) {
            let message = "empty text is contained in every value";
            self.report.warn(value.at, "", message, None);
        }
        // Placeholders are replaced before escapes and wildcards are read, so that their values may
        // have some.
        let mut texts: Vec<Text> =
            self.raw(key, value, typed)?.iter().map(|t| Text::parse(t)).collect();
        let mut bytes: Vec<Vec<u8>> = Vec::new();
        for step in &plan.steps {
            (texts, bytes) = step_on(*step, texts, bytes)?;
            if texts.len().max(bytes.len()) > ALTERNATIVES_MAX {
                return Err(format!("this stands for more than {ALTERNATIVES_MAX} values"));
            }
        }
        for bytes in bytes {
            let text = String::from_utf8(bytes).map_err(
                |_| "UTF-16 text is not text in a log: put `base64` or `base64offset` behind it",
            )?;
            texts.push(Text::literal(&text));
        }
        let star = is_keyword;
        Ok(texts.into_iter().map(|t| t.starred(star, star).into_test(plan.cased)).collect())
    }
}

/// One modifier. Values are texts, or bytes between an encoding and `base64`.
fn step_on(
    step: Step,
    texts: Vec<Text>,
    bytes: Vec<Vec<u8>>,
) -> Result<(Vec<Text>, Vec<Vec<u8>>), String> {
    let encoded = !bytes.is_empty();
    let starred = |before, after| texts.iter().cloned().map(|t| t.starred(before, after)).collect();
    let plain = || {
        let each = texts.iter().map(|t| t.plain().map(String::into_bytes));
        each.collect::<Option<Vec<_>>>()
            .ok_or("wildcards cannot be encoded; write `\\*` or `\\?` for the characters")
    };
    let next: Vec<Text> = match step {
        Step::Utf16Le | Step::Utf16Be | Step::Utf16 if encoded => {
            return Err("the value is encoded twice".to_owned());
        }
        Step::Utf16Le | Step::Utf16Be | Step::Utf16 => {
            let little = step != Step::Utf16Be;
            let encode =
                |b: Vec<u8>| text::utf16(&String::from_utf8_lossy(&b), little, step == Step::Utf16);
            return Ok((Vec::new(), plain()?.into_iter().map(encode).collect()));
        }
        Step::Base64 | Step::Base64Offset => {
            let source = if encoded { bytes } else { plain()? };
            let encode = |b: &Vec<u8>| match step {
                Step::Base64 => vec![text::base64(b)],
                _ => text::base64_offsets(b).to_vec(),
            };
            let all: Vec<String> = source.iter().flat_map(encode).collect();
            if all.iter().any(String::is_empty) {
                return Err("the value is too short: nothing of it is certain in Base64".into());
            }
            all.iter().map(|t| Text::literal(t)).collect()
        }
        _ if encoded => {
            return Err("encoded text needs `base64` or `base64offset` next".to_owned());
        }
        // The placeholders were replaced at the very beginning.
        Step::Expand => texts,
        Step::Contains => starred(true, true),
        Step::StartsWith => starred(false, true),
        Step::EndsWith => starred(true, false),
        Step::Windash => {
            let each = texts.iter().map(Text::windash).collect::<Option<Vec<_>>>();
            each.ok_or("this value has too many dashes for `windash`")?.concat()
        }
    };
    Ok((next, Vec::new()))
}

fn number_test(number: &Number, raw: &str) -> Test {
    let plain = number.text();
    let raw = crate::fold::folded(raw);
    let mut texts: Vec<Box<str>> = vec![plain.into()];
    if *texts[0] != *raw {
        texts.push(raw.into());
    }
    Test::Number { value: number.clone(), texts }
}

fn compare(text: &str, op: Comparison) -> Result<Test, String> {
    let value = Number::parse(text.trim()).ok_or(format!("expected a number, not `{text}`"))?;
    Ok(Test::Compare { op, value })
}

fn time(typed: &Typed) -> Result<i64, String> {
    match typed {
        Typed::Number(n) => n.as_i64().ok_or("expected a whole number".to_owned()),
        _ => Err("expected a whole number".to_owned()),
    }
}

fn field_ref(plan: &Plan, value: &Node, typed: &Typed) -> Result<Vec<Test>, String> {
    if *typed == Typed::Null || value.text().is_empty() {
        return Err("`fieldref` takes the name of a field".to_owned());
    }
    let shape = match plan.steps.first() {
        Some(Step::Contains) => Shape::Contains,
        Some(Step::StartsWith) => Shape::StartsWith,
        Some(Step::EndsWith) => Shape::EndsWith,
        _ => Shape::Equals,
    };
    let field = value.text().to_owned();
    Ok(vec![Test::FieldRef(FieldRef { shape, field, cased: plan.cased })])
}

/// The value with every `%name%` replaced, once for each combination of what the names stand for.
fn expand(raw: &str, table: &Placeholders) -> Result<Vec<String>, String> {
    let mut out = vec![String::new()];
    let mut names = 0;
    for (is_name, text) in text::placeholders(raw) {
        if !is_name {
            out.iter_mut().for_each(|o| o.push_str(text));
            continue;
        }
        names += 1;
        let values = table.get(text).filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| format!("the placeholder `%{text}%` has no value"))?;
        if out.len().saturating_mul(values.len()) > ALTERNATIVES_MAX {
            return Err(format!("this stands for more than {ALTERNATIVES_MAX} values"));
        }
        out = out.iter().flat_map(|o| values.iter().map(move |v| format!("{o}{v}"))).collect();
    }
    if names == 0 {
        return Err("`expand` needs a placeholder like `%name%` in the value".to_owned());
    }
    Ok(out)
}
