//! Of what was found: what nobody knows of yet, and where it would go.

use std::collections::HashSet;

use event::{Alert, AlertId, Timestamp, Uid};
use sink::outbox::Outbox;
use sink::routing::Router;

use super::{Counts, Report};

/// How an alert that was found stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    New,
    Known,
    /// An earlier replay put it into the outbox and ended before the table had it.
    Unlisted,
    /// Events that decide about it may still come.
    Open,
}

/// See the module's documentation.
pub struct Sift<'r> {
    pub router: Router,
    /// None where there is none yet.
    pub outbox: Option<Outbox>,
    /// What the lake's table has of the time.
    pub listed: HashSet<Uid>,
    pub now: Timestamp,
    /// How long events may come late.
    pub lateness_ns: i64,
    /// New alerts that are kept; all are counted.
    pub max: usize,
    pub report: &'r mut Report,
    /// Windows of suppression that the new alerts open.
    pub held: HashSet<Uid>,
}

/// What is left, marked as replayed.
#[derive(Debug, Default)]
pub struct Sifted {
    /// Not more than were asked for.
    pub new: Vec<Alert>,
    /// For the table alone.
    pub unlisted: Vec<Alert>,
}

impl Sift<'_> {
    /// Takes one alert.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub fn take(&mut self, mut alert: Alert, sifted: &mut Sifted) -> anyhow::Result<()> {
        alert.replayed = true;
        let standing = self.standing(&alert)?;
        self.count(&alert, standing);
        match standing {
            Standing::New if sifted.new.len() < self.max => sifted.new.push(alert),
            Standing::Unlisted => sifted.unlisted.push(alert),
            _ => {}
        }
        Ok(())
    }

    fn standing(&self, alert: &Alert) -> anyhow::Result<Standing> {
        if self.listed.contains(&alert.alert_id.0) {
            return Ok(Standing::Known);
        }
        if self.is_open(alert) {
            return Ok(Standing::Open);
        }
        let Some(outbox) = &self.outbox else { return Ok(Standing::New) };
        if !self.is_sent(outbox, alert.alert_id)? {
            return Ok(Standing::New);
        }
        // What the stream has raised is listed by its own epoch.
        let entry = outbox.get(alert.alert_id)?;
        let is_ours = entry.is_some_and(|entry| entry.alert.replayed);
        Ok(if is_ours { Standing::Unlisted } else { Standing::Known })
    }

    fn is_sent(&self, outbox: &Outbox, id: AlertId) -> anyhow::Result<bool> {
        Ok(outbox.knows(&[id])?.contains(&true))
    }

    /// The stream raises some correlations when nothing earlier is expected any more.
    fn is_open(&self, alert: &Alert) -> bool {
        let Some(correlated) = &alert.correlated else { return false };
        let span_ns = i64::try_from(correlated.timespan_s).unwrap_or(i64::MAX);
        let window_ns = span_ns.saturating_mul(2 * event::time::SECOND_NS);
        let over = alert.event_time.0.saturating_add(window_ns).saturating_add(self.lateness_ns);
        over > self.now.0
    }

    fn count(&mut self, alert: &Alert, standing: Standing) {
        let of = self.report.rules.entry(alert.rule.id.clone()).or_default();
        if of.title.is_empty() {
            of.title.clone_from(&alert.rule.title);
            of.level = alert.rule.level.to_string();
        }
        let add = |counts: &mut Counts| match standing {
            Standing::New => counts.new += 1,
            Standing::Known | Standing::Unlisted => counts.known += 1,
            Standing::Open => counts.open += 1,
        };
        add(&mut of.counts);
        add(&mut self.report.total);
        if standing != Standing::New {
            return;
        }
        let routed = self.router.route(alert);
        of.unrouted += u64::from(routed.is_empty());
        for target in routed {
            // All are detected now: one window holds them.
            match target.suppress.is_none_or(|suppress| self.held.insert(suppress.key)) {
                true => *of.destinations.entry(target.destination).or_default() += 1,
                false => of.held_back += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use event::alert::RuleInfo;
    use event::{Correlated, Facts};

    use super::*;

    const HOUR_NS: i64 = event::time::HOUR_NS;

    fn alert(n: u8) -> Alert {
        Alert {
            alert_id: AlertId(Uid([n; 16])),
            rule: RuleInfo { id: "r".into(), title: "Rule".into(), ..RuleInfo::default() },
            source: "s".into(),
            log_type: "t.x".into(),
            event_uid: n.to_string(),
            event_time: Timestamp(0),
            detected_at: Timestamp(0),
            lake_partition: String::new(),
            event: serde_json::Map::new(),
            facts: Facts::default(),
            dedup_key: String::new(),
            correlated: None,
            replayed: false,
        }
    }

    #[test]
    fn every_alert_stands_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
        let together = |n, event_time| {
            let correlated = Some(Correlated { timespan_s: 3_600, ..Correlated::default() });
            Alert { correlated, event_time: Timestamp(event_time), ..alert(n) }
        };
        // By the stream; by a replay that ended before the table had it; by one that did not.
        let ours = |n| Alert { replayed: true, ..alert(n) };
        outbox.insert(&[alert(2), ours(3), ours(1)]).unwrap();
        let mut report = Report::default();
        let mut sift = Sift {
            router: Router::new(&[], &["hook".to_owned()]).unwrap(),
            outbox: Some(outbox),
            listed: HashSet::from([Uid([1; 16])]),
            now: Timestamp(10 * HOUR_NS),
            lateness_ns: HOUR_NS,
            max: 2,
            report: &mut report,
            held: HashSet::new(),
        };
        let mut sifted = Sifted::default();
        let all = [
            alert(1),
            alert(2),
            alert(3),
            alert(4),
            together(5, 7 * HOUR_NS),
            together(6, 7 * HOUR_NS + 1),
            alert(7),
        ];
        all.into_iter().for_each(|alert| sift.take(alert, &mut sifted).unwrap());
        let ids = |alerts: &[Alert]| alerts.iter().map(|a| a.alert_id.0.0[0]).collect::<Vec<_>>();
        assert_eq!((ids(&sifted.new), ids(&sifted.unlisted)), (vec![4, 5], vec![3]));
        let counts = Counts { new: 3, known: 3, open: 1 };
        assert_eq!((report.total, report.rules["r"].counts), (counts, counts));
        assert_eq!(report.rules["r"].destinations["hook"], 3);
    }
}
