//! `mantissa replay`.

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::bail;
use event::Uid;
use event::shown::line;
use sink::lake::{Kind, LakeStore, Snapshot, identities};
use sink::routing::Router;

use crate::backtest::{self, Question};
use crate::cli::Replay;
use crate::config::{self, Config};
use crate::pipeline::{Detection, now};
use crate::plan::{self, Plan};
use crate::replay::{OfRule, Report, Sender, Sift, Sifted};
use crate::report::{self, count, plural};
use crate::run;

/// Runs the rules over the past, says what is new, and sends it if that is wanted.
pub fn run(args: &Replay) -> anyhow::Result<ExitCode> {
    let mut config = config::load(&args.file.config)?;
    if !args.rules.is_empty() {
        config.rules.builtin = false;
        config.rules.paths.clone_from(&args.rules);
    }
    let identity = identity(args, &config)?;
    let plan = plan::plan(config)?;
    for note in &plan.notes {
        report::note(&format!("warning: {note}\n"));
    }
    let question = question(args, &plan, identity)?;
    let found = super::block_on(replay(args, &plan, &question))?;
    match args.json {
        true => report::data(&format!("{}\n", serde_json::to_string(&found)?))?,
        false => report::out(&shown(args, &found))?,
    }
    if args.send && found.sent.is_none() {
        bail!(
            "{} are more than --max {}: none was sent",
            plural(found.total.new, "new alert", "new alerts"),
            args.max
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(args: &Replay, plan: &Plan, question: &Question) -> anyhow::Result<Report> {
    let mut sender = match args.send {
        true => Some(Sender::open(plan).await.map_err(in_words)?),
        false => None,
    };
    let (ran, was_finished) = question.run().await?;
    if was_finished {
        let folder = args.out.display();
        report::note(&format!("this run was finished before: what {folder} has is taken\n"));
    }
    let mut found = Report {
        events: ran.events,
        unreadable: ran.unreadable,
        without_record: ran.without_record,
        ..Report::default()
    };
    let sifted = sift(args, plan, question, sender.as_ref(), &mut found).await?;
    let fits = found.total.new <= args.max as u64;
    if let Some(mut sender) = sender.take().filter(|_| fits) {
        let Sifted { mut new, unlisted } = sifted;
        new.extend(unlisted);
        let sent = sender.send(new).await?;
        found.sent = Some(sender.deliver(plan, sent).await?);
    }
    Ok(found)
}

/// Compares what was found with what is known.
async fn sift(
    args: &Replay,
    plan: &Plan,
    question: &Question,
    sender: Option<&Sender>,
    found: &mut Report,
) -> anyhow::Result<Sifted> {
    let store = &question.store;
    let snapshot = Snapshot::read(&store.store, &store.root).await?;
    let listed = identities::alerts(store, &snapshot, question.from..question.to).await?;
    let outbox = match sender {
        Some(sender) => Some(sender.outbox().clone()),
        // To look is not to make one.
        None if plan.state_dir.join("outbox.redb").exists() => {
            Some(run::open_outbox(&plan.state_dir)?)
        }
        None => None,
    };
    let names: Vec<String> = plan.destinations.keys().cloned().collect();
    let mut sift = Sift {
        router: Router::new(&plan.routes, &names)?,
        outbox,
        listed,
        now: now(),
        lateness_ns: plan.correlation.lateness_ns_max(),
        max: args.max,
        report: found,
        held: HashSet::new(),
    };
    let mut sifted = Sifted::default();
    backtest::alerts(&question.folder, |alert| sift.take(alert, &mut sifted))?;
    Ok(sifted)
}

fn in_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<sink::lake::Error>().map(sink::lake::Error::kind) {
        Some(Kind::Fenced) => error.context("another replay of this lake is under way"),
        _ => error,
    }
}

fn question(args: &Replay, plan: &Plan, identity: String) -> anyhow::Result<Question> {
    let (from, to) = (super::time("--from", &args.from)?, super::time("--to", &args.to)?);
    if from >= to {
        bail!("--from must be before --to");
    }
    if let Some(unknown) = args.log_type.iter().find(|name| plan.catalog.get(name).is_none()) {
        bail!("{}", plan::unknown_log_type(&plan.catalog, unknown));
    }
    if plan.rules.rules().is_empty() {
        bail!("there is no rule to run");
    }
    Ok(Question {
        store: LakeStore::open(&plan.lake)?,
        detection: Detection {
            catalog: plan.catalog.clone(),
            rules: plan.rules.clone(),
            generation: 0,
        },
        correlation: plan.correlation.clone(),
        from,
        to,
        log_types: args.log_type.clone(),
        workers: if args.workers == 0 { plan.workers } else { args.workers },
        glances: true,
        folder: args.out.clone(),
        identity,
    })
}

/// What makes two runs the same: times, rules, log types, lake.
fn identity(args: &Replay, config: &Config) -> anyhow::Result<String> {
    let texts = plan::rule_files(&config.rules)?;
    let mut parts = vec![args.from.as_bytes(), args.to.as_bytes(), config.lake.url.as_bytes()];
    parts.extend(texts.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
    parts.extend(config.rules.disable.iter().map(String::as_bytes));
    parts.extend(args.log_type.iter().map(String::as_bytes));
    Ok(Uid::of("replay", &parts).to_string())
}

fn shown(args: &Replay, found: &Report) -> String {
    let mut text = String::new();
    for of in found.rules.values() {
        rule(&mut text, of);
    }
    for (log_type, n) in &found.unreadable {
        let events = plural(*n, "event", "events");
        text.push_str(&format!("{log_type}: {events} cannot be read again\n"));
    }
    for (log_type, n) in &found.without_record {
        let events = plural(*n, "event", "events");
        text.push_str(&format!("{log_type}: {events} without the vendor's record, not matched\n"));
    }
    let total = &found.total;
    text.push_str(&format!(
        "{}: {}, {} known already; all are in {}\n",
        plural(found.events, "event", "events"),
        plural(total.new, "new alert", "new alerts"),
        count(total.known),
        args.out.join("alerts").display(),
    ));
    match &found.sent {
        Some(sent) if sent.by_running => text.push_str(&format!(
            "{} handed over: the running `mantissa run` delivers them\n",
            plural(sent.alerts, "alert", "alerts")
        )),
        Some(sent) => {
            text.push_str(&format!("{} sent\n", plural(sent.alerts, "alert", "alerts")));
            if sent.pending > 0 {
                let left = plural(sent.pending, "delivery waits", "deliveries wait");
                text.push_str(&format!("{left} for the next `mantissa run`\n"));
            }
        }
        None if !args.send && total.new > 0 => {
            text.push_str("nothing was sent: --send does that\n");
        }
        None => {}
    }
    text
}

fn rule(text: &mut String, of: &OfRule) {
    let counts = &of.counts;
    let mut said = vec![format!("{} new", count(counts.new))];
    for (n, what) in [(counts.known, "known already"), (counts.open, "not decided yet")] {
        if n > 0 {
            said.push(format!("{} {what}", count(n)));
        }
    }
    text.push_str(&format!("{} ({}): {}\n", line(&of.title), of.level, said.join(", ")));
    for (destination, n) in &of.destinations {
        text.push_str(&format!("  {:>8} to {}\n", count(*n), line(destination)));
    }
    if of.held_back > 0 {
        text.push_str(&format!("  {:>8} held back as repetitions\n", count(of.held_back)));
    }
    if of.unrouted > 0 {
        text.push_str(&format!("  {:>8} to nobody: no route takes them\n", count(of.unrouted)));
    }
}
