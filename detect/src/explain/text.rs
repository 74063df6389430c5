//! An explanation for people: one line a part, indented, verdict first.

use std::fmt::{self, Write as _};

use super::{Change, Explanation, Look, Part, View, What};

impl fmt::Display for Explanation {
    /// Several lines. Values are JSON, so they have no line breaks; characters that are not safe on a
    /// terminal are left to whoever shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "matches" } else { "does not match" };
        writeln!(f, "{} ({}) {verdict}", self.title, self.rule)?;
        for condition in &self.conditions {
            writeln!(f, "condition: {condition}")?;
        }
        let mut out = String::new();
        part(&self.tree, 0, &mut out);
        if let Some(change) = &self.change {
            out.push('\n');
            changed(change, &mut out);
        } else if !self.holds {
            out.push_str("\nno change that was found would make it match\n");
        }
        f.write_str(&out)
    }
}

fn line(holds: bool, depth: usize, text: &str, out: &mut String) {
    let mark = if holds { "✓" } else { "✗" };
    let _ = writeln!(out, "{:depth$}{mark} {text}", "", depth = depth * 2);
}

fn part(it: &Part, depth: usize, out: &mut String) {
    let word = match &it.what {
        What::Constant => "always".to_owned(),
        What::All => "all of".to_owned(),
        What::Any => "any of".to_owned(),
        What::Not => "not".to_owned(),
        What::Selection { name } => match it.parts.first().map(|inner| &inner.what) {
            // Its kind stands behind its name.
            Some(What::All) => format!("{name}: all of"),
            Some(What::Any) => format!("{name}: any of"),
            _ => name.clone(),
        },
        What::Item(look) => format!("{}  {}", look.asks, sees(look)),
    };
    line(it.holds, depth, &word, out);
    let inner = match (&it.what, it.parts.first()) {
        (What::Selection { .. }, Some(inner)) if matches!(inner.what, What::All | What::Any) => {
            &inner.parts
        }
        _ => &it.parts,
    };
    inner.iter().for_each(|inner| part(inner, depth + 1, out));
}

/// What the event has where the item looks: `← "StartLogging"`.
fn sees(look: &Look) -> String {
    let own = match &look.field {
        Some(field) => view(field),
        None if look.found.is_empty() => "in no value".to_owned(),
        None => values(look.found.iter().map(|shown| shown.json.as_str()), 0),
    };
    let others = look.others.iter().map(|other| format!("; {} {}", other.name, view(other)));
    format!("← {own}{}", others.collect::<String>())
}

fn view(field: &View) -> String {
    let from = match &field.path {
        Some(path) if *path != field.name => format!(" at {path}"),
        _ => String::new(),
    };
    if field.values.is_empty() {
        return match field.is_present {
            true => format!("null or empty{from}"),
            false if field.candidates.len() > 1 => {
                format!("absent at {}", field.candidates.join(", "))
            }
            false => "absent".to_owned(),
        };
    }
    let each = field.values.iter().map(|shown| shown.json.as_str());
    format!("{}{from}", values(each, field.more))
}

fn values<'v>(each: impl Iterator<Item = &'v str>, more: usize) -> String {
    let shown = each.collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown}, … {more} more") } else { shown }
}

fn changed(change: &Change, out: &mut String) {
    let count = match change.items.len() {
        1 => "one item".to_owned(),
        n => format!("{n} items"),
    };
    let fewest = if change.is_smallest { "" } else { " (fewer might do)" };
    let _ = writeln!(out, "it would match if {count} came out otherwise{fewest}:");
    for flip in &change.items {
        let must = if flip.must_hold { "must hold" } else { "must not hold" };
        let at = flip.look.at;
        let place = format!("{}:{}:{}", flip.look.file, at.line, at.column);
        let _ = writeln!(out, "  {} {must}  {}  ({place})", flip.look.asks, sees(&flip.look));
    }
}
