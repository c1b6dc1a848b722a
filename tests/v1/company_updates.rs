//! Updating a company, and moving it in the tree.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::company_membership::attach;
use crate::contract::assert_as_in;
use crate::server::{Call, Person, TestServer, ids, int};

const FREE: i64 = 1;
const ENTERPRISE: i64 = 4;

fn path(company: i64) -> String {
    format!("/api/v1/companies/{company}")
}

fn put(server: &TestServer, person: &Person, company: i64, body: &Value) -> Call {
    server.put(path(company)).token(&person.token).json(body)
}

async fn child(server: &TestServer, person: &Person, parent: i64, name: &str) -> i64 {
    let body = json!({"name": name, "parent_company_id": parent});
    server.company_with(person, body).await
}

async fn sees(server: &TestServer, person: &Person, company: i64) -> bool {
    let call = server.get(path(company)).token(&person.token);
    call.answer().await.status == 200
}

#[tokio::test]
async fn a_company_changes_what_the_body_names() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let body = json!({"name": " Ácme 2 ", "region": "MX"});
    let updated = put(&server, &ana, company, &body).expect_answer(200).await;
    // The answer is a company as everywhere else.
    assert_as_in("GET /api/v1/companies/{id}", &updated.body);
    let shown = server.get(path(company)).token(&ana.token);
    let shown = shown.expect_answer(200).await;
    assert_eq!(shown.body, updated.body);
    assert_eq!(shown.header("etag"), updated.header("etag"));
    assert_eq!(shown.body["company"]["name"], "Ácme 2");
    assert_eq!(shown.body["company"]["region"], "MX");
    let found = server
        .get("/api/v1/companies?search=acme+2")
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(ids(&found["companies"]), [company]);
    // What changes nothing is no event.
    let events = server.events("company", company).await.len();
    put(
        &server,
        &ana,
        company,
        &json!({"name": "Ácme 2", "region": "MX", "default": false, "parent_company_id": null}),
    )
    .expect(200)
    .await;
    assert_eq!(server.events("company", company).await.len(), events);
    // From now on phone numbers are read there.
    let lead = json!({"phone_number": "55 1234 5678"});
    let lead = server.lead(&ana, company, lead).await;
    assert_eq!(lead["phone_number"], "+525512345678");
    server.assert_sound().await;
}

#[tokio::test]
async fn an_update_is_bound_to_the_version_that_the_caller_knows() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let shown = server.get(path(company)).token(&ana.token);
    let tag = shown.expect_answer(200).await.header("etag").to_owned();
    let rename =
        |name: &str| put(&server, &ana, company, &json!({"name": name})).header("if-match", &tag);
    rename("First").expect(200).await;
    rename("Second").expect(409).await;
    let shown = server.get(path(company)).token(&ana.token).expect(200);
    assert_eq!(shown.await["company"]["name"], "First");
}

#[tokio::test]
async fn every_wrong_field_of_an_update_is_named() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    for (field, body) in [
        ("name", json!({"name": " "})),
        ("name", json!({"name": 7})),
        ("name", json!({"name": "x".repeat(201)})),
        ("region", json!({"region": "XX"})),
        ("default", json!({"default": "yes"})),
        ("parent_company_id", json!({"parent_company_id": "1"})),
        ("parent_company_id", json!({"parent_company_id": -1})),
        ("parent_company_id", json!({"parent_company_id": 999_999})),
        ("parent_company_id", json!({"parent_company_id": company})),
    ] {
        let refused = put(&server, &ana, company, &body).expect(422).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    let call = server.put(path(company)).token(&ana.token).raw("{");
    call.expect(400).await;
}

#[tokio::test]
async fn an_update_takes_an_administrator_there_where_it_was_and_where_it_goes() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let company = child(&server, &ana, root, "Child").await;
    let admin = server.member(company, &ana, Role::Admin, "Adam").await;
    let manager = server.member(company, &ana, Role::Manager, "Mia").await;
    let eve = server.sign_up("Eve").await;
    let eves = server.company(&eve, "Eve's").await;
    let rename = json!({"name": "New"});
    let call = server.put(path(company)).json(&rename);
    call.expect(401).await;
    for (person, status) in [(&admin.person, 200), (&manager.person, 403), (&eve, 404)] {
        let call = put(&server, person, company, &rename);
        call.expect(status).await;
    }
    // Out of the tree, by one who administers the child alone.
    let own = server.company(&admin.person, "Adam's").await;
    for to in [json!(own), Value::Null] {
        let body = json!({"parent_company_id": to});
        let call = put(&server, &admin.person, company, &body);
        call.expect(403).await;
    }
    // Under a company of which the caller is a mere member, and under one that they do not see.
    let grant = json!({"company_id": eves, "access_id": Role::Agent.id()});
    let access = format!("/api/v1/users/{}/user_access", ana.id);
    let owner = server.owner().await;
    let call = server.post(access).token(&owner.token).json(&grant);
    call.expect(201).await;
    for (to, status) in [(eves, 403), (own, 422)] {
        let body = json!({"parent_company_id": to});
        put(&server, &ana, root, &body).expect(status).await;
    }
    let tree = server.get(path(company)).token(&ana.token).expect(200);
    assert_eq!(tree.await["company"]["parent_company_id"], root);
}

#[tokio::test]
async fn what_moves_takes_all_below_it_and_the_roles_above_follow_its_place() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (one, two) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let middle = child(&server, &ana, one, "Middle").await;
    let low = child(&server, &ana, middle, "Low").await;
    let lowest = child(&server, &ana, low, "Leaf").await;
    let of_one = server.member(one, &ana, Role::Agent, "Uno").await;
    let of_two = server.member(two, &ana, Role::Agent, "Dos").await;
    let of_low = server.member(low, &ana, Role::Agent, "Lou").await;
    let source = server.source(&ana, lowest, "Web").await;
    let territory = server.territory(&ana, one, "North").await;
    let people = format!("{}/sources/{source}/user_access", path(lowest));
    for member in [&of_one, &of_low] {
        let body = json!({"user_access_id": member.access_id});
        let call = server.post(&people).token(&ana.token).json(&body);
        call.expect(201).await;
    }
    let mut leads = Vec::new();
    for member in [&of_one, &of_low] {
        let body = json!({"first_name": "L", "user_access_id": member.access_id, "territory_id": territory});
        let lead = server.lead(&ana, lowest, body).await;
        leads.push(format!("/api/v1/leads/{}", lead["id"]));
    }
    assert!(sees(&server, &of_one.person, lowest).await);
    assert!(!sees(&server, &of_two.person, lowest).await);

    let body = json!({"parent_company_id": two});
    let moved = put(&server, &ana, middle, &body).expect(200).await;
    assert_eq!(moved["company"]["parent_company_id"], two);
    for company in [middle, low, lowest] {
        assert!(!sees(&server, &of_one.person, company).await);
        assert!(sees(&server, &of_two.person, company).await);
    }
    assert!(sees(&server, &of_low.person, lowest).await);
    let shown = async |lead: &str| {
        let call = server.get(lead).token(&ana.token);
        call.expect(200).await["lead"].clone()
    };
    // Whose role stayed behind has lost it; the lead's classification is as it was.
    assert_eq!(shown(&leads[0]).await["user_access"], Value::Null);
    assert_eq!(shown(&leads[0]).await["territory"]["name"], "North");
    let kept = shown(&leads[1]).await;
    assert_eq!(kept["user_access"]["id"], of_low.access_id);
    let list = server
        .get(format!("{}/sources", path(lowest)))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(
        ids(&list["sources"][0]["user_accesses"]),
        [of_low.access_id]
    );
    // What is made under it now lies in the new tree, and so does what moves on.
    let new = child(&server, &ana, lowest, "New").await;
    assert!(sees(&server, &of_two.person, new).await);
    let body = json!({"parent_company_id": one});
    put(&server, &ana, low, &body).expect(200).await;
    assert!(sees(&server, &of_one.person, new).await);
    assert!(!sees(&server, &of_two.person, new).await);
    server.assert_sound().await;
}

#[tokio::test]
async fn nothing_moves_under_itself() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let middle = child(&server, &ana, root, "Middle").await;
    let lowest = child(&server, &ana, middle, "Leaf").await;
    for (company, to) in [
        (root, root),
        (root, middle),
        (root, lowest),
        (middle, lowest),
    ] {
        let body = json!({"parent_company_id": to});
        let refused = put(&server, &ana, company, &body).expect(422).await;
        assert!(
            refused["errors"]["parent_company_id"].is_array(),
            "{refused}"
        );
    }
    // Of two moves that would close a circle together, one is refused, whichever server they come to.
    let other = server.beside().await;
    for round in 0..5 {
        let a = server.company(&ana, &format!("A{round}")).await;
        let b = server.company(&ana, &format!("B{round}")).await;
        let under = |node, company, to: i64| {
            put(node, &ana, company, &json!({"parent_company_id": to})).answer()
        };
        let (first, second) = tokio::join!(under(&server, a, b), under(&other, b, a));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422]);
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn what_stands_alone_has_an_owner() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let company = child(&server, &ana, root, "Child").await;
    let alone = json!({"parent_company_id": null});
    let refused = put(&server, &ana, company, &alone).expect(422).await;
    assert!(
        refused["errors"]["parent_company_id"].is_array(),
        "{refused}"
    );
    let oda = server.member(company, &ana, Role::Owner, "Oda").await;
    let moved = put(&server, &ana, company, &alone).expect(200).await;
    assert_eq!(moved["company"]["parent_company_id"], Value::Null);
    assert!(!sees(&server, &ana, company).await);
    assert!(sees(&server, &oda.person, company).await);
}

#[tokio::test]
async fn a_tree_has_one_company_that_users_land_on() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (one, two) = (
        server.company(&ana, "One").await,
        server.company(&ana, "Two").await,
    );
    let low = child(&server, &ana, one, "Low").await;
    let lower = child(&server, &ana, low, "Lower").await;
    let defaults = async || {
        let list = server.get("/api/v1/companies").token(&ana.token);
        let list = list.expect(200).await;
        let rows = list["companies"].as_array().expect("a list").iter();
        let mut found: Vec<i64> = rows
            .filter(|row| row["default"] == true)
            .map(|row| int(&row["id"]))
            .collect();
        found.sort_unstable();
        found
    };
    let set = async |company: i64| {
        put(&server, &ana, company, &json!({"default": true}))
            .expect(200)
            .await;
    };
    set(lower).await;
    set(two).await;
    assert_eq!(defaults().await, [two, lower]);
    set(one).await;
    assert_eq!(defaults().await, [one, two]);
    set(low).await;
    assert_eq!(defaults().await, [two, low]);
    // One that is created so takes it over as well.
    let body = json!({"name": "New", "parent_company_id": lower, "default": true});
    let new = server.company_with(&ana, body).await;
    assert_eq!(defaults().await, [two, new]);
    // What comes into a tree gives way to the one that is there.
    let body = json!({"parent_company_id": two});
    put(&server, &ana, low, &body).expect(200).await;
    assert_eq!(defaults().await, [two]);
    let body = json!({"parent_company_id": one, "default": true});
    put(&server, &ana, low, &body).expect(200).await;
    assert_eq!(defaults().await, [two, low]);
    server.assert_sound().await;
}

#[tokio::test]
async fn the_plan_above_the_new_place_has_room_for_what_comes_under_it() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let (plan, other) = (
        server.company(&ana, "Plan").await,
        server.company(&ana, "Other").await,
    );
    child(&server, &ana, other, "Below").await;
    attach(&server, &ana, plan, FREE).await;
    let body = json!({"parent_company_id": plan});
    let refused = put(&server, &ana, other, &body).expect(422).await;
    assert_eq!(refused["code"], "plan_limit");
    assert!(refused["errors"]["companies"].is_array(), "{refused}");
    // What has a plan of its own stays under that, and a bigger plan has room.
    let own = server.company(&ana, "Own").await;
    attach(&server, &ana, own, FREE).await;
    put(&server, &ana, own, &body).expect(200).await;
    attach(&server, &ana, plan, ENTERPRISE).await;
    put(&server, &ana, other, &body).expect(200).await;
    server.assert_sound().await;
}
