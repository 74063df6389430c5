//! Reading rule and log-type files from folders, and those that come with the program.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};

static BUILTIN_RULES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../rules");

/// A text file: its name as messages show it, and its content.
pub type TextFile = (String, String);

/// Every file below `paths` with one of these endings, in the order of their names. A path that is a
/// file is taken whatever its ending.
pub fn read(paths: &[PathBuf], endings: &[&str]) -> anyhow::Result<Vec<TextFile>> {
    let mut found = Vec::new();
    for path in paths {
        let kind =
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            collect(path, endings, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    found.into_iter().map(|path| read_text(&path)).collect()
}

fn read_text(path: &Path) -> anyhow::Result<TextFile> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A file that is not UTF-8 is reported by its reader, at the place of the replacement character.
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Ok((path.display().to_string(), text))
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            collect(&path, endings, found)?;
        } else if matches(&path, endings) {
            found.push(path);
        }
    }
    Ok(())
}

fn matches(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The files under `rules/` that come with the program, with one of these endings.
pub fn builtin_rules(endings: &[&str]) -> Vec<TextFile> {
    let mut found = Vec::new();
    gather(&BUILTIN_RULES, endings, &mut found);
    found.sort();
    found
}

fn gather(dir: &Dir<'_>, endings: &[&str], found: &mut Vec<TextFile>) {
    for file in dir.files() {
        if matches(file.path(), endings) {
            let text = String::from_utf8_lossy(file.contents()).into_owned();
            found.push((format!("rules/{}", file.path().display()), text));
        }
    }
    for sub in dir.dirs() {
        gather(sub, endings, found);
    }
}

/// Endings of Sigma rule files.
pub const RULES: &[&str] = &[".yml", ".yaml"];
/// Endings of the files with a rule's cases.
pub const CASES: &[&str] = &[".cases.ndjson"];
