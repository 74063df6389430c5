//! Finding objects by listing: folders that are named by dates are entered only when they can hold something
//! new.
//!
//! Late objects come into folders of the past, so every folder of the last days is listed every time: what
//! was listed before is never taken for complete.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

/// A day: year, month, day.
pub(super) type Day = (u32, u32, u32);

/// More objects than this in one walk are for the next one.
const OBJECTS_MAX: usize = 100_000;

/// Everything below `prefix` that may be of `oldest` or later, in any order.
pub(super) async fn walk(
    store: &Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    oldest: Day,
) -> Result<Vec<ObjectMeta>, object_store::Error> {
    let (mut open, mut found) = (vec![prefix], Vec::new());
    while !open.is_empty() && found.len() < OBJECTS_MAX {
        let at_once = open.len().min(8);
        let some: Vec<_> = open.drain(open.len() - at_once..).collect();
        let lists = some.into_iter().map(|prefix| {
            let store = store.clone();
            async move { store.list_with_delimiter(prefix.as_ref()).await }
        });
        let mut lists = stream::iter(lists).buffer_unordered(at_once);
        while let Some(list) = lists.next().await {
            let list = list?;
            found.extend(list.objects);
            let entered = list.common_prefixes.into_iter().filter(|p| !is_old(p.as_ref(), oldest));
            open.extend(entered.map(Some));
        }
    }
    Ok(found)
}

/// Whether a folder is named by a day, month or year that was over before `oldest`: `2026/03/01`,
/// `y=2026/m=03/d=01`, `year=2026/…`.
fn is_old(folder: &str, (year, month, day): Day) -> bool {
    let numbers: Vec<Option<(usize, u32)>> = folder.split('/').map(number).collect();
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
