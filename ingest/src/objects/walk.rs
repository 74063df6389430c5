//! Finding objects by listing: folders that are named by dates are entered only when they can hold something
//! new.
//!
//! Late objects come into folders of the past, so every folder of the last days is listed every time: what
//! was listed before is never taken for complete.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;

use crate::stores::{Entry, Listing, Page, Store, Trouble};

/// A day: year, month, day.
pub(super) type Day = (u32, u32, u32);

/// More objects than this in one walk are for the next one, to which these will be known.
const OBJECTS_MAX: usize = 100_000;
/// Folders that are listed at the same time.
const AT_ONCE: usize = 8;

/// Everything below `prefix` that may be of `oldest` or later and is wanted, in any order; and whether that is all.
pub(super) async fn walk(
    store: &Arc<Store>,
    prefix: String,
    oldest: Day,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<(Vec<Entry>, bool), Trouble> {
    // A folder, and where its listing goes on.
    let (mut open, mut found) = (vec![(prefix, None::<String>)], Vec::new());
    while !open.is_empty() && found.len() < OBJECTS_MAX {
        let some = open.split_off(open.len().saturating_sub(AT_ONCE));
        let lists = some.into_iter().map(|(prefix, after)| async move {
            let listing = Listing { prefix: &prefix, folders: true, after: after.as_deref() };
            let listed = store.list(listing).await;
            (prefix, listed)
        });
        let mut lists = stream::iter(lists).buffer_unordered(AT_ONCE);
        while let Some((prefix, listed)) = lists.next().await {
            let Page { entries, folders, next } = listed?;
            found.extend(entries.into_iter().filter(|entry| !entry.is_folder() && wanted(entry)));
            let entered = folders.into_iter().filter(|folder| !is_old(folder, oldest));
            open.extend(entered.map(|folder| (folder, None)));
            open.extend(next.map(|next| (prefix, Some(next))));
        }
    }
    Ok((found, open.is_empty()))
}

/// Whether a folder is named by a day, month or year that was over before `oldest`: `2026/03/01`,
/// `y=2026/m=03/d=01`, `year=2026/…`.
fn is_old(folder: &str, (year, month, day): Day) -> bool {
    let numbers: Vec<Option<(usize, u32)>> =
        folder.trim_end_matches('/').split('/').map(number).collect();
    let is_year = |part: &Option<(usize, u32)>| {
        part.is_some_and(|(digits, n)| digits == 4 && (1990..2200).contains(&n))
    };
    let Some(at) = numbers.iter().rposition(is_year) else { return false };
    let part = |i: usize, max: u32| {
        let (digits, n) = numbers.get(at + i).copied().flatten()?;
        (digits <= 2 && (1..=max).contains(&n)).then_some(n)
    };
    let Some((_, of_year)) = numbers[at] else { return false };
    match (part(1, 12), part(2, 31)) {
        (None, _) => of_year < year,
        (Some(m), None) => (of_year, m) < (year, month),
        (Some(m), Some(d)) => (of_year, m, d) < (year, month, day),
    }
}

/// The number that a folder's name is, with how many digits it is written; `m=03` is one.
fn number(name: &str) -> Option<(usize, u32)> {
    let digits = name.rsplit_once('=').map_or(name, |(_, digits)| digits);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Some((digits.len(), digits.parse().ok()?))).flatten()
}

/// The day of a time.
pub(super) fn day_of(ms: i64) -> Day {
    let text = event::Timestamp::from_millis(ms.max(0)).to_string();
    let part = |range| text.get(range).and_then(|digits: &str| digits.parse().ok()).unwrap_or(0);
    (part(0..4), part(5..7), part(8..10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_past_are_left_out() {
        let check = |folder: &str, expected: bool| {
            assert_eq!(is_old(folder, (2026, 3, 9)), expected, "{folder}");
        };
        for folder in [
            "resourceId=/SUBSCRIPTIONS/1/y=2026/m=03/d=08",
            "resourceId=/SUBSCRIPTIONS/1/y=2026/m=03/d=08/h=23",
            "resourceId=/SUBSCRIPTIONS/1/y=2026/m=02",
            "resourceId=/SUBSCRIPTIONS/2199/y=2025",
            "cloudaudit.googleapis.com/activity/2026/02/28",
            "AWSLogs/123456789012/CloudTrail/eu-west-1/2025/12",
            "logs/year=2026/month=3/day=1",
        ] {
            check(folder, true);
        }
        for folder in [
            "",
            "resourceId=/SUBSCRIPTIONS/1",
            "resourceId=/SUBSCRIPTIONS/1/y=2026",
            "resourceId=/SUBSCRIPTIONS/1/y=2026/m=03",
            "resourceId=/SUBSCRIPTIONS/1/y=2026/m=03/d=09/h=00",
            "cloudaudit.googleapis.com/activity/2026/03/09",
            "cloudaudit.googleapis.com/activity/2027/01/01",
            "AWSLogs/123456789012/CloudTrail/eu-west-1",
            "2025x/01/01",
        ] {
            check(folder, false);
        }
        assert_eq!(day_of(1_800_000_000_000), (2027, 1, 15));
    }
}
