//! `mantissa lake …`, as typed.

use clap::Subcommand;

use super::{LakeArgs, ReportFormat};

#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// Prove that nothing is missing, doubled or altered.
    Verify {
        #[command(flatten)]
        lake: LakeArgs,
        /// Read every byte: of all files, or of those that came since the proof that `--since` names.
        #[arg(long)]
        deep: bool,
        /// Go on from an earlier proof: `last`, the newest of at most so many epochs (`1200`), or the newest at
        /// that time (`2026-03-01`, `2026-03-01T09:00:00Z`). From the beginning when there is none. Default:
        /// `last`, and from the beginning with `--deep`.
        #[arg(long)]
        since: Option<String>,
        /// Follow the chains from their beginning.
        #[arg(long, conflicts_with = "since")]
        full: bool,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// What is in it: the tables, or the hours of one.
    Ls {
        #[command(flatten)]
        lake: LakeArgs,
        /// One path a line, from the lake's root, of every file that is part of it.
        #[arg(long)]
        files: bool,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
        /// Only this table.
        table: Option<String>,
    },
    /// What the manifests say of one file: where its rows came from, what it holds, what became of it.
    Show {
        #[command(flatten)]
        lake: LakeArgs,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
        /// Its path, from the lake's root.
        path: String,
    },
    /// What takes the room: tables and their columns, the largest first.
    Du {
        #[command(flatten)]
        lake: LakeArgs,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
        /// Only this table.
        table: Option<String>,
    },
    /// Make big files of small ones. The files that they replace stay until `collect`.
    Compact {
        #[command(flatten)]
        lake: LakeArgs,
        /// Also in hours that may still grow, and of few files.
        #[arg(long)]
        all: bool,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Take out of the lake what `lake.retention` of the configuration does not keep any more. The files
    /// stay until `collect`.
    Expire {
        /// The configuration file.
        #[arg(short, long, default_value = "mantissa.yaml")]
        config: std::path::PathBuf,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Blot a person out of everything that is in the lake: what names them becomes `[erased]`, the rows stay.
    /// The files as they were stay until `collect`.
    Erase {
        #[command(flatten)]
        lake: LakeArgs,
        /// What the person is known by: an e-mail address, a user name, an IP address. Found as a whole word, in
        /// whatever case. May be repeated.
        #[arg(long = "value")]
        values: Vec<String>,
        /// The same from a file, one a line (`-`: standard input): a command line is seen by others.
        #[arg(long)]
        values_file: Option<std::path::PathBuf>,
        /// What destinations were told instead of a value, `[EMAIL:7K3QX2]`. Wants `--config` and the key that
        /// made it. May be repeated.
        #[arg(long = "pseudonym", requires = "config")]
        pseudonyms: Vec<String>,
        /// Why, for the record: the number of a request. Without the person's name.
        #[arg(long)]
        reason: String,
        /// Only say where they are found.
        #[arg(long)]
        dry_run: bool,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Remove files that were replaced, and those that crashes have left.
    Collect {
        #[command(flatten)]
        lake: LakeArgs,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
        /// How long replaced files stay for questions that began before. Default: that of the
        /// configuration, or 60. With less a question that runs now can miss its files.
        #[arg(long)]
        keep_minutes: Option<u32>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Record that files which `verify` names are lost for good. The lake is whole without them, and says
    /// how many rows it lacks. Refuses what is whole.
    ForgetFile {
        #[command(flatten)]
        lake: LakeArgs,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
        /// Their paths, from the lake's root.
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Write down what the manifests say up to now, so that questions need not read all of them. A process
    /// that runs does it by itself, every `lake.checkpoint_s`.
    Checkpoint {
        #[command(flatten)]
        lake: LakeArgs,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
}
