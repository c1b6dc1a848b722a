//! A PostgreSQL that was started again: what was kept open meanwhile is nobody's error.

use std::time::Duration;

use serde_json::json;

use crate::server::TestServer;

#[tokio::test]
async fn connections_that_were_cut_while_they_rested_are_no_readers_error() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let mut moments = vec![String::new()];
    for name in ["Bo", "Cy", "Di"] {
        server
            .lead(&ana, company, json!({ "first_name": name }))
            .await;
        let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
            .fetch_one(server.database.pool())
            .await
            .unwrap();
        moments.push(format!("&as_of={position}"));
    }
    let paths: Vec<String> = moments
        .iter()
        .map(|moment| format!("/api/v1/companies/{company}/leads?sort=full_name{moment}"))
        .collect();
    let mut before = Vec::new();
    for path in &paths {
        before.push(server.get(path).token(&ana.token).expect(200).await);
    }
    let cut: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_all(server.database.pool())
    .await
    .unwrap();
    assert!(cut.len() >= moments.len(), "{}", cut.len());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for (path, before) in paths.iter().zip(before) {
        let after = server.get(path).token(&ana.token).expect(200).await;
        assert_eq!(after["leads"], before["leads"], "{path}");
    }
}
