//! Modifier chains: `CommandLine|contains|all` to what is to be done with the values.

use crate::diagnostic::nearest;
use crate::ir::{Comparison, RegexFlags, TimePart};

/// A step that changes text, applied in the order written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Contains,
    StartsWith,
    EndsWith,
    Windash,
    Base64,
    Base64Offset,
    Utf16Le,
    Utf16Be,
    Utf16,
    Expand,
}

/// What the value is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Regex(RegexFlags),
    Cidr,
    Compare(Comparison),
    Exists,
    FieldRef,
    Time(TimePart, Comparison),
}

/// A whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub kind: Kind,
    pub all: bool,
    pub neq: bool,
    pub cased: bool,
}

/// What is wrong with a chain: the modifier's index in it, a message, a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub index: usize,
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modifier {
    Step(Step),
    Kind(Kind),
    /// A flag of `re`.
    Flag(char),
    All,
    Neq,
    Cased,
}

const REGEX: Kind = Kind::Regex(RegexFlags {
    ignore_case: false,
    multi_line: false,
    dot_matches_line_break: false,
});

/// Every modifier of Sigma 2.1.
const MODIFIERS: &[(&str, Modifier)] = &[
    ("contains", Modifier::Step(Step::Contains)),
    ("startswith", Modifier::Step(Step::StartsWith)),
    ("endswith", Modifier::Step(Step::EndsWith)),
    ("windash", Modifier::Step(Step::Windash)),
    ("base64", Modifier::Step(Step::Base64)),
    ("base64offset", Modifier::Step(Step::Base64Offset)),
    ("utf16le", Modifier::Step(Step::Utf16Le)),
    ("wide", Modifier::Step(Step::Utf16Le)),
    ("utf16be", Modifier::Step(Step::Utf16Be)),
    ("utf16", Modifier::Step(Step::Utf16)),
    ("expand", Modifier::Step(Step::Expand)),
    ("re", Modifier::Kind(REGEX)),
    ("i", Modifier::Flag('i')),
    ("ignorecase", Modifier::Flag('i')),
    ("m", Modifier::Flag('m')),
    ("multiline", Modifier::Flag('m')),
    ("s", Modifier::Flag('s')),
    ("dotall", Modifier::Flag('s')),
    ("cidr", Modifier::Kind(Kind::Cidr)),
    ("lt", Modifier::Kind(Kind::Compare(Comparison::Lt))),
    ("lte", Modifier::Kind(Kind::Compare(Comparison::Lte))),
    ("gt", Modifier::Kind(Kind::Compare(Comparison::Gt))),
    ("gte", Modifier::Kind(Kind::Compare(Comparison::Gte))),
    ("exists", Modifier::Kind(Kind::Exists)),
    ("fieldref", Modifier::Kind(Kind::FieldRef)),
    ("minute", Modifier::Kind(Kind::Time(TimePart::Minute, Comparison::Eq))),
    ("hour", Modifier::Kind(Kind::Time(TimePart::Hour, Comparison::Eq))),
    ("day", Modifier::Kind(Kind::Time(TimePart::Day, Comparison::Eq))),
    ("week", Modifier::Kind(Kind::Time(TimePart::Week, Comparison::Eq))),
    ("month", Modifier::Kind(Kind::Time(TimePart::Month, Comparison::Eq))),
    ("year", Modifier::Kind(Kind::Time(TimePart::Year, Comparison::Eq))),
    ("all", Modifier::All),
    ("neq", Modifier::Neq),
    ("cased", Modifier::Cased),
];

/// Every modifier, synonyms too.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODIFIERS.iter().map(|(name, _)| *name)
}

/// Reads a chain. On any fault the plan is not to be used.
pub fn plan(names: &[&str]) -> Result<Plan, Vec<Fault>> {
    let mut plan =
        Plan { steps: Vec::new(), kind: Kind::Text, all: false, neq: false, cased: false };
    let mut faults = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let fault = |message: String, hint: Option<String>| Fault { index, message, hint };
        let Some((_, modifier)) = MODIFIERS.iter().find(|(known, _)| known == name) else {
            let known = MODIFIERS.iter().map(|(known, _)| *known);
            let hint = nearest(name, known).map(|n| format!("did you mean `{n}`?"));
            faults.push(fault(format!("unknown modifier `{name}`"), hint));
            continue;
        };
        if names[..index].contains(name) {
            faults.push(fault(format!("`{name}` is given twice"), None));
        } else if let Err(message) = apply(&mut plan, *modifier, name) {
            faults.push(fault(message, None));
        }
    }
    if faults.is_empty()
        && let Some(message) = conflict(&plan)
    {
        let index = names.len().saturating_sub(1);
        faults.push(Fault { index, message, hint: None });
    }
    if faults.is_empty() { Ok(plan) } else { Err(faults) }
}

fn apply(plan: &mut Plan, modifier: Modifier, name: &str) -> Result<(), String> {
    match modifier {
        Modifier::All => plan.all = true,
        Modifier::Neq => plan.neq = true,
        Modifier::Cased => plan.cased = true,
        Modifier::Step(step) => plan.steps.push(step),
        Modifier::Flag(flag) => match &mut plan.kind {
            Kind::Regex(flags) => match flag {
                'i' => flags.ignore_case = true,
                'm' => flags.multi_line = true,
                _ => flags.dot_matches_line_break = true,
            },
            _ => return Err(format!("`{name}` is a flag of `re` and must follow it")),
        },
        Modifier::Kind(kind) => {
            plan.kind = match (plan.kind, kind) {
                (Kind::Text, Kind::Regex(_)) if !plan.steps.iter().all(|s| *s == Step::Expand) => {
                    return Err("`re` must come before modifiers that change the value".into());
                }
                (Kind::Text, kind) => kind,
                (Kind::Time(part, Comparison::Eq), Kind::Compare(op)) => Kind::Time(part, op),
                _ => return Err(format!("`{name}` cannot be combined with what is before it")),
            };
        }
    }
    Ok(())
}

/// What cannot stand together, in whatever order.
fn conflict(plan: &Plan) -> Option<String> {
    let only_expand = plan.steps.iter().all(|s| *s == Step::Expand);
    let placing = |s: &Step| matches!(s, Step::Contains | Step::StartsWith | Step::EndsWith);
    let message = match plan.kind {
        Kind::Text => return None,
        Kind::Regex(_) if !only_expand => {
            "a regular expression is searched anywhere in the value: write `^` and `$` instead"
        }
        Kind::Cidr if !only_expand => "`cidr` takes a network and nothing that changes it",
        Kind::Compare(_) if !only_expand => "comparisons take a number and nothing that changes it",
        Kind::Time(..) if !plan.steps.is_empty() => "parts of a time are compared to numbers only",
        Kind::Exists if !plan.steps.is_empty() || plan.all || plan.neq || plan.cased => {
            "`exists` stands alone"
        }
        Kind::FieldRef if plan.steps.len() > 1 || !plan.steps.iter().all(placing) => {
            "`fieldref` goes with one of `contains`, `startswith` and `endswith`, `neq`, `cased` and `all`"
        }
        Kind::Cidr | Kind::Compare(_) | Kind::Time(..) if plan.cased => "`cased` is for text only",
        _ => return None,
    };
    Some(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chain: &str, expected: Result<(), &str>) {
        let names: Vec<&str> = chain.split('|').collect();
        match (plan(&names), expected) {
            (Ok(_), Ok(())) => {}
            (Err(faults), Err(part)) => {
                assert!(faults[0].message.contains(part), "{chain}: {faults:?}");
            }
            (have, _) => panic!("{chain}: {have:?}"),
        }
    }

    #[test]
    fn chains_that_make_sense_and_those_that_do_not() {
        for chain in [
            "contains|all",
            "all|contains",
            "contains|windash",
            "wide|base64offset|contains",
            "re|i|m|s",
            "re|all",
            "cidr|expand",
            "expand|cidr",
            "cased|endswith",
            "fieldref|endswith",
            "startswith|fieldref|neq",
            "hour|gte",
            "neq",
        ] {
            check(chain, Ok(()));
        }
        check("contians", Err("unknown modifier"));
        check("i", Err("flag of `re`"));
        check("i|re", Err("flag of `re`"));
        check("contains|re", Err("must come before"));
        check("re|contains", Err("searched anywhere"));
        check("re|cidr", Err("cannot be combined"));
        check("gt|lt", Err("cannot be combined"));
        check("gte|hour", Err("cannot be combined"));
        check("contains|contains", Err("twice"));
        check("exists|all", Err("stands alone"));
        check("fieldref|base64", Err("goes with"));
        check("cidr|contains", Err("takes a network"));
        check("gt|windash", Err("take a number"));
        check("Contains", Err("unknown modifier `Contains`"));
    }
}
