//! Paths that match a pattern: `*` and `?` within a name, `[a-z]` for one character, `**` for any
//! number of folders. Nothing else; a path without these is itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Guards against folders that contain themselves by way of links.
const DEPTH_MAX: usize = 64;

/// The files that match, sorted. A folder that cannot be read is an error, one that is missing is not.
pub(super) fn files(pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let root = if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    walk(root, &parts, 0, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(folder: PathBuf, parts: &[&str], depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some((&part, rest)) = parts.split_first() else {
        if folder.is_file() {
            found.push(folder);
        }
        return Ok(());
    };
    if depth > DEPTH_MAX {
        return Ok(());
    }
    if !part.contains(['*', '?', '[']) {
        return walk(folder.join(part), rest, depth + 1, found);
    }
    let any_depth = part == "**";
    if any_depth {
        walk(folder.clone(), rest, depth + 1, found)?;
    }
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let entries = match fs::read_dir(listed) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let hidden = name.starts_with('.') && !part.starts_with('.');
        let next = folder.join(name);
        if any_depth {
            if !hidden && entry.file_type()?.is_dir() {
                walk(next, parts, depth + 1, found)?;
            }
        } else if !hidden && matches(part.as_bytes(), name.as_bytes()) {
            walk(next, rest, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Whether a name matches a pattern. Goes back to the last star only, so it is never exponential.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(p + 1),
            Some(b'[') => class(&pattern[p..], name[n]).map(|len| p + len),
            Some(byte) if *byte == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// The length of the class at the front of `pattern` when it holds `byte`.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|b| *b == b']')? + 2;
    let mut set = &pattern[1..end];
    let negated = matches!(set, [b'!' | b'^', ..]);
    if negated {
        set = &set[1..];
    }
    let mut inside = false;
    while let Some((&low, rest)) = set.split_first() {
        if let [b'-', high, tail @ ..] = rest {
            inside |= (low..=*high).contains(&byte);
            set = tail;
        } else {
            inside |= low == byte;
            set = rest;
        }
    }
    (inside != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match() {
        let cases = [
            ("*.json", "a.json", true),
            ("*.json", "a.json.gz", false),
            ("a*b*c", "aXbXbc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("log.[0-9]", "log.7", true),
            ("log.[!0-9]", "log.7", false),
            ("*", "", true),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn folders_are_walked() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/x.log", "a/b/y.log", "a/b/c/z.log", "a/.hidden/w.log", "a/n.txt"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let check = |pattern: &str, expected: &[&str]| {
            let found = files(&format!("{root}/{pattern}")).unwrap();
            let expected: Vec<_> = expected.iter().map(|p| dir.path().join(p)).collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("a/*.log", &["a/x.log"]);
        check("a/**/*.log", &["a/b/c/z.log", "a/b/y.log", "a/x.log"]);
        check("*/b/y.log", &["a/b/y.log"]);
        check("a/n.txt", &["a/n.txt"]);
        check("nothing/*.log", &[]);
    }
}
