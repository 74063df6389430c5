//! `mantissa backfill`: asks the process that writes the lake, or is that process where there is none.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use event::time::SECOND_NS;
use sink::lake::Kind;
use sink::outbox::ErrorKind;

use crate::backfill::{End, Inbox, Progress, Request, poll_source, shown};
use crate::cli::Backfill;
use crate::config;
use crate::pipeline::now;
use crate::plan::{self, Plan};
use crate::report::{self, count, plural};
use crate::run::{self, Stop};

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After so long without a word it is looked whether the other process is still there.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// Fills in what is wanted and says what became of it.
pub fn run(args: &Backfill) -> anyhow::Result<ExitCode> {
    let mut plan = plan::plan(config::load(&args.file.config)?)?;
    let request = request(args, &plan)?;
    let (state_dir, id) = (plan.state_dir.clone(), request.id());
    let inbox = Inbox::open(&state_dir)?;
    if inbox.request(&id)?.is_none() {
        match inbox.progress(&id)? {
            Some(Progress { end: Some(End::Done), .. }) => {
                report::note("this was filled in before; nothing is asked again\n");
                return finish(args, &inbox, &id);
            }
            _ => inbox.forget(&id)?,
        }
        inbox.ask(&request)?;
    }
    for note in &plan.notes {
        report::note(&format!("warning: {note}\n"));
    }
    // The past is read by the desk; nothing else runs here.
    plan.backfills = Some(std::mem::take(&mut plan.sources));
    plan.console = None;
    super::block_on(async {
        match is_writer_away(&state_dir)? && alone(plan).await? {
            true => Ok(()),
            false => follow(&inbox, &id, &request, &state_dir).await,
        }
    })?;
    finish(args, &inbox, &id)
}

/// What is wanted, checked, with what the vendor can still give said.
fn request(args: &Backfill, plan: &Plan) -> anyhow::Result<Request> {
    let Some(config) = plan.sources.get(&args.source) else {
        let names: Vec<_> = plan.sources.keys().map(String::as_str).collect();
        bail!("there is no source `{}`; configured: {}", args.source, names.join(", "));
    };
    let source = poll_source(&args.source, config).map_err(|words| anyhow!(words))?;
    let seconds =
        |option, text: &str| super::time(option, text).map(|time| time.0.div_euclid(SECOND_NS));
    let from_s = seconds("--from", &args.from)?;
    let to_s = args.to.as_deref().map(|to| seconds("--to", to)).transpose()?;
    let now_s = now().0.div_euclid(SECOND_NS);
    if from_s >= to_s.unwrap_or(now_s).min(now_s) {
        bail!("--from must be before --to, and in the past");
    }
    match source.retention_ms().map(|ms| ms / 1_000) {
        None => {
            report::note("how long the vendor keeps events is not known: what it has is read\n")
        }
        Some(keeps_s) => {
            let oldest_s = now_s - keeps_s;
            let keeps = report::span(keeps_s.unsigned_abs());
            if to_s.is_some_and(|to_s| to_s <= oldest_s) {
                let oldest = shown(oldest_s);
                bail!("the vendor keeps events for {keeps}: nothing before {oldest} is left");
            }
            let note = match from_s < oldest_s {
                true => format!("only what happened since {} is left", shown(oldest_s)),
                false => "all of it should be there".to_owned(),
            };
            report::note(&format!("the vendor keeps events for {keeps}: {note}\n"));
        }
    }
    Ok(Request { source: args.source.clone(), from_s, to_s, until_s: None })
}

/// Whether nobody delivers from this state folder, which who writes the lake does all the time.
fn is_writer_away(state_dir: &Path) -> anyhow::Result<bool> {
    match run::open_outbox(state_dir)?.lock_dispatch() {
        Ok(_) => Ok(true),
        Err(e) if e.kind == ErrorKind::Locked => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Nobody writes the lake: this process does, until everything that is asked for is done. False when
/// somebody else was faster.
async fn alone(plan: Plan) -> anyhow::Result<bool> {
    if plan.lake.url.contains("://") && !plan.lake.url.starts_with("file://") {
        bail!(
            "no `mantissa run` with the state folder {} is up, and a second writer would put one elsewhere out \
             of the bucket: start it, or run this where it runs",
            plan.state_dir.display()
        );
    }
    report::note("no `mantissa run` is up: this process writes the lake meanwhile\n");
    match run::run(plan, Stop::Signals).await {
        Ok(_) => Ok(true),
        Err(e) => match e.downcast_ref::<sink::lake::Error>().map(sink::lake::Error::kind) {
            Some(Kind::Fenced) => Ok(false),
            _ => Err(e),
        },
    }
}

/// Shows what the running process tells, to the end. Should that process end, its place stays its own: it may
/// be about to start again.
async fn follow(
    inbox: &Inbox,
    id: &str,
    request: &Request,
    state_dir: &Path,
) -> anyhow::Result<()> {
    report::note("the running `mantissa run` does it; this command may be ended\n");
    let (mut last, mut heard, mut is_said) = (None, Instant::now(), false);
    loop {
        let progress = inbox.progress(id)?;
        if progress.as_ref().is_some_and(|progress| progress.end.is_some()) {
            return Ok(());
        }
        if progress != last {
            if let Some(progress) = progress.as_ref().filter(|_| std::io::stderr().is_terminal()) {
                report::status(&line(request, progress));
            }
            (last, heard, is_said) = (progress, Instant::now(), false);
        }
        if heard.elapsed() >= QUIET_MAX && !is_said {
            is_said = true;
            report::note(match (is_writer_away(state_dir)?, &last) {
                (true, _) => "it waits for `mantissa run` to be started again\n",
                (false, None) => "the process that has the state folder has not taken it up yet\n",
                (false, Some(_)) => "",
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn line(request: &Request, progress: &Progress) -> String {
    let Progress { counts, from_s, until_s, done_s, trouble, .. } = progress;
    let all = (until_s - from_s).max(1);
    let done = done_s.map_or(0, |done| (done - from_s).clamp(0, all));
    let mut text = format!(
        "{}: {} % read, {} found, {} new, {} already here",
        request.source,
        done * 100 / all,
        count(counts.found),
        count(counts.new),
        count(counts.here),
    );
    if let Some(trouble) = trouble {
        text.push_str(&format!(", {trouble}"));
    }
    text
}

/// Says what it came to.
fn finish(args: &Backfill, inbox: &Inbox, id: &str) -> anyhow::Result<ExitCode> {
    let progress = inbox.progress(id)?.context("it was stopped before it began")?;
    match &progress.end {
        Some(End::Done) => {}
        Some(End::Refused(words)) => bail!("{words}"),
        None => {
            let trouble = progress.trouble.map(|words| format!(" ({words})")).unwrap_or_default();
            bail!(
                "it is not at its end{trouble}: the same command goes on, and so does `mantissa run`"
            );
        }
    }
    let Progress { counts, from_s, until_s, .. } = &progress;
    if args.json {
        report::data(&format!("{}\n", serde_json::to_string(&progress)?))?;
    } else {
        let found = plural(counts.found, "record", "records");
        report::out(&format!(
            "{} from {} to {}: {found} found, {} new, {} already here, {} refused\n",
            args.source,
            shown(*from_s),
            shown(*until_s),
            count(counts.new),
            count(counts.here),
            count(counts.refused),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_delivers_is_there_and_who_only_looks_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = run::open_outbox(dir.path()).unwrap();
        assert!(
            is_writer_away(dir.path()).unwrap(),
            "an outbox that is open is not delivered from"
        );
        let lock = outbox.lock_dispatch().unwrap();
        assert!(!is_writer_away(dir.path()).unwrap());
        drop(lock);
        assert!(is_writer_away(dir.path()).unwrap());
    }
}
