//! Random rule files, as text, through the parser to both engines: chains of modifiers that it accepts, selections
//! of every form, conditions of every form, filters. [`super::coverage`] counts what of the specification they
//! reach. (`matcher/tests.rs` does the same from the rule IR on, with what no text can say.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use detect::ir::{Part, Pattern};
use detect::{Engine, Group, Placeholders, RuleSet, Severity, parse, witness};
use event::{Fields, FieldsBuilder, LogSource, Parser, Slots};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value as Json, json};

/// A chain of modifiers and the values that it takes, as YAML.
#[derive(Clone, Debug)]
struct Chain {
    names: String,
    values: Vec<&'static str>,
    for_keywords: bool,
}

const FIELDS: [&str; 4] = ["a", "b", "c.d", "e"];

const TEXTS: [&str; 26] = [
    "'powershell'",
    "'Po*ll'",
    "'?'",
    "'*'",
    r"'\*'",
    r"'\\*'",
    r"'\\\*a'",
    r"'c:\temp\'",
    r"'\cmd.exe'",
    "'é'",
    "'\u{212a}'",
    "'ſ'",
    "'3'",
    "'True'",
    "' '",
    "'-enc /x'",
    "'ab'",
    "'abcd'",
    "'a?c*'",
    "'*b*d'",
    "'Foo Bar'",
    "'10.0.0.1'",
    "'1000'",
    "'%x%'",
    "\"a\\nb\"",
    "'x'",
];
const SCALARS: [&str; 11] =
    ["null", "''", "3", "-7", "0.5", "1e3", "0x1F", "true", "False", "18446744073709551616", "yes"];
const DASHES: [&str; 4] = ["'-enc'", "'cmd /x -a'", "'—p'", "'no dash'"];
const ENCODED: [&str; 4] = ["'foo bar'", "'PowerShell -enc'", "'é€'", r"'a\*b'"];
const REGEXES: [&str; 9] = [
    "'^abc'",
    "'po.*ll'",
    "'[Aa]bc|cmd'",
    "'k'",
    "'a.b$'",
    "'(abc|abcd)+'",
    r"'\bfoo\b'",
    "'^b'",
    "''",
];
const NETWORKS: [&str; 4] = ["'10.0.0.0/8'", "'fe80::/10'", "'0.0.0.0/0'", "'::1'"];
const NUMBERS: [&str; 7] = ["3", "0", "-7", "0.5", "1e3", "18446744073709551615", "'1000'"];
const PARTS: [&str; 6] = ["10", "11", "22", "23", "47", "0"];
const YEARS: [&str; 3] = ["2025", "2026", "2027"];
const EXPANDED: [&str; 5] =
    ["'%words%'", "'x%words%'", "'%networks%'", "'%numbers%'", "'^%words%'"];

fn placeholders() -> Placeholders {
    let table = [
        ("words", vec!["powershell", "a*c", "k"]),
        ("networks", vec!["10.0.0.0/8", "::1"]),
        ("numbers", vec!["3", "1000"]),
    ];
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    table.into_iter().map(|(name, values)| (name.to_owned(), owned(values))).collect()
}

/// What is worth trying as values of a chain.
fn pool(names: &[&str]) -> Vec<&'static str> {
    let has = |some: &[&str]| names.iter().any(|name| some.contains(name));
    if names.is_empty() {
        [TEXTS.as_slice(), &SCALARS].concat()
    } else if has(&["expand"]) {
        EXPANDED.to_vec()
    } else if has(&["re"]) {
        REGEXES.to_vec()
    } else if has(&["cidr"]) {
        NETWORKS.to_vec()
    } else if has(&["exists"]) {
        vec!["true", "false"]
    } else if has(&["fieldref"]) {
        FIELDS.to_vec()
    } else if has(&["year"]) {
        YEARS.to_vec()
    } else if has(&["minute", "hour", "day", "week", "month"]) {
        PARTS.to_vec()
    } else if has(&["lt", "lte", "gt", "gte"]) {
        NUMBERS.to_vec()
    } else if has(&["base64", "base64offset"]) {
        ENCODED.to_vec()
    } else if has(&["windash"]) {
        DASHES.to_vec()
    } else {
        TEXTS.to_vec()
    }
}

fn is_loaded(field: &str, names: &str, value: &str) -> bool {
    let rule = format!(
        "title: t\nlogsource: {{product: test}}\ndetection:\n  s: {{\"{field}{names}\": [{value}]}}\n  condition: s\n"
    );
    let parsed = parse::file("chain.yml", &rule, &placeholders());
    parsed.rules.len() == 1
}

fn chain(names: &[&str]) -> Option<Chain> {
    let text: String = names.iter().map(|name| format!("|{name}")).collect();
    let values: Vec<_> = pool(names).into_iter().filter(|v| is_loaded("a", &text, v)).collect();
    let for_keywords = !names.is_empty() && values.iter().all(|value| is_loaded("", &text, value));
    (!values.is_empty()).then_some(Chain { names: text, values, for_keywords })
}

/// Every chain of up to two modifiers that the parser accepts, and longer ones that rules use.
fn chains() -> &'static [Chain] {
    const LONGER: [&str; 16] = [
        "contains|all|cased",
        "contains|windash|all",
        "contains|expand|neq",
        "re|i|m",
        "re|i|s",
        "re|m|s",
        "re|i|m|s",
        "re|s|all",
        "wide|base64offset|contains",
        "utf16be|base64offset|contains",
        "utf16|base64|contains",
        "fieldref|startswith|cased",
        "fieldref|endswith|cased",
        "fieldref|contains|cased",
        "fieldref|contains|neq",
        "hour|gte|neq",
    ];
    static CHAINS: OnceLock<Vec<Chain>> = OnceLock::new();
    CHAINS.get_or_init(|| {
        let all: Vec<&str> = parse::words::modifiers().collect();
        let pairs = all.iter().flat_map(|a| all.iter().map(move |b| vec![*a, *b]));
        let longer = LONGER.iter().map(|names| names.split('|').collect());
        let names = std::iter::once(Vec::new())
            .chain(all.iter().map(|name| vec![*name]))
            .chain(pairs)
            .chain(longer);
        names.filter_map(|names: Vec<&str>| chain(&names)).collect()
    })
}

/// Some chain; one without modifiers more often than its share is.
fn any_chain(for_keywords: bool) -> impl Strategy<Value = &'static Chain> {
    let fit: Vec<_> = chains().iter().filter(|c| !for_keywords || c.for_keywords).collect();
    prop_oneof![1 => Just(fit[0]), 6 => prop::sample::select(fit)]
}

fn values(chain: &Chain) -> impl Strategy<Value = String> + use<> {
    let most = if chain.names.contains("exists") { 1 } else { 3 };
    let values = prop::collection::vec(prop::sample::select(chain.values.clone()), 1..=most);
    (values, any::<bool>()).prop_map(|(values, bare)| match values.as_slice() {
        [one] if bare => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    })
}

/// Key and values of an item.
fn item() -> impl Strategy<Value = (String, String)> {
    (prop::sample::select(FIELDS.to_vec()), any_chain(false)).prop_flat_map(|(field, chain)| {
        values(chain).prop_map(move |values| (format!("{field}{}", chain.names), values))
    })
}

fn map() -> impl Strategy<Value = String> {
    prop::collection::btree_map(any::<u8>(), item(), 1..=3).prop_map(|items| {
        // A key may occur once.
        let unique: std::collections::BTreeMap<_, _> = items.into_values().collect();
        let items: Vec<_> = unique.iter().map(|(key, v)| format!("\"{key}\": {v}")).collect();
        format!("{{{}}}", items.join(", "))
    })
}

fn keyword() -> impl Strategy<Value = String> {
    let words = [TEXTS.as_slice(), &["3", "-7", "0.5"]].concat();
    prop::sample::select(words).prop_map(str::to_owned)
}

fn list(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec(of, 1..=3).prop_map(|parts| format!("[{}]", parts.join(", ")))
}

fn selection() -> impl Strategy<Value = String> {
    let keywords = any_chain(true).prop_flat_map(|chain| {
        values(chain).prop_map(move |values| format!("{{\"{}\": {values}}}", chain.names))
    });
    prop_oneof![
        6 => map(),
        2 => list(map()),
        1 => keyword(),
        1 => list(keyword()),
        1 => keywords,
        1 => list(prop_oneof![map(), keyword()]),
    ]
}

const NAMES: [&str; 6] = ["sel", "sel_a", "sel_b", "filter-1", "x_a_y", "_hidden"];
const PATTERNS: [&str; 10] =
    ["them", "sel*", "sel_*", "*_*", "filter-*", "_*", "*a*", "s*_*", "*el**", "x*y"];

fn names_any(pattern: &str, names: &[&str]) -> bool {
    let text = if pattern == "them" { "*" } else { pattern };
    let part = |c: char| match c {
        '*' => Part::Any,
        c => Part::Literal(c.to_string().into()),
    };
    let fits = Pattern::new(text.chars().map(part), true);
    let seen = |name: &&&str| pattern.starts_with('_') || !name.starts_with('_');
    names.iter().filter(seen).any(|name| fits.matches(name))
}

fn condition(names: Vec<&'static str>) -> impl Strategy<Value = String> {
    let patterns = PATTERNS.iter().chain(&NAMES).filter(|p| names_any(p, &names)).copied();
    let quantified = (
        prop::sample::select(vec!["1 of", "any of", "all of", "All OF"]),
        prop::sample::select(patterns.collect::<Vec<_>>()),
    );
    let leaf = prop_oneof![
        3 => prop::sample::select(names).prop_map(str::to_owned),
        1 => quantified.prop_map(|(quantifier, pattern)| format!("{quantifier} {pattern}")),
    ];
    // Without parentheses of its own, so that what binds tighter decides.
    leaf.prop_recursive(4, 12, 2, |inner| {
        let two = || (inner.clone(), inner.clone());
        prop_oneof![
            3 => two().prop_map(|(a, b)| format!("{a} and {b}")),
            3 => two().prop_map(|(a, b)| format!("{a} or {b}")),
            1 => two().prop_map(|(a, b)| format!("{a} AND {b}")),
            2 => inner.clone().prop_map(|a| format!("not {a}")),
            2 => inner.clone().prop_map(|a| format!("({a})")),
        ]
    })
}

/// A rule file: a rule, and sometimes a filter.
pub fn rule_file() -> impl Strategy<Value = String> {
    prop::sample::subsequence(NAMES.to_vec(), 1..=4).prop_flat_map(|names| {
        // `_hidden` alone cannot be quantified over.
        let selections = prop::collection::vec(selection(), names.len());
        let conditions = prop_oneof![
            4 => condition(names.clone()).prop_map(|one| vec![one]),
            1 => prop::collection::vec(condition(names.clone()), 2)
        ];
        let filter = prop::option::weighted(0.2, map());
        (selections, conditions, filter).prop_map(move |(selections, conditions, filter)| {
            let parts: String =
                names.iter().zip(selections).map(|(n, s)| format!("  {n}: {s}\n")).collect();
            let conditions = match conditions.as_slice() {
                [one] => one.clone(),
                many => format!("[{}]", many.join(", ")),
            };
            let head = "title: random\nlogsource: {product: test}\n";
            let filter = filter.map_or(String::new(), |map| {
                format!("---\n{head}filter:\n  rules: any\n  f: {map}\n  condition: not f\n")
            });
            format!("{head}detection:\n{parts}  condition: {conditions}\n{filter}")
        })
    })
}

/// For each chain of modifiers that items are made of, and each value that it takes, a rule of nothing else.
pub fn each_chain() -> impl Iterator<Item = String> {
    chains().iter().flat_map(|chain| {
        chain.values.iter().map(|value| {
            let key = format!("a{}", chain.names);
            format!("title: random\nlogsource: {{product: test}}\ndetection:\n  sel: {{\"{key}\": {value}}}\n  condition: sel\n")
        })
    })
}

/// Texts of events: those that rules ask for, and as they look encoded.
fn words() -> &'static [String] {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let plain = [
            "powershell",
            "PowerShell -enc",
            "foo bar",
            "FOO BAR",
            "c:\\temp\\",
            "\\cmd.exe",
            "abcd",
            "aXc",
            "a\nb",
            "K",
            "\u{212a}",
            "S",
            "É€",
            "a*b",
            "*",
            "-enc",
            "cmd –x /a",
            "true",
            "",
            " ",
            "3",
            "03",
            "1000",
            "10.0.0.1",
            "[fe80::1]:443",
            "::1",
            "x",
        ];
        let encodings = |text: &str| {
            let units: Vec<u16> = text.encode_utf16().collect();
            let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            let marked = [&[0xff, 0xfe], little.as_slice()].concat();
            [text.as_bytes().to_vec(), little, big, marked, [b"x", text.as_bytes()].concat()]
                .map(|bytes| STANDARD.encode(bytes))
        };
        let encoded = ["foo bar", "PowerShell -enc", "é€"].iter().flat_map(|t| encodings(t));
        plain.into_iter().map(str::to_owned).chain(encoded).collect()
    })
}

fn value() -> impl Strategy<Value = Json> {
    let word = prop::sample::select(words().to_vec());
    let numbers = vec![
        json!(3),
        json!(3.0),
        json!(-7),
        json!(0),
        json!(31),
        json!(0.5),
        json!(1000),
        json!(18446744073709551615_u64),
        json!(1763853011),
    ];
    let times = vec!["2026-11-22T23:10:11Z", "2026-12-31T00:47:00+02:00", "2025-10-11 10:11:00"];
    let leaf = prop_oneof![
        1 => prop::sample::select(times).prop_map(Json::from),
        5 => word.clone().prop_map(Json::from),
        2 => (word.clone(), word).prop_map(|(a, b)| Json::from(a + &b)),
        2 => prop::sample::select(numbers),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            (prop::sample::select(vec!["a", "d", "q"]), inner).prop_map(|(k, v)| json!({ k: v })),
        ]
    })
}

pub fn event() -> impl Strategy<Value = String> {
    let keys = vec!["a", "b", "c", "c.d", "e", "q"];
    prop::collection::vec((prop::sample::select(keys), value()), 0..6).prop_map(|members| {
        let object: Map<_, _> = members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        Json::from(object).to_string()
    })
}

/// Rule files loaded; every one of them must load.
pub fn load(files: &[String]) -> RuleSet {
    let named = files.iter().enumerate().map(|(at, text)| (format!("r{at}.yml"), text.clone()));
    let (rules, problems) = RuleSet::load(named, &placeholders());
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{}", files.join("\n"));
    assert_eq!(rules.rules().len(), files.len());
    rules
}

/// Rules bound for an engine.
pub struct Bound {
    pub group: Arc<Group>,
    pub fields: Fields,
}

pub fn bind(rules: &RuleSet, engine: Engine) -> Bound {
    let mut builder = FieldsBuilder::default();
    let group = rules.bind(&LogSource::default(), &|_| Vec::new(), &mut builder, engine);
    Bound { fields: builder.build(), group }
}

/// What each rule matches and nearly misses.
pub fn witnesses(oracle: &Bound) -> impl Iterator<Item = String> {
    oracle.group.rules().iter().flat_map(|rule| {
        let found = witness::witness(rule, oracle.group.bound(), &str::to_owned);
        found.into_iter().flat_map(|w| [Some(w.fires), w.nearly.map(|near| near.event)]).flatten()
    })
}

/// Returns how many pairs of rule and event were compared.
fn compare(files: &[String], events: &[String]) -> usize {
    let rules = load(files);
    let [fast, oracle] = [Engine::Fast, Engine::Oracle].map(|engine| bind(&rules, engine));
    let [mut fast_matcher, mut oracle_matcher] = [&fast, &oracle].map(|b| b.group.matcher());
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let (mut have, mut expected, mut pairs) = (Vec::new(), Vec::new(), 0);
    for event in events.iter().cloned().chain(witnesses(&oracle)) {
        let doc = parser.json(event.as_bytes()).unwrap();
        slots.fill(&fast.fields, &doc);
        fast_matcher.matches(&doc, &slots, &mut have);
        oracle_matcher.matches(&doc, &slots, &mut expected);
        assert_eq!(have, expected, "{event}\n{}", files.join("\n"));
        pairs += files.len();
    }
    pairs
}

/// `MANTISSA_DIFFERENTIAL_CASES=45000` is the long form, of a million pairs, as in `matcher/tests.rs`.
fn cases() -> Option<u32> {
    let wanted = std::env::var("MANTISSA_DIFFERENTIAL_CASES").ok();
    wanted.map(|n| n.parse().expect("a number of cases"))
}

#[test]
fn rule_files_mean_the_same_to_both_engines() {
    let config = ProptestConfig {
        source_file: Some(file!()),
        ..ProptestConfig::with_cases(cases().unwrap_or(200))
    };
    let pairs = AtomicUsize::new(0);
    let files = prop::collection::vec(rule_file(), 1..5);
    let events = prop::collection::vec(event(), 1..8);
    let result = TestRunner::new(config).run(&(files, events), |(files, events)| {
        pairs.fetch_add(compare(&files, &events), Ordering::Relaxed);
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
    let pairs = pairs.into_inner();
    assert!(pairs > 1_000, "{pairs} pairs");
    if cases().is_some() {
        let told = format!("{pairs} pairs of rule and event\n");
        // Past the capturing of test output.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
    }
}
