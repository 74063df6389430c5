//! Who did it, as CloudTrail and Kubernetes write it: objects whose shape depends on the actor.

use event::Timestamp;
use event::time::HOUR_NS;

use crate::company::{ACCOUNT, NODES};
use crate::kinds::By;
use crate::rng::{self, Rng};
use crate::shot::{Filler, handle, mail};
use crate::template::Var;

const SSO: &str = "AWSReservedSSO_PowerUser_0a1b2c3d4e5f6a7b";

/// `userIdentity` of CloudTrail.
pub(crate) fn cloudtrail(filler: &mut Filler<'_>, out: &mut String) {
    // a login has no access key yet
    let kind = filler.company.templates.get(filler.shot.kind).name;
    let login = matches!(kind, "ct.login_no_mfa" | "ct.sso_console");
    match filler.shot.by {
        By::AwsService(name) => {
            push(out, &[r#"{"type":"AWSService","invokedBy":""#, name, r#""}"#]);
        }
        By::ConfigRole => {
            assumed(filler, "AWSServiceRoleForConfig", "AWSConfig-Describe", true, out);
        }
        By::Ci => assumed(filler, "ci-deploy", "GitHubActions", true, out),
        By::Machine => {
            let machine = &filler.company.instances[usize::from(filler.shot.machine)];
            assumed(filler, machine.service, &machine.id, true, out);
        }
        By::KeyOf(name) => user(filler, name, !login, out),
        By::OwnUser => {
            let mut name = String::new();
            handle(filler.person(), '.', &mut name);
            user(filler, &name, true, out);
        }
        _ => {
            let mut session = String::new();
            mail(filler.person(), &mut session);
            assumed(filler, SSO, &session, !login, out);
        }
    }
}

fn user(filler: &Filler<'_>, name: &str, with_key: bool, out: &mut String) {
    let mut rng = stable(filler.company.seed, name, 0);
    push(out, &[r#"{"type":"IAMUser","principalId":"AIDA"#]);
    rng.base32(10, out);
    push(out, &[r#"EXAMPLE","arn":"arn:aws:iam::"#, ACCOUNT, ":user/", name]);
    push(out, &[r#"","accountId":""#, ACCOUNT]);
    if with_key {
        push(out, &[r#"","accessKeyId":"AKIA"#]);
        rng.base32(9, out);
        out.push_str("EXAMPLE");
    }
    push(out, &[r#"","userName":""#, name, r#""}"#]);
}

/// A session of a role, new every four hours.
fn assumed(filler: &Filler<'_>, role: &str, session: &str, with_key: bool, out: &mut String) {
    let begin = Timestamp(filler.at.0.div_euclid(4 * HOUR_NS) * 4 * HOUR_NS);
    let id = filler.company.role_id(role);
    let mut rng = stable(filler.company.seed, session, begin.0 as u64);
    push(out, &[r#"{"type":"AssumedRole","principalId":"AROA"#, id, ":", session]);
    push(out, &[r#"","arn":"arn:aws:sts::"#, ACCOUNT, ":assumed-role/", role, "/", session]);
    push(out, &[r#"","accountId":""#, ACCOUNT]);
    if with_key {
        out.push_str(r#"","accessKeyId":"ASIA"#);
        rng.base32(9, out);
        out.push_str("EXAMPLE");
    }
    push(out, &[r#"","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA"#]);
    push(out, &[id, r#"","arn":"arn:aws:iam::"#, ACCOUNT, ":role/", role]);
    push(out, &[r#"","accountId":""#, ACCOUNT, r#"","userName":""#, role]);
    out.push_str(r#""},"attributes":{"creationDate":""#);
    crate::shot::seconds(begin, out);
    out.push_str(r#"","mfaAuthenticated":"false"}"#);
    match filler.shot.by {
        By::Machine => out.push_str(r#","ec2RoleDelivery":"2.0"}}"#),
        By::ConfigRole => out.push_str(r#"},"invokedBy":"config.amazonaws.com"}"#),
        _ => out.push_str("}}"),
    }
}

/// `user` of a Kubernetes audit event.
pub(crate) fn kubernetes(filler: &mut Filler<'_>, out: &mut String) {
    match filler.shot.by {
        By::Control(name) => {
            push(out, &[r#"{"username":""#, name, r#"","groups":["system:authenticated"]}"#]);
        }
        By::Node => {
            let node = NODES[usize::from(filler.shot.node)];
            push(out, &[r#"{"username":"system:node:"#, node]);
            out.push_str(r#"","groups":["system:nodes","system:authenticated"]}"#);
        }
        By::Workload(account) => {
            let namespace = account.split(':').next().unwrap_or_default();
            let mut rng = stable(filler.company.seed, account, 0);
            let uid = u128::from(rng.next()) << 64 | u128::from(rng.next());
            push(out, &[r#"{"username":"system:serviceaccount:"#, account, r#"","uid":""#]);
            rng::uuid(uid, out);
            push(out, &[r#"","groups":["system:serviceaccounts","system:serviceaccounts:"#]);
            push(out, &[namespace, r#"","system:authenticated"]}"#]);
        }
        By::Ci => push(
            out,
            &[
                r#"{"username":"arn:aws:sts::"#,
                ACCOUNT,
                r#":assumed-role/ci-deploy/GitHubActions","groups":["larkspur:deployers","system:authenticated"]}"#,
            ],
        ),
        By::Anonymous => {
            out.push_str(r#"{"username":"system:anonymous","groups":["system:unauthenticated"]}"#);
        }
        _ => {
            out.push_str(r#"{"username":"oidc:"#);
            filler.put(Var::Mail, out);
            out.push_str(r#"","groups":["oidc:engineering","system:authenticated"]}"#);
        }
    }
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

/// Chance that depends on the label alone, for identifiers that stay the same.
fn stable(seed: u64, label: &str, salt: u64) -> Rng {
    let hash = label.bytes().fold(salt, |hash, byte| rng::mix(hash ^ u64::from(byte)));
    Rng::new(seed, hash)
}
