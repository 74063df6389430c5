//! `mantissa check` on mistakes, and the published schema.

use serde_json::Value;

use crate::support::{mantissa, ok};

const SECRET: &str = "hunter2-hunter2";

/// Checks a configuration that must be refused, with these words in the message.
fn refused(config: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mantissa.yaml"), config).unwrap();
    let output = mantissa()
        .arg("check")
        .current_dir(folder.path())
        .env("HOOK_TOKEN", SECRET)
        .env_remove("NOT_SET")
        .output()
        .unwrap();
    let said = crate::support::Said::from(output);
    assert_ne!(said.code, 0, "accepted:\n{config}");
    assert_eq!(said.out, "", "an error goes to standard error");
    for word in words {
        assert!(said.err.contains(word), "{word:?} is not in:\n{}\nof:\n{config}", said.err);
    }
    assert!(!said.err.contains(SECRET), "shows a secret:\n{}", said.err);
    assert!(!folder.path().join("lake").exists(), "a check has no side effect");
}

#[test]
fn mistakes_have_a_place_and_a_hint() {
    let hook =
        "destinations:\n  hook:\n    webhook:\n      url: \"https://soc.example/${HOOK_TOKEN}\"\n";
    refused(
        &format!("{hook}      timeout_sm: 5\n"),
        &["mantissa.yaml:5:7", "timeout_sm", "did you mean `timeout_ms`"],
    );
    refused(&format!("{hook}      timeout_ms: soon\n"), &["mantissa.yaml:5:"]);
    refused(
        &format!("{hook}      timeout_ms: 0\n"),
        &["mantissa.yaml:5:7", "timeout_ms", "within 1 to 60000"],
    );
    refused(
        "sources:\n  a:\n    log_type: aws.cloudtrial\n    stdin: {}\n",
        &["mantissa.yaml:3:5", "`aws.cloudtrial`", "did you mean `aws.cloudtrail`"],
    );
    refused(
        "sources:\n  a:\n    log_type: aws.cloudtrail\n    stdin: {}\n    file:\n      paths: [x]\n",
        &["mantissa.yaml:2:3", "both `file` and `stdin`", "give one"],
    );
    refused(
        "sources:\n  a:\n    log_type: aws.cloudtrail\n",
        &["mantissa.yaml:2:3", "give one of file, stdin"],
    );
    refused(
        "sources:\n  _health:\n    log_type: aws.cloudtrail\n    stdin: {}\n",
        &["mantissa.yaml:2:3", "`_health`", "program's own"],
    );
    refused(
        &format!("{hook}    slack:\n      webhook_url: \"${{NOT_SET}}\"\n"),
        &["mantissa.yaml:6:21", "NOT_SET"],
    );
    refused(
        &format!("{hook}routes:\n  - destinations: [hoook]\n"),
        &["mantissa.yaml:5:1", "hoook", "hook"],
    );
    refused(&format!("{hook}      secret: [\"${{HOOK_TOKEN}}\"]\n"), &["mantissa.yaml:5:"]);
}

/// Every option below a schema, by path, that has no description.
fn undescribed(schema: &Value, at: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            // A choice with a value is described as a whole, its only member is its name.
            let choice = at.ends_with("/oneOf") && members.contains_key("description");
            for (name, member) in members {
                if name != "properties" {
                    undescribed(member, &format!("{at}/{name}"), found);
                    continue;
                }
                for (option, schema) in member.as_object().into_iter().flatten() {
                    if !choice
                        && schema["description"].as_str().is_none_or(|text| text.trim().is_empty())
                    {
                        found.push(format!("{at}/{option}"));
                    }
                    undescribed(schema, &format!("{at}/{option}"), found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| undescribed(item, at, found)),
        _ => {}
    }
}

#[test]
fn every_option_of_the_schema_is_described() {
    let schema: Value = serde_json::from_str(&ok(&["schema"]).out).unwrap();
    let options = schema["properties"].as_object().unwrap();
    for name in ["lake", "rules", "sources", "destinations", "routes", "redaction", "console"] {
        assert!(options.contains_key(name), "{name}");
    }
    assert!(!options.contains_key("places"), "what is not an option is not in the schema");
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}
