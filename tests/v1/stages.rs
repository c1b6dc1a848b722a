//! Stages: list.

use serde_json::json;

use crate::contract::assert_as_in;
use crate::server::{TestServer, ids};

#[tokio::test]
async fn the_stages_are_listed_in_their_order() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let list = server
        .get("/api/v1/stages")
        .token(&ana.token)
        .expect(200)
        .await;
    assert_as_in("GET /api/v1/stages", &list);
    assert_eq!(ids(&list["stages"]), [1, 2, 3, 4, 5, 6]);
    let stages = list["stages"].as_array().unwrap();
    let of = |key: &str| {
        json!(
            stages
                .iter()
                .map(|stage| stage[key].clone())
                .collect::<Vec<_>>()
        )
    };
    assert_eq!(
        of("code"),
        json!(["new", "contacted", "qualified", "proposal", "won", "lost"])
    );
    assert_eq!(of("priority"), json!([1, 2, 3, 4, 5, 6]));
    assert_eq!(
        of("kind"),
        json!(["open", "open", "open", "open", "won", "lost"])
    );
    server.get("/api/v1/stages").expect(401).await;
    server.get("/api/v1/stages").token("bad").expect(401).await;
}
