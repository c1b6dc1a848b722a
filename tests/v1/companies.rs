//! Companies: create, list, get.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids, int};

#[tokio::test]
async fn whoever_creates_a_company_owns_it() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let call = server.post("/api/v1/companies").token(&ana.token);
    let answer = call
        .json(&json!({"name": " Acme ", "default": false, "parent_company_id": null}))
        .expect_answer(201)
        .await;
    assert_as_in("POST /api/v1/companies", &answer.body);
    let company = &answer.body["company"];
    assert_eq!(
        (&company["name"], &company["cycles"], &company["region"]),
        (&json!("Acme"), &json!(false), &json!("US"))
    );
    let path = format!("/api/v1/companies/{}", company["id"]);
    let shown = server.get(&path).token(&ana.token).expect_answer(200).await;
    assert_as_in("GET /api/v1/companies/{id}", &shown.body);
    assert_eq!(shown.body, answer.body);
    assert_eq!(shown.header("etag"), answer.header("etag"));
    let me = server
        .get("/api/v1/users/validate_jwt")
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(me["user"]["primary_access"]["access_id"], Role::Owner.id());
    assert_eq!(me["user"]["primary_company"]["id"], company["id"]);
}

#[tokio::test]
async fn a_company_that_is_not_the_callers_is_not_found() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let path = format!("/api/v1/companies/{company}");
    server.get(&path).token(&eve.token).expect(404).await;
    server
        .get("/api/v1/companies/999999")
        .token(&ana.token)
        .expect(404)
        .await;
    server.get(&path).expect(401).await;
    server.get(&path).token("x.y.z").expect(401).await;
    server
        .get(&path)
        .token(&server.owner().await.token)
        .expect(200)
        .await;
    for path in [
        "/api/v1/companies/abc",
        "/api/v1/companies/9223372036854775808",
    ] {
        server.get(path).token(&ana.token).expect(400).await;
    }
    server
        .get("/api/v1/companies/-1")
        .token(&ana.token)
        .expect(404)
        .await;
}

#[tokio::test]
async fn a_subsidiary_takes_an_administrator_above_and_inherits_the_region() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let parent = server
        .company_with(&ana, json!({"name": "Parent", "region": "MX"}))
        .await;
    let admin = server
        .member(parent, &ana, Role::Admin, "Adam")
        .await
        .person;
    let manager = server
        .member(parent, &ana, Role::Manager, "Mia")
        .await
        .person;
    let eve = server.sign_up("Eve").await;
    let body = json!({"name": "Child", "parent_company_id": parent});
    let post = |token: &str| server.post("/api/v1/companies").token(token).json(&body);
    let child = post(&admin.token).expect(201).await;
    assert_eq!(child["company"]["parent_company_id"], parent);
    assert_eq!(child["company"]["region"], "MX");
    post(&manager.token).expect(403).await;
    let refused = post(&eve.token).expect(422).await;
    assert!(
        refused["errors"]["parent_company_id"].is_array(),
        "{refused}"
    );
    // Every role above holds below.
    let path = format!("/api/v1/companies/{}", child["company"]["id"]);
    for person in [&ana, &admin, &manager] {
        server.get(&path).token(&person.token).expect(200).await;
    }
}

#[tokio::test]
async fn the_default_company_is_where_a_user_lands() {
    let server = TestServer::start().await;
    let owner = server.owner().await;
    let made = server
        .company_with(&owner, json!({"name": "New default", "default": true}))
        .await;
    let path = format!("/api/v1/companies/{made}");
    let company = server.get(path).token(&owner.token).expect(200).await;
    assert_eq!(company["company"]["default"], true);
}

#[tokio::test]
async fn a_company_takes_a_name_and_a_known_region() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    for (field, body) in [
        ("name", json!({"name": "  "})),
        ("name", json!({})),
        ("name", json!({"name": null})),
        ("name", json!({"name": "x".repeat(201)})),
        ("name", json!({"name": "a\u{7}b"})),
        ("name", json!({"name": "a\u{0}b"})),
        ("region", json!({"name": "A", "region": "XX"})),
        ("default", json!({"name": "A", "default": "yes"})),
        (
            "parent_company_id",
            json!({"name": "A", "parent_company_id": "1"}),
        ),
        (
            "parent_company_id",
            json!({"name": "A", "parent_company_id": 999_999}),
        ),
    ] {
        let refused = server
            .post("/api/v1/companies")
            .token(&ana.token)
            .json(&body)
            .expect(422)
            .await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    server
        .post("/api/v1/companies")
        .json(&json!({"name": "A"}))
        .expect(401)
        .await;
}

#[tokio::test]
async fn companies_are_listed_with_those_below_them() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let root = server.company(&ana, "Ácme Root").await;
    let child = server
        .company_with(&ana, json!({"name": "Child", "parent_company_id": root}))
        .await;
    let leaf = server
        .company_with(&ana, json!({"name": "Leaf", "parent_company_id": child}))
        .await;
    let agent = server.member(child, &ana, Role::Agent, "Abel").await.person;
    let foreign = server.company(&eve, "Acme too").await;
    let list = async |token: &str, query: &str| -> Vec<i64> {
        let answer = server
            .get(format!("/api/v1/companies?{query}"))
            .token(token)
            .expect(200)
            .await;
        assert_as_in("GET /api/v1/companies", &answer);
        let mut found = ids(&answer["companies"]);
        found.sort_unstable();
        found
    };
    assert_eq!(list(&ana.token, "").await, [root, child, leaf]);
    assert_eq!(list(&agent.token, "").await, [child, leaf]);
    assert_eq!(list(&eve.token, "").await, [foreign]);
    assert_eq!(list(&ana.token, "search=acme").await, [root]);
    assert_eq!(
        list(&ana.token, &format!("parent_company_id={child}")).await,
        [leaf]
    );
    assert_eq!(list(&server.owner().await.token, "").await.len(), 5);
    server.get("/api/v1/companies").expect(401).await;
}

#[tokio::test]
async fn the_list_is_walked_by_page_and_by_cursor() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(server.company(&ana, &format!("Company {n}")).await);
    }
    let get = |query: String| {
        server
            .get(format!("/api/v1/companies?{query}"))
            .token(&ana.token)
            .expect(200)
    };
    let (mut by_page, mut by_cursor) = (Vec::new(), Vec::new());
    let mut page = get("per_page=3".to_owned()).await;
    assert_eq!(
        (
            int(&page["meta"]["total_count"]),
            int(&page["meta"]["total_pages"])
        ),
        (7, 3)
    );
    loop {
        by_page.extend(ids(&page["companies"]));
        let Some(next) = page["meta"]["next_page"].as_i64() else {
            break;
        };
        page = get(format!("per_page=3&page={next}")).await;
    }
    page = get("per_page=3".to_owned()).await;
    loop {
        by_cursor.extend(ids(&page["companies"]));
        let Some(next) = page["meta"]["next_cursor"].as_str() else {
            break;
        };
        page = get(format!("per_page=3&cursor={next}")).await;
    }
    assert_eq!(by_page, by_cursor);
    by_page.sort_unstable();
    assert_eq!(by_page, made);
    let beyond: Value = get("page=50".to_owned()).await;
    assert_eq!(beyond["companies"], json!([]));
}
