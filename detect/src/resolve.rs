//! What documents say about each other, once all of them are read: filters change the rules they are
//! about, correlations find the rules they refer to. One that cannot be resolved is left out, alone,
//! with a diagnostic.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::diagnostic::{Diagnostic, nearest};
use crate::ir::{Alias, Correlation, Filter, FilteredRules, Member, Position, Rule};
use crate::parse::{Draft, Report, meant};

/// Correlations deeper in a chain than this are refused.
const CHAIN_MAX: usize = 8;

/// Applies every filter to the rules that it is about.
pub fn filters(rules: &mut [Rule], filters: &[Filter], diagnostics: &mut Vec<Diagnostic>) {
    for filter in filters {
        let mut report = Report::new(&filter.file);
        let mut applied = 0;
        match &filter.rules {
            FilteredRules::Any => {
                for rule in rules.iter_mut().filter(|rule| filter.fits(rule)) {
                    filter.apply(rule);
                    applied += 1;
                }
                if applied == 0 {
                    let message = "no rule has the filter's log source";
                    report.warn(filter.at, "", message, None);
                }
            }
            FilteredRules::Named(named) => {
                for (reference, at) in named {
                    named_rule(rules, filter, reference, *at, &mut report);
                }
            }
        }
        diagnostics.append(&mut report.diagnostics);
    }
}

fn named_rule(
    rules: &mut [Rule],
    filter: &Filter,
    reference: &str,
    at: Position,
    report: &mut Report<'_>,
) {
    let is_meant =
        |rule: &Rule| rule.info.id == reference || rule.meta.name.as_deref() == Some(reference);
    let Some(rule) = rules.iter_mut().find(|rule| is_meant(rule)) else {
        let message = format!("there is no rule `{reference}`: the filter changes nothing there");
        report.warn(at, reference, message, None);
        return;
    };
    if filter.fits(rule) {
        filter.apply(rule);
    } else {
        let message = format!(
            "`{}` asks for another log source than the filter: the filter does not apply to it",
            rule.info.title
        );
        report.warn(at, reference, message, None);
    }
}

/// A rule or correlation that may be referred to.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    name: Option<String>,
    is_correlation: bool,
    level: event::Level,
    /// How many correlations are below it, itself included.
    depth: usize,
}

/// Resolves drafts against the rules and each other. The result has inner correlations before outer
/// ones.
pub fn correlations(
    rules: &[Arc<Rule>],
    mut drafts: Vec<Draft>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Arc<Correlation>> {
    let mut known = Names::default();
    for rule in rules {
        known.add(Known {
            id: rule.info.id.clone(),
            name: rule.meta.name.clone(),
            is_correlation: false,
            level: rule.info.level,
            depth: 0,
        });
    }
    let mut resolved = Vec::new();
    loop {
        let waiting = drafts.len();
        let mut left = Vec::new();
        for draft in drafts {
            let open = |(name, _): &(String, Position)| !known.by_name.contains_key(name);
            if draft.rules.iter().any(open) {
                left.push(draft);
                continue;
            }
            let mut report = Report::new(&draft.file);
            if let Some((correlation, depth)) = resolve(&draft, &known, &mut report) {
                known.add(Known {
                    id: correlation.info.id.clone(),
                    name: correlation.meta.name.clone(),
                    is_correlation: true,
                    level: correlation.info.level,
                    depth,
                });
                resolved.push(Arc::new(correlation));
            }
            diagnostics.append(&mut report.diagnostics);
        }
        drafts = left;
        if drafts.len() == waiting {
            break;
        }
    }
    for draft in &drafts {
        diagnostics.append(&mut unresolved(draft, &drafts, &known));
    }
    resolved
}

#[derive(Debug, Default)]
struct Names {
    all: Vec<Known>,
    /// By id and by name: where in `all`. Several things may have one name.
    by_name: HashMap<String, Vec<usize>>,
}

impl Names {
    fn add(&mut self, known: Known) {
        let at = self.all.len();
        self.by_name.entry(known.id.clone()).or_default().push(at);
        if let Some(name) = known.name.clone().filter(|name| *name != known.id) {
            self.by_name.entry(name).or_default().push(at);
        }
        self.all.push(known);
    }
}

/// All that it names is known; the depth of its chain is returned beside it.
fn resolve(draft: &Draft, known: &Names, report: &mut Report<'_>) -> Option<(Correlation, usize)> {
    let (mut members, mut level, mut depth) = (Vec::<Member>::new(), None, 0);
    for (reference, at) in &draft.rules {
        let found = known.by_name.get(reference).map(Vec::as_slice).unwrap_or_default();
        let [index] = found else {
            let message = format!("{} rules have the name `{reference}`", found.len());
            let hint = "refer to the one that is meant by its id".to_owned();
            report.error(*at, reference, message, Some(hint));
            continue;
        };
        let it = &known.all[*index];
        if members.iter().any(|member| member.id == it.id) {
            report.error(*at, reference, format!("`{reference}` is there twice"), None);
        }
        level = level.max(Some(it.level));
        depth = depth.max(it.depth);
        members.push(Member {
            reference: reference.clone(),
            id: it.id.clone(),
            is_correlation: it.is_correlation,
            at: *at,
        });
    }
    if depth >= CHAIN_MAX {
        let message = format!("more than {CHAIN_MAX} correlations are chained");
        report.error(draft.at, "", message, None);
    }
    let aliases = aliases(draft, &members, known, report);
    if report.failed {
        return None;
    }
    let mut info = draft.info.clone();
    if !draft.has_level {
        info.level = level.unwrap_or_default();
    }
    let correlation = Correlation {
        info,
        meta: draft.meta.clone(),
        members,
        group_by: draft.group_by.clone(),
        aliases,
        timespan_ns: draft.timespan_ns,
        kind: draft.kind.clone(),
        generate: draft.generate,
        file: Arc::clone(&draft.file),
        at: draft.at,
    };
    Some((correlation, depth + 1))
}

fn aliases(
    draft: &Draft,
    members: &[Member],
    known: &Names,
    report: &mut Report<'_>,
) -> Vec<Alias> {
    let is = |member: &Member, name: &str| {
        let same = |at: &usize| known.all[*at].id == member.id;
        member.reference == name || known.by_name.get(name).is_some_and(|all| all.iter().any(same))
    };
    let mut out = Vec::new();
    for alias in &draft.aliases {
        for (rule, _, at) in &alias.fields {
            if !members.iter().any(|member| is(member, rule)) {
                let near = nearest(rule, members.iter().map(|member| member.reference.as_str()));
                let message = format!("`{rule}` is not one of the correlation's `rules`");
                report.error(*at, rule, message, near.map(meant));
            }
        }
        let mut fields = Vec::new();
        for member in members {
            match alias.fields.iter().find(|(rule, ..)| is(member, rule)) {
                Some((_, field, _)) => fields.push(field.clone()),
                None => {
                    let message = format!(
                        "the alias `{}` does not say which field it is for `{}`",
                        alias.name, member.reference
                    );
                    report.error(alias.at, &alias.name, message, None);
                }
            }
        }
        out.push(Alias { name: alias.name.clone(), fields, at: alias.at });
    }
    out
}

/// Why a draft could not be resolved: what it names is not there, or waits for itself.
fn unresolved(draft: &Draft, drafts: &[Draft], known: &Names) -> Vec<Diagnostic> {
    let mut report = Report::new(&draft.file);
    for (reference, at) in &draft.rules {
        if known.by_name.contains_key(reference) {
            continue;
        }
        let waiting = drafts.iter().any(|other| {
            other.info.id == *reference || other.meta.name.as_deref() == Some(reference)
        });
        if waiting {
            let message = format!(
                "`{reference}` is a correlation that cannot be loaded, or that refers back to this one"
            );
            report.error(*at, reference, message, None);
            continue;
        }
        let names = known.all.iter().filter_map(|known| known.name.as_deref());
        let hint = nearest(reference, names).map(meant);
        let message = format!("there is no rule with the name or id `{reference}`");
        report.error(*at, reference, message, hint);
    }
    report.diagnostics
}
