//! Reading single numbers back from what is rendered, for who shows or judges them within the
//! process: the metrics are the one place where every part says how it is doing.

/// One sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub value: f64,
    labels: Vec<(String, String)>,
}

impl Sample {
    /// The value of a label; empty when the sample has none of that name.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

/// The samples of a family in the Prometheus text format, as our recorder writes it.
pub(crate) fn of(text: &str, family: &str) -> Vec<Sample> {
    let sample = |line: &str| {
        let rest = line.strip_prefix(family)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        // Another family may begin with the name of this one.
        let value = value.strip_prefix(' ')?.trim().parse().ok()?;
        Some(Sample { value, labels })
    };
    text.lines().filter_map(sample).collect()
}

/// `a="b",c="d"} 1` as its labels and what stands behind the bracket.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        labels.push((name.to_owned(), value));
        rest = after;
    }
}

/// The text up to the closing quote, and what comes behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# TYPE lag gauge\nlag{source=\"a\\\"b\\n\",partition=\"x,}\"} 12\nlag 3.5\n\
                    lag_bytes{source=\"c\"} 4\nlag{} nan\n";
        let samples = of(text, "lag");
        let values: Vec<f64> = samples.iter().map(|s| s.value).filter(|v| !v.is_nan()).collect();
        assert_eq!(values, [12.0, 3.5]);
        assert_eq!(samples[0].label("source"), "a\"b\n");
        assert_eq!((samples[0].label("partition"), samples[0].label("nothing")), ("x,}", ""));
        assert_eq!(of(text, "lag_bytes").len(), 1);
        assert_eq!(of(text, "source"), []);
    }
}
