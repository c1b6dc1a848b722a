//! Territories: create, list.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids};

fn path(company: i64) -> String {
    format!("/api/v1/companies/{company}/territories")
}

#[tokio::test]
async fn territories_are_created_together_and_listed_oldest_first() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let body = json!({"territories": [
        {"name": " Norte ", "code": "N", "country": "México", "state": "Nuevo León", "city": "Monterrey",
         "postal_codes": ["64*", "66000"]},
        {"name": "Sur", "code": "", "country": null},
    ]});
    let post = server.post(path(company)).token(&ana.token).json(&body);
    let created = post.expect(201).await;
    assert_as_in("POST /api/v1/companies/{company_id}/territories", &created);
    let north = &created["territories"][0];
    assert_eq!(north["name"], "Norte");
    assert_eq!(north["postal_codes"], json!(["64*", "66000"]));
    assert_eq!(created["territories"][1]["code"], Value::Null);
    let list = async |query: &str| {
        let call = server.get(format!("{}?{query}", path(company)));
        let list = call.token(&ana.token).expect(200).await;
        assert_as_in("GET /api/v1/companies/{company_id}/territories", &list);
        ids(&list["territories"])
    };
    let both = ids(&created["territories"]);
    assert_eq!(list("").await, both);
    assert_eq!(list("search=nuevo+leon").await, both[..1]);
    assert_eq!(list("search=SUR").await, both[1..]);
    assert_eq!(list("search=%25").await, [0_i64; 0]);
    assert_eq!(list("per_page=1&page=2").await, both[1..]);
    server.assert_sound().await;
}

#[tokio::test]
async fn a_wrong_territory_is_named_and_none_is_created() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let post = || server.post(path(company)).token(&ana.token);
    for (field, body) in [
        ("territories", json!({})),
        ("territories", json!({"territories": []})),
        ("territories", json!({"territories": {"name": "A"}})),
        (
            "territories",
            json!({"territories": vec![json!({"name": "A"}); 501]}),
        ),
        (
            "territories[1].name",
            json!({"territories": [{"name": "A"}, {"name": " "}]}),
        ),
        (
            "territories[1].name",
            json!({"territories": [{"name": "A"}, {"code": "x"}]}),
        ),
        (
            "territories[0].city",
            json!({"territories": [{"name": "A", "city": "a\nb"}]}),
        ),
        (
            "territories[0].postal_codes[1]",
            json!({"territories": [{"name": "A", "postal_codes": ["1", "*"]}]}),
        ),
        (
            "territories[0].postal_codes[0]",
            json!({"territories": [{"name": "A", "postal_codes": ["x".repeat(21)]}]}),
        ),
    ] {
        let refused = post().json(&body).expect(422).await;
        assert!(refused["errors"][field].is_array(), "{field} in {refused}");
    }
    post().raw("[").expect(400).await;
    let list = server.get(path(company)).token(&ana.token).expect(200);
    assert_eq!(list.await["territories"], json!([]));
}

#[tokio::test]
async fn who_configures_creates_territories_and_who_is_there_reads_them() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let manager = server.member(company, &ana, Role::Manager, "Mia").await;
    let agent = server.member(company, &ana, Role::Agent, "Abel").await;
    let eve = server.sign_up("Eve").await;
    server.company(&eve, "Elsewhere").await;
    server.territory(&manager.person, company, "North").await;
    let body = json!({"territories": [{"name": "A"}]});
    let post = || server.post(path(company)).json(&body);
    post().expect(401).await;
    post().token(&agent.person.token).expect(403).await;
    post().token(&eve.token).expect(404).await;
    let get = || server.get(path(company));
    get().expect(401).await;
    get().token(&agent.person.token).expect(200).await;
    get().token(&eve.token).expect(404).await;
    let missing = server.get(path(999_999)).token(&ana.token);
    missing.expect(404).await;
}
