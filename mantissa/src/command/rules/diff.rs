//! `mantissa rules diff`: what an upgrade of rules changes on the events of a file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use detect::{Engine, Matcher, Rule};
use event::{Parser, Slots};

use crate::cli::{ReportFormat, RulesDiff};
use crate::{files, plan, report};

use super::given::{self, Lens, View};

/// One set of rules at work.
struct Side {
    lens: Lens,
    matcher: Matcher,
    slots: Slots,
    /// Ids of all rules, also of those that do not apply to the events.
    ids: HashSet<String>,
}

/// Of a rule: the matches that appear and those that vanish.
#[derive(Default)]
struct Tally {
    title: String,
    appear: u64,
    vanish: u64,
}

/// Exits with failure when there is a difference, as `diff` does.
pub fn diff(args: &RulesDiff) -> anyhow::Result<ExitCode> {
    let catalog = plan::catalog(&args.events.log_types)?;
    let view = View::named(&catalog, &args.events)?
        .context("say what the events are: --log-type, or --product")?;
    let mut sides = [side(&args.before, &view)?, side(&args.after, &view)?];
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut parser, mut events) = (Parser::default(), 0_u64);
    given::each_line(&args.file, &mut |number, line| {
        let [before, after] = &mut sides;
        let (was, is) = match (before.hits(&mut parser, line), after.hits(&mut parser, line)) {
            (Ok(was), Ok(is)) => (was, is),
            (Err(e), _) | (_, Err(e)) => {
                report::note(&format!("line {number}: {e:#}\n"));
                return Ok(());
            }
        };
        events += 1;
        for (id, title) in was.symmetric_difference(&is) {
            let appears = is.iter().any(|(other, _)| other == id);
            // A new title alone is no difference.
            if appears && was.iter().any(|(other, _)| other == id) {
                continue;
            }
            let tally = tallies.entry(id.clone()).or_default();
            tally.title.clone_from(title);
            *(if appears { &mut tally.appear } else { &mut tally.vanish }) += 1;
            told(args.format, number, appears, id, title)?;
        }
        Ok(())
    })?;
    if args.format == ReportFormat::Text {
        report::out(&summary(&tallies, &sides, events))?;
    }
    Ok(if tallies.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn side(path: &Path, view: &View) -> anyhow::Result<Side> {
    let all = given::load(files::read(&[path.to_owned()], files::RULES)?);
    if !all.correlations().is_empty() {
        report::note(&format!("{}: correlations are not compared\n", path.display()));
    }
    let ids = all.rules().iter().map(|rule| rule.info.id.clone()).collect();
    let rules: Vec<Arc<Rule>> =
        all.rules().iter().filter(|rule| view.admits(rule)).cloned().collect();
    let lens = view.bind(rules, Engine::Fast);
    Ok(Side { matcher: lens.group.matcher(), slots: Slots::default(), lens, ids })
}

impl Side {
    /// Id and title of the rules that match.
    fn hits(
        &mut self,
        parser: &mut Parser,
        line: &[u8],
    ) -> anyhow::Result<BTreeSet<(String, String)>> {
        let Self { lens, matcher, slots, .. } = self;
        let doc = lens.parse(parser, line)?;
        slots.fill(&lens.fields, &doc);
        let mut hits = Vec::new();
        matcher.matches(&doc, slots, &mut hits);
        let named = hits.iter().map(|hit| &lens.group.rule(*hit).info);
        Ok(named.map(|info| (info.id.clone(), info.title.clone())).collect())
    }
}

fn told(
    format: ReportFormat,
    line: u64,
    appears: bool,
    id: &str,
    title: &str,
) -> anyhow::Result<()> {
    let change = if appears { "appears" } else { "vanishes" };
    match format {
        ReportFormat::Json => {
            let row =
                serde_json::json!({"line": line, "change": change, "rule": id, "title": title});
            report::data(&format!("{row}\n"))
        }
        ReportFormat::Text => {
            let sign = if appears { '+' } else { '-' };
            report::out(&format!("{sign} line {line}: {title} ({id})\n"))
        }
    }
}

fn summary(tallies: &BTreeMap<String, Tally>, [before, after]: &[Side; 2], events: u64) -> String {
    let mut out = String::new();
    for (id, Tally { title, appear, vanish }) in tallies {
        let rule = match (before.ids.contains(id), after.ids.contains(id)) {
            (false, _) => "the rule is new",
            (_, false) => "the rule is gone",
            _ => "the rule has changed",
        };
        out.push_str(&format!("{title} ({id}): +{appear} -{vanish}, {rule}\n"));
    }
    let (appear, vanish) =
        tallies.values().fold((0, 0), |(a, v), tally| (a + tally.appear, v + tally.vanish));
    out.push_str(&format!(
        "{}: {} and {}\n",
        report::plural(events, "event", "events"),
        report::plural(appear, "match appears", "matches appear"),
        report::plural(vanish, "vanishes", "vanish"),
    ));
    out
}
