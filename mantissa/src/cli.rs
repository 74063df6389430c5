//! The command line, as typed. What a command does lives in `command/`, one file each.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod backfill;
mod backtest;
mod coverage;
mod lake;
mod query;
mod replay;

pub use backfill::Backfill;
pub use backtest::Backtest;
pub use coverage::Coverage;
pub use lake::LakeCommand;
pub use query::Query;
pub use replay::Replay;

/// Mantissa Log: collects audit logs, detects with Sigma rules, alerts, and keeps everything in a
/// lake of Parquet that answers SQL.
#[derive(Debug, Parser)]
#[command(name = "mantissa", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Log lines as JSON instead of text.
    #[arg(long, global = true)]
    pub log_json: bool,
    /// What to log, in `tracing` filter form: `info`, `debug`, `mantissa=debug,ingest=trace`.
    #[arg(long, global = true, env = "MANTISSA_LOG", default_value = "warn")]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the pipeline of a configuration file.
    Run(Run),
    /// Check a configuration file: everything is resolved and compiled, nothing is started.
    Check(ConfigFile),
    /// Print the JSON Schema of the configuration file, or of what stands beside it.
    Schema {
        #[arg(long = "for", value_enum, default_value_t = SchemaOf::Config)]
        of: SchemaOf,
    },
    /// Read files or standard input into a lake, without a configuration file.
    Ingest(Ingest),
    /// Print the common columns of each line of a file.
    Normalize(Normalize),
    /// Say which log type a file is of, and by which fields that was seen.
    DetectType(DetectType),
    /// Sigma rules: check, test, evaluate.
    #[command(subcommand)]
    Rules(Rules),
    /// Ask the lake with SQL.
    Query(Query),
    /// Fill in the past of a source whose vendor is asked, beside its live collection.
    Backfill(Backfill),
    /// Run rules over the past: what they would have found in the lake. Nothing is sent.
    Backtest(Backtest),
    /// Run the rules over the past, and send the alerts that nobody got when the events came.
    Replay(Replay),
    /// Which hours of which sources the lake holds, and why others are not there.
    Coverage(Coverage),
    /// Vendors that are asked for their logs: which the program knows, and whether a configured one answers.
    #[command(subcommand)]
    Sources(Sources),
    /// The lake: verify it, look at it, keep it in order.
    #[command(subcommand)]
    Lake(LakeCommand),
    /// Records that could not be stored as events.
    #[command(subcommand)]
    Deadletters(Deadletters),
    /// Alerts and their deliveries.
    #[command(subcommand)]
    Alerts(Alerts),
    /// Watch events or matches of a running process.
    Tap(Tap),
    /// Write logs of a made-up company: a day with hidden attacks, or load of any size.
    Generate(Generate),
    /// Show the product: a generated day through the real pipeline, attacks found and missed.
    Demo(Demo),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// `mantissa.yaml`.
    Config,
    /// A Sigma rule or correlation.
    Rule,
    /// A Sigma filter.
    Filter,
    /// One line of the cases beside a rule.
    Case,
}

#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(short, long = "config", default_value = "mantissa.yaml")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Stop when every source has come to its end and everything is committed.
    #[arg(long)]
    pub until_end: bool,
}

#[derive(Debug, Args)]
pub struct Ingest {
    /// What the records are, `aws.cloudtrail`.
    #[arg(long)]
    pub log_type: String,
    /// The lake: a folder, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    #[arg(long, default_value = "lake")]
    pub lake: String,
    /// Rules to run: files or folders. May be given several times.
    #[arg(long)]
    pub rules: Vec<PathBuf>,
    /// Do not run the rules that come with the program.
    #[arg(long)]
    pub no_builtin_rules: bool,
    /// Append alerts to this file, one JSON object a line.
    #[arg(long)]
    pub alerts: Option<PathBuf>,
    /// Log types of your own: files or folders.
    #[arg(long)]
    pub log_types: Vec<PathBuf>,
    /// Worker threads; 0 = one for each processor.
    #[arg(long, default_value_t = 0)]
    pub workers: usize,
    /// The summary as JSON.
    #[arg(long)]
    pub json: bool,
    /// Files to read; `-` is standard input. Gzip and zstd are recognised.
    #[arg(required = true)]
    pub files: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Normalize {
    /// What the lines are, `okta.system`.
    #[arg(long)]
    pub log_type: String,
    /// Log types of your own: files or folders.
    #[arg(long)]
    pub log_types: Vec<PathBuf>,
    /// The file; `-` is standard input.
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct DetectType {
    /// Log types of your own: files or folders.
    #[arg(long)]
    pub log_types: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// The file, compressed or not; `-` is standard input.
    pub file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Report every problem of rule files, like a compiler.
    Check {
        /// Files or folders. Default: the rules that come with the program.
        paths: Vec<PathBuf>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Run the cases beside the rules (`<rule>.cases.ndjson`).
    Test {
        /// Files or folders. Default: the rules that come with the program.
        paths: Vec<PathBuf>,
        /// Log types of your own: files or folders.
        #[arg(long)]
        log_types: Vec<PathBuf>,
    },
    /// Evaluate rules on the events of a file; one NDJSON line a match.
    Eval(RulesEval),
    /// Why a rule matches an event or does not: every part's verdict, what was seen, and the smallest
    /// change that would have made it match.
    Explain(RulesExplain),
    /// Make an event that a rule matches, and one that it nearly matches.
    Witness(RulesWitness),
    /// How often each rule matches the events of a file, how often it has to be looked at, and what part of
    /// the time it takes.
    Stats(RulesStats),
    /// Which matches appear and which vanish when one set of rules takes the place of another.
    Diff(RulesDiff),
    /// The fields that rules need, where each log type has them, and which rules can never match.
    Fields {
        /// Files or folders. Default: the rules that come with the program.
        #[arg(conflicts_with = "config")]
        paths: Vec<PathBuf>,
        /// The rules of this configuration file, in the log types of its sources.
        #[arg(short, long)]
        config: Option<PathBuf>,
        /// Only in this log type. May be given several times.
        #[arg(long)]
        log_type: Vec<String>,
        /// Log types of your own: files or folders.
        #[arg(long)]
        log_types: Vec<PathBuf>,
        /// Only rules that cannot see everything they ask for.
        #[arg(long)]
        only_faulty: bool,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
}

/// How the fields that rules name are found in events.
#[derive(Debug, Args)]
pub struct EventsAre {
    /// The events are of this log type: it is decoded, and its aliases apply.
    #[arg(long, conflicts_with = "product")]
    pub log_type: Option<String>,
    /// Log types of your own: files or folders.
    #[arg(long)]
    pub log_types: Vec<PathBuf>,
    /// The events' log source; fields are taken as they are.
    #[arg(long)]
    pub product: Option<String>,
    #[arg(long, requires = "product")]
    pub category: Option<String>,
    #[arg(long, requires = "product")]
    pub service: Option<String>,
}

#[derive(Debug, Args)]
pub struct RulesWitness {
    /// A file or folder of rules, or the id of a rule that comes with the program.
    pub rule: String,
    /// More rule files or folders: their filters apply.
    #[arg(long)]
    pub with: Vec<PathBuf>,
    #[command(flatten)]
    pub events: EventsAre,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct RulesStats {
    /// Files or folders. Default: the rules that come with the program.
    pub paths: Vec<PathBuf>,
    /// Events, one a line; `-` is standard input.
    #[arg(required = true)]
    pub file: PathBuf,
    #[command(flatten)]
    pub events: EventsAre,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct RulesDiff {
    /// File or folder of the rules as they are.
    pub before: PathBuf,
    /// File or folder of the rules as they are to be.
    pub after: PathBuf,
    /// Events, one a line; `-` is standard input.
    pub file: PathBuf,
    #[command(flatten)]
    pub events: EventsAre,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct RulesExplain {
    /// A file of rules, or the id of a rule that comes with the program.
    pub rule: String,
    /// A file with one event; `-` is standard input.
    pub event: PathBuf,
    /// The event is this line of the file, counted from 0 as `rules eval` does.
    #[arg(long)]
    pub line: Option<usize>,
    /// More rule files or folders: their filters apply.
    #[arg(long)]
    pub with: Vec<PathBuf>,
    #[command(flatten)]
    pub events: EventsAre,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct RulesEval {
    /// Files or folders of rules. May be given several times.
    #[arg(long, required = true)]
    pub rules: Vec<PathBuf>,
    /// The events are of this log type: its aliases apply.
    #[arg(long, conflicts_with_all = ["product", "logsource_tsv"])]
    pub log_type: Option<String>,
    /// With `--log-type`: match the vendor's fields as they are.
    #[arg(long, requires = "log_type")]
    pub no_aliases: bool,
    /// The events' log source.
    #[arg(long, conflicts_with = "logsource_tsv")]
    pub product: Option<String>,
    #[arg(long, requires = "product")]
    pub category: Option<String>,
    #[arg(long, requires = "product")]
    pub service: Option<String>,
    /// One line an event: product, category, service, separated by tabs; `none` = has none, empty =
    /// unknown.
    #[arg(long)]
    pub logsource_tsv: Option<PathBuf>,
    /// With `--logsource-tsv`: a rule for a wide category (`registry_event`) also applies to events of
    /// its narrow ones (`registry_set`), as it does everywhere else. Without this the table is taken
    /// literally.
    #[arg(long, requires = "logsource_tsv")]
    pub category_hierarchy: bool,
    #[arg(long, value_enum, default_value_t = EngineName::Fast)]
    pub engine: EngineName,
    /// Events, one JSON object a line; `-` is standard input.
    pub events: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EngineName {
    Fast,
    Oracle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    Table,
    Json,
    Ndjson,
    Csv,
}

/// Which lake a command reads.
#[derive(Debug, Args)]
pub struct LakeArgs {
    /// The lake: a folder, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    #[arg(long, default_value = "lake")]
    pub lake: String,
    /// Take the lake (and its credentials) from this configuration file instead.
    #[arg(short, long)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Sources {
    /// The vendors' APIs that the program knows, with what they want to be told.
    List,
    /// Ask the vendor of a configured source for one page: whether it may be read, what comes, how far the
    /// clocks are apart, and what is missing. Nothing is stored.
    Test {
        /// The name of the source.
        name: String,
        #[command(flatten)]
        file: ConfigFile,
    },
}

#[derive(Debug, Subcommand)]
pub enum Deadletters {
    /// The newest dead letters.
    List {
        #[command(flatten)]
        lake: LakeArgs,
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[arg(long, value_enum, default_value_t = RowFormat::Table)]
        format: RowFormat,
    },
    /// One dead letter, with its bytes on standard output.
    Show {
        #[command(flatten)]
        lake: LakeArgs,
        /// Its `dead_id`.
        id: String,
    },
    /// Send dead letters through the pipeline again, after the cause is mended. With `--config` the
    /// rules, log types and destinations of that file apply.
    Redrive {
        #[command(flatten)]
        lake: LakeArgs,
        /// Log types of your own: files or folders.
        #[arg(long)]
        log_types: Vec<PathBuf>,
        /// Only these `dead_id`s; without any, all that were not redriven yet.
        ids: Vec<String>,
    },
}

/// Where the outbox of a process is.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// The configuration file of the process.
    #[arg(short, long, conflicts_with = "state_dir")]
    pub config: Option<PathBuf>,
    /// Its state folder; default `lake/_state`.
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Alerts {
    /// Alerts and what became of them.
    List {
        #[command(flatten)]
        state: StateArgs,
        /// Only deliveries in this state.
        #[arg(long, value_parser = ["pending", "sent", "parked", "suppressed"])]
        status: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Try parked deliveries again: all of them, or those of the given alerts.
    Retry {
        #[command(flatten)]
        state: StateArgs,
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Tap {
    #[arg(value_enum)]
    pub what: TapWhat,
    /// The console of the running process.
    #[arg(long, default_value = "http://127.0.0.1:9600")]
    pub url: String,
    /// Its bearer token.
    #[arg(long, env = "MANTISSA_CONSOLE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Only this log type.
    #[arg(long)]
    pub log_type: Option<String>,
    /// Only matches of this rule id.
    #[arg(long)]
    pub rule: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TapWhat {
    Events,
    Matches,
}

#[derive(Debug, Args)]
pub struct Generate {
    /// The folder to write to, or `-` for load on standard output.
    #[arg(long, default_value = "generated")]
    pub out: String,
    /// The same seed writes the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// First day, `2026-03-17`. Default: yesterday.
    #[arg(long)]
    pub start: Option<String>,
    /// Load instead of a day: this many events (0 = endless).
    #[arg(long)]
    pub events: Option<u64>,
    /// Load of this log type only; default a mix of all.
    #[arg(long)]
    pub log_type: Option<String>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Where the generated logs and the lake go. Emptied first if an earlier demo made it.
    #[arg(long, default_value = "demo")]
    pub dir: PathBuf,
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}
