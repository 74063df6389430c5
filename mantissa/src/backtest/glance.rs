//! Whether any rule holds for a record, and nothing else of it: only fields that rules read are looked up, and no
//! column is made. What most records of a past need, since most are of no interest.

use std::sync::Arc;

use detect::{Engine, Matcher};
use event::{Fields, FieldsBuilder, LogType, Parser, Slots};
use normalize::{Mapper, Reject};

use crate::pipeline::Detection;

/// Of one log type.
pub(super) struct Glance {
    /// To read records; it maps none.
    mapper: Mapper,
    fields: Fields,
    slots: Slots,
    matcher: Matcher,
    hits: Vec<u32>,
}

impl Glance {
    /// `None` when there is no such log type.
    pub(super) fn new(detection: &Detection, log_type: &LogType) -> Option<Self> {
        let mapping = detection.catalog.get(log_type.as_str())?;
        let mapper = mapping.bind(&mut FieldsBuilder::default());
        let mut fields = FieldsBuilder::default();
        let candidates = |field: &str| mapping.candidates(field);
        let source = mapping.log_source();
        let group = detection.rules.bind(source, &candidates, &mut fields, Engine::Fast);
        let (matcher, fields) = (Arc::clone(&group).matcher(), fields.build());
        Some(Self { mapper, fields, slots: Slots::default(), matcher, hits: Vec::new() })
    }

    /// Whether a rule holds.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(super) fn holds(&mut self, parser: &mut Parser, record: &[u8]) -> Result<bool, Reject> {
        let Self { mapper, fields, slots, matcher, hits } = self;
        let doc = mapper.parse(parser, record, None)?;
        slots.fill(fields, &doc);
        matcher.matches(&doc, slots, hits);
        Ok(!hits.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use detect::RuleSet;
    use event::{PartitionKey, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::{Origin, Stream, Verdict};

    const FIELDS: [&str; 4] = ["eventName", "errorCode", "userIdentity.type", "sourceIPAddress"];

    fn rule() -> impl Strategy<Value = String> {
        let part =
            (0..FIELDS.len(), "[ab*]{1,2}", prop::sample::select(vec!["", "|contains", "|exists"]));
        let parts = prop::collection::vec(part, 1..4);
        let conditions =
            prop::sample::select(vec!["1 of s*", "all of s*", "not s0", "s0 and not 1 of s*"]);
        (parts, conditions).prop_map(|(parts, condition)| {
            let one = |(at, (field, value, how)): (usize, &(usize, String, &str))| {
                let value = if *how == "|exists" { "true".into() } else { format!("'{value}'") };
                format!("  s{at}: {{'{}{how}': {value}}}\n", FIELDS[*field])
            };
            let parts: String = parts.iter().enumerate().map(one).collect();
            format!(
                "title: T\nlogsource: {{product: aws, service: cloudtrail}}\ndetection:\n{parts}  condition: {condition}\n"
            )
        })
    }

    /// Names may repeat; some records cannot be read.
    fn record() -> impl Strategy<Value = String> {
        let member = (0..FIELDS.len(), "[abAB]{0,2}");
        (prop::collection::vec(member, 0..6), 0..12).prop_map(|(members, broken)| {
            let members =
                members.iter().map(|(field, value)| match FIELDS[*field].split_once('.') {
                    Some((outer, inner)) => format!(",\"{outer}\":{{\"{inner}\":\"{value}\"}}"),
                    None => format!(",\"{}\":\"{value}\"", FIELDS[*field]),
                });
            let members: String = members.collect();
            let end = if broken == 0 { "" } else { "}" };
            format!("{{\"eventTime\":\"2026-11-20T10:15:00Z\"{members}{end}")
        })
    }

    proptest! {
        #[test]
        fn a_glance_sees_what_the_whole_way_sees(
            rules in prop::collection::vec(rule(), 1..4),
            records in prop::collection::vec(record(), 1..20),
        ) {
            let texts = rules.into_iter().enumerate().map(|(n, text)| (format!("{n}.yml"), text));
            let (rules, problems) = RuleSet::load(texts.collect::<Vec<_>>(), &Default::default());
            prop_assert!(problems.iter().all(|p| p.severity != detect::Severity::Error), "{problems:?}");
            let catalog = Arc::new(normalize::Catalog::builtin());
            let detection = Detection { catalog, rules: Arc::new(rules), generation: 0 };
            let log_type = LogType::from("aws.cloudtrail");
            let mut glance = Glance::new(&detection, &log_type).unwrap();
            let mut stream = Stream::new(detection.compile(&log_type, Engine::Oracle).unwrap());
            let mut parser = Parser::default();
            let key = PartitionKey { source: "s".into(), partition: "p".into() };
            for record in &records {
                let origin =
                    Origin { key: &key, at: 0, index: 0, name: None, now: Timestamp(0), late_after_ns: i64::MAX };
                let whole = stream.take(&mut parser, record.as_bytes(), None, &origin, &mut |_| false);
                let expected = match whole {
                    Ok(Verdict::Stored(_)) => Some(!stream.hits.is_empty()),
                    _ => None,
                };
                let seen = glance.holds(&mut parser, record.as_bytes()).ok();
                prop_assert_eq!(seen, expected, "{}", record);
            }
        }
    }
}
