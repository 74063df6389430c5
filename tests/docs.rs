//! Commands and files in the documentation work as printed: fenced blocks named `file=PATH` are written,
//! `sh` blocks are run in that folder with the built program first on the path.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::doors::Doors;

fn page(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace");
    std::fs::read_to_string(root.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Fenced blocks as (info line, content).
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Runs a page's blocks in an empty folder. Returns how many shell blocks ran.
fn follow(name: &str) -> usize {
    follow_with(name, &[])
}

/// With these in the environment.
fn follow_with(name: &str, environment: &[(&str, &str)]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mantissa"));
    let path = format!(
        "{}:{}",
        program.parent().expect("the program is in a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut ran = 0;
    for (info, body) in blocks(&page(name)) {
        if let Some(file) = info.split_whitespace().find_map(|w| w.strip_prefix("file=")) {
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, body).unwrap();
        } else if info == "sh" {
            let out = Command::new("sh")
                .args(["-e", "-c", &body])
                .env("PATH", &path)
                .envs(environment.iter().copied())
                .current_dir(dir.path())
                .output()
                .expect("sh runs");
            assert!(
                out.status.success(),
                "{name}: this block failed:\n{body}\n{}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            );
            ran += 1;
        }
    }
    ran
}

#[test]
fn the_guide_to_a_rule_works() {
    assert_eq!(follow("docs/add-a-rule.md"), 2);
}

#[test]
fn the_guide_to_a_poll_source_works() {
    let doors = Doors::start(5);
    let environment = [("ACME_URL", doors.url.as_str()), ("ACME_TOKEN", "example")];
    assert_eq!(follow_with("docs/add-a-poll-source.md", &environment), 5);
}

#[test]
fn the_configuration_guide_works() {
    assert_eq!(follow("docs/configuration.md"), 9);
}

#[test]
fn the_guide_to_operation_works() {
    assert_eq!(follow("docs/operate.md"), 3);
}

/// A metric that nobody explains is noise.
#[test]
fn the_guide_to_operation_names_every_metric() {
    let guide = page("docs/operate.md");
    let mut missing: Vec<String> = Vec::new();
    for folder in ["console/src", "ingest/src", "sink/src", "mantissa/src"] {
        for name in metrics_of(folder) {
            let named = |end: char| guide.contains(&format!("`{name}{end}"));
            if !named('`') && !named('{') {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "docs/operate.md does not explain {missing:?}");
}

/// Names of metrics that the sources of a crate describe.
fn metrics_of(folder: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace");
    let (mut found, mut open) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_test = path.file_name().is_some_and(|n| n.to_string_lossy().contains("tests"));
            if path.is_dir() {
                open.push(path);
            } else if !is_test && path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let names = text.split('"').filter(|word| {
                    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
                    word.starts_with("mantissa_") && word.bytes().all(plain)
                });
                found.extend(names.map(str::to_owned));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_guide_to_aws_works() {
    assert_eq!(follow("docs/aws.md"), 4);
}

#[test]
fn the_guide_to_google_cloud_works() {
    assert_eq!(follow("docs/google-cloud.md"), 3);
}

#[test]
fn the_guide_to_azure_works() {
    assert_eq!(follow("docs/azure.md"), 2);
}

#[test]
fn the_page_about_the_lake_works() {
    assert_eq!(follow("docs/lake.md"), 6);
}

#[test]
fn the_page_about_history_works() {
    assert_eq!(follow("docs/history.md"), 5);
}

#[test]
fn the_page_about_log_types_works() {
    assert_eq!(follow("docs/log-types.md"), 1);
}

#[test]
fn the_guide_to_questions_works() {
    assert_eq!(follow("docs/query.md"), 3);
}

#[test]
fn the_readme_works() {
    assert!(follow("README.md") >= 3);
}
