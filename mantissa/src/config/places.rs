//! Where keys stand in the file, for mistakes that only the plan can find. Reads indentation alone, as
//! people write it: a key inside `{…}` is not found, the nearest key around it is.

use std::collections::BTreeMap;

/// Line and column of each key, by its path of keys joined by dots.
#[derive(Clone, Debug, Default)]
pub struct Places {
    file: String,
    keys: BTreeMap<String, (usize, usize)>,
}

impl Places {
    pub fn find(file: &str, text: &str) -> Self {
        let mut keys = BTreeMap::new();
        // The keys around this line: indentation and path.
        let mut open: Vec<(usize, String)> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let key = line.trim_start();
            let indent = line.len() - key.len();
            let Some((key, _)) = key.split_once(':').filter(|(key, _)| is_key(key)) else {
                continue;
            };
            open.retain(|(outer, _)| *outer < indent);
            let key = key.trim_matches(['"', '\'']);
            let path = match open.last() {
                Some((_, outer)) => format!("{outer}.{key}"),
                None => key.to_owned(),
            };
            keys.entry(path.clone()).or_insert((n + 1, indent + 1));
            open.push((indent, path));
        }
        Self { file: file.to_owned(), keys }
    }

    /// `mantissa.yaml:3:5: ` for the key at this path or the nearest around it; empty for a
    /// configuration that was not read from a file.
    pub fn at(&self, path: &str) -> String {
        let mut path = path;
        loop {
            if let Some((line, column)) = self.keys.get(path) {
                return format!("{}:{line}:{column}: ", self.file);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return String::new(),
            }
        }
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(['#', '-', '{', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_path() {
        let text = "# top: no\nlake: {url: x}\nsources:\n  a:\n    log_type: t\n    file:\n      \
                    paths: []\n  \"b\":\n    log_type: u\n";
        let places = Places::find("c.yaml", text);
        for (path, expected) in [
            ("lake", "c.yaml:2:1: "),
            ("lake.url", "c.yaml:2:1: "),
            ("sources.a.log_type", "c.yaml:5:5: "),
            ("sources.b.log_type", "c.yaml:9:5: "),
            ("sources.b.file.paths", "c.yaml:8:3: "),
            ("routes[0].destinations", ""),
        ] {
            assert_eq!(places.at(path), expected, "{path}");
        }
    }
}
