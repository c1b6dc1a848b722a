//! Company users: list.

use aggregates::access::Role;
use serde_json::json;

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids, int};

#[tokio::test]
async fn the_people_of_a_company_are_listed_with_filters() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let jose = server.member(company, &ana, Role::Agent, "José").await;
    let mia = server.member(company, &ana, Role::Manager, "Mia").await;
    let other = server.company(&ana, "Other").await;
    server.member(other, &ana, Role::Agent, "Olga").await;
    let list = async |query: &str| {
        let path = format!("/api/v1/companies/{company}/users?{query}");
        let answer = server.get(path).token(&mia.person.token).expect(200).await;
        assert_as_in("GET /api/v1/companies/{company_id}/users", &answer);
        let found = ids(&answer["users"]);
        assert_eq!(
            int(&answer["meta"]["total_count"]),
            i64::try_from(found.len()).unwrap()
        );
        found
    };
    let mut all = list("").await;
    all.sort_unstable();
    assert_eq!(all, [ana.id, jose.person.id, mia.person.id]);
    assert_eq!(list("search=JOSE").await, [jose.person.id]);
    assert_eq!(list("search=mia%40people").await, [mia.person.id]);
    assert_eq!(list("access_id=3").await, [mia.person.id]);
    assert_eq!(list("access_id=0").await, [0; 0]);
    assert_eq!(list("status=active").await, [0; 0]);
    assert_eq!(list("status=pending&access_id=4").await, [jose.person.id]);

    let path = format!("/api/v1/companies/{company}/users?access_id=4");
    let answer = server.get(path).token(&ana.token).expect(200).await;
    let held = &answer["users"][0]["user_access"];
    assert_eq!(
        (int(&held["id"]), &held["primary"]),
        (jose.access_id, &json!(true))
    );
    assert_eq!(held["access"]["code"], "agent");
}

#[tokio::test]
async fn only_those_who_see_the_company_see_its_people() {
    let server = TestServer::start().await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let company = server.company(&ana, "Acme").await;
    server.company(&eve, "Elsewhere").await;
    let path = format!("/api/v1/companies/{company}/users");
    server.get(&path).token(&eve.token).expect(404).await;
    server.get(&path).expect(401).await;
    server.get(&path).token("bad").expect(401).await;
    server
        .get("/api/v1/companies/999999/users")
        .token(&ana.token)
        .expect(404)
        .await;
}

#[tokio::test]
async fn the_people_are_walked_by_cursor() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut all = vec![ana.id];
    for n in 0..4 {
        all.push(
            server
                .member(company, &ana, Role::Agent, &format!("Agent{n}"))
                .await
                .person
                .id,
        );
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/companies/{company}/users?per_page=2{cursor}");
        let page = server.get(path).token(&ana.token).expect(200).await;
        found.extend(ids(&page["users"]));
        let Some(next) = page["meta"]["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    found.sort_unstable();
    assert_eq!(found, all);
}
