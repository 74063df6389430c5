//! Which rules apply to which stream of events.

use event::LogSource;
use event::log_source::Tag;

use crate::ir::RuleLogSource;

/// Categories that stand for several others (Sigma's log source taxonomy). An event of a narrow
/// category is also one of the wide category; the reverse is not known and not assumed.
///
/// | wide | narrow |
/// |---|---|
/// | `registry_event` (Sysmon 12, 13, 14) | `registry_add`, `registry_delete` (12), `registry_set` (13), `registry_rename` (14) |
const NARROW_TO_WIDE: &[(&str, &str)] = &[
    ("registry_add", "registry_event"),
    ("registry_delete", "registry_event"),
    ("registry_set", "registry_event"),
    ("registry_rename", "registry_event"),
];

impl RuleLogSource {
    /// Whether a rule that asks for this log source applies to events of that one.
    pub fn applies_to(&self, events: &LogSource) -> bool {
        events.product.admits(self.product.as_deref())
            && events.service.admits(self.service.as_deref())
            && category_admits(&events.category, self.category.as_deref())
    }
}

fn category_admits(have: &Tag, wanted: Option<&str>) -> bool {
    if have.admits(wanted) {
        return true;
    }
    let Some(wanted) = wanted else { return false };
    let is_wider =
        |have: &str| NARROW_TO_WIDE.iter().any(|(narrow, wide)| have == *narrow && wanted == *wide);
    match have {
        Tag::Is(have) => is_wider(have),
        Tag::AnyOf(all) => all.iter().any(|have| is_wider(have)),
        Tag::None | Tag::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: (&str, &str, &str), events: (&str, &str, &str), expected: bool) {
        let part = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let rule = RuleLogSource {
            product: part(rule.0),
            category: part(rule.1),
            service: part(rule.2),
            definition: None,
        };
        let log_source = LogSource {
            product: Tag::parse(events.0),
            category: Tag::parse(events.1),
            service: Tag::parse(events.2),
        };
        assert_eq!(rule.applies_to(&log_source), expected, "{rule:?} {log_source:?}");
    }

    #[test]
    fn unset_parts_do_not_matter_and_none_is_not_unset() {
        check(("aws", "", "cloudtrail"), ("aws", "none", "cloudtrail"), true);
        check(("aws", "", "cloudtrail"), ("aws", "none", "guardduty"), false);
        check(("", "proxy", ""), ("aws", "none", "cloudtrail"), false);
        check(("", "proxy", ""), ("zscaler", "proxy", ""), true);
        check(("kubernetes", "application", "audit"), ("kubernetes", "", "audit"), true);
        check(("kubernetes", "", ""), ("kubernetes", "application", "audit"), true);
        check(("windows", "", "sysmon"), ("windows", "registry_set", ""), true);
    }

    #[test]
    fn wide_categories_hold_their_narrow_ones() {
        let event = |category| ("windows", category, "sysmon");
        for narrow in ["registry_set", "registry_add", "registry_delete", "registry_rename"] {
            check(("windows", "registry_event", ""), event(narrow), true);
        }
        check(("windows", "registry_set", ""), event("registry_event"), false);
        check(("windows", "registry_event", ""), event("file_event"), false);
        check(("windows", "registry_set", ""), event("registry_add"), false);
    }
}
