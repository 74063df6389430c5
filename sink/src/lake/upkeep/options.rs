//! `lake.compaction`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::error::{Error, Kind};

const MEGABYTE: u64 = 1 << 20;
const MINUTE_US: i64 = 60_000_000;

/// Making big files of the many small ones that epochs write. With it the process does so by itself;
/// `mantissa lake compact` does it at any time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompactionOptions {
    /// How often the process looks whether there is something to do, in seconds.
    pub every_s: u64,
    /// How large files grow at most, in megabytes: 128 to 512. From half of it they are left alone.
    pub target_mb: u64,
    /// How long after its end an hour is taken to be whole, in minutes.
    pub settle_minutes: u64,
    /// How long replaced files stay for readers that began before, in minutes: at least 10.
    pub keep_minutes: u64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self { every_s: 300, target_mb: 256, settle_minutes: 60, keep_minutes: 60 }
    }
}

impl CompactionOptions {
    /// # Errors
    /// [`Kind::Options`] names the one that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::new(Kind::Options, format!("lake.compaction: {what}")));
        if self.every_s == 0 {
            return wrong("`every_s` is at least 1");
        }
        if !(128..=512).contains(&self.target_mb) {
            return wrong("`target_mb` is 128 to 512");
        }
        if self.keep_minutes < 10 {
            return wrong("`keep_minutes` is at least 10: questions must find their files");
        }
        Ok(())
    }

    pub(super) fn target_bytes(&self) -> u64 {
        self.target_mb.saturating_mul(MEGABYTE)
    }

    pub(super) fn settle_us(&self) -> i64 {
        minutes(self.settle_minutes)
    }

    /// How long replaced files stay, microseconds.
    pub fn keep_us(&self) -> i64 {
        minutes(self.keep_minutes)
    }
}

fn minutes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(MINUTE_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |json: &str| serde_json::from_str::<CompactionOptions>(json).unwrap().check();
        assert!(with("{}").is_ok());
        assert!(with(r#"{"target_mb":512,"keep_minutes":10,"settle_minutes":0}"#).is_ok());
        for (json, name) in [
            (r#"{"every_s":0}"#, "every_s"),
            (r#"{"target_mb":127}"#, "target_mb"),
            (r#"{"target_mb":513}"#, "target_mb"),
            (r#"{"keep_minutes":9}"#, "keep_minutes"),
        ] {
            assert!(with(json).unwrap_err().to_string().contains(name), "{json}");
        }
    }
}
