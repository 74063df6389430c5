//! Commands and files in the documentation work as printed: fenced blocks named `file=PATH` are written,
//! `sh` blocks are run in that folder with the built program first on the path.

use std::path::{Path, PathBuf};
use std::process::Command;

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
    assert_eq!(follow("docs/add-a-rule.md"), 1);
}

#[test]
fn the_configuration_guide_works() {
    assert_eq!(follow("docs/configuration.md"), 2);
}

#[test]
fn the_readme_works() {
    assert!(follow("README.md") >= 3);
}
