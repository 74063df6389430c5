//! The demo, as a person would run it: every hidden attack is found and nothing is raised falsely.

use crate::support::{number, run};

#[test]
fn finds_every_attack_and_raises_nothing_falsely() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("demo");
    let said = run(&["demo", "--dir", dir.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(said.out.matches("found ").count(), 6, "{}", said.out);
    assert!(said.out.contains("Raised falsely: 0."), "{}", said.out);
    assert!(number(&dir.join("lake"), "select count(*) as n from events") > 20_000);
    // Another day of another company: the rules were not written for one seed.
    let said = run(&["demo", "--dir", dir.to_str().unwrap(), "--seed", "11"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}
