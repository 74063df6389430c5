//! Finding objects by listing.
//!
//! Every look lists all that may have changed and reads what is not remembered. What may have changed is what
//! was written since the last whole look, less the time by which writing and listing may differ. So neither an
//! outage nor late objects in early folders lose anything; a folder for each day only makes the looks shorter.

use event::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A bucket that is listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListingOptions {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with. `{yyyy}`, `{mm}` and `{dd}` stand for each day in question, so that only the
    /// folders of those days are listed: `AWSLogs/123456789012/CloudTrail/eu-west-1/{yyyy}/{mm}/{dd}/`.
    pub prefixes: Vec<String>,
    /// How often, in seconds.
    pub every_s: u64,
    /// How late an object may appear in the folder of an earlier day, or be listed after it was written, in hours.
    pub look_back_hours: u32,
    /// How far back the first look goes, in days.
    pub first_days: u32,
    /// End after one look.
    pub once: bool,
}

impl Default for ListingOptions {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefixes: vec![String::new()],
            every_s: 60,
            look_back_hours: 24,
            first_days: 1,
            once: false,
        }
    }
}

impl ListingOptions {
    pub(super) fn fault(&self) -> Option<String> {
        if self.bucket.is_empty() || self.bucket.contains('/') {
            return Some("`bucket` is the name of a bucket".to_owned());
        }
        if self.prefixes.is_empty() {
            return Some("`prefixes` is empty; \"\" is the whole bucket".to_owned());
        }
        let zero = [("every_s", self.every_s), ("look_back_hours", self.look_back_hours.into())];
        let zero = zero.iter().find(|(_, value)| *value == 0);
        zero.map(|(name, _)| format!("`{name}` must not be 0"))
    }
}

/// When a whole look began that found everything; what a look begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Looked {
    /// Milliseconds since 1970.
    pub began_ms: i64,
}

/// A look at everything, while its objects are read.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub began_ms: i64,
    pub is_listed: bool,
    /// Objects that were found and are not read to their end.
    pub left: usize,
    pub has_failed: bool,
}

impl Looked {
    /// Objects that were written before that time were seen.
    pub fn since_ms(last: Option<Self>, options: &ListingOptions, now_ms: i64) -> i64 {
        match last {
            Some(last) => last.began_ms.min(now_ms) - i64::from(options.look_back_hours) * HOUR_MS,
            None => now_ms - i64::from(options.first_days) * DAY_MS,
        }
    }
}

/// The prefixes to be listed for what was written from `since_ms` on. A folder of a day is listed when anything
/// of that time may be in it: objects of a day come up to `look_back_hours` later.
pub(super) fn prefixes(options: &ListingOptions, since_ms: i64, now_ms: i64) -> Vec<String> {
    let first = (since_ms - i64::from(options.look_back_hours) * HOUR_MS).div_euclid(DAY_MS);
    // Clocks differ, and some name folders by local time.
    let last = now_ms.div_euclid(DAY_MS) + 1;
    let mut out = Vec::new();
    for template in &options.prefixes {
        let days = if template.contains('{') { first..=last } else { last..=last };
        for day in days {
            let (y, m, d, ..) = Timestamp(day * DAY_MS * 1_000_000).civil();
            let prefix = template
                .replace("{yyyy}", &format!("{y:04}"))
                .replace("{mm}", &format!("{m:02}"))
                .replace("{dd}", &format!("{d:02}"));
            if out.last() != Some(&prefix) {
                out.push(prefix);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T10:00:00Z
    const NOW: i64 = 1_772_359_200_000;

    #[test]
    fn folders_of_all_days_in_question_are_listed() {
        let options = ListingOptions {
            prefixes: vec!["a/{yyyy}/{mm}/{dd}/".to_owned(), "all/".to_owned()],
            look_back_hours: 30,
            ..ListingOptions::default()
        };
        let since = Looked::since_ms(None, &options, NOW);
        assert_eq!(since, NOW - DAY_MS);
        let folders = ["a/2026/02/27/", "a/2026/02/28/", "a/2026/03/01/", "a/2026/03/02/", "all/"];
        assert_eq!(prefixes(&options, since, NOW), folders);
        let months = ListingOptions { prefixes: vec!["{yyyy}/{mm}/".to_owned()], ..options };
        assert_eq!(prefixes(&months, since, NOW), ["2026/02/", "2026/03/"]);
        // After an outage of ten days nothing between is left out.
        let last = Some(Looked { began_ms: NOW - 10 * DAY_MS });
        let since = Looked::since_ms(last, &months, NOW);
        assert_eq!(since, NOW - 10 * DAY_MS - 30 * HOUR_MS);
        let ahead = Some(Looked { began_ms: NOW + 10 * DAY_MS });
        assert_eq!(Looked::since_ms(ahead, &months, NOW), NOW - 30 * HOUR_MS, "a clock was wrong");
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let fault = |json: &str| serde_json::from_str::<ListingOptions>(json).unwrap().fault();
        assert_eq!(fault(r#"{"bucket":"b"}"#), None);
        for (json, names) in [
            ("{}", "bucket"),
            (r#"{"bucket":"b/c"}"#, "bucket"),
            (r#"{"bucket":"b","prefixes":[]}"#, "prefixes"),
            (r#"{"bucket":"b","every_s":0}"#, "every_s"),
            (r#"{"bucket":"b","look_back_hours":0}"#, "look_back_hours"),
        ] {
            assert!(fault(json).is_some_and(|fault| fault.contains(names)), "{json}");
        }
    }
}
