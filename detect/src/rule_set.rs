//! All rules, filters and correlations that are loaded together.

use std::collections::HashSet;
use std::sync::Arc;

use event::{FieldsBuilder, LogSource, Uid};
use hashbrown::HashMap;

use crate::correlate::{Feeds, Plans};
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::{Engine, Group};
use crate::ir::{Correlation, Position, Rule};
use crate::parse::{self, Draft, Placeholders};
use crate::resolve;

/// Rules in the order they were loaded, filters applied. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
    /// Inner ones before outer ones.
    correlations: Vec<Arc<Correlation>>,
    /// Ids of rules and correlations that only serve correlations.
    silent: Arc<HashSet<String>>,
    plans: Plans,
}

impl RuleSet {
    /// Reads files, each a path (for messages only) and its text. What cannot be loaded is left out
    /// and reported, in the order of the files.
    pub fn load(
        files: impl IntoIterator<Item = (String, String)>,
        placeholders: &Placeholders,
    ) -> (Self, Vec<Diagnostic>) {
        let (mut rules, mut drafts, mut filters) = (Vec::new(), Vec::new(), Vec::new());
        let mut diagnostics = Vec::new();
        let mut ids = Ids::default();
        let mut order: HashMap<String, usize> = HashMap::new();
        for (path, text) in files {
            let next = order.len();
            order.entry(path.clone()).or_insert(next);
            let mut parsed = parse::file(&path, &text, placeholders);
            diagnostics.append(&mut parsed.diagnostics);
            let is_new_rule =
                |rule: &Rule| ids.is_new(&rule.info.id, &rule.file, rule.at, &mut diagnostics);
            rules.extend(parsed.rules.into_iter().filter(is_new_rule));
            let is_new_draft =
                |draft: &Draft| ids.is_new(&draft.info.id, &draft.file, draft.at, &mut diagnostics);
            drafts.extend(parsed.correlations.into_iter().filter(is_new_draft));
            filters.append(&mut parsed.filters);
        }
        resolve::filters(&mut rules, &filters, &mut diagnostics);
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(Arc::new).collect();
        let correlations = resolve::correlations(&rules, drafts, &mut diagnostics);
        diagnostics.sort_by_key(|d| (order.get(&d.file).copied(), d.position()));
        (Self::with_correlations(rules, correlations), diagnostics)
    }

    /// Rules without correlations.
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self::with_correlations(rules, Vec::new())
    }

    fn with_correlations(rules: Vec<Arc<Rule>>, correlations: Vec<Arc<Correlation>>) -> Self {
        let members = |generate: bool| -> HashSet<String> {
            let of = correlations.iter().filter(|c| c.generate == generate);
            of.flat_map(|c| &c.members).map(|member| member.id.clone()).collect()
        };
        let loud = members(true);
        let silent = members(false).into_iter().filter(|id| !loud.contains(id)).collect();
        let silent: HashSet<String> = silent;
        let plans = Plans::new(&correlations, &|id| !silent.contains(id));
        Self { rules, correlations, silent: Arc::new(silent), plans }
    }

    /// Without the rules and correlations of these ids, and without the correlations that need one of
    /// them. Those, being left out without having been named, are returned.
    pub fn without(&self, ids: &HashSet<&str>) -> (Self, Vec<Arc<Correlation>>) {
        let rules = self.rules.iter().filter(|rule| !ids.contains(rule.info.id.as_str()));
        let mut gone = ids.clone();
        let (mut kept, mut lost) = (Vec::new(), Vec::new());
        for correlation in &self.correlations {
            let id = correlation.info.id.as_str();
            let needs = correlation.members.iter().any(|m| gone.contains(m.id.as_str()));
            if ids.contains(id) {
                continue;
            }
            if needs {
                gone.insert(id);
                lost.push(Arc::clone(correlation));
            } else {
                kept.push(Arc::clone(correlation));
            }
        }
        (Self::with_correlations(rules.cloned().collect(), kept), lost)
    }

    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Correlations, inner ones before the outer ones that refer to them.
    pub fn correlations(&self) -> &[Arc<Correlation>] {
        &self.correlations
    }

    /// The correlations, connected.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// The plans that events of a log source can take part in.
    pub fn plans_for(&self, log_source: &LogSource) -> Vec<Uid> {
        let apply = self.rules.iter().filter(|rule| rule.log_source.applies_to(log_source));
        self.plans.fed_by(&apply.map(|rule| rule.info.id.as_str()).collect())
    }

    /// Whether the rule or correlation of this id alerts on its own. What correlations without
    /// `generate` refer to does not.
    pub fn alerts(&self, id: &str) -> bool {
        !self.silent.contains(id)
    }

    /// Compiles the rules that apply to a log source. `candidates` gives the record paths under which
    /// a rule's field may be found, best first; none means the name as it is. Their slots are
    /// registered with `builder`.
    pub fn bind(
        &self,
        log_source: &LogSource,
        candidates: &dyn Fn(&str) -> Vec<String>,
        builder: &mut FieldsBuilder,
        engine: Engine,
    ) -> Arc<Group> {
        let applies = |rule: &&Arc<Rule>| rule.log_source.applies_to(log_source);
        let rules: Vec<Arc<Rule>> = self.rules.iter().filter(applies).cloned().collect();
        let ids = rules.iter().map(|rule| rule.info.id.as_str());
        let feeds = Feeds::bind(&self.plans, ids, candidates, builder);
        let group = Group::new(rules.clone(), candidates, builder, engine);
        Arc::new(group.with_feeds(feeds, &|id| self.alerts(id)))
    }
}

/// The ids that are taken, and by what.
#[derive(Default)]
struct Ids {
    first: HashMap<String, (Arc<str>, u32)>,
}

impl Ids {
    /// Two rules of one id would share the identity of their alerts: the second is reported.
    fn is_new(
        &mut self,
        id: &str,
        file: &Arc<str>,
        at: Position,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let Some((first, line)) = self.first.get(id) else {
            self.first.insert(id.to_owned(), (Arc::clone(file), at.line));
            return true;
        };
        diagnostics.push(Diagnostic {
            severity: Severity::Error,
            file: file.to_string(),
            line: at.line,
            column: at.column,
            span: String::new(),
            message: format!("the id {id} is that of another rule already, {first}:{line}"),
            hint: Some("give each rule an id of its own".to_owned()),
        });
        false
    }
}
