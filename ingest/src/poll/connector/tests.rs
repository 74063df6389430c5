use super::*;

fn faults(text: &str) -> Vec<String> {
    let errors = compile("acme.yml", text).expect_err("a fault is found");
    errors
        .iter()
        .map(|e| format!("{e}{}", e.hint.as_ref().map(|h| format!(" [{h}]")).unwrap_or_default()))
        .collect()
}

const GOOD: &str = "\
name: acme.audit
description: Acme.
docs: https://acme.example/docs
needs: a token
log_type: acme.audit
settings:
  org: {doc: The organisation}
base_url: https://{org}.acme.example
auth: {accepts: [bearer]}
request:
  path: /v1/events
  query: {after: \"{from}\", page: \"{token}\"}
cursor:
  window: {form: rfc3339, settle_s: 60, overlap_s: 600, max_s: 3600}
next: {token: next}
records: {at: events, identity: [id]}
limits: {requests: 10, per_s: 60}
";

#[test]
fn the_built_in_connectors_are_sound() {
    let connectors = Connectors::builtin();
    assert!(connectors.all().count() >= 8);
    for connector in connectors.all() {
        assert!(connector.docs.starts_with("https://"), "{}", connector.name);
        if let CursorRule::Window(rule) = &connector.cursor {
            assert!(rule.overlap_ms >= 300_000, "{}: events come late", connector.name);
            assert!(!rule.rescan_ms.is_empty(), "{}: nothing is read again", connector.name);
        }
    }
    for (name, _) in builtin_files() {
        let stem = name.strip_suffix(".yml").unwrap();
        assert_eq!(connectors.get(stem).map(|c| c.name.clone()).as_deref(), Some(stem));
    }
}

#[test]
fn faults_are_told_with_their_place_and_a_hint() {
    assert!(compile("acme.yml", GOOD).is_ok(), "{:?}", compile("acme.yml", GOOD));
    for (from, to, expected) in [
        ("needs: a", "need: a", "acme.yml:4:1: unknown field `need` [did you mean `needs`?]"),
        (
            "{from}",
            "{form}",
            "acme.yml:12:18: `{form}` is no setting and nothing that is filled here [did you mean `from`?]",
        ),
        (
            "page: \"{token}\"",
            "page: x",
            "acme.yml:11:9: the token of the next page is half declared [`next.token` or `next.last` says where the token is, `{token}` where it goes]",
        ),
        (
            "overlap_s: 600",
            "overlap_s: 0",
            "acme.yml:14:3: `overlap_s` must be 2 or more [events of one second may come in several answers]",
        ),
        (
            "max_s: 3600",
            "max_s: 600",
            "acme.yml:14:3: `max_s` must be more than `overlap_s` [a window must reach further than what it reads again]",
        ),
        (
            "{token: next}",
            "{token: next, link: true}",
            "acme.yml:15:7: give one of `link`, `url`, `header`, `token`, `last`, `statement` [the next page is at one place]",
        ),
        ("requests: 10", "requests: 0", "acme.yml:17:9: `requests` and `per_s` must be 1 or more"),
        (
            "https://{org}",
            "http://{org}",
            "acme.yml:8:11: the address does not begin with https:// [a setting may be the host: https://{host}]",
        ),
        ("[bearer]", "[header]", "acme.yml:9:17: `header` needs the name of the header"),
        ("{org}.acme", "{org.acme", "acme.yml:8:11: `{org.acme.example` has no end"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let faults = faults(&text);
        assert!(faults.iter().any(|fault| fault == expected), "{expected}\n{faults:#?}");
    }
}

#[test]
fn a_statement_is_read_by_windows_only() {
    let text =
        GOOD.replace(", page: \"{token}\"", "").replace("{token: next}", "{statement: true}");
    assert!(compile("acme.yml", &text).is_ok(), "{:?}", compile("acme.yml", &text));
    let text = text.replace("{from}", "{since}").replace(
        "window: {form: rfc3339, settle_s: 60, overlap_s: 600, max_s: 3600}",
        "token: {form: rfc3339}",
    );
    let expected = "acme.yml:11:9: `next.statement` has an end, which is no token cursor";
    assert_eq!(faults(&text), [expected]);
}
