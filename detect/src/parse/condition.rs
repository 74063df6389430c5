//! Conditions: `selection and not 1 of filter_*`. Binding from loose to tight: `or`, `and`, `not`.

use crate::diagnostic::nearest;
use crate::ir::{DetectionId, Expr};
use crate::yaml::Node;

use super::report::Report;

/// A word or parenthesis and where it begins, in characters.
#[derive(Clone, Copy, Debug)]
struct Token<'t> {
    text: &'t str,
    at: usize,
}

/// More parentheses and `not`s inside each other than this are refused.
const DEPTH_MAX: usize = 100;
/// More words and parentheses than this are refused.
const TOKENS_MAX: usize = 5_000;

/// What the names of a condition stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Parts of a detection.
    Parts,
    /// The rules of a correlation.
    Rules,
}

impl Over {
    fn whole(self) -> &'static str {
        match self {
            Over::Parts => "the detection",
            Over::Rules => "the correlation's `rules`",
        }
    }
}

/// Reads a condition. `names` are the detections in order; `used` is set for those referred to.
pub fn parse(
    node: &Node,
    over: Over,
    names: &[&str],
    used: &mut [bool],
    report: &mut Report<'_>,
) -> Option<Expr> {
    let text = node.text();
    let tokens = tokens(text);
    if tokens.len() > TOKENS_MAX {
        report.error(node.at, "", "the condition is too long", None);
        return None;
    }
    let mut parser = Parser { node, over, tokens: &tokens, next: 0, names, used, report, depth: 0 };
    let expr = parser.either()?;
    if let Some(token) = parser.peek() {
        let message = match token.text {
            ")" => "there is no `(` for this `)`".to_owned(),
            other => format!("expected `and` or `or` before `{other}`"),
        };
        parser.fail(token, message, None);
        return None;
    }
    Some(expr)
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut word: Option<(usize, usize)> = None; // byte and character offset
    for (at, (byte, c)) in text.char_indices().enumerate() {
        let ends = c.is_whitespace() || matches!(c, '(' | ')');
        match (ends, word) {
            (true, Some((start, start_at))) => {
                out.push(Token { text: &text[start..byte], at: start_at });
                word = None;
            }
            (false, None) => word = Some((byte, at)),
            _ => {}
        }
        if matches!(c, '(' | ')') {
            out.push(Token { text: &text[byte..=byte], at });
        }
    }
    if let Some((start, at)) = word {
        out.push(Token { text: &text[start..], at });
    }
    out
}

struct Parser<'p, 't, 'f> {
    node: &'p Node,
    over: Over,
    tokens: &'p [Token<'t>],
    next: usize,
    names: &'p [&'p str],
    used: &'p mut [bool],
    report: &'p mut Report<'f>,
    depth: usize,
}

impl<'t> Parser<'_, 't, '_> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.next).copied()
    }

    fn fail(&mut self, token: Token<'_>, message: String, hint: Option<String>) {
        self.report.error(self.node.inside(token.at), token.text, message, hint);
    }

    /// Takes the next token if it is this keyword in any case; other than lower case is a warning.
    fn keyword(&mut self, word: &str) -> bool {
        let Some(token) = self.peek().filter(|t| t.text.eq_ignore_ascii_case(word)) else {
            return false;
        };
        self.next += 1;
        if token.text != word {
            let message = format!("`{}` must be written in lower case", token.text);
            let hint = Some(format!("write `{word}`"));
            self.report.warn(self.node.inside(token.at), token.text, message, hint);
        }
        true
    }

    fn either(&mut self) -> Option<Expr> {
        let mut parts = vec![self.both()?];
        while self.keyword("or") {
            parts.push(self.both()?);
        }
        Some(Expr::any(parts))
    }

    fn both(&mut self) -> Option<Expr> {
        let mut parts = vec![self.unary()?];
        while self.keyword("and") {
            parts.push(self.unary()?);
        }
        Some(Expr::all(parts))
    }

    fn unary(&mut self) -> Option<Expr> {
        self.depth += 1;
        let expr = self.unary_inside();
        self.depth -= 1;
        expr
    }

    fn unary_inside(&mut self) -> Option<Expr> {
        let Some(token) = self.peek() else {
            let message = if self.tokens.is_empty() {
                "the condition is empty"
            } else {
                "the condition ends where something must follow"
            };
            let end = self.node.text().chars().count();
            self.report.error(self.node.inside(end), "", message, None);
            return None;
        };
        if self.depth > DEPTH_MAX {
            self.fail(token, "the condition is nested too deeply".into(), None);
            return None;
        }
        if self.keyword("not") {
            return Some(self.unary()?.negate());
        }
        self.next += 1;
        if token.text == "(" {
            let inner = self.either()?;
            if self.peek().is_some_and(|t| t.text == ")") {
                self.next += 1;
                return Some(inner);
            }
            self.fail(token, "this `(` is not closed".into(), None);
            return None;
        }
        if self.peek().is_some_and(|t| t.text.eq_ignore_ascii_case("of")) {
            return self.quantified(token);
        }
        self.named(token)
    }

    /// `1 of …`, `any of …`, `all of …`; the quantifier is taken already.
    fn quantified(&mut self, quantifier: Token<'t>) -> Option<Expr> {
        let join: fn(Vec<Expr>) -> Expr = match quantifier.text.to_ascii_lowercase().as_str() {
            "1" | "any" => Expr::any,
            "all" => Expr::all,
            other => {
                let message = format!("`{other} of` is not a quantifier");
                let hint = Some("Sigma has `1 of`, `any of` and `all of`".to_owned());
                self.fail(quantifier, message, hint);
                return None;
            }
        };
        self.keyword("of");
        let Some(target) = self.peek() else {
            self.fail(quantifier, "`of` must be followed by a pattern or `them`".into(), None);
            return None;
        };
        self.next += 1;
        let pattern = if target.text == "them" { "*" } else { target.text };
        let chosen: Vec<usize> = (0..self.names.len())
            .filter(|i| pattern.starts_with('_') || !self.names[*i].starts_with('_'))
            .filter(|i| fits(pattern, self.names[*i]))
            .collect();
        if chosen.is_empty() {
            let hint = nearest(target.text.trim_end_matches('*'), self.names.iter().copied())
                .map(|n| format!("the nearest is `{n}`"));
            let message = format!("`{}` names no part of {}", target.text, self.over.whole());
            self.fail(target, message, hint);
            return None;
        }
        Some(join(chosen.into_iter().map(|i| self.reference(i)).collect()))
    }

    fn named(&mut self, token: Token<'t>) -> Option<Expr> {
        if let Some(index) = self.names.iter().position(|name| *name == token.text) {
            return Some(self.reference(index));
        }
        let (message, hint) = if token.text == ")" {
            ("something must stand before `)`".to_owned(), None)
        } else if token.text.contains('*') {
            let hint = format!("write `1 of {0}` or `all of {0}`", token.text);
            ("a pattern needs a quantifier".to_owned(), Some(hint))
        } else {
            let near = nearest(token.text, self.names.iter().copied());
            let hint = near.map(|n| format!("did you mean `{n}`?"));
            let message = match self.over {
                Over::Parts => format!("the detection has no part named `{}`", token.text),
                Over::Rules => format!("`{}` is not one of the correlation's `rules`", token.text),
            };
            (message, hint)
        };
        self.fail(token, message, hint);
        None
    }

    fn reference(&mut self, index: usize) -> Expr {
        self.used[index] = true;
        Expr::Named(DetectionId(index as u32))
    }
}

/// `*` stands for any text, anywhere and as often as you like.
fn fits(pattern: &str, name: &str) -> bool {
    use crate::ir::{Part, Pattern};
    let mut parts = Vec::new();
    for (i, piece) in pattern.split('*').enumerate() {
        if i > 0 {
            parts.push(Part::Any);
        }
        parts.push(Part::Literal(piece.into()));
    }
    Pattern::new(parts, true).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Kind, Scalar, Style};

    const NAMES: &[&str] = &["sel_a", "sel_b", "filter-x", "_sel_c", "a_sel_b_z"];

    fn parsed(text: &str) -> Result<String, String> {
        let scalar = Scalar { text: text.to_owned(), style: Style::Plain };
        let at = crate::ir::Position { line: 1, column: 1 };
        let node = Node { at, kind: Kind::Scalar(scalar) };
        let mut report = Report::new("x");
        let mut used = vec![false; NAMES.len()];
        let expr = parse(&node, Over::Parts, NAMES, &mut used, &mut report);
        match expr.filter(|_| !report.failed) {
            Some(expr) => Ok(shown(&expr)),
            None => {
                let d = report.diagnostics.remove(0);
                Err(format!("{}: {}", d.column, d.message))
            }
        }
    }

    fn shown(expr: &Expr) -> String {
        let list = |parts: &[Expr]| parts.iter().map(shown).collect::<Vec<_>>().join(" ");
        match expr {
            Expr::Named(id) => NAMES[id.0 as usize].to_owned(),
            Expr::Not(inner) => format!("(not {})", shown(inner)),
            Expr::And(parts) => format!("(and {})", list(parts)),
            Expr::Or(parts) => format!("(or {})", list(parts)),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("sel_a", "sel_a"),
            ("sel_a or sel_b and not filter-x", "(or sel_a (and sel_b (not filter-x)))"),
            ("(sel_a or sel_b) and filter-x", "(and (or sel_a sel_b) filter-x)"),
            ("not sel_a and sel_b", "(and (not sel_a) sel_b)"),
            ("not not sel_a", "sel_a"),
            ("1 of sel_*", "(or sel_a sel_b)"),
            ("any of sel_*", "(or sel_a sel_b)"),
            ("all of sel_*", "(and sel_a sel_b)"),
            ("1 of _*", "_sel_c"),
            ("1 of *sel*b*", "(or sel_b a_sel_b_z)"),
            ("all of them", "(and sel_a sel_b filter-x a_sel_b_z)"),
            (
                "1 of them and not filter-x",
                "(and (or sel_a sel_b filter-x a_sel_b_z) (not filter-x))",
            ),
            ("not 1 of sel_*", "(not (or sel_a sel_b))"),
            ("1 of sel_a", "sel_a"),
            ("sel_a AND NOT sel_b", "(and sel_a (not sel_b))"),
            ("((sel_a))", "sel_a"),
            ("_sel_c", "_sel_c"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_have_a_column() {
        for (text, expected) in [
            ("", "1: the condition is empty"),
            ("sel_a and", "10: the condition ends"),
            ("sel_a sel_b", "7: expected `and` or `or`"),
            ("(sel_a", "1: this `(` is not closed"),
            ("sel_a)", "6: there is no `(`"),
            ("sel_x", "1: the detection has no part named `sel_x`"),
            ("1 of nope*", "6: `nope*` names no part of the detection"),
            ("sel_*", "1: a pattern needs a quantifier"),
            ("2 of sel_*", "1: `2 of` is not a quantifier"),
            ("1 of", "1: `of` must be followed"),
            ("()", "2: something must stand before"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(parsed(&format!("{}sel_a", "not ".repeat(DEPTH_MAX - 1))).is_ok());
        let deep = parsed(&format!("{}sel_a", "not ".repeat(DEPTH_MAX))).unwrap_err();
        assert_eq!(deep, "401: the condition is nested too deeply");
        assert!(parsed(&format!("{}sel_a", "not ".repeat(5000))).is_err());
        assert!(parsed(&"(".repeat(5000)).is_err());
        // 4,999 words, so that `not` makes it as many as may be.
        let long = vec!["sel_a"; TOKENS_MAX / 2].join(" or ");
        assert!(parsed(&format!("not {long}")).is_ok());
        assert!(parsed(&format!("not not {long}")).unwrap_err().contains("too long"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(sel_a|sel_\\*|and|or|not|of|1|all|them|é|[()| ]){0,40}") {
            let _ = parsed(&text);
        }
    }
}
