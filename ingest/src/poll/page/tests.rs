use super::*;
use crate::poll::connector::{Connectors, compile};

const NOW_MS: i64 = 1_767_322_800_000;

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Reply { status, headers, body: body.as_bytes().to_vec() }
}

fn of(connector: &str, reply: &Reply) -> Verdict {
    verdict(&Connectors::builtin().get(connector).unwrap(), reply, Asked::Page, NOW_MS)
}

#[test]
fn a_wait_is_told_in_every_form() {
    for (connector, status, headers, body, expected) in [
        ("slack.audit", 429, &[("retry-after", "30")][..], "", Some(30_000)),
        ("slack.audit", 429, &[("retry-after", "1.5")], "", Some(1_500)),
        ("slack.audit", 429, &[("retry-after", "Fri, 02 Jan 2026 03:01:00 GMT")], "", Some(60_000)),
        ("slack.audit", 429, &[("retry-after", "Fri, 02 Jan 2026 02:00:00 GMT")], "", Some(0)),
        ("slack.audit", 429, &[("retry-after", "soon")], "", None),
        ("slack.audit", 200, &[], r#"{"ok":false,"error":"ratelimited"}"#, None),
        ("entra.signin", 429, &[("x-ms-retry-after-ms", "250")], "", Some(250)),
        (
            "okta.system",
            429,
            &[("x-rate-limit-reset", "1767322810")],
            r#"{"errorCode":"E0000047"}"#,
            Some(11_000),
        ),
        ("okta.system", 429, &[("x-rate-limit-reset", "9999999999999")], "", Some(WAIT_MS_MAX)),
        ("duo.auth", 429, &[], r#"{"code": 42901, "stat": "FAIL"}"#, None),
        (
            "github.audit",
            403,
            &[],
            r#"{"message":"You have exceeded a Secondary Rate Limit"}"#,
            None,
        ),
        (
            "github.audit",
            403,
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767322860")],
            "{}",
            Some(61_000),
        ),
        (
            "google_workspace.audit",
            403,
            &[],
            r#"{"error":{"errors":[{"reason":"quotaExceeded"}]}}"#,
            None,
        ),
        ("m365.audit", 403, &[("retry-after", "5")], r#"{"error":{"code":"AF429"}}"#, Some(5_000)),
        ("gitlab.audit", 503, &[("retry-after", "9")], "", Some(9_000)),
    ] {
        assert_eq!(
            of(connector, &reply(status, headers, body)),
            Verdict::Limited(expected),
            "{connector} {body}"
        );
    }
}

#[test]
fn trouble_is_told_apart_and_in_words() {
    let premium = r#"{"error":{"code":"Authentication_RequestFromNonPremiumTenantOrB2CTenant"}}"#;
    for (connector, status, body, expected) in [
        (
            "entra.signin",
            403,
            premium,
            "Denied(\"status 403 Authentication_RequestFromNonPremiumTenantOrB2CTenant: sign-ins need an Entra ID P1 or P2 licence\")",
        ),
        (
            "github.audit",
            403,
            "{}",
            "Denied(\"status 403: the credential needs: a classic token of an owner",
        ),
        (
            "okta.system",
            401,
            r#"{"errorCode":"E0000011"}"#,
            "Unauthorized(\"status 401 E0000011: the API token is not valid (any more)\")",
        ),
        ("okta.system", 302, "", "Failed(\"status 302: redirects are not followed"),
        ("okta.system", 502, "<html>", "Failed(\"status 502: the vendor has trouble"),
        (
            "okta.system",
            400,
            r#"{"errorCode":"E0000031"}"#,
            "Refused(\"status 400 E0000031: the vendor refuses",
        ),
        ("okta.system", 200, "<html>sign in</html>", "Failed(\"the answer is a web page, not JSON"),
        ("okta.system", 200, "", "Failed(\"the answer is empty\")"),
        ("okta.system", 200, "[{\"uuid\":\"1\"},", "Failed(\"the answer ends early, at byte 14\")"),
        ("okta.system", 200, "{\"a\":1}", "Failed(\"status 200: the answer holds no records"),
        (
            "google_workspace.audit",
            200,
            "{}",
            "Failed(\"status 200: the answer holds no records at items\")",
        ),
        (
            "slack.audit",
            200,
            r#"{"ok":false,"error":"missing_scope"}"#,
            "Denied(\"status 200 missing_scope: the token is not a user token",
        ),
        (
            "slack.audit",
            200,
            r#"{"ok":false,"error":"new\u001b[31m"}"#,
            "Failed(\"status 200 new\\\\u{1b}[31m: the answer holds no records at entries\")",
        ),
        ("m365.audit", 400, r#"{"error":{"code":"AF20024"}}"#, "Done"),
        ("m365.audit", 404, r#"{"error":{"code":"AF20051"}}"#, "Gone(\"status 404 AF20051\")"),
        ("gitlab.audit", 410, "", "Expired(\"status 410"),
    ] {
        let found = format!("{:?}", of(connector, &reply(status, &[], body)));
        assert!(found.starts_with(expected), "{connector} {status} {body}\n{found}\n{expected}");
    }
}

fn page_of(connector: &str, reply: &Reply) -> Page {
    match of(connector, reply) {
        Verdict::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_page_is_found_wherever_the_vendor_puts_it() {
    let links = [
        ("link", "<https://acme.okta.com/api/v1/logs?limit=1>; rel=\"self\""),
        ("link", "<https://acme.okta.com/api/v1/logs?after=1,2>; rel=\"next\""),
    ];
    let one = [(
        "link",
        "<https://h/x?a=1,2>; title=\"x, y\"; rel=prev, <https://h/x?p=2>; rel=\"last next\"",
    )];
    for (connector, headers, body, expected) in [
        ("okta.system", &links[..], "[]", Some("https://acme.okta.com/api/v1/logs?after=1,2")),
        ("github.audit", &one, "[]", Some("https://h/x?p=2")),
        ("github.audit", &[("link", "<https://h/x>; rel=\"prev\"")], "[]", None),
        ("github.audit", &[("link", "<https://h/x")], "[]", None),
        (
            "slack.audit",
            &[],
            r#"{"entries":[],"response_metadata":{"next_cursor":"dXN="}}"#,
            Some("dXN="),
        ),
        ("slack.audit", &[], r#"{"entries":[],"response_metadata":{"next_cursor":""}}"#, None),
        (
            "duo.auth",
            &[],
            r#"{"response":{"authlogs":[],"metadata":{"next_offset":["15","a-b"]}}}"#,
            Some("15,a-b"),
        ),
        ("duo.auth", &[], r#"{"response":{"authlogs":[],"metadata":{"next_offset":null}}}"#, None),
        (
            "entra.signin",
            &[],
            r#"{"@odata.nextLink":"https:\/\/g\/x","value":[]}"#,
            Some("https://g/x"),
        ),
        (
            "m365.audit",
            &[("nextpageuri", "https://manage.office.com/n")],
            "[]",
            Some("https://manage.office.com/n"),
        ),
        ("onepassword.audit", &[], r#"{"cursor":"c","has_more":true,"items":[]}"#, Some("c")),
    ] {
        let page = page_of(connector, &reply(200, headers, body));
        assert_eq!(page.next.as_deref(), expected, "{connector} {body}");
    }
}

#[test]
fn records_keep_their_bytes_and_what_is_none_is_told() {
    let body = "[{\"uuid\": \"a\",\"published\":\"2026-01-02T03:00:00.5Z\"}, 7,\n{\"no\":\"id\"}, {\"uuid\":\"b\",\"x\":\"\u{7f}\nraw\"}]";
    let page = page_of("okta.system", &reply(200, &[], body));
    let texts: Vec<_> =
        page.records.iter().map(|r| String::from_utf8_lossy(&r.bytes).into_owned()).collect();
    assert_eq!(texts[0], "{\"uuid\": \"a\",\"published\":\"2026-01-02T03:00:00.5Z\"}");
    assert_eq!((page.records[0].time_ms, texts[1].as_str()), (Some(NOW_MS + 500), "7"));
    assert_eq!(page.records[1].reject.as_deref(), Some("a record is no JSON object"));
    assert_eq!(page.records[2].id, id_of([b"{\"no\":\"id\"}".as_slice(), b"0"]));
    assert_eq!(page.records[3].id, id_of([b"b".as_slice(), b"0"]));
    assert_eq!((page.count, page.records.len()), (4, 4));
}

#[test]
fn a_record_that_holds_several_events_becomes_several() {
    let text = "\
name: acme.audit
description: Acme.
docs: https://acme.example/docs
needs: a token
log_type: acme.audit
base_url: https://acme.example
auth: {accepts: [bearer]}
request: {path: /v1/events, query: {after: \"{from}\"}}
cursor: {window: {form: rfc3339, settle_s: 60, overlap_s: 600, max_s: 3600}}
records: {identity: [id], split: events}
limits: {requests: 10, per_s: 60}
";
    let connector = compile("acme.yml", text).unwrap();
    let body = r#"[{"id":1,"events":[{"n":"b"},{"n":"a"},{"n":"b"}],"x":2},{"id":2,"events":[{"n":"c"}]},{"id":3}]"#;
    let Verdict::Page(page) = verdict(&connector, &reply(200, &[], body), Asked::Page, NOW_MS)
    else {
        panic!()
    };
    let texts: Vec<_> =
        page.records.iter().map(|r| String::from_utf8_lossy(&r.bytes).into_owned()).collect();
    assert_eq!(
        texts,
        [
            r#"{"id":1,"events":[{"n":"a"}],"x":2}"#,
            // Two that are equal are one record, which says that there were two.
            r#"{"id":1,"events":[{"n":"b"},{"n":"b"}],"x":2}"#,
            r#"{"id":2,"events":[{"n":"c"}]}"#,
            r#"{"id":3}"#,
        ]
    );
    let mut ids: Vec<_> = page.records.iter().map(|r| r.id).collect();
    ids.dedup();
    assert_eq!((ids.len(), page.count), (4, 3));

    // What is known of one event stays known when the vendor shows another, or another order.
    let later = r#"[{"id":2,"events":[{"n":"c0"},{"n":"c"}]},{"id":1,"events":[{"n":"a"},{"n":"z"}],"x":2}]"#;
    let Verdict::Page(later) = verdict(&connector, &reply(200, &[], later), Asked::Page, NOW_MS)
    else {
        panic!()
    };
    let known: Vec<bool> = later.records.iter().map(|r| ids.contains(&r.id)).collect();
    assert_eq!(known, [true, false, true, false]);
}
