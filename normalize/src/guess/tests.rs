use super::*;

const DOOR: &str = "\
name: acme.door
description: Doors.
logsource: {product: acme}
decoder: {json: {}}
envelopes: [data]
identity: {any: [seq]}
time: [{from: at}]
columns:
  action: ev
";

fn check(tell: &str, records: &[&str], expected: &[(&str, usize, &[&str])]) {
    let catalog = Catalog::default().with_files([("door.yml", format!("{DOOR}{tell}"))]).unwrap();
    let records: Vec<&[u8]> = records.iter().map(|r| r.as_bytes()).collect();
    let have = guess(&catalog, &records, None);
    let have: Vec<(&str, usize, Vec<&str>)> = have
        .iter()
        .map(|g| (g.log_type.as_str(), g.records, g.reasons.iter().map(String::as_str).collect()))
        .collect();
    let expected: Vec<(&str, usize, Vec<&str>)> =
        expected.iter().map(|(name, n, why)| (*name, *n, why.to_vec())).collect();
    assert_eq!(have, expected, "{tell}");
}

#[test]
fn by_what_is_there_what_is_not_and_what_it_says() {
    let tell = "tell: [{has: [seq, door], lacks: [lift]}, {is: {ev: [open, 'door.*']}, has: seq}]";
    let records = [
        r#"{"seq":1,"door":2}"#,
        r#"{"data":{"seq":1,"door":null}}"#,
        r#"{"seq":1,"door":2,"lift":3}"#,
        r#"{"seq":1,"ev":"door.open","door":1}"#,
        r#"{"seq":1,"ev":"opened"}"#,
        "no JSON",
        "",
    ];
    let why = ["has seq, door; has no lift", "ev is open or door.*; has seq"];
    check(tell, &records, &[("acme.door", 3, &why)]);
    check(tell, &["{}"], &[]);
}

#[test]
fn who_tells_nothing_is_known_by_identity_and_time() {
    check("", &[r#"{"seq":1,"at":2}"#, r#"{"seq":1}"#], &[("acme.door", 1, &["has seq, at"])]);
}

#[test]
fn the_better_told_of_two_comes_first() {
    let other = DOOR.replace("acme.door", "acme.gate");
    let files = [
        ("a", format!("{DOOR}tell: [{{has: [seq]}}]")),
        ("b", format!("{other}tell: [{{has: [seq, gate]}}]")),
    ];
    let catalog = Catalog::default().with_files(files).unwrap();
    let names = |record: &str| {
        let found = guess(&catalog, &[record.as_bytes()], None);
        found.iter().map(|g| g.log_type.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(r#"{"seq":1,"gate":2}"#), ["acme.gate", "acme.door"]);
    assert_eq!(names(r#"{"seq":1}"#), ["acme.door"]);
}
