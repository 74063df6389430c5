//! How a source stands with its other side, in its own words, for whoever keeps a record of what was asked for.

use std::sync::Arc;

use parking_lot::Mutex;

/// What a source says of itself while it runs. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Stand>>);

/// How a source stands at one moment. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// Why nothing can be read at present.
    pub trouble: Option<String>,
    /// Everything older than this that the other side had was handed over. `None`: the other side keeps nothing, or it
    /// is not known yet.
    pub read_to_ms: Option<i64>,
    /// Where that reading began.
    pub read_from_ms: Option<i64>,
    /// It has ended, and says nothing more.
    pub is_over: bool,
    /// From when to when the other side no longer had what was asked of it, since this was last taken.
    pub gaps: Vec<(i64, i64)>,
}

/// Gaps that are kept until somebody takes them; more are joined with the last.
const GAPS_MAX: usize = 100;

impl Standing {
    /// The other side answers, or why it does not.
    pub(crate) fn stands(&self, trouble: Option<&str>) {
        let mut stand = self.0.lock();
        if stand.trouble.as_deref() != trouble {
            stand.trouble = trouble.map(str::to_owned);
        }
    }

    /// Everything older than this was handed over. The first time says where reading begins; it never goes back.
    pub(crate) fn read_to(&self, ms: i64) {
        let mut stand = self.0.lock();
        stand.read_from_ms.get_or_insert(ms);
        stand.read_to_ms = stand.read_to_ms.max(Some(ms));
    }

    /// The other side no longer had what was asked of it.
    pub(crate) fn gap(&self, from_ms: i64, to_ms: i64) {
        let gaps = &mut self.0.lock().gaps;
        let is_full = gaps.len() == GAPS_MAX;
        match gaps.last_mut() {
            Some((from, to)) if *to >= from_ms || is_full => {
                (*from, *to) = ((*from).min(from_ms), (*to).max(to_ms));
            }
            _ => gaps.push((from_ms, to_ms)),
        }
    }

    /// The source has ended: by itself, or with that trouble.
    pub fn ended(&self, trouble: Option<String>) {
        let mut stand = self.0.lock();
        stand.is_over = true;
        if trouble.is_some() {
            stand.trouble = trouble;
        }
    }

    /// How it stands now; its gaps are given once.
    pub fn take(&self) -> Stand {
        let mut stand = self.0.lock();
        let gaps = std::mem::take(&mut stand.gaps);
        Stand { gaps, ..stand.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_there_until_it_is_said_otherwise() {
        let standing = Standing::default();
        let says = standing.clone();
        assert_eq!(standing.take(), Stand::default());
        says.stands(Some("HTTP 503"));
        says.read_to(5);
        says.read_to(3);
        says.gap(10, 20);
        says.gap(15, 30);
        says.gap(40, 50);
        let stand = standing.take();
        assert_eq!((stand.trouble.as_deref(), stand.read_to_ms), (Some("HTTP 503"), Some(5)));
        assert_eq!(stand.read_from_ms, Some(5));
        assert_eq!(stand.gaps, [(10, 30), (40, 50)]);
        says.stands(None);
        says.ended(None);
        let stand = standing.take();
        assert!(stand.is_over && stand.trouble.is_none());
        assert!(stand.gaps.is_empty(), "they are given once");
        (0..200).for_each(|n| says.gap(n * 10, n * 10 + 1));
        let gaps = standing.take().gaps;
        assert_eq!((gaps.len(), gaps[0], gaps[GAPS_MAX - 1]), (GAPS_MAX, (0, 1), (990, 1_991)));
    }
}
