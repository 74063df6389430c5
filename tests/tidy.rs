//! House rules that a machine can check. Lists of exceptions may only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").into()
}

/// Who may depend on whom (ARCHITECTURE.md, "Dependencies"). An edge that is not here fails.
const EDGES: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("normalize", &["event"]),
    ("detect", &["event"]),
    ("enrich", &["event"]),
    ("generate", &["event", "detect"]), // detect: its tests run the rules over a day
    ("ingest", &["event", "servers"]),
    ("sink", &["event", "normalize", "servers"]),
    ("query", &["event", "sink"]),
    ("console", &["event"]),
    (
        "mantissa",
        &[
            "event",
            "normalize",
            "detect",
            "enrich",
            "generate",
            "ingest",
            "sink",
            "query",
            "console",
            "servers",
        ],
    ),
    ("servers", &[]),
    ("benches", &["event", "detect", "generate", "sink", "mantissa"]),
    ("benches-sigma", &["event", "detect"]),
];

/// Crates that know no runtime, file system, network or clock.
const PURE: &[&str] = &["event", "normalize", "detect", "enrich", "generate"];
const IMPURE_DEPENDENCIES: &[&str] =
    &["tokio", "reqwest", "axum", "object_store", "rdkafka", "redb", "tempfile"];
const IMPURE_CALLS: &[&str] = &[
    "std::fs",
    "TcpStream",
    "UdpSocket",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "std::process",
];

/// Families of which exactly one version may be in the graph.
const ONE_COPY: &[&str] = &[
    "arrow",
    "parquet",
    "datafusion",
    "object_store",
    "reqwest",
    "hyper",
    "http",
    "rustls",
    "axum",
    "tokio",
    "serde",
    "serde_json",
    "simd-json",
    "redb",
];
/// The engines of others are measured in a workspace of their own (`benches/peers`), and fuzzed is in another.
const NEVER: &[&str] = &[
    "openssl-sys-vendored",
    "native-tls",
    "aws-lc-sys",
    "serde_yaml",
    "sonic-rs",
    "rsigma-eval",
    "rsigma-parser",
    "sigma-rust",
    "libfuzzer-sys",
];

/// What the manifests of the workspace say. Asks no registry, so that it does not need what only other platforms use.
fn metadata() -> serde_json::Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON")
}

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m.as_str())
        .collect();
    let table: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        if !members.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        seen += 1;
        let name = package["name"].as_str().unwrap();
        let allowed = table.get(name).unwrap_or_else(|| panic!("`{name}` is not in the table"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let own = dependency["path"].is_string();
            assert!(!own || allowed.contains(&to), "`{name}` may not depend on `{to}`");
            let for_tests = to != "servers" || dependency["kind"] == "dev";
            assert!(for_tests, "`{name}`: `servers` is for tests only");
            let impure = IMPURE_DEPENDENCIES.contains(&to) && dependency["kind"].is_null();
            assert!(!(PURE.contains(&name) && impure), "`{name}` is pure, `{to}` is not");
        }
        assert_eq!(package["license"].as_str(), Some("Apache-2.0"), "{name}");
    }
    assert!(seen >= 10, "only {seen} members seen");
}

#[test]
fn there_is_one_copy_of_each_family() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = locked(package, "name");
        versions.entry(name).or_default().insert(locked(package, "version"));
        assert!(!NEVER.contains(&name), "`{name}` is in the graph");
    }
    assert!(versions.len() > 300, "only {} packages seen", versions.len());
    for name in ONE_COPY {
        let have = versions.get(name).unwrap_or_else(|| panic!("`{name}` is not in the graph"));
        assert_eq!(have.len(), 1, "{name}: {have:?}");
    }
}

/// A text of one package in `Cargo.lock`, which holds what every platform needs.
fn locked<'l>(package: &'l str, key: &str) -> &'l str {
    let value = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    value.expect("every package has it").trim_matches('"')
}

fn tracked(endings: &[&str]) -> Vec<PathBuf> {
    let out = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("git runs");
    String::from_utf8_lossy(&out.stdout)
        .split('\0')
        .filter(|f| endings.iter().any(|e| f.ends_with(e)))
        .map(|f| root().join(f))
        .filter(|f| f.exists())
        .collect()
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Lines before the tests of a file.
fn code_lines(text: &str) -> usize {
    text.find("#[cfg(test)]").map_or(text, |at| &text[..at]).lines().count()
}

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions that are longer than the house allows. Only ever take lines out.
const LONG: &[&str] = &[];

/// Modules that exist only in tests.
const TEST_SUPPORT: &[&str] = &[
    "sink/src/destinations/conformance.rs",
    "sink/src/lake/simulation.rs",
    "sink/src/testing.rs",
    "ingest/src/testing.rs",
];

fn is_test_code(path: &str) -> bool {
    let folder = path.contains("/tests/") || path.starts_with("tests/");
    folder || path.ends_with("tests.rs") || TEST_SUPPORT.iter().any(|f| path.ends_with(f))
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for path in tracked(&[".rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = short(&path);
        if !is_test_code(&name) && code_lines(&text) > LINES_MAX {
            long.push(name.clone());
        }
        if !is_test_code(&name) {
            long.extend(long_functions(&text).map(|f| format!("{name}: {f}")));
        }
    }
    long.retain(|l| !LONG.contains(&l.as_str()));
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

/// Names of functions of more than [`FUNCTION_LINES_MAX`] lines, by rustfmt's own layout: a function
/// ends at the first closing brace that is indented as it is.
fn long_functions(text: &str) -> impl Iterator<Item = String> + '_ {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.clone().into_iter().enumerate().filter_map(|(i, line)| {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start().split_once("fn ")?;
        let prefix = words.0.split_whitespace().all(|w| {
            matches!(w, "pub" | "async" | "const" | "pub(crate)" | "pub(super)" | "unsafe")
        });
        prefix.then(|| (i, indent, words.1.split(['(', '<']).next().unwrap_or("").to_owned()))
    });
    starts.collect::<Vec<_>>().into_iter().filter_map(move |(start, indent, name)| {
        let end = lines[start..].iter().position(|l| {
            l.trim_start().starts_with('}') && l.len() - l.trim_start().len() == indent
        })?;
        (end > FUNCTION_LINES_MAX).then(|| format!("fn {name} ({end} lines)"))
    })
}

#[test]
fn every_module_says_what_it_is_for() {
    for path in tracked(&[".rs"]) {
        let name = short(&path);
        if is_test_code(&name) && name != "tests/main.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{name} does not open with its purpose");
    }
}

#[test]
fn pure_crates_ask_nothing_of_the_outside() {
    for krate in PURE {
        for path in tracked(&[".rs"]) {
            let name = short(&path);
            if !name.starts_with(&format!("{krate}/src/")) || is_test_code(&name) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.find("#[cfg(test)]").map_or(text.as_str(), |at| &text[..at]);
            for call in IMPURE_CALLS {
                assert!(!code.contains(call), "{name} uses {call}");
            }
        }
    }
}

#[test]
fn every_rule_has_cases_of_both_kinds() {
    let mut rules = 0;
    for path in tracked(&[".yml"]).into_iter().filter(|p| short(p).starts_with("rules/")) {
        rules += 1;
        let cases = path.with_extension("cases.ndjson");
        let text = std::fs::read_to_string(&cases)
            .unwrap_or_else(|_| panic!("{} has no cases", short(&path)));
        let count = |alerts: bool| {
            text.lines()
                .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
                .filter(|c| {
                    c["alerts"] == alerts || c["alerts"].as_u64().is_some_and(|n| (n > 0) == alerts)
                })
                .count()
        };
        assert!(count(true) >= 2, "{}: fewer than two alerting cases", short(&path));
        assert!(count(false) >= 2, "{}: fewer than two quiet cases", short(&path));
    }
    assert!(rules >= 25, "only {rules} rules");
}

#[test]
fn nothing_in_the_tree_names_a_machine_or_hides_a_test() {
    // Written in two halves, so that this file does not find itself.
    let banned = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("#[ign", "ore"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("crates", ".io"),
    ];
    for path in tracked(&[".rs", ".md", ".yml", ".yaml", ".sh", ".toml", "Makefile"]) {
        // What a rule looks for may well be such a path.
        if short(&path).starts_with("rules/") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for word in banned {
            assert!(!text.contains(word), "{} contains {word}", short(&path));
        }
    }
}

/// What the headings of a page are called in links: in small letters, hyphens for spaces, no other signs.
fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let sign = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter_map(sign).collect())
        .collect()
}

#[test]
fn nothing_that_a_run_leaves_is_in_the_tree() {
    let left = tracked(&[".redb", ".redb.lock", ".parquet", ".log", ".key"]);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut links = 0;
    for path in tracked(&[".md"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let own = path.file_name().unwrap().to_string_lossy().into_owned() + target;
            let target = if target.starts_with('#') { &own } else { target };
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let full = path.parent().expect("a file has a folder").join(file);
            assert!(full.exists(), "{} links to {target}", short(&path));
            let is_there = heading.is_empty() || anchors(&full).iter().any(|a| a == heading);
            assert!(is_there, "{} links to {target}, which has no such heading", short(&path));
        }
    }
    assert!(links > 0, "no link was checked");
}
