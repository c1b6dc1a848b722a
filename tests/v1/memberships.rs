//! Memberships: list, info.

use serde_json::json;

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids};

#[tokio::test]
async fn the_plans_are_listed_and_shown_in_each_currency() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let get = |path: String| server.get(path).token(&ana.token);
    let mut prices = Vec::new();
    for currency in ["MXN", "USD", "EUR", "BRL"] {
        let path = format!("/api/v1/memberships?currency={currency}");
        let list = get(path).expect(200).await;
        assert_as_in("GET /api/v1/memberships", &list);
        let rows = list["memberships"].as_array().unwrap();
        assert_eq!(ids(&list["memberships"]), [1, 2, 3, 4]);
        let codes: Vec<_> = rows.iter().map(|row| row["code"].clone()).collect();
        assert_eq!(
            json!(codes),
            json!(["free", "team", "business", "enterprise"])
        );
        for row in rows {
            assert_eq!(row["currency"], currency);
            let path = format!("/api/v1/memberships/{}?currency={currency}", row["id"]);
            let one = get(path).expect(200).await;
            assert_as_in("GET /api/v1/memberships/{id}", &one);
            assert_eq!(&one["membership"], row);
        }
        assert_eq!(rows[0]["price"], "0.00");
        assert_eq!(rows[0]["max_users"], 2);
        prices.push(rows[1]["price"].clone());
    }
    assert_eq!(json!(prices), json!(["499.00", "29.00", "27.00", "149.00"]));
    let default = get("/api/v1/memberships".to_owned()).expect(200).await;
    assert_eq!(default["memberships"][1]["currency"], "MXN");
}

#[tokio::test]
async fn other_plans_and_currencies_there_are_none() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    for (path, status) in [
        ("/0", 404),
        ("/5", 404),
        ("/x", 400),
        ("?currency=JPY", 400),
        ("?currency=nonsense", 400),
        ("/1?currency=JPY", 400),
    ] {
        let path = format!("/api/v1/memberships{path}");
        server.get(path).token(&ana.token).expect(status).await;
    }
    server.get("/api/v1/memberships").expect(401).await;
    server.get("/api/v1/memberships/1").expect(401).await;
}
