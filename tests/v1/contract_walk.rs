//! The published contract against what is served and against these tests: no operation of it may be missing, be called
//! differently, or go without a comparison of its answer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::role_table::Place;
use crate::server::TestServer;

/// Its answer hides values that the example shows, so that the test of invitations compares the whole of it.
const COMPARED_AS_A_WHOLE: &str = "GET /api/v1/invitations/{code}";

/// Statuses that the decisions took away from the contract, with what is answered instead.
const DECIDED_AWAY: [(&str, u64); 4] = [
    // It takes no body, and a repeat answers the first time.
    ("PUT /api/v1/users/{user_id}/onboarding/complete", 422),
    // An unknown e-mail has an empty list, or it would tell who has an account.
    ("GET /api/v1/invitations/pending", 404),
    // Wrong e-mail and wrong password are both a 401.
    ("POST /api/v1/users/login", 404),
    // Known or not, an e-mail gets the same 200.
    ("POST /api/v1/users/reset_password", 404),
];

/// The contract's operations with their names.
fn contract() -> Vec<(String, Value)> {
    let operations: Vec<Value> =
        serde_json::from_str(include_str!("../contract/leadsy-v1.json")).expect("JSON");
    assert_eq!(operations.len(), 71);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let named = operations.into_iter().map(|operation| {
        let name = format!(
            "{} {}",
            text(&operation["method"]),
            text(&operation["path"])
        );
        (name, operation)
    });
    named.collect()
}

/// The path without the names of its parameters, which no client sees.
fn shape(path: &str) -> String {
    let part = |part: &str| match part.strip_prefix('{') {
        Some(_) => "{}".to_owned(),
        None => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What the description says of an operation.
fn described<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    let (method, path) = name.split_once(' ')?;
    let paths = document["paths"].as_object()?;
    let served = paths
        .iter()
        .filter(|(served, _)| shape(served) == shape(path));
    let mut operations = served.filter_map(|(_, item)| item.get(method.to_lowercase()));
    operations.next()
}

#[tokio::test]
async fn every_operation_of_the_contract_is_served_as_published() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").expect(200).await;
    let mut wrong = Vec::new();
    for (name, operation) in contract() {
        let Some(described_as) = described(&document, &name) else {
            wrong.push(format!("{name} is not served"));
            continue;
        };
        let success = &operation["success"]["status"];
        if described_as["responses"].get(success.to_string()).is_none() {
            wrong.push(format!("{name} does not answer {success}"));
        }
        let errors = operation["errors"].as_array().expect("a list of statuses");
        // A fault of the server is described by no operation, because none is meant to have one.
        let refusals = errors.iter().filter_map(Value::as_u64);
        for status in refusals.filter(|status| *status != 500) {
            let described = described_as["responses"].get(status.to_string()).is_some();
            let decided = DECIDED_AWAY.contains(&(name.as_str(), status));
            if described == decided {
                wrong.push(format!("{name} and the error {status}"));
            }
        }
        let parameters = described_as["parameters"].as_array();
        let known: BTreeSet<&str> = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        for parameter in operation["query"].as_object().expect("parameters").keys() {
            if !known.contains(parameter.as_str()) {
                wrong.push(format!("{name} does not take {parameter}"));
            }
        }
        if operation["body"].is_object() && described_as["requestBody"].is_null() {
            wrong.push(format!("{name} takes no body"));
        }
        let open = operation["headers"].get("Authorization").is_none();
        if !open
            && described_as["security"]
                .as_array()
                .is_none_or(Vec::is_empty)
        {
            wrong.push(format!("{name} asks for no token"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operation_of_the_contract_has_its_answer_compared() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/v1");
    let mut sources = String::new();
    for entry in fs::read_dir(here).expect("the tests' folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(path).expect("a test's source"));
        }
    }
    let dense: String = sources.split_whitespace().collect();
    let missing: Vec<_> = contract()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name != COMPARED_AS_A_WHOLE)
        .filter(|name| !dense.contains(&format!("assert_as_in(\"{}\"", name.replace(' ', ""))))
        .collect();
    assert!(missing.is_empty(), "no answer compared: {missing:#?}");
}

#[tokio::test]
async fn what_is_taken_away_answers_an_empty_object() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let place = Place::in_company(&server, &ana, company).await;
    let take = async |path: String| {
        let taken = server.delete(&path).token(&ana.token).expect(200).await;
        assert_eq!(taken, json!({}), "{path}");
        server.delete(&path).token(&ana.token).expect(404).await;
        taken
    };
    let (lead, source, access) = (place.lead, place.source, place.access);
    let here = format!("/api/v1/companies/{company}");

    let taken = take(format!("/api/v1/leads/{lead}/notes/{}", place.note)).await;
    assert_as_in("DELETE /api/v1/leads/{lead_id}/notes/{id}", &taken);
    let taken = take(format!("{here}/questions/{}", place.question)).await;
    assert_as_in(
        "DELETE /api/v1/companies/{company_id}/questions/{id}",
        &taken,
    );
    let taken = take(format!("/api/v1/invitations/{}", place.invitation)).await;
    assert_as_in("DELETE /api/v1/invitations/{id}", &taken);
    let taken = take(format!("{here}/sources/{source}/user_access/{access}")).await;
    assert_as_in(
        "DELETE /api/v1/companies/{company_id}/sources/{source_id}/user_access/{user_access_id}",
        &taken,
    );
    let taken = take(format!("{here}/sources/{source}")).await;
    assert_as_in("DELETE /api/v1/companies/{company_id}/sources/{id}", &taken);
    let path = format!("/api/v1/users/{}/user_access/{access}", place.member.id);
    let taken = take(path).await;
    assert_as_in(
        "DELETE /api/v1/users/{user_id}/user_access/{user_access_id}",
        &taken,
    );
}

#[tokio::test]
async fn a_user_is_the_same_by_id_and_by_e_mail() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    server.company(&ana, "Acme").await;
    let get = |path: String| server.get(path).token(&ana.token).expect(200);
    let by_id = get(format!("/api/v1/users/{}", ana.id)).await;
    assert_as_in("GET /api/v1/users/{id}", &by_id);
    let by_email = get(format!("/api/v1/users/find_by_email?email={}", ana.email)).await;
    assert_as_in("GET /api/v1/users/find_by_email", &by_email);
    assert_eq!(by_id["user"]["id"], by_email["user"]["id"]);
}
