//! The refusals that follow from an operation's form, made from its description: no token, a token without the scope, ids of
//! nothing, parameters and fields of another type, fields that are missing, bodies that are no JSON, too large or of another
//! media type, a version that is not there, a key that stands for another request.

use axum::http::Method;
use chrono::DateTime;
use leadledger::api::layers::IMPORT_JSON_LIMIT;
use leadledger::clock::Clock;
use serde_json::{Value, json};

use super::scene::{SPENT_KEY, Scene};
use super::{Operation, Row};
use crate::server::{Call, TestServer};

/// An id that nothing has.
const NOTHING: &str = "999999";

/// Every refusal of this operation's form.
pub fn rows(scene: &Scene, document: &Value, operation: &Operation) -> Vec<Row> {
    let asked = Asked {
        scene,
        document,
        operation,
    };
    let mut rows = Vec::new();
    rows.extend(asked.without_right());
    rows.extend(asked.with_wrong_parameters());
    if operation.writes() {
        rows.extend(asked.with_wrong_headers());
    }
    rows.extend(asked.of_no_moment());
    let content = operation.described["requestBody"]["content"].as_object();
    for media_type in content.into_iter().flatten().map(|(name, _)| name) {
        // A form of several parts has rows of its own.
        if media_type.starts_with("multipart/") {
            continue;
        }
        rows.extend(asked.with_wrong_bodies(media_type));
        if media_type == "application/json" {
            rows.extend(asked.with_wrong_fields());
        }
    }
    rows
}

struct Asked<'a> {
    scene: &'a Scene,
    document: &'a Value,
    operation: &'a Operation,
}

impl Asked<'_> {
    fn row(&self, status: u16, code: &'static str, fields: &[&str], call: Call) -> Row {
        Row::new(&self.operation.name, status, code, fields, call)
    }

    /// The request to this path, without a token and a body.
    fn bare(&self, path: &str) -> Call {
        let method: Method = self.operation.method.parse().expect("a method");
        self.scene.server.call(method, format!("/api/v1{path}"))
    }

    /// By whoever may, with a good body.
    fn good(&self) -> Call {
        let call = self.bare(&self.path(None)).token(&self.scene.ana.token);
        self.with_body(call)
    }

    fn with_body(&self, call: Call) -> Call {
        let form = "application/x-www-form-urlencoded";
        let body = &self.operation.described["requestBody"]["content"];
        if body[form].is_object() {
            call.form("token=x&password=x".to_owned())
        } else if body.is_object() {
            call.json(&self.scene.body(&self.operation.name))
        } else {
            call
        }
    }

    /// The path with ids of what is there, but for this parameter's value.
    fn path(&self, instead: Option<(&str, &str)>) -> String {
        let name = &self.operation.name;
        let own = name.contains("/onboarding/") || name.contains("/providers");
        let user = if own {
            &self.scene.ana
        } else {
            &self.scene.place.member
        };
        let mut path = self.scene.place.path(name, user);
        if let Some((parameter, value)) = instead {
            let (template, query) = (&self.operation.path, path.split_once('?'));
            let plain = query.map_or(path.as_str(), |(plain, _)| plain);
            let places = template.split('/').zip(plain.split('/'));
            let there = format!("{{{parameter}}}");
            let parts = places.map(|(part, id)| if part == there { value } else { id });
            path = parts.collect::<Vec<_>>().join("/");
        }
        path
    }

    fn without_right(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let path = self.path(None);
        if !self.operation.takes_a_token() {
            return rows;
        }
        if self.operation.is_secured() {
            let call = self.with_body(self.bare(&path));
            rows.push(self.row(401, "unauthorized", &[], call));
        }
        let call = self.with_body(self.bare(&path).token("no.token.this"));
        rows.push(self.row(401, "unauthorized", &[], call));
        let [cycles, users] = &self.scene.tokens;
        let reads_cycles = self.operation.name == "GET /companies/{company_id}/cycles";
        let token = if reads_cycles { users } else { cycles };
        let call = self.with_body(self.bare(&path).token(token));
        rows.push(self.row(403, "forbidden", &[], call));
        rows
    }

    fn with_wrong_parameters(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let parameters = self.operation.described["parameters"].as_array();
        for parameter in parameters.into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name");
            let integer = is(&parameter["schema"], "integer");
            match parameter["in"].as_str().expect("a place") {
                "path" => {
                    let missing = self.path(Some((name, NOTHING)));
                    let call = self.bare(&missing).token(&self.scene.ana.token);
                    rows.push(self.row(404, "not_found", &[], self.with_body(call)));
                    // What is no number, or no text.
                    let wrong = if integer { "x" } else { "%FF" };
                    let wrong = self.path(Some((name, wrong)));
                    let call = self.bare(&wrong).token(&self.scene.ana.token);
                    let call = self.with_body(call);
                    rows.push(self.row(400, "malformed_path", &[name], call));
                }
                "query" => {
                    let path = self.path(None);
                    let path = path.split('?').next().expect("a path");
                    if parameter["required"] == true {
                        let call = self.bare(path).token(&self.scene.ana.token);
                        rows.push(self.row(400, "malformed_query", &[name], call));
                    }
                    // Two of one that is taken once, or what is no number.
                    let wrong = if integer || is(&parameter["schema"], "boolean") {
                        format!("{path}?{name}=x")
                    } else {
                        format!("{path}?{name}=1&{name}=2")
                    };
                    let call = self.bare(&wrong).token(&self.scene.ana.token);
                    rows.push(self.row(400, "malformed_query", &[name], self.with_body(call)));
                }
                _ => {}
            }
        }
        rows
    }

    /// Of a moment that has not come, and, where nobody needs to sign in for today, by who may not look back.
    fn of_no_moment(&self) -> Vec<Row> {
        let path = self.path(None);
        if !self.takes("as_of") {
            return Vec::new();
        }
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}as_of=2999-01-01T00:00:00Z");
        let call = self.bare(&path).token(&self.scene.ana.token);
        let mut rows = vec![self.row(422, "validation", &["as_of"], call)];
        if !self.operation.takes_a_token() {
            rows.push(self.row(401, "unauthorized", &[], self.bare(&path)));
            let [cycles, _] = &self.scene.tokens;
            rows.push(self.row(403, "forbidden", &[], self.bare(&path).token(cycles)));
        }
        rows
    }

    fn takes(&self, parameter: &str) -> bool {
        let parameters = self.operation.described["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        parameters.any(|taken| taken["name"] == parameter)
    }

    fn with_wrong_headers(&self) -> Vec<Row> {
        let name = "Idempotency-Key";
        if !self.takes(name) {
            return Vec::new();
        }
        let malformed = self.good().header(name, "with a space");
        let mut rows = vec![self.row(400, "malformed_header", &[name], malformed)];
        let reused = if self.operation.is_secured() {
            self.good()
        } else {
            self.with_body(self.bare(&self.path(None)))
        };
        let reused = reused.header(name, SPENT_KEY);
        rows.push(self.row(409, "idempotency_key_reused", &[], reused));
        if self.takes("If-Match") {
            let path = self.path(None);
            let own = path.contains(&format!("/users/{}", self.scene.ana.id));
            let caller = if own {
                &self.scene.ana
            } else {
                &self.scene.place.owner
            };
            let call = self.with_body(self.bare(&path).token(&caller.token));
            let call = call.header("If-Match", "\"0\"");
            rows.push(self.row(409, "version_conflict", &[], call));
        }
        rows
    }

    fn with_wrong_bodies(&self, media_type: &str) -> Vec<Row> {
        let path = self.path(None);
        let call = || self.bare(&path).token(&self.scene.ana.token);
        let pictures = self.operation.name.ends_with("/avatar");
        let limit = if pictures { 4 } else { 2 } * 1024 * 1024;
        let limit = if self.operation.name.ends_with("/import/leads") {
            IMPORT_JSON_LIMIT
        } else {
            limit
        };
        let typed = |media_type: &str, body: &str| {
            let body = body.as_bytes().to_vec();
            call().typed(media_type, body)
        };
        let json = media_type == "application/json";
        let large = if json {
            " ".repeat(limit + 1)
        } else {
            format!("token={}", "x".repeat(limit))
        };
        let mut rows = vec![
            self.row(413, "too_large", &[], typed(media_type, &large)),
            self.row(
                415,
                "unsupported_media_type",
                &[],
                typed("text/plain", "{}"),
            ),
        ];
        if json {
            let cut = typed(media_type, "{");
            rows.push(self.row(400, "malformed_body", &["body"], cut));
        } else {
            let lacking = typed(media_type, "lang=es");
            rows.push(self.row(422, "validation", &["body"], lacking));
        }
        rows
    }

    fn with_wrong_fields(&self) -> Vec<Row> {
        let good = self.scene.body(&self.operation.name);
        let (path, token) = (self.path(None), &self.scene.ana.token);
        let call = |body: &Value| self.bare(&path).token(token).json(body);
        let content = &self.operation.described["requestBody"]["content"];
        let schema = self.resolved(&content["application/json"]["schema"]);
        let required = schema["required"].as_array();
        let mut rows = Vec::new();
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let mut body = good.clone();
            body.as_object_mut().expect("an object").remove(name);
            rows.push(self.row(422, "validation", &[name], call(&body)));
        }
        let properties = schema["properties"].as_object();
        for (name, property) in properties.expect("a body's fields") {
            let property = self.resolved(property);
            let mut body = good.clone();
            body[name] = if is(&property, "string") {
                json!(5)
            } else {
                json!("x")
            };
            rows.push(self.row(422, "validation", &[name], call(&body)));
        }
        rows
    }

    /// The schema itself: behind a reference, of two of which one is null the other, and of several that hold together their sum.
    fn resolved(&self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let found = self.document.pointer(reference.trim_start_matches('#'));
            return self.resolved(found.expect("a schema of the document"));
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let (mut properties, mut required) = (serde_json::Map::new(), Vec::new());
            for part in parts.iter().map(|part| self.resolved(part)) {
                properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
                required.extend(part["required"].as_array().cloned().unwrap_or_default());
            }
            return json!({"type": "object", "properties": properties, "required": required});
        }
        let mut either = schema["oneOf"].as_array().into_iter().flatten();
        match either.find(|schema| schema["type"] != "null") {
            Some(other) => self.resolved(other),
            None => schema.clone(),
        }
    }
}

/// Whether values of the schema are, or may be, of this type.
fn is(schema: &Value, wanted: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == wanted,
        Value::Array(several) => several.iter().any(|one| one == wanted),
        _ => false,
    }
}

/// An integration token that has made all the requests it may: each operation refuses one more. Answers the server too,
/// where time stands still, so that the token stays spent.
pub async fn of_spent_tokens(operations: &[Operation]) -> (TestServer, Vec<Row>) {
    let clock = Clock::fixed(DateTime::from_timestamp(1_800_000_000, 0).expect("a moment"));
    let server = TestServer::start_by_with(clock, &["--token-rate", "1"]).await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let path = format!("/api/v1/companies/{company}/integration_tokens");
    let call = server.post(&path).token(&ana.token);
    let made = call.json(&json!({"scopes": ["cycles.readonly"]}));
    let made = made.expect(201).await;
    let secret = made["integration_token"]["token"].as_str();
    let secret = secret.expect("a secret");
    let cycles = format!("/api/v1/companies/{company}/cycles");
    server.get(cycles).token(secret).expect(200).await;
    let row = |operation: &Operation| {
        let method: Method = operation.method.parse().expect("a method");
        let parts = operation.path.split('/');
        let parts = parts.map(|part| if part.starts_with('{') { "1" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        let call = server.call(method, format!("/api/v1{path}")).token(secret);
        Row::new(&operation.name, 429, "too_many_requests", &[], call)
    };
    let limited = operations
        .iter()
        .filter(|operation| operation.refusals().contains(&429));
    let rows = limited.map(row).collect();
    (server, rows)
}
