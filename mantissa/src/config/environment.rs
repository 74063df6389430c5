//! `${NAME}` (environment) and `${file:PATH}` (a file's content, trailing newline removed) in a
//! configuration file.
//!
//! The value becomes part of a YAML text, so it is written the way its place needs: escaped inside
//! double quotes, doubled inside single quotes. Outside of quotes only plain text is accepted, because
//! anything else could change the structure of the file.

/// Where a reference cannot be replaced, and why. Never holds the value.
#[derive(Debug, PartialEq, Eq)]
pub struct ExpandError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Resolves one reference against the process environment and the file system.
pub fn look_up(reference: &str) -> Result<String, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("cannot read the file of `${{{reference}}}`: {e}"))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    std::env::var(reference)
        .map_err(|_| format!("the environment variable `{reference}` is not set"))
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Plain,
    Single,
    Double,
    Comment,
}

/// Replaces every reference of `text`. `$${` stands for a literal `${`.
pub fn expand(
    text: &str,
    look_up: &dyn Fn(&str) -> Result<String, String>,
) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        expand_line(line, look_up, &mut out).map_err(|(column, message)| ExpandError {
            line: number + 1,
            column: column + 1,
            message,
        })?;
    }
    Ok(out)
}

fn expand_line(
    line: &str,
    look_up: &dyn Fn(&str) -> Result<String, String>,
    out: &mut String,
) -> Result<(), (usize, String)> {
    let mut place = Place::Plain;
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        if place != Place::Comment && rest.starts_with("$${") {
            out.push_str("${");
            at += 3;
            continue;
        }
        if place != Place::Comment && rest.starts_with("${") {
            let end = rest.find('}').ok_or((at, "`${` without its `}`".to_owned()))?;
            let reference = &rest[2..end];
            let value = look_up(reference).map_err(|message| (at, message))?;
            insert(&value, reference, place, out).map_err(|message| (at, message))?;
            at += end + 1;
            continue;
        }
        let before = line[..at].chars().next_back();
        place = match (place, c) {
            (Place::Plain, '#') if before.is_none_or(char::is_whitespace) => Place::Comment,
            (Place::Plain, '\'') if opens(before) => Place::Single,
            (Place::Plain, '"') if opens(before) => Place::Double,
            (Place::Single, '\'') => Place::Plain,
            (Place::Double, '"') if before != Some('\\') => Place::Plain,
            (same, _) => same,
        };
        out.push(c);
        at += c.len_utf8();
    }
    Ok(())
}

/// A quote opens a quoted scalar only where a scalar can begin.
fn opens(before: Option<char>) -> bool {
    before.is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '{' | ',' | '\''))
}

fn insert(value: &str, reference: &str, place: Place, out: &mut String) -> Result<(), String> {
    match place {
        Place::Double => {
            let quoted = serde_json::Value::from(value).to_string();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
        Place::Single if value.contains(['\n', '\r']) => {
            return Err(format!("`${{{reference}}}` has several lines: use double quotes"));
        }
        Place::Single => out.push_str(&value.replace('\'', "''")),
        Place::Plain | Place::Comment => {
            let plain = |c: char| c.is_alphanumeric() || "_./:@+=-,%~".contains(c);
            if value.is_empty() || !value.chars().all(plain) || value.ends_with(':') {
                return Err(format!("put `${{{reference}}}` in quotes: its value is not plain"));
            }
            out.push_str(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, (usize, usize)>) {
        let values = |name: &str| match name {
            "URL" => Ok("https://x/y?z=1&q".to_owned()),
            "PLAIN" => Ok("abc-1".to_owned()),
            "EVIL" => Ok("a: b\n\"c' #d".to_owned()),
            "QUOTE" => Ok("it's".to_owned()),
            other => Err(format!("the environment variable `{other}` is not set")),
        };
        let have = expand(text, &values).map_err(|e| (e.line, e.column));
        assert_eq!(have.as_deref().map_err(|e| *e), expected, "{text}");
    }

    #[test]
    fn values_are_written_for_their_place() {
        check("a: ${PLAIN}\n", Ok("a: abc-1\n"));
        check("a: \"${URL}\"", Ok("a: \"https://x/y?z=1&q\""));
        check("a: \"${EVIL}\"", Ok("a: \"a: b\\n\\\"c' #d\""));
        check("a: '${QUOTE}'", Ok("a: 'it''s'"));
        check("a: $${PLAIN}", Ok("a: ${PLAIN}"));
        check("# ${MISSING}\n", Ok("# ${MISSING}\n"));
        check("a: don't ${PLAIN}", Ok("a: don't abc-1"));
    }

    #[test]
    fn what_could_change_the_structure_is_refused() {
        check("a: 1\nb: ${EVIL}", Err((2, 4)));
        check("a: ${URL}", Err((1, 4)));
        check("a: '${EVIL}'", Err((1, 5)));
        check("a: ${MISSING}", Err((1, 4)));
        check("a: ${PLAIN", Err((1, 4)));
    }
}
