//! The names and words that SigmaHQ's rules for clouds and services use are found in the records of the
//! cases, though the vendors write others.

use std::path::PathBuf;

use event::{FieldsBuilder, Parser, Slots};
use normalize::Catalog;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    record: serde_json::Value,
}

/// What a rule for the log type finds under a field in the record of its `nth` case, from 1.
fn values(log_type: &str, nth: usize, field: &str) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("log_types");
    let text = std::fs::read_to_string(folder.join(format!("{log_type}.cases.ndjson"))).unwrap();
    let case: Case =
        serde_json::from_str(text.lines().nth(nth - 1).expect("so many cases")).unwrap();
    let record = case.record.to_string();
    let mapping = Catalog::builtin().get(log_type).unwrap();
    assert!(mapping.knows(field), "{log_type} does not know {field}");
    let mut fields = FieldsBuilder::default();
    let id = fields.field(&mapping.candidates(field));
    let mapper = mapping.bind(&mut fields);
    let fields = fields.build();
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let doc = mapper.parse(&mut parser, record.as_bytes(), None).unwrap();
    slots.fill(&fields, &doc);
    let found = slots.nodes(id).map(|node| {
        let mut out = Vec::new();
        doc.write_json(node, &mut out);
        doc.text(node).map_or_else(|| String::from_utf8(out).unwrap(), str::to_owned)
    });
    found.collect()
}

fn check(log_type: &str, nth: usize, field: &str, expected: &[&str]) {
    assert_eq!(values(log_type, nth, field), expected, "{log_type} {nth} {field}");
}

fn finds(log_type: &str, nth: usize, field: &str, part: &str) {
    let found = values(log_type, nth, field);
    assert!(found.iter().any(|value| value.contains(part)), "{log_type} {nth} {field}: {found:?}");
}

#[test]
fn entra_sign_ins() {
    for form in [1, 4] {
        finds("entra.signin", form, "Status", "Failure");
        check("entra.signin", form, "ActivityDetails", &["Sign-ins"]);
    }
    check("entra.signin", 1, "ResultType", &["50158"]);
    check("entra.signin", 3, "ResultType", &["0"]);
    check("entra.signin", 4, "ResultType", &["50126"]);
    check(
        "entra.signin",
        1,
        "ResultDescription",
        &["External security challenge was not satisfied."],
    );
    check("entra.signin", 1, "AuthenticationRequirement", &["multiFactorAuthentication"]);
    check("entra.signin", 3, "ResourceDisplayName", &["Device Registration Service"]);
    check("entra.signin", 3, "RiskState", &["atRisk"]);
    check("entra.signin", 4, "ClientApp", &["IMAP4"]);
    check("entra.signin", 3, "DeviceDetail.trusttype", &["Azure AD joined"]);
    check("entra.signin", 4, "DeviceDetail.deviceId", &[""]);
    check("entra.signin", 3, "properties.message", &["Device Code"]);
    check("entra.signin", 4, "userAgent", &["BAV2ROPC"]);
}

#[test]
fn entra_changes() {
    finds("entra.audit", 1, "properties.message", "Add member to role");
    finds("entra.audit", 2, "properties.message", "Consent to application");
    finds("entra.audit", 1, "properties.message", r#""displayName":"Role.DisplayName""#);
    check("entra.audit", 2, "OperationName", &["Consent to application"]);
    check("entra.audit", 4, "OperationName", &["Reset user password"]);
    finds("entra.audit", 2, "Status", "failure");
    finds("entra.audit", 2, "ConsentContext.IsAdminConsent", "False");
    finds("entra.audit", 2, "failure_status_reason", "UserConsentBlockedForRiskyApps");
    check("entra.audit", 1, "Category", &["RoleManagement"]);
    finds("entra.audit", 1, "TargetResources.ModifiedProperties.NewValue", "Global Administrator");
    finds("entra.audit", 3, "targetResources.type", "Service Principal");
    check("entra.audit", 5, "activityType", &["Recover device local administrator password"]);
    let recovered = ["Successfully recovered local credential by device id"];
    check("entra.audit", 5, "additionalDetails.additionalInfo", &recovered);
    check("entra.risk", 1, "riskEventType", &["anonymizedIPAddress"]);
    check("entra.risk", 5, "riskEventType", &["passwordSpray"]);
}

#[test]
fn azure_activities() {
    let delete = "Microsoft.ADHybridHealthService/services/delete";
    for field in ["OperationNameValue", "operationName"] {
        check("azure.activity", 4, field, &[delete]);
    }
    check("azure.activity", 3, "operationName", &["Microsoft.Compute/virtualMachines/delete"]);
    check("azure.activity", 1, "CategoryValue", &["Administrative"]);
    check("azure.activity", 4, "ResourceProviderValue", &["Microsoft.ADHybridHealthService"]);
    finds("azure.activity", 1, "properties.message", "securityRules/write");
}

#[test]
fn microsoft_365() {
    check("m365.audit", 6, "eventSource", &["SecurityComplianceCenter"]);
    check("m365.audit", 6, "eventName", &["Impossible travel activity"]);
    check("m365.audit", 6, "status", &["success"]);
    check("m365.audit", 1, "eventName", &["Set-Mailbox"]);
    check("m365.audit", 7, "RequestType", &["OAuth2:Authorize"]);
    check("m365.audit", 1, "Parameters.ForwardingSmtpAddress", &["smtp:drop@mail.example.net"]);
    check(
        "m365.audit",
        3,
        "ModifiedProperties.Role.DisplayName.NewValue",
        &["Global Administrator"],
    );
    finds("m365.audit", 1, "Payload", "smtp:drop@mail.example.net");
}

#[test]
fn google() {
    for field in
        ["gcp.audit.method_name", "data.protoPayload.methodName", "protoPayload.methodName"]
    {
        check("gcp.audit", 1, field, &["SetIamPolicy"]);
        check("gcp.audit", 4, field, &["io.k8s.core.v1.pods.create"]);
    }
    check("gcp.audit", 4, "data.protoPayload.resource.type", &["k8s_cluster"]);
    finds("gcp.audit", 1, "data.protoPayload.logName", "cloudaudit.googleapis.com%2Factivity");
    check("google_workspace.audit", 1, "eventService", &["admin.googleapis.com"]);
    check("google_workspace.audit", 1, "eventName", &["CHANGE_APPLICATION_SETTING"]);
    check("google_workspace.audit", 1, "setting_name", &["ContextAwareAccess"]);
    check("google_workspace.audit", 1, "new_value", &["false"]);
    check("google_workspace.audit", 2, "protoPayload.serviceName", &["login.googleapis.com"]);
    let name = "protoPayload.metadata.event.eventName";
    check("google_workspace.audit", 2, name, &["login_failure"]);
    check("google_workspace.audit", 5, name, &["ASSIGN_ROLE"]);
    check("google_workspace.audit", 5, "eventName", &["ASSIGN_ROLE"]);
}

#[test]
fn others() {
    check("bitbucket.audit", 1, "auditType.category", &["Projects"]);
    check("bitbucket.audit", 2, "auditType.action", &["User login failed"]);
    check("onelogin.event", 3, "event_type_id", &["3"]);
    check("duo.auth", 2, "reason", &["bypass_user"]);
    check("duo.admin", 1, "description.status", &["Bypass"]);
    check("aws.waf", 1, "cs-user-agent", &["curl/7.61.1"]);
    check("gcp.dns", 1, "query", &["www.example.com."]);
    check("aws.route53", 1, "query", &["bad.example.net."]);
}
