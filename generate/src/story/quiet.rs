//! What looks like an attack and is none, and what alerts although nobody did wrong.

use super::{FIREFOX, Teller, attacker};
use crate::company::{INES, JONAS, LENA, PRIYA, TOM};
use crate::day::{Mark, What};
use crate::flow::Flow;
use crate::kinds::By;
use crate::rules::{self, Rule};
use crate::shot::scanner;

/// Hour, the rule that must stay quiet, why, the kind of event, who does it.
type Row = (i64, Rule, &'static str, &'static str, u8);

const ROWS: &[Row] = &[
    (
        9,
        rules::ACCESS_KEY_CREATED_FOR_OTHER_USER,
        "Jonas renews his own access key",
        "ct.own_key",
        JONAS,
    ),
    (
        10,
        rules::CLOUDTRAIL_TRAIL_STOPPED,
        "an engineer tries a command from a tutorial and is refused",
        "ct.trail_stop_denied",
        PRIYA,
    ),
    (
        11,
        rules::S3_BUCKET_POLICY_PUBLIC,
        "the policy denies everybody who comes without TLS",
        "ct.policy_tls_only",
        INES,
    ),
    (
        13,
        rules::SNAPSHOT_OR_IMAGE_SHARED_PUBLICLY,
        "the snapshot goes to the company's own development account",
        "ct.snapshot_to_dev",
        INES,
    ),
    (
        14,
        rules::SECURITY_GROUP_OPEN_TO_WORLD,
        "the load balancer is meant to be reached over HTTPS",
        "ct.https_opened",
        INES,
    ),
    (
        14,
        rules::CONSOLE_LOGIN_WITHOUT_MFA,
        "single sign-on asked for the second factor",
        "ct.sso_console",
        PRIYA,
    ),
    (
        8,
        rules::GUARDDUTY_HIGH_SEVERITY_FINDING,
        "archived: the exchange-rate service is known",
        "gd.mining_archived",
        INES,
    ),
    (
        9,
        rules::MFA_REMOVED_BY_OTHER_PERSON,
        "Priya replaces her own phone",
        "okta.mfa_replace_own",
        PRIYA,
    ),
    (16, rules::ADMIN_PRIVILEGE_GRANTED, "a privilege is taken away", "okta.admin_revoke", INES),
    (10, rules::DEPLOY_KEY_ADDED, "the key may only read", "gh.deploy_key_read", JONAS),
    (9, rules::DEPLOY_KEY_ADDED, "a person's own key for a new laptop", "gh.own_key", PRIYA),
    (
        15,
        rules::REPOSITORY_MADE_PUBLIC,
        "an old public repository becomes private",
        "gh.made_private",
        INES,
    ),
    (15, rules::PERSONAL_ACCESS_TOKEN_GRANTED, "the request is denied", "gh.token_denied", INES),
    (
        10,
        rules::SECRETS_LISTED_CLUSTER_WIDE,
        "the secrets of one namespace",
        "k8s.secrets_own",
        JONAS,
    ),
    (11, rules::SECRETS_LISTED_CLUSTER_WIDE, "refused", "k8s.secrets_denied", TOM),
    (13, rules::CLUSTER_ADMIN_BOUND, "the support team may look", "k8s.view_bound", INES),
];

pub(super) fn look_alikes(s: &mut Teller<'_>) {
    for (hour, near, why, kind, person) in ROWS {
        s.at(*hour, 5);
        s.quiet(*near, why, kind, |shot| shot.person = *person);
    }
    tor_and_trust(s);
}

fn tor_and_trust(s: &mut Teller<'_>) {
    s.at(3, 40);
    s.quiet(
        rules::SESSION_FROM_ANONYMIZING_PROXY,
        "a guessed password through Tor is wrong",
        "okta.wrong_password_strange",
        |shot| {
            shot.person = 20;
            shot.from = attacker(202);
            shot.agent = FIREFOX;
            shot.proxy = true;
        },
    );
    s.at(11, 30);
    let why = "the build may assume the role of a service in the same account";
    s.quiet(rules::ROLE_TRUST_OPENED_TO_OTHER_ACCOUNT, why, "ct.trust_own_account", |_| ());
    s.at(5, 10);
    s.quiet(
        rules::ANONYMOUS_REQUEST_ALLOWED,
        "a scanner without credentials is refused",
        "k8s.anonymous_denied",
        |shot| {
            shot.from = attacker(9);
            shot.agent = "Go-http-client/2.0";
        },
    );
    s.at(1, 0);
    let machine = s.company.instance_of("batch-export");
    let mut flow = Flow::ordinary(s.company, &mut s.rng);
    flow.machine = machine;
    flow.source = s.company.instances[usize::from(machine)].address;
    flow.target = u32::from_be_bytes([192, 0, 2, 150]);
    let backup = Flow {
        source_port: 51_200,
        target_port: 443,
        protocol: 6,
        packets: 3_100_000,
        bytes: 4_512_000_000,
        accepted: true,
        inbound: false,
        ..flow
    };
    let near = rules::VPCFLOW_LARGE_UPLOAD_TO_UNUSUAL_PORT;
    let why = "the nightly backup leaves over HTTPS";
    s.add(What::Flow(backup), Mark::LookAlike { near, why });
    s.at(6, 0);
    let knock = Flow {
        source: scanner(&mut s.rng),
        target: flow.source,
        source_port: 40_001,
        target_port: 22,
        protocol: 6,
        packets: 6,
        bytes: 264,
        accepted: false,
        inbound: true,
        ..flow
    };
    let near = rules::VPCFLOW_ADMIN_PORT_FROM_INTERNET;
    s.add(What::Flow(knock), Mark::LookAlike { near, why: "rejected" });
}

pub(super) fn accepted(s: &mut Teller<'_>) {
    s.at(13, 10);
    let why = "Ines is on call and looks into a slow pod: ask her";
    s.accept(rules::EXEC_INTO_POD, why, "k8s.oncall_exec", |shot| {
        shot.by = By::Platform;
        shot.person = INES;
        shot.pod = 2;
    });
    s.at(14, 30);
    let why = "Aisha lost her phone and stood at the help desk in person";
    s.accept(rules::MFA_REMOVED_BY_OTHER_PERSON, why, "okta.mfa_reset_peer", |shot| {
        shot.person = LENA;
        shot.peer = 5;
    });
}
