//! `mantissa coverage`.

use std::process::ExitCode;

use ::query::{Engine, Format, Limits};
use event::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cli::Coverage;
use crate::coverage::{HOUR_US, Held, HeldByHour, Hour, Stretch, hours};
use crate::pipeline::now;
use crate::report::{self, count, plural};
use crate::sight::collection;

const DEFAULT_DAYS: i64 = 7;

/// Says hour by hour what the lake holds of each source.
pub fn run(args: &Coverage) -> anyhow::Result<ExitCode> {
    let now = now().micros();
    let time = |option: &str, text: &Option<String>, otherwise: i64| match text {
        Some(text) => super::time(option, text).map(Timestamp::micros),
        None => Ok(otherwise),
    };
    let from = time("--from", &args.from, now - DEFAULT_DAYS * 24 * HOUR_US)?;
    let to = time("--to", &args.to, now)?;
    anyhow::ensure!(from < to, "--from must be before --to");
    let options = super::lake_options(&args.lake)?;
    let (stretches, held) = super::block_on(async {
        let engine = super::engine(&options).await?;
        Ok((recorded(&engine).await?, held(&engine, from, to).await?))
    })?;
    let mut found = hours(&stretches, &held, (from, to), now);
    found.retain(|hour| args.source.is_empty() || args.source.contains(&hour.source));
    match args.json {
        true => found.iter().try_for_each(|hour| report::data(&format!("{}\n", object(hour))))?,
        false => report::out(&shown(&found))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The record that the program keeps of its sources. All of it: what was read later proves what is earlier.
async fn recorded(engine: &Engine) -> anyhow::Result<Vec<Stretch>> {
    let table = event::LogType::from(collection::LOG_TYPE).table();
    let sql = format!(
        "SELECT target_name AS source, collected_log_type AS log_type, action AS kind, keeps, \
         CAST(began AS BIGINT) AS \"from\", CAST(event_time AS BIGINT) AS \"to\", \
         CAST(read_from AS BIGINT) AS read_from, \
         CAST(read_to AS BIGINT) AS read_to, outcome_reason AS why FROM {table}"
    );
    rows(engine, &sql).await
}

#[derive(Deserialize)]
struct Counted {
    source: String,
    hour: i64,
    events: u64,
    late: u64,
}

/// How many events of each source and hour there are.
async fn held(engine: &Engine, from: i64, to: i64) -> anyhow::Result<HeldByHour> {
    let (from, to) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
    let sql = format!(
        "SELECT source, CAST(date_trunc('hour', event_time) AS BIGINT) AS hour, count(*) AS events, \
         sum(CASE WHEN late THEN 1 ELSE 0 END) AS late FROM events \
         WHERE event_time >= TIMESTAMP '{from}' AND event_time < TIMESTAMP '{to}' \
         AND substr(source, 1, 1) <> '_' GROUP BY 1, 2"
    );
    let counted: Vec<Counted> = rows(engine, &sql).await?;
    let entry = |c: Counted| ((c.source, c.hour), Held { events: c.events, late: c.late });
    Ok(counted.into_iter().map(entry).collect())
}

async fn rows<T: DeserializeOwned>(engine: &Engine, sql: &str) -> anyhow::Result<Vec<T>> {
    let limits = Limits { rows_max: None, ..Limits::default() };
    let mut text = Vec::new();
    ::query::write(engine.sql(sql, limits).await?, Format::Ndjson, &mut text).await?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(serde_json::from_slice).collect::<Result<_, _>>()?)
}

fn object(hour: &Hour) -> serde_json::Value {
    json!({
        "source": hour.source,
        "hour": Timestamp::from_micros(hour.at).to_string(),
        "state": hour.state,
        "events": hour.held.events,
        "late": hour.held.late,
        "minutes": hour.minutes,
        "why": hour.why,
    })
}

/// Hours in a row that say the same are one line.
fn shown(found: &[Hour]) -> String {
    if found.is_empty() {
        return "nothing is known of that time\n".to_owned();
    }
    let mut text = String::new();
    let mut source = "";
    let same = |a: &Hour, b: &Hour| {
        let what = |hour: &Hour| (hour.source.clone(), hour.state, hour.minutes, hour.why.clone());
        what(a) == what(b) && b.at == a.at + HOUR_US
    };
    for run in found.chunk_by(same) {
        let (first, last) = (&run[0], &run[run.len() - 1]);
        if first.source != source {
            source = &first.source;
            text.push_str(&format!("{}\n", event::shown::line(source)));
        }
        text.push_str(&format!("  {:<32} {:<9}", span(first.at, last.at), first.state.as_str()));
        text.push_str(&format!("{:>8}", plural(run.len() as u64, "hour", "hours")));
        let (events, late) =
            run.iter().fold((0, 0), |sum, h| (sum.0 + h.held.events, sum.1 + h.held.late));
        if events > 0 {
            text.push_str(&format!("  {}", plural(events, "event", "events")));
        }
        if late > 0 {
            text.push_str(&format!(", {} late", count(late)));
        }
        if let Some(why) = &first.why {
            text.push_str(&format!(
                "  {} of 60 minutes: {}",
                first.minutes,
                event::shown::line(why)
            ));
        }
        text.push('\n');
    }
    text
}

/// `2026-11-20T03 to 2026-11-20T09`, both of them included.
fn span(first: i64, last: i64) -> String {
    let hour =
        |at: i64| Timestamp::from_micros(at).to_string().chars().take(13).collect::<String>();
    if first == last { hour(first) } else { format!("{} to {}", hour(first), hour(last)) }
}
