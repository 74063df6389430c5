//! The condition parser, against a second one that shares nothing with it: it reads the same words by a
//! stack of operators and computes with truth tables instead of a tree.

use detect::{Engine, Placeholders, RuleSet};

use super::engines::Bound;

/// Each holds when the event has a field of that name with the value 1.
const PARTS: [&str; 6] = ["a", "b", "sel_1", "sel_2", "_hidden", "filter-x"];

/// All 64 combinations; bit n belongs to the event of the parts that are set in n.
type Truth = u64;

/// Our parser refuses deeper ones; this one has no need to.
const DEPTH_MAX: usize = 95;
const WORDS_MAX: usize = 400;

/// `data` is the text of a condition; what is not UTF-8 in it becomes U+FFFD.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words = words(&text);
    if words.len() > WORDS_MAX {
        return;
    }
    let Some(have) = loaded(&text) else {
        // Only what consists of our words is certain to be read as a scalar of just this text.
        let plain =
            words.iter().all(|word| word.bytes().all(|b| b.is_ascii_graphic() && b != b'|'));
        let opens = |word: &&&str| **word == "(" || word.eq_ignore_ascii_case("not");
        let deep = words.iter().filter(opens).count() > DEPTH_MAX;
        assert!(!plain || deep || truth(&words).is_none(), "refused: {text:?}");
        return;
    };
    assert_eq!(truth(&words), Some(have), "{text:?}");
}

/// What the engines make of a rule with this condition; `None` if it is refused.
fn loaded(condition: &str) -> Option<Truth> {
    let parts: String = PARTS.map(|part| format!("  {part}: {{{part}: 1}}\n")).concat();
    let quoted = serde_json::Value::from(condition);
    let rule = format!(
        "title: t\nlogsource: {{product: test}}\ndetection:\n{parts}  condition: {quoted}\n"
    );
    let (rules, _) = RuleSet::load([("fuzz.yml".to_owned(), rule)], &Placeholders::new());
    if rules.rules().is_empty() {
        return None;
    }
    let [fast, oracle] = [Engine::Fast, Engine::Oracle].map(|engine| {
        let mut bound = Bound::new(&rules, &|_| Vec::new(), engine);
        (0..Truth::BITS).fold(0, |truth, set| {
            let event = event(set);
            let holds = bound.matches(event.as_bytes()).is_some_and(|hits| !hits.is_empty());
            truth | Truth::from(holds) << set
        })
    });
    assert_eq!(fast, oracle, "the engines differ: {condition:?}");
    Some(fast)
}

fn event(set: u32) -> String {
    let holds = PARTS.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
    let members: Vec<String> = holds.map(|(_, part)| format!("\"{part}\":1")).collect();
    format!("{{{}}}", members.join(","))
}

fn part(at: usize) -> Truth {
    (0..Truth::BITS).fold(0, |truth, set| truth | Truth::from(set >> at & 1) << set)
}

fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for piece in text.split(char::is_whitespace) {
        for word in piece.split_inclusive(['(', ')']) {
            let (name, bracket) = match word.strip_suffix(['(', ')']) {
                Some(name) => (name, &word[name.len()..]),
                None => (word, ""),
            };
            words.extend([name, bracket].into_iter().filter(|word| !word.is_empty()));
        }
    }
    words
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Open,
    Or,
    And,
    Not,
}

/// What the words mean; `None` if they are not a condition.
fn truth(words: &[&str]) -> Option<Truth> {
    let (mut operators, mut values) = (Vec::new(), Vec::new());
    let mut operand_next = true;
    let is =
        |at: usize, name: &str| words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(name));
    let mut at = 0;
    while at < words.len() {
        if operand_next && is(at, "not") {
            operators.push(Operator::Not);
        } else if operand_next && words[at] == "(" {
            operators.push(Operator::Open);
        } else if operand_next && is(at + 1, "of") {
            values.push(quantified(words[at], words.get(at + 2)?)?);
            (operand_next, at) = (false, at + 2);
        } else if operand_next {
            values.push(part(PARTS.iter().position(|name| *name == words[at])?));
            operand_next = false;
        } else if words[at] == ")" {
            reduce(&mut operators, &mut values, Operator::Or)?;
            operators.pop().filter(|operator| *operator == Operator::Open)?;
        } else {
            let operator = match words[at].to_ascii_lowercase().as_str() {
                "and" => Operator::And,
                "or" => Operator::Or,
                _ => return None,
            };
            reduce(&mut operators, &mut values, operator)?;
            operators.push(operator);
            operand_next = true;
        }
        at += 1;
    }
    if operand_next {
        return None;
    }
    reduce(&mut operators, &mut values, Operator::Or)?;
    if operators.is_empty() { values.pop() } else { None }
}

/// Applies what binds at least as tightly.
fn reduce(operators: &mut Vec<Operator>, values: &mut Vec<Truth>, least: Operator) -> Option<()> {
    while let Some(operator) = operators.pop_if(|operator| *operator >= least) {
        let last = values.pop()?;
        let value = match operator {
            Operator::Not => !last,
            Operator::And => values.pop()? & last,
            Operator::Or | Operator::Open => values.pop()? | last,
        };
        values.push(value);
    }
    Some(())
}

fn quantified(quantifier: &str, pattern: &str) -> Option<Truth> {
    let all = match quantifier.to_ascii_lowercase().as_str() {
        "1" | "any" => false,
        "all" => true,
        _ => return None,
    };
    let pattern = if pattern == "them" { "*" } else { pattern };
    let named = |name: &str| {
        (pattern.starts_with('_') || !name.starts_with('_'))
            && fits(pattern.as_bytes(), name.as_bytes())
    };
    let parts = PARTS.iter().enumerate().filter(|(_, name)| named(name)).map(|(at, _)| part(at));
    parts.reduce(|a, b| if all { a & b } else { a | b })
}

/// Whether the text fits a pattern with stars, by a table of which beginnings fit which.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut row: Vec<bool> = (0..=text.len()).map(|n| n == 0).collect();
    for byte in pattern {
        let mut next = vec![false; row.len()];
        next[0] = row[0] && *byte == b'*';
        for n in 1..row.len() {
            next[n] = match byte {
                b'*' => row[n] || next[n - 1],
                byte => row[n - 1] && text[n - 1] == *byte,
            };
        }
        row = next;
    }
    row[text.len()]
}
