//! Real vendor events, where somebody has them: `MANTISSA_CORPUS` names a folder with one folder a source
//! (`aws_cloudtrail/*.ndjson` …). They are not part of the project; without them these tests say that
//! they were skipped.

use std::path::{Path, PathBuf};

use crate::support::{ok, skipped};

const FOLDERS: &[(&str, &str)] = &[
    ("aws.cloudtrail", "aws_cloudtrail"),
    ("aws.vpcflow", "aws_vpcflow"),
    ("aws.guardduty", "aws_guardduty"),
    ("okta.system", "okta"),
    ("github.audit", "github"),
    ("k8s.audit", "kubernetes_audit"),
];

/// Recordings of attacks, or of test clusters set up to be attacked: rules should speak there.
const ATTACKS: &[&str] =
    &["invictus", "stratus", "streamalert", "falco", "local__", "sekoia__audit"];

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("MANTISSA_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        skipped("MANTISSA_CORPUS names no folder with real events");
    }
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "ndjson" || e == "log"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_real_event_is_mapped() {
    let Some(corpus) = corpus() else { return };
    for (log_type, folder) in FOLDERS {
        for file in files(&corpus.join(folder)) {
            let said = ok(&["normalize", "--log-type", log_type, file.to_str().unwrap()]);
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            assert_eq!(said.out.lines().count(), lines, "{}", file.display());
            assert!(!said.out.contains("\"error\""), "{}: {}", file.display(), said.out);
        }
    }
}

#[test]
fn rules_are_quiet_on_ordinary_events() {
    let Some(corpus) = corpus() else { return };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("rules");
    for (log_type, folder) in FOLDERS.iter().filter(|(log_type, _)| *log_type != "aws.vpcflow") {
        for file in files(&corpus.join(folder)) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if ATTACKS.iter().any(|attack| name.starts_with(attack)) {
                continue;
            }
            let rules = rules.to_str().unwrap();
            let file = file.to_str().unwrap();
            let said = ok(&["rules", "eval", "--rules", rules, "--log-type", log_type, file]);
            let alerts: Vec<_> =
                said.out.lines().filter(|line| !line.contains("\"alerts\":false")).collect();
            assert!(alerts.is_empty(), "{name}: {alerts:?}");
        }
    }
}
