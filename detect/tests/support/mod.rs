//! What several tests need: the placeholders of the cases, and the files of a folder.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::Path;

use detect::Placeholders;

pub fn placeholders() -> Placeholders {
    let table = [
        ("admins", vec!["root", "alice"]),
        ("sites", vec!["ber", "ham"]),
        ("internal", vec!["10.0.0.0/8", "fd00::/8"]),
    ];
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    table.into_iter().map(|(name, values)| (name.to_owned(), owned(values))).collect()
}

/// Every file below `root` whose path ends so, with its text, sorted by path.
pub fn files(root: &Path, ending: &str) -> Vec<(String, String)> {
    let (mut files, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_string_lossy().ends_with(ending) {
            files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    files
}
