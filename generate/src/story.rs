//! The six attacks, what looks like them, and what alerts although nobody did wrong.
//!
//! A story only decides: it adds planned events with marks. Writing them is the day's business.

mod quiet;

use event::Timestamp;

use crate::company::{Company, JONAS, LENA, PRIYA, TOM};
use crate::day::{Mark, Planned, What};
use crate::flow::Flow;
use crate::rng::Rng;
use crate::rules::{self, Rule};
use crate::shot::{BOTO, Origin, Shot};

/// An attack as it is told.
pub(crate) struct Story {
    pub id: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub techniques: &'static [&'static str],
    tell: fn(&mut Teller<'_>),
}

pub(crate) const STORIES: &[Story] = &[
    Story {
        id: "leaked-key",
        name: "The leaked key",
        description: "The access key of the backup account svc-backup leaked. At night somebody at a foreign address tries it out, makes a key and a password for svc-deploy, gives that account administrator rights, logs in to the console without a second factor and stops the account's own trail. The trail of the organization, where these events come from, goes on.",
        techniques: &[
            "attack.t1078.004",
            "attack.t1098.001",
            "attack.t1098.003",
            "attack.t1562.008",
        ],
        tell: leaked_key,
    },
    Story {
        id: "help-desk-call",
        name: "The call to the help desk",
        description: "Somebody calls the help desk as Jonas Weber, who administers Okta, and has his second factor reset. He logs in through an anonymizing proxy, enrolls his own phone, makes Tom Hughes an administrator and creates an API token. The real Jonas reports the notification about a new device.",
        techniques: &[
            "attack.t1556.006",
            "attack.t1090.003",
            "attack.t1098.003",
            "attack.t1098.001",
        ],
        tell: help_desk_call,
    },
    Story {
        id: "ledger-for-everybody",
        name: "The ledger for everybody",
        description: "Tom Hughes, a contractor in his last week, takes the public access block off the bucket with the ledger, opens it to everybody by policy and makes a disk snapshot public. GuardDuty sees the bucket.",
        techniques: &["attack.t1530", "attack.t1537", "attack.t1578.005"],
        tell: ledger_for_everybody,
    },
    Story {
        id: "metadata-service",
        name: "The metadata service",
        description: "Through a hole in checkout-web somebody reads the credentials of its machine from the metadata service and uses them from elsewhere: opens SSH to the world, logs in, and copies 2.4 GB out to port 4444.",
        techniques: &["attack.t1552.005", "attack.t1562.007", "attack.t1133", "attack.t1048"],
        tell: metadata_service,
    },
    Story {
        id: "through-the-build",
        name: "Through the build",
        description: "With the session of Priya Nair, stolen from her browser, somebody lets a token into the GitHub organization, removes the protection of the main branch of infra, switches push protection off, adds a deploy key that may write and makes the repository public.",
        techniques: &[
            "attack.t1098.001",
            "attack.t1562.001",
            "attack.t1098.004",
            "attack.t1567.001",
        ],
        tell: through_the_build,
    },
    Story {
        id: "out-of-the-container",
        name: "Out of the container",
        description: "Somebody runs code in the pod ledger-api and has its service account, whose rights are too wide: he lists the secrets of the whole cluster, binds the account to cluster-admin, starts a privileged pod that mounts the node's root, and opens a shell in it.",
        techniques: &["attack.t1552.007", "attack.t1098.006", "attack.t1611", "attack.t1609"],
        tell: out_of_the_container,
    },
];

/// Adds all stories, look-alikes and accepted alerts of a day.
pub(crate) fn tell_all(company: &Company, start: Timestamp, seed: u64, plan: &mut Vec<Planned>) {
    for (number, story) in STORIES.iter().enumerate() {
        let mut teller = Teller::new(company, start, seed, 100 + number as u64, plan);
        teller.attack = Some(number as u8);
        (story.tell)(&mut teller);
    }
    let mut teller = Teller::new(company, start, seed, 200, plan);
    quiet::look_alikes(&mut teller);
    quiet::accepted(&mut teller);
}

/// Adds events to the plan, one after the other.
struct Teller<'a> {
    company: &'a Company,
    start: Timestamp,
    rng: Rng,
    plan: &'a mut Vec<Planned>,
    attack: Option<u8>,
    /// Moment of the next event.
    now: i64,
}

/// The address that an attacker works from.
fn attacker(n: u8) -> Origin {
    Origin::V4(u32::from_be_bytes([198, 51, 100, n]))
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";

impl<'a> Teller<'a> {
    fn new(
        company: &'a Company,
        start: Timestamp,
        seed: u64,
        stream: u64,
        plan: &'a mut Vec<Planned>,
    ) -> Self {
        let rng = Rng::new(seed ^ company.seed.rotate_left(17), stream);
        Self { company, start, rng, plan, attack: None, now: start.0 }
    }

    /// Jumps to about this time of day (UTC), up to 20 minutes later.
    fn at(&mut self, hour: i64, minute: i64) {
        let jitter = self.rng.below(20 * 60_000_000_000) as i64;
        self.now = self.start.0 + (hour * 60 + minute) * 60_000_000_000 + jitter;
    }

    /// Lets up to this many seconds pass, at least a fifth of them.
    fn wait(&mut self, seconds: u64) {
        self.now += self.rng.between(seconds * 200_000_000, seconds * 1_000_000_000) as i64;
    }

    fn shot(&mut self, kind: &str, change: impl FnOnce(&mut Shot)) -> What {
        let kind = self.company.templates.named(kind);
        What::Shot(Shot::changed(self.company, kind, &mut self.rng, change))
    }

    fn add(&mut self, what: What, mark: Mark) {
        self.plan.push(Planned { at: Timestamp(self.now), n: 0, what, mark });
        self.wait(90);
    }

    /// An event of the attack; the rules alert on it.
    fn step(&mut self, rules: &'static [Rule], kind: &str, change: impl FnOnce(&mut Shot)) {
        let what = self.shot(kind, change);
        self.flow(rules, what);
    }

    fn flow(&mut self, rules: &'static [Rule], what: What) {
        let attack = self.attack.expect("only attacks have steps");
        self.add(what, Mark::Attack { attack, rules });
    }

    fn quiet(&mut self, near: Rule, why: &'static str, kind: &str, change: impl FnOnce(&mut Shot)) {
        let what = self.shot(kind, change);
        self.add(what, Mark::LookAlike { near, why });
    }

    fn accept(
        &mut self,
        rule: Rule,
        why: &'static str,
        kind: &str,
        change: impl FnOnce(&mut Shot),
    ) {
        let what = self.shot(kind, change);
        self.add(what, Mark::Accepted { rule, why });
    }
}

fn leaked_key(s: &mut Teller<'_>) {
    let foreign = |shot: &mut Shot| {
        shot.from = attacker(77);
        shot.agent = BOTO;
    };
    s.at(2, 10);
    s.step(&[], "ct.whoami", foreign);
    s.step(&[], "ct.list_users", foreign);
    s.step(&[], "ct.denied_secrets", foreign);
    s.step(&[rules::ACCESS_KEY_CREATED_FOR_OTHER_USER], "ct.key_for_other", foreign);
    s.step(&[rules::LOGIN_PROFILE_CREATED_FOR_OTHER_USER], "ct.password_for_other", foreign);
    s.step(&[rules::ADMIN_POLICY_ATTACHED], "ct.admin_attached", foreign);
    s.wait(300);
    let browser = |shot: &mut Shot| {
        shot.from = attacker(77);
        shot.agent = FIREFOX;
    };
    s.step(&[rules::CONSOLE_LOGIN_WITHOUT_MFA], "ct.login_no_mfa", browser);
    s.step(&[rules::CLOUDTRAIL_TRAIL_STOPPED], "ct.trail_stopped", browser);
}

fn help_desk_call(s: &mut Teller<'_>) {
    s.at(8, 50);
    s.step(&[rules::MFA_REMOVED_BY_OTHER_PERSON], "okta.mfa_reset_peer", |shot| {
        shot.person = LENA;
        shot.peer = JONAS;
    });
    s.wait(600);
    let stranger = |shot: &mut Shot| {
        shot.person = JONAS;
        shot.peer = TOM;
        shot.from = attacker(201);
        shot.agent = FIREFOX;
        shot.proxy = true;
    };
    s.step(&[], "okta.wrong_password_strange", stranger);
    s.step(&[rules::SESSION_FROM_ANONYMIZING_PROXY], "okta.login_strange", stranger);
    s.step(&[], "okta.mfa_activate", stranger);
    s.step(&[rules::ADMIN_PRIVILEGE_GRANTED], "okta.admin_grant", stranger);
    s.step(&[rules::API_TOKEN_CREATED], "okta.api_token", stranger);
    s.wait(900);
    s.step(&[rules::SUSPICIOUS_ACTIVITY_REPORTED], "okta.reported", |shot| shot.person = JONAS);
}

fn ledger_for_everybody(s: &mut Teller<'_>) {
    let tom = |shot: &mut Shot| {
        shot.person = TOM;
        shot.bucket = 0;
    };
    s.at(17, 40);
    s.step(&[], "ct.list_buckets", tom);
    s.step(&[rules::S3_PUBLIC_ACCESS_BLOCK_REMOVED], "ct.block_removed", tom);
    s.step(&[rules::S3_BUCKET_POLICY_PUBLIC], "ct.policy_public", tom);
    s.step(&[rules::SNAPSHOT_OR_IMAGE_SHARED_PUBLICLY], "ct.snapshot_public", tom);
    s.wait(400);
    let from = Origin::V4(s.company.people[usize::from(TOM)].address());
    s.step(&[rules::GUARDDUTY_HIGH_SEVERITY_FINDING], "gd.public_bucket", |shot| {
        tom(shot);
        shot.from = from;
    });
}

fn metadata_service(s: &mut Teller<'_>) {
    let machine = s.company.instance_of("checkout-web");
    let own = s.company.instances[usize::from(machine)].address;
    let stolen = |shot: &mut Shot| {
        shot.machine = machine;
        shot.from = attacker(140);
        shot.agent = BOTO;
    };
    let Origin::V4(stranger) = attacker(141) else { unreachable!("an address") };
    s.at(12, 20);
    s.step(&[], "ct.stolen_whoami", stolen);
    s.step(&[], "ct.stolen_describe", stolen);
    s.step(&[rules::SECURITY_GROUP_OPEN_TO_WORLD], "ct.ssh_opened", stolen);
    s.wait(420);
    s.step(&[rules::GUARDDUTY_INSTANCE_CREDENTIALS_STOLEN], "gd.credentials_stolen", stolen);
    s.wait(240);
    let ssh = Flow {
        machine,
        source: stranger,
        target: own,
        source_port: 50_122,
        target_port: 22,
        protocol: 6,
        packets: 412,
        bytes: 61_220,
        accepted: true,
        inbound: true,
        lasts_s: 59,
    };
    s.flow(&[rules::VPCFLOW_ADMIN_PORT_FROM_INTERNET], What::Flow(ssh));
    let back = Flow {
        source: own,
        target: stranger,
        source_port: 22,
        target_port: 50_122,
        packets: 390,
        bytes: 88_410,
        inbound: false,
        ..ssh
    };
    s.flow(&[], What::Flow(back));
    s.wait(900);
    let upload = Flow {
        source: own,
        target: stranger,
        source_port: 44_120,
        target_port: 4_444,
        packets: 1_640_000,
        bytes: 2_411_724_800,
        inbound: false,
        ..ssh
    };
    s.flow(&[rules::VPCFLOW_LARGE_UPLOAD_TO_UNUSUAL_PORT], What::Flow(upload));
}

fn through_the_build(s: &mut Teller<'_>) {
    let stolen = |shot: &mut Shot| {
        shot.person = PRIYA;
        shot.repo = 2;
        shot.from = attacker(33);
        shot.agent = FIREFOX;
    };
    s.at(21, 30);
    s.step(&[rules::PERSONAL_ACCESS_TOKEN_GRANTED], "gh.token_granted", stolen);
    s.step(&[], "gh.clone", stolen);
    s.step(&[rules::BRANCH_PROTECTION_REMOVED], "gh.protection_removed", stolen);
    s.step(&[rules::SECRET_SCANNING_DISABLED], "gh.push_protection_off", stolen);
    s.step(&[rules::DEPLOY_KEY_ADDED], "gh.deploy_key_write", stolen);
    s.step(&[], "gh.push", stolen);
    s.step(&[rules::REPOSITORY_MADE_PUBLIC], "gh.made_public", stolen);
}

fn out_of_the_container(s: &mut Teller<'_>) {
    let pod = |shot: &mut Shot| shot.agent = "curl/8.14.1";
    s.at(4, 30);
    s.step(&[], "k8s.rules_review", pod);
    s.step(&[rules::SECRETS_LISTED_CLUSTER_WIDE], "k8s.secrets_all", pod);
    s.step(&[rules::CLUSTER_ADMIN_BOUND], "k8s.cluster_admin", pod);
    s.step(
        &[rules::PRIVILEGED_POD_CREATED, rules::SENSITIVE_HOST_PATH_MOUNTED],
        "k8s.escape_pod",
        pod,
    );
    s.step(&[rules::EXEC_INTO_POD], "k8s.escape_exec", pod);
    s.wait(1_200);
    s.step(&[], "k8s.escape_exec_end", pod);
}
