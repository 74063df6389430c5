//! Names that a person may have meant.

use event::spelling::distance;

/// At most this many names in a hint.
const NAMES_MAX: usize = 3;

/// The closest of `names` to `wrong`, best first; empty when none is close.
pub(crate) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let wrong = plain(wrong);
    let mut ranked: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let other = plain(name);
            let far = wrong.chars().count().max(3) / 3;
            let distance = distance(&wrong, &other);
            let part = wrong.len() >= 3 && (is_within(&wrong, &other) || wrong.contains(&other));
            (distance <= far || part).then_some((distance, name))
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    let best = ranked.first().map_or(0, |(distance, _)| *distance);
    let close = ranked.into_iter().take_while(|(distance, _)| *distance <= best + 1);
    close.take(NAMES_MAX).map(|(_, name)| name).collect()
}

/// `a, b or c`
pub(crate) fn any_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// Lower case without what separates words, so that `eventTime` is close to `event_time`.
fn plain(name: &str) -> String {
    let word = |c: &char| !matches!(c, '_' | '.' | '-' | '"' | '\'' | ' ');
    name.chars().take(100).filter(word).flat_map(char::to_lowercase).collect()
}

/// Whether the letters of `a` stand in `b` in this order, as `srcip` in `sourceip`.
fn is_within(a: &str, b: &str) -> bool {
    let mut letters = b.chars();
    a.chars().all(|wanted| letters.any(|letter| letter == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let names = ["event_time", "ingest_time", "source_ip", "source", "actor_name", "event_uid"];
        let check = |wrong: &str, expected: &[&str]| assert_eq!(nearest(wrong, names), expected);
        check("eventTime", &["event_time"]);
        check("sourceip", &["source_ip"]);
        check("src_ip", &["source_ip"]);
        check("actor", &["actor_name"]);
        check("zzzzzzzz", &[]);
        assert_eq!(nearest("aws.cloudtrail", ["aws_cloudtrail", "alerts"]), ["aws_cloudtrail"]);
        assert_eq!(any_of(&["a", "b", "c"]), "a, b or c");
    }
}
