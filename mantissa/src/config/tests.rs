use super::*;

fn error_of(text: &str) -> String {
    let nothing = |name: &str| Err(format!("the environment variable `{name}` is not set"));
    parse("mantissa.yaml", text, &nothing).expect_err("must be refused").to_string()
}

fn check(text: &str, parts: &[&str]) {
    let error = error_of(text);
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in:\n{error}");
    }
}

#[test]
fn an_empty_file_is_the_default() {
    let config = parse("c", "# nothing\n\n", &|_| Err(String::new())).unwrap();
    assert!(config.rules.builtin && config.sources.is_empty());
}

#[test]
fn unknown_keys_are_named_with_place_and_meaning() {
    check("lake:\n  url: ./lake\nsuorces: {}\n", &["mantissa.yaml:3:1", "suorces", "`sources`?"]);
    check("rules:\n  builtni: true\n", &["mantissa.yaml:2:", "`builtin`?"]);
}

#[test]
fn wrong_types_are_named_with_place() {
    check("workers: many\n", &["mantissa.yaml:1:"]);
    check("console:\n  listen: [nowhere]\n", &["mantissa.yaml:2:"]);
}

#[test]
fn a_missing_variable_is_named_and_no_value_is_shown() {
    check("console:\n  token: \"${MANTISSA_TOKEN}\"\n", &["mantissa.yaml:2:11", "MANTISSA_TOKEN"]);
    let text = "console:\n  token: [hunter2]\n";
    assert!(!error_of(text).contains("hunter2"));
}
