//! Values to JSON: nested by the dots of their paths where nothing stands in the way.

use serde_json::{Map, Value};

use crate::ir::Rule;

use super::solve::{State, Values};

/// The event's JSON. `place` gives the path of a field.
pub(super) fn event(rule: &Rule, values: &Values, place: &dyn Fn(&str) -> String) -> String {
    let mut root = Map::new();
    for (field, state) in values {
        let Some(json) = json(state) else { continue };
        let path = match field {
            Some(field) => place(field),
            None => keyword_field(rule),
        };
        put(&mut root, &path, json);
    }
    Value::Object(root).to_string()
}

/// A field for the keywords that the rule does not read.
fn keyword_field(rule: &Rule) -> String {
    let read = rule.field_names();
    let free = ["message", "text", "keywords"].into_iter().find(|name| !read.contains(name));
    free.unwrap_or("mantissa.keywords").to_owned()
}

fn json(state: &State) -> Option<Value> {
    match state.values.as_slice() {
        [] => state.is_null.then_some(Value::Null),
        [one] => Some(one.json()),
        many => Some(Value::Array(many.iter().map(super::sample::Sample::json).collect())),
    }
}

/// Puts a value at a path. Where a parent is a value already, the rest of the path is one name.
fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    if let Some((first, rest)) = path.split_once('.')
        && !first.is_empty()
        && !rest.is_empty()
    {
        let parent = object.entry(first).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(parent) = parent {
            return put(parent, rest, value);
        }
    }
    match object.get_mut(path) {
        // What is below the name is there already: its fields are written flat beside it.
        Some(Value::Object(below)) => {
            let below = std::mem::take(below);
            for (name, inner) in below {
                object.insert(format!("{path}.{name}"), inner);
            }
            object.insert(path.to_owned(), value);
        }
        _ => {
            object.insert(path.to_owned(), value);
        }
    }
}
