//! GitHub audit log events, as the enterprise stream writes them.

use super::{By, Kind};
use crate::log::Log;
use crate::template::Template;

struct Row {
    name: &'static str,
    weight: u32,
    action: &'static str,
    /// `create`, `modify`, `remove`, `access`, `transfer`.
    operation: &'static str,
    /// Members, each with a comma in front.
    fields: &'static str,
    by: By,
}

const fn row(
    name: &'static str,
    weight: u32,
    action: &'static str,
    operation: &'static str,
    fields: &'static str,
) -> Row {
    Row { name, weight, action, operation, fields, by: By::Engineer }
}

const fn by(by: By, row: Row) -> Row {
    Row { by, ..row }
}

macro_rules! repo {
    ($more:literal) => {
        concat!(r#","repo":"larkspur-pay/${repo}","repo_id":${repoid},"public_repo":false"#, $more)
    };
}
macro_rules! git {
    ($more:literal) => {
        concat!(
            r#","repository":"larkspur-pay/${repo}","repository_id":${repoid},"repository_public":false,"repo":"larkspur-pay/${repo}","transport_protocol":1,"transport_protocol_name":"http","external_identity_nameid":"${mail}","hashed_token":"${b:43}=","token_id":${n:100000:999999}"#,
            $more
        )
    };
}

const PAT: &str = git!(r#","programmatic_access_type":"Fine-grained personal access token""#);
const INSTALLATION: &str =
    git!(r#","programmatic_access_type":"GitHub App server-to-server token""#);

const ROWS: &[Row] = &[
    row("gh.clone", 12, "git.clone", "access", PAT),
    row("gh.fetch", 22, "git.fetch", "access", PAT),
    row("gh.push", 18, "git.push", "modify", PAT),
    by(By::Ci, row("gh.ci_clone", 30, "git.clone", "access", INSTALLATION)),
    by(
        By::Ci,
        row(
            "gh.run_created",
            14,
            "workflows.created_workflow_run",
            "create",
            repo!(
                r#","workflow_id":${n:700000:700020},"workflow_run_id":${n:100000000:999999999},"name":"build and test","event":"push","head_branch":"main","head_sha":"${h:40}","run_number":${n:1000:9000},"run_attempt":1"#
            ),
        ),
    ),
    by(
        By::Ci,
        row(
            "gh.run_completed",
            14,
            "workflows.completed_workflow_run",
            "modify",
            repo!(
                r#","workflow_id":${n:700000:700020},"workflow_run_id":${n:100000000:999999999},"name":"build and test","event":"push","conclusion":"success","head_branch":"main","head_sha":"${h:40}","run_number":${n:1000:9000},"run_attempt":1"#
            ),
        ),
    ),
    row(
        "gh.pr_create",
        8,
        "pull_request.create",
        "create",
        repo!(
            r#","pull_request_id":${n:1000000:9999999},"pull_request_title":"Round fees half to even","pull_request_url":"https://github.com/larkspur-pay/${repo}/pull/${n:100:2400}""#
        ),
    ),
    row(
        "gh.pr_review",
        9,
        "pull_request_review.submit",
        "create",
        repo!(
            r#","pull_request_id":${n:1000000:9999999},"pull_request_url":"https://github.com/larkspur-pay/${repo}/pull/${n:100:2400}","review_id":${n:1000000:9999999},"reviewer":"${login}""#
        ),
    ),
    row(
        "gh.pr_merge",
        7,
        "pull_request.merge",
        "modify",
        repo!(
            r#","pull_request_id":${n:1000000:9999999},"pull_request_title":"Round fees half to even","pull_request_url":"https://github.com/larkspur-pay/${repo}/pull/${n:100:2400}""#
        ),
    ),
    row(
        "gh.branch_review_count",
        1,
        "protected_branch.update_required_approving_review_count",
        "modify",
        repo!(r#","name":"main","required_approving_review_count":2"#),
    ),
    row(
        "gh.alert_resolved",
        1,
        "secret_scanning_alert.resolve",
        "modify",
        repo!(r#","number":${n:1:60},"resolution":"used_in_tests""#),
    ),
    by(
        By::Platform,
        row(
            "gh.team_member",
            1,
            "team.add_member",
            "create",
            r#","team":"larkspur-pay/payments","user":"${plogin}""#,
        ),
    ),
    by(
        By::Person,
        row(
            "gh.sso",
            8,
            "org.sso_response",
            "access",
            r#","external_identity_nameid":"${mail}","issuer":"https://larkspur.okta.example/saml2/github""#,
        ),
    ),
    // stories and look-alikes
    row(
        "gh.protection_removed",
        0,
        "protected_branch.destroy",
        "remove",
        repo!(r#","name":"main","admin_enforced":true,"required_approving_review_count":2"#),
    ),
    row(
        "gh.deploy_key_write",
        0,
        "public_key.create",
        "create",
        repo!(
            r#","key_id":${n:90000000:99999999},"title":"mirror","fingerprint":"SHA256:${b:43}","read_only":"false""#
        ),
    ),
    row(
        "gh.deploy_key_read",
        0,
        "public_key.create",
        "create",
        repo!(
            r#","key_id":${n:90000000:99999999},"title":"docs-site","fingerprint":"SHA256:${b:43}","read_only":"true""#
        ),
    ),
    row(
        "gh.own_key",
        0,
        "public_key.create",
        "create",
        r#","key_id":${n:90000000:99999999},"title":"new laptop","fingerprint":"SHA256:${b:43}","read_only":"false""#,
    ),
    row(
        "gh.push_protection_off",
        0,
        "repository_secret_scanning_push_protection.disable",
        "modify",
        repo!(""),
    ),
    row(
        "gh.made_public",
        0,
        "repo.access",
        "modify",
        r#","repo":"larkspur-pay/${repo}","repo_id":${repoid},"public_repo":true,"visibility":"public","previous_visibility":"private""#,
    ),
    row(
        "gh.made_private",
        0,
        "repo.access",
        "modify",
        repo!(r#","visibility":"private","previous_visibility":"public""#),
    ),
    row(
        "gh.token_granted",
        0,
        "personal_access_token.access_granted",
        "create",
        r#","user":"${login}","user_programmatic_access_id":${n:100000:999999},"user_programmatic_access_name":"mirror","repository_selection":"all""#,
    ),
    row(
        "gh.token_denied",
        0,
        "personal_access_token.request_denied",
        "modify",
        r#","user":"${plogin}","user_programmatic_access_id":${n:100000:999999},"user_programmatic_access_name":"notebook","repository_selection":"subset""#,
    ),
];

fn text(row: &Row) -> String {
    // the build system is an app: it has no address of its own
    let who = if row.by == By::Ci {
        r#""actor":"larkspur-ci[bot]","actor_id":90300117,"actor_is_bot":true,"actor_ip":"${ip}","actor_location":{"country_code":"DE"},"user_agent":"git/2.51.0""#
    } else if row.action.starts_with("git.") {
        r#""actor":"${login}","actor_id":${ghid},"actor_is_bot":false,"actor_ip":"${ip}","actor_location":{"country_code":"${country}"},"user_agent":"git/2.51.0""#
    } else {
        r#""actor":"${login}","actor_id":${ghid},"actor_is_bot":false,"actor_ip":"${ip}","actor_location":{"country_code":"${country}"},"user_agent":"${ua}""#
    };
    // git events carry no created_at
    let created = if row.action.starts_with("git.") { "" } else { r#""created_at":${ms},"# };
    let op = format!(r#""operation_type":"{}""#, row.operation);
    let action = format!(r#""action":"{}","#, row.action);
    let org =
        r#""business":"larkspur","business_id":48211,"org":"larkspur-pay","org_id":88120441,"#;
    let id = r#"{"@timestamp":${ms},"_document_id":"${doc}","#;
    [id, &action, created, org, who, ",", &op, row.fields, "}"].concat()
}

pub(super) fn kinds() -> Vec<Kind> {
    let kind = |row: &Row| Kind {
        name: row.name,
        log: Log::GitHub,
        by: row.by,
        weight: row.weight,
        template: Template::new(&text(row)),
    };
    ROWS.iter().map(kind).collect()
}
