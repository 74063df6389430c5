//! What version 1 of Sigma said behind `|` in a condition, as the correlation that replaces it. Only for
//! hints: version 1 is never evaluated.

use crate::yaml::Node;

/// What to write instead of the aggregation in `condition`; `None` when there is nothing in Sigma 2 that
/// does it.
pub fn replacement(doc: &Node, condition: &str) -> Option<String> {
    let (search, aggregation) = condition.split_once('|')?;
    let timespan = doc.get("detection").and_then(|d| d.get("timeframe")).map(Node::text);
    let timespan = timespan.filter(|t| !t.is_empty()).unwrap_or("1h");
    let (search, aggregation) = (search.trim(), aggregation.trim());
    let (parts, before) = match aggregation.strip_prefix("near ") {
        Some(others) => near(search, others)?,
        None => counted(doc, search, aggregation)?,
    };
    let title = doc.get("title").map_or("", Node::text);
    let mut text = format!("{before}\n    title: {title}\n    correlation:");
    for line in parts.into_iter().chain([format!("timespan: {timespan}")]) {
        text.push_str("\n        ");
        text.push_str(&line);
    }
    Some(text)
}

/// Lines of the correlation, and what to do beside writing it.
type Replacement = (Vec<String>, String);

/// `search | near a and b`: each becomes a rule of its own.
fn near(search: &str, others: &str) -> Option<Replacement> {
    let words = std::iter::once(search).chain(others.split(" and ")).map(str::trim);
    let names: Vec<&str> = words.collect();
    if names.iter().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
        return None;
    }
    let before = format!(
        "make {} rules of their own with these names, and add the document",
        names.join(", ")
    );
    let lines = vec![
        "type: temporal".to_owned(),
        format!("rules: [{}]", names.join(", ")),
        "group-by: []".to_owned(),
    ];
    Some((lines, before))
}

/// `search | count(field) by other > 5`.
fn counted(doc: &Node, search: &str, aggregation: &str) -> Option<Replacement> {
    let (function, rest) = aggregation.split_once('(')?;
    let (field, rest) = rest.split_once(')')?;
    let (field, rest) = (field.trim(), rest.trim());
    let (by, comparison) = match rest.strip_prefix("by ") {
        Some(rest) => {
            let at = rest.find(['<', '>', '='])?;
            (rest[..at].trim(), &rest[at..])
        }
        None => ("", rest),
    };
    let kind = match (function.trim(), field.is_empty()) {
        ("count", true) => "event_count",
        ("count", false) => "value_count",
        ("sum", false) => "value_sum",
        ("avg", false) => "value_avg",
        _ => return None,
    };
    let operators =
        [(">=", "gte"), ("<=", "lte"), ("==", "eq"), (">", "gt"), ("<", "lt"), ("=", "eq")];
    let (operator, limit) = operators.iter().find_map(|(sign, word)| {
        comparison.strip_prefix(sign).map(|limit| (*word, limit.trim()))
    })?;
    let reference = ["name", "id"].iter().find_map(|key| doc.get(key)).map(Node::text);
    let mut before = format!("let the condition be `{search}`");
    if reference.is_none() {
        before.push_str(", give the rule a `name: single_event`");
    }
    before.push_str(" and add the document");
    let field = if field.is_empty() { String::new() } else { format!("field: {field}, ") };
    let lines = vec![
        format!("type: {kind}"),
        format!("rules: [{}]", reference.unwrap_or("single_event")),
        format!("group-by: [{by}]"),
        format!("condition: {{{field}{operator}: {limit}}}"),
    ];
    Some((lines, before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(condition: &str, more: &str) -> Option<String> {
        let text = format!("title: T\nname: n\ndetection:\n  timeframe: 5m\n{more}  x: 1\n");
        let node = crate::yaml::documents(&text).remove(0).1.unwrap();
        replacement(&node, condition)
    }

    #[test]
    fn each_aggregation_has_its_correlation() {
        for (condition, parts) in [
            ("s | count() > 5", ["type: event_count", "rules: [n]", "{gt: 5}"]),
            (
                "s | count(user) by ip >= 5",
                ["type: value_count", "group-by: [ip]", "{field: user, gte: 5}"],
            ),
            (
                "s | sum(bytes) by a, b < 9",
                ["type: value_sum", "group-by: [a, b]", "{field: bytes, lt: 9}"],
            ),
            ("s | avg(bytes) == 9", ["type: value_avg", "timespan: 5m", "{field: bytes, eq: 9}"]),
            ("a | near b and c", ["type: temporal", "rules: [a, b, c]", "timespan: 5m"]),
        ] {
            let hint = hint(condition, "").unwrap();
            assert!(parts.iter().all(|part| hint.contains(part)), "{condition}: {hint}");
        }
        for condition in
            ["s | max(x) > 5", "s | count( > 5", "s |", "s | near (a or b)", "s | count() ~ 5"]
        {
            assert_eq!(hint(condition, ""), None, "{condition}");
        }
    }
}
