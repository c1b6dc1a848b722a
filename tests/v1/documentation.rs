//! The description is enough to write a client from: every operation says what it does, every parameter and every field of a
//! request says what it is, every tag what it is about.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::server::TestServer;

/// A schema behind its references; of two of which one is null the other.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return resolved(document, found.expect("a schema of the document"));
    }
    let mut either = schema["oneOf"].as_array().into_iter().flatten();
    match either.find(|schema| schema["type"] != "null") {
        Some(other) => resolved(document, other),
        None => schema,
    }
}

fn is_said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// What the fields of a request lack, those of its parts included.
fn unsaid(document: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let properties = schema["properties"].as_object();
    for (name, field) in properties.into_iter().flatten() {
        let at = format!("{at}.{name}");
        let inner = resolved(document, field);
        if !is_said(&field["description"]) && !is_said(&inner["description"]) {
            found.push(format!("{at} is not described"));
        }
        let is = |kind: &str| {
            let several = inner["type"].as_array().into_iter().flatten();
            inner["type"] == kind || several.into_iter().any(|one| one == kind)
        };
        let parts = is("object") || is("array");
        let told = ["example", "examples", "enum", "default"];
        let told = |schema: &Value| told.iter().any(|key| !schema[key].is_null());
        if !parts && !told(field) && !told(inner) {
            found.push(format!("{at} has no example"));
        }
        unsaid(document, inner, &at, found);
    }
    if schema["items"].is_object() {
        unsaid(document, &schema["items"], &format!("{at}[]"), found);
    }
}

#[tokio::test]
async fn every_operation_says_what_it_does_and_takes() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").expect(200).await;
    let tags = document["tags"].as_array().expect("tags");
    let (mut wrong, mut names) = (Vec::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{} {path}", method.to_uppercase());
            if !names.insert(operation["operationId"].to_string()) {
                wrong.push(format!("{name}: another operation has its id"));
            }
            if !is_said(&operation["summary"]) {
                wrong.push(format!("{name} has no summary"));
            }
            for tag in operation["tags"].as_array().expect("a tag") {
                let known = tags.iter().find(|known| known["name"] == *tag);
                if !known.is_some_and(|known| is_said(&known["description"])) {
                    wrong.push(format!("{name}: the tag {tag} is not described"));
                }
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if !is_said(&parameter["description"]) {
                    wrong.push(format!("{name}: {} is not described", parameter["name"]));
                }
            }
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                if status != "default" && !is_said(&answer["description"]) {
                    wrong.push(format!("{name}: {status} is not described"));
                }
                let refusal = status.starts_with('4') && path.starts_with("/api/");
                let problem = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                if refusal && problem != "#/components/schemas/Problem" {
                    wrong.push(format!("{name}: {status} is not described as a problem"));
                }
            }
            let body = operation["requestBody"]["content"].as_object();
            for (_, body) in body.into_iter().flatten() {
                if path.starts_with("/api/") {
                    unsaid(&document, &body["schema"], &name, &mut wrong);
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} lack words:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn the_guide_tells_what_belongs_to_no_operation() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").expect(200).await;
    let guide = document["info"]["description"].as_str().expect("a guide");
    for told in [
        "/api/v1/users/login",
        "Authorization: Bearer",
        "next_cursor",
        "Idempotency-Key",
        "If-Match",
        "X-Reason",
        "problem+json",
    ] {
        assert!(guide.contains(told), "{told}");
    }
}
