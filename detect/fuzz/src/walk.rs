//! The event walk: what the one walk over a document leaves in the slots is what the oracle's own search
//! finds, path by path; and what another JSON reader reads, ours reads.

use detect::oracle;
use event::{FieldsBuilder, Parser, Slots};

const FIELDS_MAX: usize = 8;
const CANDIDATES_MAX: usize = 4;
const PATH_BYTES_MAX: usize = 40;

/// The first line of `data` names fields, separated by commas, each by its candidate paths, separated by
/// blanks; the rest is an event.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let event = data.get(end + 1..).unwrap_or_default();
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let read = parser.json(event);
    same_verdict(read.is_ok(), event);
    let Ok(doc) = read else { return };
    let spec = String::from_utf8_lossy(&data[..end]);
    let lists = spec.split(',').take(FIELDS_MAX).map(|field| {
        let paths = field.split(' ').take(CANDIDATES_MAX).filter(|p| p.len() <= PATH_BYTES_MAX);
        paths.map(str::to_owned).collect::<Vec<_>>()
    });
    let lists: Vec<Vec<String>> = lists.filter(|paths| !paths.is_empty()).collect();
    let mut builder = FieldsBuilder::default();
    let ids: Vec<_> = lists.iter().map(|paths| builder.field(paths)).collect();
    let fields = builder.build();
    // Twice, because slots are reused from event to event.
    for _ in 0..2 {
        slots.fill(&fields, &doc);
        for (paths, id) in lists.iter().zip(&ids) {
            let found = oracle::find(&doc, paths);
            let nodes: Vec<_> = slots.nodes(*id).collect();
            assert_eq!((slots.present(*id), nodes), (found.present, found.values), "{paths:?}");
        }
    }
}

fn same_verdict(ours: bool, event: &[u8]) {
    match serde_json::from_slice::<serde_json::Value>(event) {
        Ok(_) => assert!(ours, "refused: {}", String::from_utf8_lossy(event)),
        Err(error) => {
            let said = error.to_string();
            // What ours reads and others do not, on purpose: see `Parser::json`.
            let lenient = ["recursion limit", "out of range", "surrogate", "hex escape"];
            let known = lenient.iter().any(|part| said.contains(part));
            assert!(!ours || known, "{said}: {}", String::from_utf8_lossy(event));
        }
    }
}
