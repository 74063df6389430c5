//! Kubernetes audit events, as the API server writes them.

use super::{By, Kind};
use crate::log::Log;
use crate::template::Template;

struct Row {
    name: &'static str,
    weight: u32,
    by: By,
    verb: &'static str,
    uri: &'static str,
    /// JSON, or empty for requests that name no object.
    object: &'static str,
    code: u16,
    stage: &'static str,
    /// JSON of the request's body, or empty when only metadata is kept.
    body: &'static str,
}

const fn row(
    name: &'static str,
    weight: u32,
    by: By,
    verb: &'static str,
    uri: &'static str,
    object: &'static str,
    code: u16,
) -> Row {
    Row { name, weight, by, verb, uri, object, code, stage: "ResponseComplete", body: "" }
}

const fn body(body: &'static str, row: Row) -> Row {
    Row { body, ..row }
}

const MANAGER: By = By::Control("system:kube-controller-manager");
const SCHEDULER: By = By::Control("system:kube-scheduler");
const REPLICAS: By = By::Workload("kube-system:replicaset-controller");
const DAEMONS: By = By::Workload("kube-system:daemon-set-controller");
const METRICS: By = By::Workload("monitoring:prometheus");
const CERTS: By = By::Workload("cert-manager:cert-manager");
/// The workload of the story.
const LEDGER: By = By::Workload("ledger:ledger-api");

const POD: &str = r#"{"resource":"pods","namespace":"${ns}","name":"${pod}","apiVersion":"v1"}"#;
const PODS: &str = r#"{"resource":"pods","namespace":"${ns}","apiVersion":"v1"}"#;
const LEASE: &str = r#"{"resource":"leases","namespace":"kube-node-lease","name":"${node}","apiGroup":"coordination.k8s.io","apiVersion":"v1"}"#;
const SECRETS: &str = r#"{"resource":"secrets","apiVersion":"v1"}"#;
const POD_BODY: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"${deploy}-${h:10}-","labels":{"app":"${deploy}"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"${deploy}-${h:10}","uid":"${req}","controller":true,"blockOwnerDeletion":true}]},"spec":{"containers":[{"name":"${deploy}","image":"111122223333.dkr.ecr.eu-central-1.amazonaws.com/${deploy}:${h:7}","resources":{"limits":{"memory":"512Mi"}},"securityContext":{"privileged":false,"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true}}],"volumes":[{"name":"tmp","emptyDir":{}}],"serviceAccountName":"${deploy}","restartPolicy":"Always"}}"#;
const DAEMON_BODY: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"aws-node-","labels":{"k8s-app":"aws-node"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"aws-node","uid":"${req}","controller":true,"blockOwnerDeletion":true}]},"spec":{"containers":[{"name":"aws-node","image":"602401143452.dkr.ecr.eu-central-1.amazonaws.com/amazon-k8s-cni:v1.20.4","securityContext":{"privileged":true}}],"volumes":[{"name":"cni-bin","hostPath":{"path":"/opt/cni/bin","type":""}}],"hostNetwork":true,"serviceAccountName":"aws-node"}}"#;
const ESCAPE_BODY: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"node-check","namespace":"ledger"},"spec":{"containers":[{"name":"c","image":"docker.io/library/alpine:3.22","command":["sleep","86400"],"securityContext":{"privileged":true},"volumeMounts":[{"name":"host","mountPath":"/host"}]}],"volumes":[{"name":"host","hostPath":{"path":"/","type":""}}],"hostPID":true,"restartPolicy":"Never"}}"#;
const BINDING_BODY: &str = r#"{"kind":"ClusterRoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"metrics-reader-2"},"subjects":[{"kind":"ServiceAccount","name":"ledger-api","namespace":"ledger"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}"#;
const VIEW_BODY: &str = r#"{"kind":"ClusterRoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"support-view"},"subjects":[{"kind":"Group","name":"oidc:support","apiGroup":"rbac.authorization.k8s.io"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}"#;
const BINDING: &str = r#"{"resource":"clusterrolebindings","apiGroup":"rbac.authorization.k8s.io","apiVersion":"v1"}"#;
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?fieldManager=kubectl-create&fieldValidation=Strict";

const ROWS: &[Row] = &[
    row(
        "k8s.lease",
        30,
        By::Node,
        "update",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${node}?timeout=10s",
        LEASE,
        200,
    ),
    row(
        "k8s.node_status",
        10,
        By::Node,
        "patch",
        "/api/v1/nodes/${node}/status?timeout=10s",
        r#"{"resource":"nodes","name":"${node}","apiVersion":"v1","subresource":"status"}"#,
        200,
    ),
    row(
        "k8s.pod_status",
        7,
        By::Node,
        "patch",
        "/api/v1/namespaces/${ns}/pods/${pod}/status",
        r#"{"resource":"pods","namespace":"${ns}","name":"${pod}","apiVersion":"v1","subresource":"status"}"#,
        200,
    ),
    row(
        "k8s.node_secret",
        5,
        By::Node,
        "get",
        "/api/v1/namespaces/${ns}/secrets/${deploy}-tls",
        r#"{"resource":"secrets","namespace":"${ns}","name":"${deploy}-tls","apiVersion":"v1"}"#,
        200,
    ),
    row(
        "k8s.node_configmap",
        5,
        By::Node,
        "get",
        "/api/v1/namespaces/${ns}/configmaps/${deploy}",
        r#"{"resource":"configmaps","namespace":"${ns}","name":"${deploy}","apiVersion":"v1"}"#,
        200,
    ),
    row(
        "k8s.node_token",
        6,
        By::Node,
        "create",
        "/api/v1/namespaces/${ns}/serviceaccounts/${deploy}/token",
        r#"{"resource":"serviceaccounts","namespace":"${ns}","name":"${deploy}","apiVersion":"v1","subresource":"token"}"#,
        201,
    ),
    row(
        "k8s.manager_watch",
        8,
        MANAGER,
        "watch",
        "/api/v1/pods?allowWatchBookmarks=true&resourceVersion=${n:900000:990000}&timeoutSeconds=${n:300:600}&watch=true",
        r#"{"resource":"pods","apiVersion":"v1"}"#,
        200,
    ),
    row(
        "k8s.manager_secrets",
        2,
        MANAGER,
        "list",
        "/api/v1/secrets?limit=500&resourceVersion=0",
        SECRETS,
        200,
    ),
    row(
        "k8s.manager_endpoints",
        6,
        MANAGER,
        "update",
        "/api/v1/namespaces/${ns}/endpoints/${deploy}",
        r#"{"resource":"endpoints","namespace":"${ns}","name":"${deploy}","apiVersion":"v1"}"#,
        200,
    ),
    row(
        "k8s.bind",
        3,
        SCHEDULER,
        "create",
        "/api/v1/namespaces/${ns}/pods/${pod}/binding",
        r#"{"resource":"pods","namespace":"${ns}","name":"${pod}","apiVersion":"v1","subresource":"binding"}"#,
        201,
    ),
    body(
        POD_BODY,
        row("k8s.replica_pod", 3, REPLICAS, "create", "/api/v1/namespaces/${ns}/pods", PODS, 201),
    ),
    body(
        DAEMON_BODY,
        row(
            "k8s.daemon_pod",
            1,
            DAEMONS,
            "create",
            "/api/v1/namespaces/kube-system/pods",
            r#"{"resource":"pods","namespace":"kube-system","apiVersion":"v1"}"#,
            201,
        ),
    ),
    row(
        "k8s.metrics_pods",
        6,
        METRICS,
        "list",
        "/api/v1/pods?limit=500&resourceVersion=0",
        r#"{"resource":"pods","apiVersion":"v1"}"#,
        200,
    ),
    row(
        "k8s.metrics_nodes",
        5,
        METRICS,
        "get",
        "/api/v1/nodes/${node}/proxy/metrics",
        r#"{"resource":"nodes","name":"${node}","apiVersion":"v1","subresource":"proxy"}"#,
        200,
    ),
    row(
        "k8s.certs_secret",
        2,
        CERTS,
        "update",
        "/api/v1/namespaces/${ns}/secrets/${deploy}-tls",
        r#"{"resource":"secrets","namespace":"${ns}","name":"${deploy}-tls","apiVersion":"v1"}"#,
        200,
    ),
    row("k8s.health", 10, By::Anonymous, "get", "/readyz", "", 200),
    row(
        "k8s.ci_patch",
        2,
        By::Ci,
        "patch",
        "/apis/apps/v1/namespaces/${ns}/deployments/${deploy}?fieldManager=kubectl-client-side-apply",
        r#"{"resource":"deployments","namespace":"${ns}","name":"${deploy}","apiGroup":"apps","apiVersion":"v1"}"#,
        200,
    ),
    row(
        "k8s.get_pods",
        6,
        By::Engineer,
        "list",
        "/api/v1/namespaces/${ns}/pods?limit=500",
        PODS,
        200,
    ),
    row(
        "k8s.get_log",
        5,
        By::Engineer,
        "get",
        "/api/v1/namespaces/${ns}/pods/${pod}/log?container=${deploy}&tailLines=200",
        r#"{"resource":"pods","namespace":"${ns}","name":"${pod}","apiVersion":"v1","subresource":"log"}"#,
        200,
    ),
    row("k8s.get_pod", 4, By::Engineer, "get", "/api/v1/namespaces/${ns}/pods/${pod}", POD, 200),
    row(
        "k8s.denied_nodes",
        1,
        By::Engineer,
        "list",
        "/api/v1/nodes?limit=500",
        r#"{"resource":"nodes","apiVersion":"v1"}"#,
        403,
    ),
    // the story
    row(
        "k8s.rules_review",
        0,
        LEDGER,
        "create",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        r#"{"resource":"selfsubjectrulesreviews","apiGroup":"authorization.k8s.io","apiVersion":"v1"}"#,
        201,
    ),
    row("k8s.secrets_all", 0, LEDGER, "list", "/api/v1/secrets?limit=500", SECRETS, 200),
    body(BINDING_BODY, row("k8s.cluster_admin", 0, LEDGER, "create", BINDINGS, BINDING, 201)),
    body(
        ESCAPE_BODY,
        row(
            "k8s.escape_pod",
            0,
            LEDGER,
            "create",
            "/api/v1/namespaces/ledger/pods?fieldManager=kubectl-client-side-apply&fieldValidation=Strict",
            r#"{"resource":"pods","namespace":"ledger","name":"node-check","apiVersion":"v1"}"#,
            201,
        ),
    ),
    Row {
        stage: "ResponseStarted",
        ..row(
            "k8s.escape_exec",
            0,
            LEDGER,
            "create",
            "/api/v1/namespaces/ledger/pods/node-check/exec?command=chroot&command=%2Fhost&command=sh&container=c&stdin=true&stdout=true&tty=true",
            r#"{"resource":"pods","namespace":"ledger","name":"node-check","apiVersion":"v1","subresource":"exec"}"#,
            101,
        )
    },
    row(
        "k8s.escape_exec_end",
        0,
        LEDGER,
        "create",
        "/api/v1/namespaces/ledger/pods/node-check/exec?command=chroot&command=%2Fhost&command=sh&container=c&stdin=true&stdout=true&tty=true",
        r#"{"resource":"pods","namespace":"ledger","name":"node-check","apiVersion":"v1","subresource":"exec"}"#,
        101,
    ),
    // look-alikes and accepted
    row(
        "k8s.secrets_own",
        0,
        By::Platform,
        "list",
        "/api/v1/namespaces/${ns}/secrets?limit=500",
        r#"{"resource":"secrets","namespace":"${ns}","apiVersion":"v1"}"#,
        200,
    ),
    row("k8s.secrets_denied", 0, By::Engineer, "list", "/api/v1/secrets?limit=500", SECRETS, 403),
    row(
        "k8s.anonymous_denied",
        0,
        By::Anonymous,
        "list",
        "/api/v1/pods?limit=500",
        r#"{"resource":"pods","apiVersion":"v1"}"#,
        403,
    ),
    body(VIEW_BODY, row("k8s.view_bound", 0, By::Platform, "create", BINDINGS, BINDING, 201)),
    Row {
        stage: "ResponseStarted",
        ..row(
            "k8s.oncall_exec",
            0,
            By::Platform,
            "create",
            "/api/v1/namespaces/${ns}/pods/${pod}/exec?command=sh&container=${deploy}&stdin=true&stdout=true&tty=true",
            r#"{"resource":"pods","namespace":"${ns}","name":"${pod}","apiVersion":"v1","subresource":"exec"}"#,
            101,
        )
    },
];

fn text(row: &Row) -> String {
    let level = if row.body.is_empty() { "Metadata" } else { "RequestResponse" };
    let object = match row.object {
        "" => String::new(),
        object => format!(r#""objectRef":{object},"#),
    };
    let body = match row.body {
        "" => String::new(),
        body => format!(r#""requestObject":{body},"#),
    };
    let allowed = row.code != 403;
    let status = if allowed {
        format!(r#"{{"metadata":{{}},"code":{}}}"#, row.code)
    } else {
        r#"{"metadata":{},"status":"Failure","message":"forbidden","reason":"Forbidden","code":403}"#
            .to_owned()
    };
    [
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":""#,
        level,
        r#"","auditID":"${uuid}","stage":""#,
        row.stage,
        r#"","requestURI":""#,
        row.uri,
        r#"","verb":""#,
        row.verb,
        r#"","user":${kuser},"sourceIPs":["${ip}"],"userAgent":"${ua}","#,
        &object,
        r#""responseStatus":"#,
        &status,
        ",",
        &body,
        r#""requestReceivedTimestamp":"${tus}","stageTimestamp":"${tus2}","annotations":{"authorization.k8s.io/decision":""#,
        if allowed { "allow" } else { "forbid" },
        r#"","authorization.k8s.io/reason":""#,
        if allowed { "RBAC: allowed by ClusterRoleBinding \\\"larkspur\\\"" } else { "" },
        r#""}}"#,
    ]
    .concat()
}

pub(super) fn kinds() -> Vec<Kind> {
    let kind = |row: &Row| Kind {
        name: row.name,
        log: Log::Kubernetes,
        by: row.by,
        weight: row.weight,
        template: Template::new(&text(row)),
    };
    ROWS.iter().map(kind).collect()
}
