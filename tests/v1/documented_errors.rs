//! Every refusal that the description promises, provoked: each operation of API V1, each of its error statuses, at least one
//! request that brings it about. What follows from an operation's form is made from the description itself (`by_form`);
//! the rules have rows of their own, a file a group. A documented status without a row fails, and so does a row that
//! provokes what is not documented.

mod by_form;
mod catalogues;
mod companies;
mod imports;
mod leads;
mod people;
mod scene;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::problems::assert_problem;
use crate::server::Call;
use scene::Scene;

/// What no request can bring about, and why.
const NEVER_MET: [(&str, u16); 1] = [
    // The first run publishes terms: only an installation that is older than they are has none.
    ("GET /legal_terms/current", 404),
];

/// One request and the refusal that it must meet.
pub struct Row {
    operation: String,
    status: u16,
    code: &'static str,
    /// Fields, parameters or headers that the problem must name.
    fields: Vec<String>,
    call: Call,
}

impl Row {
    fn new(operation: &str, status: u16, code: &'static str, fields: &[&str], call: Call) -> Self {
        Self {
            operation: operation.to_owned(),
            status,
            code,
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            call,
        }
    }
}

/// An operation of the description.
pub struct Operation {
    /// As in `PUT /leads/{id}`.
    name: String,
    method: String,
    path: String,
    described: Value,
}

impl Operation {
    /// The error statuses that it documents.
    fn refusals(&self) -> BTreeSet<u16> {
        let answers = self.described["responses"].as_object().expect("answers");
        let statuses = answers.keys().filter_map(|status| status.parse().ok());
        statuses.filter(|status| *status >= 400).collect()
    }

    fn takes_a_token(&self) -> bool {
        let asked = self.described["security"].as_array();
        asked.is_some_and(|schemes| !schemes.is_empty())
    }

    /// Whether it does nothing without a token.
    fn is_secured(&self) -> bool {
        let schemes = self.described["security"].as_array();
        self.takes_a_token() && schemes.is_some_and(|schemes| !schemes.contains(&json!({})))
    }

    fn writes(&self) -> bool {
        self.method != "GET"
    }
}

/// Every operation of API V1.
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let Some(path) = path.strip_prefix("/api/v1") else {
            continue;
        };
        for (method, described) in item.as_object().expect("operations") {
            let method = method.to_uppercase();
            found.push(Operation {
                name: format!("{method} {path}"),
                method,
                path: path.to_owned(),
                described: described.clone(),
            });
        }
    }
    assert!(found.len() > 80, "only {} operations", found.len());
    found
}

#[tokio::test]
async fn every_documented_refusal_is_met() {
    let scene = Scene::set().await;
    let document = scene.server.get("/openapi.json").expect(200).await;
    let operations = operations(&document);
    let mut rows = Vec::new();
    let by_hand = |operation: &&Operation| uploads::BY_HAND.contains(&operation.name.as_str());
    for operation in operations.iter().filter(|operation| !by_hand(operation)) {
        rows.extend(by_form::rows(&scene, &document, operation));
    }
    let (_still, spent) = by_form::of_spent_tokens(&operations).await;
    rows.extend(spent);
    rows.extend(people::rows(&scene).await);
    rows.extend(companies::rows(&scene).await);
    rows.extend(leads::rows(&scene).await);
    rows.extend(imports::rows(&scene).await);
    rows.extend(uploads::rows(&scene).await);
    rows.extend(catalogues::rows(&scene).await);

    let guide = document["info"]["description"].as_str();
    let guide = guide.expect("a guide");
    let mut wrong = Vec::new();
    let mut met: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for row in rows {
        let name = format!("{} {}", row.operation, row.status);
        let answer = row.call.answer().await;
        if answer.status != row.status || answer.body["code"] != row.code {
            let (status, body) = (answer.status, &answer.body);
            wrong.push(format!("{name} {}: {status} {body}", row.code));
            continue;
        }
        assert_problem(&answer);
        if !guide.contains(&format!("`{}`", row.code)) {
            wrong.push(format!("{name}: the guide does not list {}", row.code));
        }
        let named = answer.body["errors"].as_object();
        let missing = |field: &&String| named.is_none_or(|named| !named.contains_key(*field));
        if let Some(field) = row.fields.iter().find(missing) {
            wrong.push(format!("{name}: {field} is not named in {}", answer.body));
        }
        met.entry(row.operation).or_default().insert(row.status);
    }
    for operation in &operations {
        let documented = operation.refusals();
        let mut met = met.remove(&operation.name).unwrap_or_default();
        for (name, status) in NEVER_MET {
            if name == operation.name && !met.insert(status) {
                wrong.push(format!("{name} is met with {status} after all"));
            }
        }
        for status in documented.difference(&met) {
            wrong.push(format!("{}: no row meets {status}", operation.name));
        }
        for status in met.difference(&documented) {
            wrong.push(format!("{}: {status} is not documented", operation.name));
        }
    }
    wrong.extend(
        met.into_keys()
            .map(|name| format!("{name} is no operation")),
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
