use super::*;

/// Every part that is there, by its name.
fn parts(text: &str) -> String {
    let message = match Message::parse(text) {
        Ok(message) => message,
        Err(fault) => return format!("! {fault}"),
    };
    let mut out = Vec::new();
    let mut add = |name: &str, part: Option<&str>| {
        out.extend(part.map(|part| format!("{name}={part}")));
    };
    add("at", message.timestamp);
    add("zone", message.zone);
    add("host", message.hostname);
    add("app", message.app_name);
    add("pid", message.proc_id);
    add("id", message.msg_id);
    add("seq", message.sequence);
    let facility = message.facility().zip(message.severity());
    let facility = facility.map(|(facility, severity)| format!("{facility}.{severity}"));
    let version = message.version.map(|version| format!("/{version}"));
    let head = facility.unwrap_or_default() + &version.unwrap_or_default();
    for (id, parameters) in message.structured() {
        let all: Vec<String> = parameters.map(|(name, value)| format!("{name}={value}")).collect();
        out.push(format!("[{id} {}]", all.join(";")));
    }
    format!("{head}|{}|{}", out.join("|"), message.text)
}

fn check(text: &str, expected: &str) {
    assert_eq!(parts(text), expected, "{text}");
}

#[test]
fn the_examples_of_rfc_5424() {
    check(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
        "auth.crit/1|at=2003-10-11T22:14:15.003Z|host=mymachine.example.com|app=su|id=ID47|'su root' failed for lonvick on /dev/pts/8",
    );
    check(
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        "local4.notice/1|at=2003-08-24T05:14:15.000003-07:00|host=192.0.2.1|app=myproc|pid=8710|%% It's time to make the do-nuts.",
    );
    check(
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"][examplePriority@32473 class=\"high\"]",
        "local4.notice/1|at=2003-10-11T22:14:15.003Z|host=mymachine.example.com|app=evntslog|id=ID47|[exampleSDID@32473 iut=3;eventSource=Application;eventID=1011]|[examplePriority@32473 class=high]|",
    );
    check("<0>1 - - - - - -", "kern.emerg/1||");
    check("<0>1 - - - - - - -", "kern.emerg/1||-");
}

#[test]
fn structured_data_in_all_its_forms() {
    let head = "<13>1 - h a - - ";
    let check = |rest: &str, expected: &str| {
        check(&format!("{head}{rest}"), &format!("user.notice/1|host=h|app=a|{expected}"));
    };
    check(r#"[a b="c \" \\ \] \n"] m"#, r#"[a b=c " \ ] \n]|m"#);
    check("[a] [b]", "[a ]|[b]");
    check("[a][b x=\"\"]", "[a ]|[b x=]|");
    // Left out, as some senders do.
    check("State changed", "State changed");
    for broken in ["[a b=\"c", "[a b]", "[a b=c] m", "[]", "[a b=\"c\"]m", "[a =\"c\"]", "["] {
        let have = parts(&format!("{head}{broken}"));
        assert!(have.starts_with("! structured data"), "{broken}: {have}");
    }
}

#[test]
fn the_older_form_and_what_became_of_it() {
    check(
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
        "auth.crit|at=Oct 11 22:14:15|host=mymachine|app=su|'su root' failed",
    );
    check(
        "<86>Feb  5 17:32:18 10.0.0.99 sshd[1234]: Accepted publickey",
        "authpriv.info|at=Feb  5 17:32:18|host=10.0.0.99|app=sshd|pid=1234|Accepted publickey",
    );
    // Without a host, as local programs write it.
    check("<13>Feb  5 17:32:18 cron[7]: x", "user.notice|at=Feb  5 17:32:18|app=cron|pid=7|x");
    check("<13>Feb 5 17:32:18 h no tag here", "user.notice|at=Feb 5 17:32:18|host=h|no tag here");
    // A year before or after, a fraction, a zone.
    check("<13>Feb  5 2026 17:32:18 h a: x", "user.notice|at=Feb  5 2026 17:32:18|host=h|app=a|x");
    check("<13>Feb  5 17:32:18 2026 h a: x", "user.notice|at=Feb  5 17:32:18 2026|host=h|app=a|x");
    check(
        "<13>Feb  5 17:32:18.123456 +0200 h a: x",
        "user.notice|at=Feb  5 17:32:18.123456|zone=+0200|host=h|app=a|x",
    );
    check(
        "<13>Feb  5 17:32:18 UTC h a: x",
        "user.notice|at=Feb  5 17:32:18|zone=UTC|host=h|app=a|x",
    );
    check(
        "<13>2026-02-05T17:32:18.5+01:00 h a[1]: x",
        "user.notice|at=2026-02-05T17:32:18.5+01:00|host=h|app=a|pid=1|x",
    );
    check("<13>2026-02-05 17:32:18 h a: x", "user.notice|at=2026-02-05 17:32:18|host=h|app=a|x");
    // No time at all, and no priority: lines of a file.
    check("<13>a: x", "user.notice|app=a|x");
    check("<13>just text", "user.notice||just text");
    check("<13>", "user.notice||");
    check("Feb  5 17:32:18 h sshd[1]: x", "|at=Feb  5 17:32:18|host=h|app=sshd|pid=1|x");
    check("2026-02-05T17:32:18Z h a: x", "|at=2026-02-05T17:32:18Z|host=h|app=a|x");
    check("<5>h \u{fc}ber", "kern.notice||h \u{fc}ber");
}

#[test]
fn devices_of_cisco() {
    check(
        "<189>29: *Mar  1 18:46:11: %SYS-5-CONFIG_I: Configured from console by vty2",
        "local7.notice|at=Mar  1 18:46:11|id=SYS-5-CONFIG_I|seq=29|%SYS-5-CONFIG_I: Configured from console by vty2",
    );
    check(
        "<187>237: 000237: foo: .Mar  1 18:48:50.483 CET: %LINK-3-UPDOWN: down",
        "local7.err|at=Mar  1 18:48:50.483|zone=CET|host=foo|id=LINK-3-UPDOWN|seq=000237|%LINK-3-UPDOWN: down",
    );
    check(
        "<166>Apr 19 2026 12:34:56: %ASA-6-305011: Built dynamic TCP translation",
        "local4.info|at=Apr 19 2026 12:34:56|id=ASA-6-305011|%ASA-6-305011: Built dynamic TCP translation",
    );
    check(
        "<166>Apr 19 2026 12:34:56 fw1 : %ASA-6-305011: Built",
        "local4.info|at=Apr 19 2026 12:34:56|host=fw1|id=ASA-6-305011|%ASA-6-305011: Built",
    );
    check(
        "<164>%ASA-4-106023: Deny tcp src outside",
        "local4.warning|id=ASA-4-106023|%ASA-4-106023: Deny tcp src outside",
    );
    check(
        "<166>:Apr 19 12:34:56 UTC: %ASA-session-6-302013: Built",
        "local4.info|at=Apr 19 12:34:56|zone=UTC|id=ASA-session-6-302013|%ASA-session-6-302013: Built",
    );
}

#[test]
fn what_is_no_syslog_is_refused_with_its_place() {
    for text in ["<192>x", "<>x", "<1234>x", "<13x", "<", "<-1>x", "<13 >x"] {
        check(text, "! a priority that is none at byte 0");
    }
    for text in ["", "GET / HTTP/1.1", "{\"a\":1}", "Feb 5", "2026-02-05"] {
        check(text, "! neither a priority like <34> nor a time at byte 0");
    }
    check("<13>1 2026-02-05T17:32:18Z h a", "! the header ends early at byte 30");
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(
        text in "(<[0-9]{1,3}>)?(1 )?([-*.:%\\[\\]=\" a-zA-Z0-9\\\\\u{fc}]{0,60})",
    ) {
        if let Ok(message) = Message::parse(&text) {
            for (_, parameters) in message.structured() {
                parameters.for_each(drop);
            }
            proptest::prop_assert!(text.ends_with(message.text));
        }
    }

    /// What was cut off or changed in a real message.
    #[test]
    fn damaged_messages_never_panic(at in 0_usize..90, with in "[ -~]{0,2}") {
        let whole = "<165>1 2003-10-11T22:14:15.003Z h e - ID47 [x@1 iut=\"3\" s=\"A\\\\]\"] m Feb  5 17:32:18 UTC: x";
        let mut text = whole.to_owned();
        text.replace_range(at.min(text.len())..(at + 1).min(text.len()), &with);
        let _ = Message::parse(&text);
    }
}
