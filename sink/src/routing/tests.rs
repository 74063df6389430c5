use serde_json::json;

use super::*;
use crate::testing::alert;

fn names(routes: &[RouteConfig], alert: &Alert) -> Vec<String> {
    let all = ["a", "b", "c"].map(String::from);
    let router = Router::new(routes, &all).unwrap();
    router.route(alert).into_iter().map(|r| r.destination).collect()
}

fn route(to: &[&str]) -> RouteConfig {
    RouteConfig { destinations: to.iter().map(|n| (*n).into()).collect(), ..Default::default() }
}

fn globs(list: &[&str]) -> Vec<String> {
    list.iter().map(|g| (*g).into()).collect()
}

#[test]
fn conditions_all_hold_and_the_first_route_wins() {
    let mut it = alert(1);
    it.rule.level = Level::High;
    it.rule.title = "Root console login".into();
    it.log_type = "aws.cloudtrail".into();
    it.source = "trail".into();
    let with = |change: &dyn Fn(&mut RouteConfig)| {
        let mut route = route(&["a"]);
        change(&mut route);
        vec![route, self::route(&["b"])]
    };
    let check = |change: &dyn Fn(&mut RouteConfig), expected: &[&str]| {
        assert_eq!(names(&with(change), &it), expected);
    };
    check(&|_| {}, &["a"]);
    check(&|r| r.goes_on = true, &["a", "b"]);
    check(&|r| r.level_min = Some(Level::High), &["a"]);
    check(&|r| r.level_min = Some(Level::Critical), &["b"]);
    check(&|r| r.rules = globs(&["x", "ROOT *"]), &["a"]);
    check(&|r| r.rules = globs(&[&it.rule.id]), &["a"]);
    check(&|r| r.rules = globs(&["root"]), &["b"]);
    check(&|r| r.log_types = globs(&["aws.*"]), &["a"]);
    check(&|r| r.log_types = globs(&["okta.*"]), &["b"]);
    check(&|r| r.sources = globs(&["trai?"]), &["a"]);
    check(&|r| r.sources = globs(&["trai"]), &["b"]);
}

#[test]
fn the_default_route_takes_what_nobody_took() {
    let default = RouteConfig { default: true, ..route(&["c"]) };
    let high = RouteConfig { level_min: Some(Level::High), ..route(&["a"]) };
    let mut it = alert(1);
    for (level, expected) in [(Level::Low, "c"), (Level::Critical, "a")] {
        it.rule.level = level;
        assert_eq!(names(&[default.clone(), high.clone()], &it), [expected]);
    }
    it.rule.level = Level::Low;
    assert_eq!(names(std::slice::from_ref(&high), &it), Vec::<String>::new());
    assert_eq!(names(&[], &it), ["a", "b", "c"], "no table: everything everywhere");
}

#[test]
fn a_destination_gets_an_alert_once() {
    let first = RouteConfig { goes_on: true, ..route(&["a", "a"]) };
    assert_eq!(names(&[first, route(&["b", "a"])], &alert(1)), ["a", "b"]);
}

#[test]
fn impossible_routes_are_named() {
    let all = ["a", "b"].map(String::from);
    let suppress = |window_s| Some(SuppressConfig { columns: vec![], window_s });
    for (routes, expected) in [
        (vec![route(&[])], "routes[0].destinations: names no destination"),
        (
            vec![route(&["a"]), route(&["x"])],
            "routes[1].destinations: there is no destination \"x\"; there are: a, b",
        ),
        (
            vec![RouteConfig { suppress: suppress(0), ..route(&["a"]) }],
            "routes[0].suppress.window_s: 0 is not within 1 to 2592000",
        ),
    ] {
        assert_eq!(Router::new(&routes, &all).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_suppression_key_is_rule_destination_and_values() {
    let config = SuppressConfig { columns: vec!["actor_id".into()], window_s: 60 };
    let with = |actor: Value| {
        let mut it = alert(1);
        it.event.insert("actor_id".into(), actor);
        it
    };
    let key = |it: &Alert, destination: &str| config.of(it, destination).key;
    let base = key(&with(json!("x")), "a");
    assert_eq!(base, key(&with(json!("x")), "a"));
    assert_ne!(base, key(&with(json!("y")), "a"));
    assert_ne!(base, key(&with(json!("x")), "b"));
    assert_ne!(key(&with(json!(1)), "a"), key(&with(json!("1")), "a"));
    let mut other = with(json!("x"));
    other.rule.id = "other".into();
    assert_ne!(base, key(&other, "a"));
    let mut keyed = with(json!("x"));
    keyed.dedup_key = "k".into();
    assert_ne!(base, key(&keyed, "a"));
    let long_ago = Alert { replayed: true, ..with(json!("x")) };
    assert_ne!(base, key(&long_ago, "a"));
}

#[test]
fn globs_match_whole_texts() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*c", "abbc", true),
        ("a*c", "abcd", false),
        ("*a*b*", "xxaxxbxx", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("É*", "été", true),
        ("*aab", "aaaaab", true),
    ] {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    }
}
