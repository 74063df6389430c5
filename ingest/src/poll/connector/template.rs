//! Texts with places for values: `{from}`, `{token}`, a setting's name. `{{` is a brace.

use std::collections::BTreeMap;

/// Values by name; an empty one is as good as none.
pub type Values = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(String),
}

/// A text with places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

impl Template {
    /// Reads a text; fails at a brace without its other half.
    pub fn new(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut chars) =
            (Vec::new(), String::new(), text.chars().peekable());
        while let Some(c) = chars.next() {
            if (c == '{' || c == '}') && chars.peek() == Some(&c) {
                plain.extend(chars.next());
            } else if c == '{' {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) => name.push(c),
                        None => return Err(format!("`{{{name}` has no end")),
                    }
                }
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Place(name));
            } else if c == '}' {
                return Err("a `}` has no beginning; a literal one is `}}`".to_owned());
            } else {
                plain.push(c);
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The names of its places.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Place(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// With all values; `None` when one of them is missing or empty.
    pub fn fill(&self, values: &Values) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place(name) => {
                    out.push_str(values.get(name).filter(|value| !value.is_empty())?);
                }
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_or_the_whole_is_left_out() {
        let template = Template::new("{from}..{to} {{x}}").unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["from", "to"]);
        let mut values = Values::from([("from".to_owned(), "1".to_owned())]);
        assert_eq!(template.fill(&values), None);
        values.insert("to".to_owned(), String::new());
        assert_eq!(template.fill(&values), None);
        values.insert("to".to_owned(), "2".to_owned());
        assert_eq!(template.fill(&values).as_deref(), Some("1..2 {x}"));
        for broken in ["{from", "to}", "a{b{c"] {
            assert!(Template::new(broken).is_err(), "{broken}");
        }
    }
}
