use crate::Catalog;

fn candidates(log_type: &str, field: &str, expected: &[&str]) {
    let mapping = Catalog::builtin().get(log_type).unwrap();
    assert_eq!(mapping.candidates(field), expected, "{log_type} {field}");
}

#[test]
fn a_field_is_looked_for_in_every_form_of_delivery() {
    candidates("aws.cloudtrail", "eventName", &["detail.eventName", "eventName"]);
    candidates(
        "aws.cloudtrail",
        "src_ip",
        &["detail.src_ip", "src_ip", "detail.sourceIPAddress", "sourceIPAddress"],
    );
    let guardduty =
        ["detail.service.count", "service.count", "detail.Service.Count", "Service.Count"];
    candidates("aws.guardduty", "service.count", &guardduty);
    candidates("k8s.audit", "verb", &["properties.log.verb", "verb"]);
    candidates("slack.audit", "entity.type", &["entity.type"]);
    let wrapped = [
        "data.data.protoPayload.methodName",
        "data.protoPayload.methodName",
        "protoPayload.methodName",
    ];
    candidates("gcp.audit", "data.protoPayload.methodName", &wrapped);
    let any = ["properties.ResultType", "ResultType", "properties.resultType", "resultType"];
    candidates("azure.activity", "ResultType", &any);
    candidates("aws.vpcflow", "dst_port", &["dst_port", "dstport"]);
    candidates("aws.vpcflow", "tcp-flags", &["tcp-flags", "tcp_flags"]);
}

fn knows(log_type: &str, field: &str, expected: bool) {
    let mapping = Catalog::builtin().get(log_type).unwrap();
    assert_eq!(mapping.knows(field), expected, "{log_type} {field}");
}

#[test]
fn a_rule_may_name_what_records_can_have() {
    for field in [
        "eventName",
        "src_ip",
        "userIdentity.sessionContext.sessionIssuer.type",
        "userIdentity",
        "requestParameters",
        "requestParameters.ipPermissions.items.toPort",
        "detail.eventName",
    ] {
        knows("aws.cloudtrail", field, true);
    }
    for field in ["EventName", "eventname", "src_country", "userIdentity.nick", "requestParam", ""]
    {
        knows("aws.cloudtrail", field, false);
    }
    knows("aws.guardduty", "Service.Action.ActionType", true);
    knows("aws.guardduty", "severity", true);
    knows("okta.system", "debugContext.debugData.anything", true);
    knows("okta.system", "target.displayName", true);
    knows("github.audit", "@timestamp", true);
    knows("k8s.audit", "capabilities", true);
    knows("aws.vpcflow", "flow-direction", true);
    knows("aws.vpcflow", "flowdirection", false);
}
