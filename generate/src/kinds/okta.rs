//! Okta System Log events, as the API gives them.

use super::{By, Kind};
use crate::log::Log;
use crate::template::Template;

struct Row {
    name: &'static str,
    weight: u32,
    event_type: &'static str,
    message: &'static str,
    /// `SUCCESS`, `FAILURE` …
    result: &'static str,
    /// JSON.
    reason: &'static str,
    severity: &'static str,
    /// JSON.
    target: &'static str,
    /// Members of `debugData`, each with a comma in front.
    debug: &'static str,
    uri: &'static str,
    by: By,
}

const ROW: Row = Row {
    name: "",
    weight: 0,
    event_type: "",
    message: "",
    result: "SUCCESS",
    reason: "null",
    severity: "INFO",
    target: SELF,
    debug: "",
    uri: "/api/v1/users/${okta}",
    by: By::Person,
};

const SELF: &str = r#"[{"id":"${okta}","type":"User","alternateId":"${mail}","displayName":"${name}","detailEntry":null}]"#;
const PEER: &str = r#"[{"id":"${pokta}","type":"User","alternateId":"${pmail}","displayName":"${pname}","detailEntry":null}]"#;
const APP: &str = r#"[{"id":"${appid}","type":"AppInstance","alternateId":"${app}","displayName":"${app}","detailEntry":{"signOnModeType":"SAML_2_0"}},{"id":"0ua${b:14}5d7","type":"AppUser","alternateId":"${mail}","displayName":"${name}","detailEntry":null}]"#;
const POLICY: &str = r#"[{"id":"00p1mfaEverybody5d7","type":"PolicyEntity","alternateId":"unknown","displayName":"Everybody with MFA","detailEntry":{"policyType":"OktaSignOn"}},{"id":"0pr1askAlways5d7","type":"PolicyRule","alternateId":"00p1mfaEverybody5d7","displayName":"Ask always","detailEntry":null}]"#;
const GROUP: &str = r#"[{"id":"${pokta}","type":"User","alternateId":"${pmail}","displayName":"${pname}","detailEntry":null},{"id":"00g1projectLedger5d7","type":"UserGroup","alternateId":"unknown","displayName":"Project Ledger","detailEntry":null}]"#;
const TOKEN: &str = r#"[{"id":"00T${b:14}5d7","type":"Token","alternateId":"unknown","displayName":"directory-sync","detailEntry":null}]"#;
const LOW_RISK: &str = r#","risk":"{level=LOW}","threatSuspected":"false","behaviors":"{New Geo-Location=NEGATIVE, New Device=NEGATIVE, New IP=NEGATIVE, New State=NEGATIVE, New Country=NEGATIVE, Velocity=NEGATIVE, New City=NEGATIVE}""#;
const HIGH_RISK: &str = r#","risk":"{reasons=Anomalous Location, Anomalous Device, level=HIGH}","threatSuspected":"true","behaviors":"{New Geo-Location=POSITIVE, New Device=POSITIVE, New IP=POSITIVE, New State=POSITIVE, New Country=POSITIVE, Velocity=POSITIVE, New City=POSITIVE}""#;
const PUSH: &str = r#","factor":"OKTA_VERIFY_PUSH","factorIntent":"AUTHENTICATION""#;

const ROWS: &[Row] = &[
    Row {
        name: "okta.login",
        weight: 10,
        event_type: "user.session.start",
        message: "User login to Okta",
        target: "null",
        debug: LOW_RISK,
        uri: "/idp/idx/identify",
        ..ROW
    },
    Row {
        name: "okta.policy",
        weight: 12,
        event_type: "policy.evaluate_sign_on",
        message: "Evaluation of sign-on policy",
        result: "ALLOW",
        reason: r#""Sign-on policy evaluation resulted in ALLOW""#,
        target: POLICY,
        debug: LOW_RISK,
        uri: "/idp/idx/identify",
        ..ROW
    },
    Row {
        name: "okta.mfa",
        weight: 11,
        event_type: "user.authentication.auth_via_mfa",
        message: "Authentication of user via MFA",
        debug: PUSH,
        uri: "/idp/idx/authenticators/poll",
        ..ROW
    },
    Row {
        name: "okta.sso",
        weight: 55,
        event_type: "user.authentication.sso",
        message: "User single sign on to app",
        target: APP,
        debug: r#","initiationType":"SP_INITIATED","signOnMode":"SAML 2.0""#,
        uri: "/app/${appid}/sso/saml",
        ..ROW
    },
    Row {
        name: "okta.verify",
        weight: 9,
        event_type: "user.authentication.verify",
        message: "Verify user identity",
        debug: LOW_RISK,
        uri: "/idp/idx/challenge/answer",
        ..ROW
    },
    Row {
        name: "okta.logout",
        weight: 6,
        event_type: "user.session.end",
        message: "User logout from Okta",
        target: "null",
        uri: "/login/signout",
        ..ROW
    },
    Row {
        name: "okta.wrong_password",
        weight: 4,
        event_type: "user.session.start",
        message: "User login to Okta",
        result: "FAILURE",
        reason: r#""INVALID_CREDENTIALS""#,
        severity: "WARN",
        target: "null",
        debug: LOW_RISK,
        uri: "/idp/idx/identify",
        ..ROW
    },
    Row {
        name: "okta.token_grant",
        weight: 8,
        event_type: "app.oauth2.token.grant.access_token",
        message: "OAuth2 access token is granted",
        target: APP,
        debug: r#","grantType":"authorization_code","scopes":"openid,profile,email""#,
        uri: "/oauth2/v1/token",
        ..ROW
    },
    Row {
        name: "okta.group_add",
        weight: 1,
        event_type: "group.user_membership.add",
        message: "Add user to group membership",
        target: GROUP,
        uri: "/api/v1/groups/00g1projectLedger5d7/users/${pokta}",
        by: By::Platform,
        ..ROW
    },
    Row {
        name: "okta.password_changed",
        weight: 1,
        event_type: "user.account.update_password",
        message: "User update password for Okta",
        uri: "/api/internal/user/password",
        ..ROW
    },
    Row {
        name: "okta.new_device",
        weight: 1,
        event_type: "system.email.new_device_notification.sent_message",
        message: "Send new device notification email",
        uri: "/idp/idx/identify",
        ..ROW
    },
    Row {
        name: "okta.push_timeout",
        weight: 2,
        event_type: "user.authentication.auth_via_mfa",
        message: "Authentication of user via MFA",
        result: "FAILURE",
        reason: r#""PUSH_TIMEOUT""#,
        severity: "WARN",
        debug: PUSH,
        uri: "/idp/idx/authenticators/poll",
        ..ROW
    },
    // stories and look-alikes
    Row {
        name: "okta.mfa_reset_peer",
        event_type: "user.mfa.factor.reset_all",
        message: "Reset all factors for user",
        target: PEER,
        uri: "/api/v1/users/${pokta}/lifecycle/reset_factors",
        by: By::Platform,
        ..ROW
    },
    Row {
        name: "okta.mfa_replace_own",
        event_type: "user.mfa.factor.deactivate",
        message: "Reset factor for user",
        reason: r#""User reset OKTA_VERIFY_PUSH factor""#,
        uri: "/api/internal/v1/users/me/factors",
        ..ROW
    },
    Row {
        name: "okta.mfa_activate",
        event_type: "user.mfa.factor.activate",
        message: "Activate factor or authenticator enrollment method for user",
        reason: r#""User set up OKTA_VERIFY_PUSH factor""#,
        uri: "/idp/idx/credential/enroll",
        ..ROW
    },
    Row {
        name: "okta.login_strange",
        event_type: "user.session.start",
        message: "User login to Okta",
        severity: "INFO",
        target: "null",
        debug: HIGH_RISK,
        uri: "/idp/idx/identify",
        ..ROW
    },
    Row {
        name: "okta.wrong_password_strange",
        event_type: "user.session.start",
        message: "User login to Okta",
        result: "FAILURE",
        reason: r#""INVALID_CREDENTIALS""#,
        severity: "WARN",
        target: "null",
        debug: HIGH_RISK,
        uri: "/idp/idx/identify",
        ..ROW
    },
    Row {
        name: "okta.reported",
        event_type: "user.account.report_suspicious_activity_by_enduser",
        message: "User report suspicious activity",
        severity: "WARN",
        debug: r#","suspiciousActivityEventType":"system.email.new_device_notification.sent_message","suspiciousActivityBrowser":"FIREFOX","suspiciousActivityOs":"Linux""#,
        uri: "/api/internal/report-suspicious-activity",
        ..ROW
    },
    Row {
        name: "okta.admin_grant",
        event_type: "user.account.privilege.grant",
        message: "Grant user privilege",
        target: PEER,
        debug: r#","privilegeGranted":"Super administrator""#,
        uri: "/api/internal/privileges/admins",
        ..ROW
    },
    Row {
        name: "okta.admin_revoke",
        event_type: "user.account.privilege.revoke",
        message: "Revoke user privilege",
        target: PEER,
        debug: r#","privilegeRevoked":"Read Only administrator""#,
        uri: "/api/internal/privileges/admins",
        ..ROW
    },
    Row {
        name: "okta.api_token",
        event_type: "system.api_token.create",
        message: "Create API token",
        target: TOKEN,
        uri: "/api/internal/tokens",
        ..ROW
    },
];

fn text(row: &Row) -> String {
    let Row { event_type, message, result, reason, severity, target, debug, uri, .. } = row;
    let legacy =
        if row.name == "okta.login" { r#""core.user_auth.login_success""# } else { "null" };
    [
        r#"{"actor":{"id":"${okta}","type":"User","alternateId":"${mail}","displayName":"${name}","detailEntry":null},"client":{"userAgent":{"rawUserAgent":"${ua}","os":"${os}","browser":"${browser}"},"zone":"null","device":"Computer","id":null,"ipAddress":"${ip}","geographicalContext":${geo}},"device":null,"authenticationContext":{"authenticationProvider":null,"credentialProvider":null,"credentialType":null,"issuer":null,"interface":null,"authenticationStep":0,"rootSessionId":"idx${b:20}","externalSessionId":"idx${b:20}"},"displayMessage":""#,
        message,
        r#"","eventType":""#,
        event_type,
        r#"","outcome":{"result":""#,
        result,
        r#"","reason":"#,
        reason,
        r#"},"published":"${tms}","securityContext":{"asNumber":${asn},"asOrg":"example access provider","isp":"example access provider","domain":"access.example","isProxy":${proxy}},"severity":""#,
        severity,
        r#"","debugContext":{"debugData":{"requestId":"${req}","dtHash":"${h:64}","requestUri":""#,
        uri,
        r#"","url":""#,
        uri,
        r#"?""#,
        debug,
        r#"}},"legacyEventType":"#,
        legacy,
        r#","transaction":{"type":"WEB","id":"${req}","detail":{}},"uuid":"${uuid}","version":"0","request":{"ipChain":[{"ip":"${ip}","geographicalContext":${geo},"version":"V4","source":null}]},"target":"#,
        target,
        "}",
    ]
    .concat()
}

pub(super) fn kinds() -> Vec<Kind> {
    let kind = |row: &Row| Kind {
        name: row.name,
        log: Log::Okta,
        by: row.by,
        weight: row.weight,
        template: Template::new(&text(row)),
    };
    ROWS.iter().map(kind).collect()
}
