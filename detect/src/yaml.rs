//! YAML 1.2 as a tree in which every node knows where it is written and every scalar how.
//!
//! Scalars stay raw text; [`Node::typed`] applies the YAML 1.2 core schema and nothing else: `yes`
//! is text, `017` is seventeen, `0x10` is sixteen, `1e3` is a thousand. Duplicate keys are errors.
//! Aliases are copied, within a bound on the size of the tree.

use granit_parser::{Event, Parser, ScalarStyle};
use hashbrown::HashMap;

use crate::ir::Position;
use crate::number::Number;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: Position,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// Pairs in the order written; keys are unique.
    Mapping(Vec<(Node, Node)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    pub text: String,
    pub style: Style,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
    /// `|` or `>`: the text begins on a later line.
    Block,
}

/// The value of a scalar under the core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    Null,
    Bool(bool),
    Number(Number),
    Text,
}

/// Why a document is not a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub at: Position,
    /// The offending text, if it is a word.
    pub span: String,
    pub message: String,
}

impl Node {
    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        if let Kind::Scalar(scalar) = &self.kind { Some(scalar) } else { None }
    }

    /// The text of a scalar, empty for other nodes.
    pub fn text(&self) -> &str {
        self.scalar().map_or("", |scalar| &scalar.text)
    }

    /// The pairs of a mapping, none for other nodes.
    pub fn pairs(&self) -> &[(Node, Node)] {
        if let Kind::Mapping(pairs) = &self.kind { pairs } else { &[] }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().iter().find(|(k, _)| k.text() == key).map(|(_, value)| value)
    }

    /// Whether it is nothing: a plain empty scalar, `null` or `~`.
    pub fn is_null(&self) -> bool {
        self.typed() == Some(Typed::Null)
    }

    /// The value of a scalar; `None` for other nodes.
    pub fn typed(&self) -> Option<Typed> {
        let scalar = self.scalar()?;
        Some(match scalar.style {
            Style::Plain => plain(&scalar.text),
            Style::Quoted | Style::Block => Typed::Text,
        })
    }

    /// Where the character at `offset` of a scalar's text is written, as far as that is certain: for
    /// text over several lines it is where the scalar begins.
    pub fn inside(&self, offset: usize) -> Position {
        let Some(scalar) = self.scalar() else { return self.at };
        let skip = match scalar.style {
            Style::Plain => 0,
            Style::Quoted => 1,
            Style::Block => return self.at,
        };
        if scalar.text.contains('\n') {
            return self.at;
        }
        Position { line: self.at.line, column: self.at.column + skip + offset as u32 }
    }

    /// For messages.
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Scalar(_) => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a map",
        }
    }
}

/// The core schema (YAML 1.2.2, section 10.3.2) for plain scalars. Infinities and NaN are text.
fn plain(text: &str) -> Typed {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Typed::Null,
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        _ => {}
    }
    let radix = |digits: &str, radix: u32| {
        // from_str_radix accepts a sign, the schema does not
        let legal = digits.chars().all(|c| c.is_digit(radix));
        let value = u128::from_str_radix(digits, radix).ok().filter(|_| legal)?;
        Number::parse(&value.to_string())
    };
    let number = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => radix(digits, 16),
        (_, Some(digits)) => radix(digits, 8),
        _ => Number::parse(text),
    };
    number.map_or(Typed::Text, Typed::Number)
}

/// The documents of a file, each on its own: one that cannot be read costs no other. A document of
/// nothing but comments is left out.
pub fn documents(text: &str) -> Vec<(Position, Result<Node, Problem>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Vec::new();
    for (line, part) in split(text) {
        match read(part, line) {
            Ok(None) => {}
            Ok(Some(node)) => out.push((node.at, Ok(node))),
            Err(problem) => out.push((problem.at, Err(problem))),
        }
    }
    out
}

/// Cuts at document markers, which are recognised wherever a line begins with them, even inside
/// quotes and blocks (YAML 1.2.2, section 9.1.2). Yields the number of lines before each part.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (line, content) in (0_u32..).zip(text.split_inclusive('\n')) {
        let marker = content
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && at > start {
            parts.push((start_line, &text[start..at]));
            (start, start_line) = (at, line);
        }
        at += content.len();
    }
    parts.push((start_line, &text[start..]));
    parts
}

/// Larger trees than this are refused: a rule has a few hundred nodes.
const NODES_MAX: usize = 200_000;
/// Deeper trees than this are refused.
const DEPTH_MAX: usize = 64;

struct Reader<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    lines_before: u32,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// Reads the one document of `text`.
fn read(text: &str, lines_before: u32) -> Result<Option<Node>, Problem> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        lines_before,
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        let Some((event, at)) = reader.next()? else { return Ok(None) };
        match event {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd => return Ok(None),
            first => {
                let node = reader.node(first, at, 0)?;
                reader.finish()?;
                return Ok((!node.is_null()).then_some(node));
            }
        }
    }
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Position)>, Problem> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, self.position(&span.start)))),
            Some(Err(e)) => Err(Problem {
                at: self.position(e.marker()),
                span: String::new(),
                message: format!("this is not YAML: {}", e.info()),
            }),
        }
    }

    fn position(&self, marker: &granit_parser::Marker) -> Position {
        let line = u32::try_from(marker.line()).unwrap_or(u32::MAX);
        let column = u32::try_from(marker.col()).unwrap_or(u32::MAX);
        Position {
            line: line.max(1).saturating_add(self.lines_before),
            column: column.saturating_add(1),
        }
    }

    /// Everything after the document must at least be YAML.
    fn finish(&mut self) -> Result<(), Problem> {
        while let Some((event, at)) = self.next()? {
            match event {
                Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) => {
                    return problem(at, "", "a second document must begin with a line `---`");
                }
                _ => return problem(at, "", "there is something after the document's end"),
            }
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, at: Position, depth: usize) -> Result<Node, Problem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX || depth > DEPTH_MAX {
            return problem(at, "", "the document is too large or too deep for a rule");
        }
        let nodes_before = self.nodes;
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = tag.as_ref().and_then(|t| t.core_suffix().map(str::to_owned));
                let style = match style {
                    ScalarStyle::Plain if tagged.as_deref() == Some("str") => Style::Quoted,
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                (anchor, Kind::Scalar(Scalar { text: text.into_owned(), style }))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Kind::Sequence(self.sequence(depth)?)),
            Event::MappingStart(_, anchor, _) => (anchor, Kind::Mapping(self.mapping(depth)?)),
            Event::Alias(id) => return self.alias(id, at),
            _ => return problem(at, "", "a value is missing here"),
        };
        let node = Node { at, kind };
        if anchor != 0 {
            let size = self.nodes - nodes_before + 1;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<Node, Problem> {
        let Some((node, size)) = self.anchors.get(&id) else {
            return problem(at, "", "an alias inside of its own anchor");
        };
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return problem(at, "", "aliases make the document too large for a rule");
        }
        Ok(Node { at, kind: node.kind.clone() })
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, _)) => return Ok(items),
                Some((event, at)) => items.push(self.node(event, at, depth + 1)?),
                None => return problem(Position::default(), "", "the list has no end"),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Problem> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let mut seen = hashbrown::HashSet::new();
        loop {
            let (event, at) = match self.next()? {
                Some((Event::MappingEnd, _)) => return Ok(pairs),
                Some(next) => next,
                None => return problem(Position::default(), "", "the map has no end"),
            };
            let key = self.node(event, at, depth + 1)?;
            let Some(scalar) = key.scalar() else {
                return problem(at, "", "a key must be a single value");
            };
            if scalar.text == "<<" && scalar.style == Style::Plain {
                return problem(at, "<<", "merge keys are not part of YAML 1.2");
            }
            if !seen.insert(scalar.text.clone()) {
                return problem(
                    at,
                    &scalar.text,
                    &format!("the key `{}` occurs twice", scalar.text),
                );
            }
            let Some((event, at)) = self.next()? else {
                return problem(at, "", "the map has no end");
            };
            let value = self.node(event, at, depth + 1)?;
            pairs.push((key, value));
        }
    }
}

fn problem<T>(at: Position, span: &str, message: &str) -> Result<T, Problem> {
    Err(Problem { at, span: span.to_owned(), message: message.to_owned() })
}

#[cfg(test)]
mod tests;
