//! Sources: create, list, reorder, delete, and who is served from them.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{Person, TestServer, ids, int};

fn path(company: i64) -> String {
    format!("/api/v1/companies/{company}/sources")
}

/// Id and priority of each source, in the list's order.
async fn order(server: &TestServer, person: &Person, company: i64) -> Vec<(i64, i64)> {
    let list = server
        .get(path(company))
        .token(&person.token)
        .expect(200)
        .await;
    let rows = list["sources"].as_array().expect("a list").iter();
    rows.map(|row| (int(&row["id"]), int(&row["priority"])))
        .collect()
}

#[tokio::test]
async fn a_source_is_created_last_listed_in_order_and_deleted_without_a_gap() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let post = |name: &str| {
        let call = server.post(path(company)).token(&ana.token);
        call.json(&json!({"name": name}))
    };
    let web = post(" Web ").expect(201).await;
    assert_as_in("POST /api/v1/companies/{company_id}/sources", &web);
    assert_eq!(web["source"]["name"], "Web");
    assert_eq!(web["source"]["priority"], 1);
    assert_eq!(web["source"]["user_accesses"], json!([]));
    let (web, fair, radio) = (
        int(&web["source"]["id"]),
        server.source(&ana, company, "Fair").await,
        server.source(&ana, company, "Radio").await,
    );
    let list = server
        .get(path(company))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_as_in("GET /api/v1/companies/{company_id}/sources", &list);
    assert_eq!(list["meta"]["total_count"], 3);
    assert_eq!(
        order(&server, &ana, company).await,
        [(web, 1), (fair, 2), (radio, 3)]
    );

    let one = format!("{}/{fair}", path(company));
    let deleted = server.delete(&one).token(&ana.token).expect(200).await;
    assert_eq!(deleted, json!({}));
    assert_eq!(order(&server, &ana, company).await, [(web, 1), (radio, 2)]);
    server.delete(&one).token(&ana.token).expect(404).await;
    // A deleted source's name is free again.
    let again = post("FAIR").expect(201).await;
    assert_eq!(again["source"]["priority"], 3);
    assert_ne!(again["source"]["id"], fair);
    server.assert_sound().await;
}

#[tokio::test]
async fn a_source_has_a_name_of_its_own() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let other = server.company(&ana, "Other").await;
    server.source(&ana, company, "Día").await;
    server.source(&ana, other, "día").await;
    let post = || server.post(path(company)).token(&ana.token);
    for body in [
        json!({}),
        json!({"name": null}),
        json!({"name": 7}),
        json!({"name": " "}),
        json!({"name": "x".repeat(201)}),
        json!({"name": "a\u{0}b"}),
        json!({"name": " DÍA"}),
    ] {
        let refused = post().json(&body).expect(422).await;
        assert!(refused["errors"]["name"].is_array(), "{body}: {refused}");
    }
    post()
        .json(&json!({"name": "ñ".repeat(200)}))
        .expect(201)
        .await;
    post().raw("{\"name\":").expect(400).await;
    server
        .post("/api/v1/companies/x/sources")
        .token(&ana.token)
        .json(&json!({"name": "A"}))
        .expect(400)
        .await;
}

#[tokio::test]
async fn a_reorder_takes_every_source_exactly_once() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let other = server.company(&ana, "Other").await;
    let foreign = server.source(&ana, other, "Foreign").await;
    let mut made = Vec::new();
    for name in ["A", "B", "C"] {
        made.push(server.source(&ana, company, name).await);
    }
    let [a, b, c] = made[..] else {
        panic!("three sources")
    };
    let put = |body: Value| {
        let call = server.put(format!("{}/priority", path(company)));
        call.token(&ana.token).json(&body)
    };
    let ordered = put(json!({"source_ids": [c, a, b]})).expect(200).await;
    assert_as_in(
        "PUT /api/v1/companies/{company_id}/sources/priority",
        &ordered,
    );
    assert_eq!(ids(&ordered["sources"]), [c, a, b]);
    let expected = [(c, 1), (a, 2), (b, 3)];
    assert_eq!(order(&server, &ana, company).await, expected);
    for wrong in [
        json!({}),
        json!({"source_ids": null}),
        json!({"source_ids": "1"}),
        json!({"source_ids": []}),
        json!({"source_ids": [a, b]}),
        json!({"source_ids": [a, b, c, c]}),
        json!({"source_ids": [a, b, b]}),
        json!({"source_ids": [a, b, foreign]}),
        json!({"source_ids": [a, b, c, foreign]}),
    ] {
        let refused = put(wrong.clone()).expect(422).await;
        assert!(
            refused["errors"]["source_ids"].is_array(),
            "{wrong}: {refused}"
        );
    }
    assert_eq!(order(&server, &ana, company).await, expected);
    server.assert_sound().await;
}

#[tokio::test]
async fn an_access_is_assigned_once_and_removed_once() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let company = server
        .company_with(&ana, json!({"name": "Child", "parent_company_id": root}))
        .await;
    let elsewhere = server.company(&ana, "Elsewhere").await;
    let above = server.member(root, &ana, Role::Manager, "Abe").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let eve = server.member(elsewhere, &ana, Role::Agent, "Eve").await;
    let source = server.source(&ana, company, "Web").await;
    let people = format!("{}/{source}/user_access", path(company));
    let post = |body: Value| server.post(&people).token(&ana.token).json(&body);
    let assigned = post(json!({"user_access_id": bob.access_id}))
        .expect(201)
        .await;
    assert_as_in(
        "POST /api/v1/companies/{company_id}/sources/{source_id}/user_access",
        &assigned,
    );
    assert_eq!(
        assigned["source"]["user_accesses"][0]["user"]["id"],
        bob.person.id
    );
    assert_eq!(
        assigned["source"]["user_accesses"][0]["access"]["code"],
        "agent"
    );
    post(json!({"user_access_id": above.access_id}))
        .expect(201)
        .await;
    let events = server.events("company", company).await.len();
    let twice = post(json!({"user_access_id": bob.access_id}))
        .expect(201)
        .await;
    assert_eq!(
        ids(&twice["source"]["user_accesses"]),
        [bob.access_id, above.access_id]
    );
    assert_eq!(server.events("company", company).await.len(), events);
    for wrong in [
        json!({}),
        json!({"user_access_id": "1"}),
        json!({"user_access_id": 999_999}),
        json!({"user_access_id": eve.access_id}),
    ] {
        let refused = post(wrong.clone()).expect(422).await;
        assert!(
            refused["errors"]["user_access_id"].is_array(),
            "{wrong}: {refused}"
        );
    }
    let unknown = format!("{}/999999/user_access", path(company));
    let body = json!({"user_access_id": bob.access_id});
    let call = server.post(unknown).token(&ana.token).json(&body);
    call.expect(404).await;

    let one = format!("{people}/{}", bob.access_id);
    let removed = server.delete(&one).token(&ana.token).expect(200).await;
    assert_eq!(removed, json!({}));
    server.delete(&one).token(&ana.token).expect(404).await;
    let list = server
        .get(path(company))
        .token(&ana.token)
        .expect(200)
        .await;
    assert_eq!(ids(&list["sources"][0]["user_accesses"]), [above.access_id]);
    server.assert_sound().await;
}

#[tokio::test]
async fn an_access_that_ends_or_moves_leaves_every_source_where_it_holds_no_more() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let root = server.company(&ana, "Root").await;
    let child = server
        .company_with(&ana, json!({"name": "Child", "parent_company_id": root}))
        .await;
    let bob = server.member(root, &ana, Role::Agent, "Bob").await;
    let cid = server.member(root, &ana, Role::Agent, "Cid").await;
    let mut sources = Vec::new();
    for company in [root, child] {
        let source = server.source(&ana, company, "Web").await;
        for access in [bob.access_id, cid.access_id] {
            let people = format!("{}/{source}/user_access", path(company));
            let call = server.post(people).token(&ana.token);
            let body = json!({"user_access_id": access});
            call.json(&body).expect(201).await;
        }
        sources.push(source);
    }
    let people_of = async |company: i64| {
        let list = server.get(path(company)).token(&ana.token);
        ids(&list.expect(200).await["sources"][0]["user_accesses"])
    };
    // Bob's role moves to the child: it holds there still, and above no more.
    let access = |member: &crate::server::Member| {
        let (user, access) = (member.person.id, member.access_id);
        format!("/api/v1/users/{user}/user_access/{access}")
    };
    let call = server.put(access(&bob)).token(&ana.token);
    call.json(&json!({"company_id": child})).expect(200).await;
    assert_eq!(people_of(root).await, [cid.access_id]);
    assert_eq!(people_of(child).await, [bob.access_id, cid.access_id]);
    // Cid's ends.
    let call = server.delete(access(&cid)).token(&ana.token);
    call.expect(200).await;
    assert_eq!(people_of(root).await, [0_i64; 0]);
    assert_eq!(people_of(child).await, [bob.access_id]);
    // A lead from the root's source has nobody to go to.
    let lead = json!({"first_name": "A", "source_id": sources[0]});
    let lead = server.lead(&ana, root, lead).await;
    assert_eq!(lead["user_access"], Value::Null);
    server.assert_sound().await;
}

#[tokio::test]
async fn who_configures_changes_sources_and_who_is_there_reads_them() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let manager = server.member(company, &ana, Role::Manager, "Mia").await;
    let agent = server.member(company, &ana, Role::Agent, "Abel").await;
    let eve = server.sign_up("Eve").await;
    server.company(&eve, "Elsewhere").await;
    let source = server.source(&manager.person, company, "Web").await;
    let one = format!("{}/{source}", path(company));
    let people = format!("{one}/user_access");
    let body = json!({"name": "A", "source_ids": [source], "user_access_id": agent.access_id});
    for name in ["create", "reorder", "assign", "remove", "delete"] {
        let call = || match name {
            "create" => server.post(path(company)).json(&body),
            "reorder" => server
                .put(format!("{}/priority", path(company)))
                .json(&body),
            "assign" => server.post(&people).json(&body),
            "remove" => server.delete(format!("{people}/{}", agent.access_id)),
            _ => server.delete(&one),
        };
        call().expect(401).await;
        call().token(&agent.person.token).expect(403).await;
        call().token(&eve.token).expect(404).await;
    }
    server
        .get(path(company))
        .token(&agent.person.token)
        .expect(200)
        .await;
    server
        .get(path(company))
        .token(&eve.token)
        .expect(404)
        .await;
    server.get(path(company)).expect(401).await;
    // A source of another company is none of this one's, also for who owns both.
    let other = server.company(&ana, "Other").await;
    let call = server.delete(format!("{}/{source}", path(other)));
    call.token(&ana.token).expect(404).await;
}

#[tokio::test]
async fn a_change_of_sources_is_bound_to_a_version_and_repeated_once() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let shown = server
        .get(format!("/api/v1/companies/{company}"))
        .token(&ana.token)
        .expect_answer(200)
        .await;
    let body = json!({"name": "Web"});
    let post = || server.post(path(company)).token(&ana.token).json(&body);
    post().header("if-match", "\"77\"").expect(409).await;
    let first = post()
        .header("if-match", shown.header("etag"))
        .header("idempotency-key", "one")
        .expect(201)
        .await;
    let again = post()
        .header("if-match", shown.header("etag"))
        .header("idempotency-key", "one")
        .expect_answer(201)
        .await;
    assert_eq!(again.body, first);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(order(&server, &ana, company).await.len(), 1);
}

#[tokio::test]
async fn sources_are_walked_by_page_and_by_cursor() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(server.source(&ana, company, &format!("S{n}")).await);
    }
    let get = |query: String| {
        let call = server.get(format!("{}?{query}", path(company)));
        call.token(&ana.token).expect(200)
    };
    let first = get("per_page=2".to_owned()).await;
    assert_eq!(ids(&first["sources"]), made[..2]);
    assert_eq!(first["meta"]["total_pages"], 3);
    assert_eq!(
        ids(&get("per_page=2&page=3".to_owned()).await["sources"]),
        made[4..]
    );
    let cursor = first["meta"]["next_cursor"].as_str().expect("more");
    let second = get(format!("per_page=2&cursor={cursor}")).await;
    assert_eq!(ids(&second["sources"]), made[2..4]);
}
