//! What happens together: mornings, builds, backups. Single noise is added by the day itself.

use event::Timestamp;

use crate::company::{Company, Job};
use crate::day::{Mark, Planned, What};
use crate::rng::Rng;
use crate::shot::Shot;

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;

/// Adds the habits of one day to the plan.
pub(crate) fn all(company: &Company, start: Timestamp, rng: &mut Rng, plan: &mut Vec<Planned>) {
    let mut habit = Habit { company, rng, plan, now: start.0 };
    for person in 0..company.people.len() {
        habit.morning(start, person as u8);
    }
    for _ in 0..48 {
        habit.build(start);
    }
    habit.backup(start);
}

struct Habit<'a> {
    company: &'a Company,
    rng: &'a mut Rng,
    plan: &'a mut Vec<Planned>,
    now: i64,
}

impl Habit<'_> {
    /// Adds an event and lets up to `seconds` pass.
    fn add(&mut self, kind: &str, seconds: u64, change: impl FnOnce(&mut Shot)) {
        let kind = self.company.templates.named(kind);
        let shot = Shot::changed(self.company, kind, self.rng, change);
        let at = Timestamp(self.now);
        self.plan.push(Planned { at, n: 0, what: What::Shot(shot), mark: Mark::Ordinary });
        self.now += self.rng.between(200_000_000, seconds * 1_000_000_000) as i64;
    }

    /// Signs in, sometimes with the wrong password first, and opens what is needed for the job.
    fn morning(&mut self, start: Timestamp, person: u8) {
        let own = |shot: &mut Shot| shot.person = person;
        let who = &self.company.people[usize::from(person)];
        let late = self.rng.below(1_200) as i64;
        let utc_min = who.begins_min as i64 - who.place.offset_h * 60;
        self.now = start.0 + utc_min * MINUTE_NS + late * SECOND_NS;
        if self.rng.chance(12) {
            self.add("okta.wrong_password", 20, own);
        }
        self.add("okta.login", 1, own);
        self.add("okta.policy", 2, own);
        self.add("okta.mfa", 15, own);
        for app in [2, 3, 4] {
            self.add("okta.sso", 400, |shot| {
                shot.person = person;
                shot.app = app;
            });
        }
        if who.job != Job::Office {
            self.add("okta.sso", 3, |shot| {
                shot.person = person;
                shot.app = 0;
            });
            self.add("ct.sso_console", 30, own);
            self.add("ct.describe_alarms", 200, own);
            self.add("gh.sso", 60, own);
            self.add("gh.fetch", 600, own);
        }
    }

    /// A build: from the push to the new pods.
    fn build(&mut self, start: Timestamp) {
        let minute = self.rng.between(8 * 60, 18 * 60) as i64;
        self.now = start.0 + minute * MINUTE_NS + self.rng.below(60) as i64 * SECOND_NS;
        let repo = self.rng.index(crate::company::REPOS.len()) as u8;
        let pod = self.rng.index(4) as u8;
        let one = |shot: &mut Shot| {
            shot.repo = repo;
            shot.pod = pod;
        };
        self.add("gh.pr_merge", 5, one);
        self.add("gh.push", 4, one);
        self.add("gh.run_created", 8, one);
        self.add("gh.ci_clone", 240, one);
        self.add("ct.ci_identity", 3, one);
        self.add("ct.ci_put_image", 20, one);
        self.add("k8s.ci_patch", 3, one);
        for _ in 0..3 {
            self.add("k8s.replica_pod", 1, one);
            self.add("k8s.bind", 20, one);
        }
        self.add("gh.run_completed", 5, one);
    }

    /// Snapshots of all volumes at one o'clock.
    fn backup(&mut self, start: Timestamp) {
        self.now = start.0 + 60 * MINUTE_NS + self.rng.below(300) as i64 * SECOND_NS;
        self.add("ct.backup_volumes", 2, |_| ());
        for _ in 0..self.company.instances.len() {
            self.add("ct.backup_snapshot", 3, |_| ());
        }
        self.add("ct.backup_list", 2, |_| ());
    }
}
