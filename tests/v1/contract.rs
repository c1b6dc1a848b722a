//! The published examples: an answer has every key of its operation's example, with a value of the same JSON type or null.

use std::sync::LazyLock;

use serde_json::Value;

static OPERATIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../contract/leadsy-v1.json")).expect("the contract in JSON")
});

/// Asserts that `body` looks like the example of this operation, which is named as in the contract: `GET /api/v1/users/{id}`.
#[track_caller]
pub fn assert_as_in(operation: &str, body: &Value) {
    let found = OPERATIONS.iter().find(|o| {
        let (method, path) = (o["method"].as_str(), o["path"].as_str());
        method.zip(path).map(|(m, p)| format!("{m} {p}")).as_deref() == Some(operation)
    });
    let example = &found.expect("an operation of the contract")["response_example"];
    let mut differences = Vec::new();
    compare(example, body, "", &mut differences);
    assert!(
        differences.is_empty(),
        "{operation}: {differences:?}\nin {body:#}"
    );
}

fn compare(example: &Value, actual: &Value, path: &str, differences: &mut Vec<String>) {
    match (example, actual) {
        (_, Value::Null) if example.is_null() || may_be_null(path) => {}
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, example) in wanted {
                let path = format!("{path}.{key}");
                match found.get(key) {
                    Some(value) => compare(example, value, &path, differences),
                    None => differences.push(format!("{path} is missing")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) => {
            for (n, value) in found.iter().enumerate() {
                if let Some(example) = wanted.first() {
                    compare(example, value, &format!("{path}[{n}]"), differences);
                }
            }
        }
        (Value::Number(wanted), Value::Number(found)) if wanted.is_f64() || found.is_i64() => {}
        (Value::Null, _)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::String(_), Value::String(_)) => {}
        _ => differences.push(format!("{path} is {actual}, in the example {example}")),
    }
}

/// Only what can be absent: never an id, an envelope, a time of creation, or a count.
fn may_be_null(path: &str) -> bool {
    const NEVER: [&str; 10] = [
        "id",
        "full_name",
        "duplicate",
        "default",
        "primary",
        "created_at",
        "updated_at",
        "total_count",
        "per_page",
        "status",
    ];
    let depth = path.matches('.').count();
    let last = path.rsplit('.').next().unwrap_or_default();
    depth > 1 && !NEVER.contains(&last)
}

#[test]
fn a_missing_key_and_a_wrong_type_are_told() {
    let mut differences = Vec::new();
    let example = serde_json::json!({"a": {"id": 0, "name": "text", "list": [{"x": true}]}});
    let actual = serde_json::json!({"a": {"id": "0", "list": [{"x": null}, {"x": 1}]}});
    compare(&example, &actual, "", &mut differences);
    assert_eq!(differences.len(), 3, "{differences:?}");
}
