//! Accesses: list, get.

use serde_json::json;

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids};

#[tokio::test]
async fn the_six_roles_are_listed_and_shown() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let list = server
        .get("/api/v1/accesses")
        .token(&ana.token)
        .expect(200)
        .await;
    assert_as_in("GET /api/v1/accesses", &list);
    assert_eq!(ids(&list["accesses"]), [1, 2, 3, 4, 5, 6]);
    let codes: Vec<_> = list["accesses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["code"].clone())
        .collect();
    assert_eq!(
        json!(codes),
        json!(["owner", "admin", "manager", "agent", "analyst", "auditor"])
    );
    for access in list["accesses"].as_array().unwrap() {
        let path = format!("/api/v1/accesses/{}", access["id"]);
        let one = server.get(path).token(&ana.token).expect(200).await;
        assert_as_in("GET /api/v1/accesses/{id}", &one);
        assert_eq!(&one["access"], access);
    }
}

#[tokio::test]
async fn an_unknown_role_is_not_found() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    for (path, status) in [
        ("0", 404),
        ("7", 404),
        ("-1", 404),
        ("x", 400),
        ("1.5", 400),
    ] {
        server
            .get(format!("/api/v1/accesses/{path}"))
            .token(&ana.token)
            .expect(status)
            .await;
    }
    server.get("/api/v1/accesses").expect(401).await;
    server
        .get("/api/v1/accesses/1")
        .token("bad")
        .expect(401)
        .await;
}
