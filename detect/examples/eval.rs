//! Evaluates rules on events without the rest of the program, for conformance and for doubt:
//!
//! ```text
//! eval rules eval --rules PATH… --logsource-tsv FILE [--engine fast|oracle] EVENTS
//! eval rules check PATH…
//! ```
//!
//! One NDJSON line a match: `{"line":0-based,"rule":id,"title":…}`, in input order.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::{Engine, Matcher, Placeholders, RuleSet};
use event::log_source::{LogSource, Tag};
use event::{Fields, FieldsBuilder, Parser, Slots};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["rules", "eval", rest @ ..] => eval(rest),
        ["rules", "check", paths @ ..] => check(paths),
        _ => Err("usage: eval rules eval|check …".into()),
    }
}

fn check(paths: &[&str]) -> Result<()> {
    let files = rule_files(paths)?;
    let texts: HashMap<String, String> = files.iter().cloned().collect();
    let (rules, problems) = RuleSet::load(files, &Placeholders::new());
    let mut out = std::io::stdout().lock();
    for problem in &problems {
        writeln!(out, "{}", problem.render(&texts[&problem.file]))?;
    }
    writeln!(out, "{} rules, {} diagnostics", rules.rules().len(), problems.len())?;
    Ok(())
}

fn eval(args: &[&str]) -> Result<()> {
    let (mut paths, mut table, mut engine, mut events) = (Vec::new(), None, Engine::Fast, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().copied().ok_or(format!("{arg} needs a value"));
        match *arg {
            "--rules" => paths.push(value()?),
            "--logsource-tsv" => table = Some(value()?),
            "--engine" => {
                engine = match value()? {
                    "fast" => Engine::Fast,
                    "oracle" => Engine::Oracle,
                    other => return Err(format!("no engine `{other}`").into()),
                }
            }
            path => events = Some(path),
        }
    }
    let (rules, _) = RuleSet::load(rule_files(&paths)?, &Placeholders::new());
    let table = std::fs::read_to_string(table.ok_or("--logsource-tsv is missing")?)?;
    let events = std::fs::File::open(events.ok_or("the file of events is missing")?)?;
    let mut streams: HashMap<LogSource, Stream> = HashMap::new();
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut sources = table.lines();
    for (number, line) in BufReader::new(events).split(b'\n').enumerate() {
        let log_source = log_source(sources.next().unwrap_or_default());
        let stream = streams
            .entry(log_source)
            .or_insert_with_key(|log_source| Stream::new(&rules, log_source, engine));
        let line = line?;
        let Ok(doc) = parser.json(&line) else { continue };
        slots.fill(&stream.fields, &doc);
        stream.matcher.matches(&doc, &slots, &mut hits);
        for hit in &hits {
            let rule = &stream.group.rule(*hit).info;
            let record =
                serde_json::json!({ "line": number, "rule": rule.id, "title": rule.title });
            writeln!(out, "{record}")?;
        }
    }
    out.flush()?;
    Ok(())
}

struct Stream {
    group: Arc<detect::Group>,
    fields: Fields,
    matcher: Matcher,
}

impl Stream {
    fn new(rules: &RuleSet, log_source: &LogSource, engine: Engine) -> Self {
        let mut builder = FieldsBuilder::default();
        let group = rules.bind(log_source, &|_| Vec::new(), &mut builder, engine);
        let matcher = group.matcher();
        Self { group, fields: builder.build(), matcher }
    }
}

/// One line of the table: product, category, service.
fn log_source(line: &str) -> LogSource {
    let mut columns = line.split('\t').map(Tag::parse);
    let mut next = || columns.next().unwrap_or_default();
    LogSource { product: next(), category: next(), service: next() }
}

fn rule_files(paths: &[&str]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else if is_rule(&path) {
            found.push((path.display().to_string(), std::fs::read_to_string(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

fn is_rule(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yml" || e == "yaml")
}
