//! The log of who read what: every answer that shows a lead is in it, nobody changes it, and a gap is on record.

use aggregates::access::Role;
use chrono::TimeDelta;
use leadledger::ledger::lead_reads;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

async fn reads(server: &TestServer, by: &Person, lead: i64) -> Value {
    let call = server.get(format!("/api/v1/leads/{lead}/reads"));
    call.token(&by.token).expect(200).await
}

#[tokio::test]
async fn every_answer_that_shows_a_lead_is_in_the_log() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let analyst = server
        .member(company, &ana, Role::Analyst, "Bo")
        .await
        .person;
    let body = json!({"first_name": "Cy", "email": "cy@example.com"});
    let lead = int(&server.lead(&ana, company, body.clone()).await["id"]);
    let other = int(&server.lead(&ana, company, body).await["id"]);
    let here = format!("/api/v1/companies/{company}/leads");
    let meeting = json!({"title": "T", "starts_at": "2037-01-01T10:00:00Z", "ends_at": "2037-01-01T11:00:00Z"});
    let meeting = server
        .post(format!("/api/v1/leads/{lead}/appointments"))
        .token(&ana.token)
        .json(&meeting);
    let meeting = int(&meeting.expect(201).await["appointment"]["id"]);
    assert_eq!(reads(&server, &ana, lead).await["reads"], json!([]));

    let asked = [
        (&analyst, format!("/api/v1/leads/{lead}"), "GET /leads/{id}"),
        (&analyst, here.clone(), "GET /companies/{company_id}/leads"),
        (
            &analyst,
            format!("{here}?search=cy"),
            "GET /companies/{company_id}/leads",
        ),
        (
            &ana,
            format!("{here}/unassigned"),
            "GET /companies/{company_id}/leads/unassigned",
        ),
        (
            &ana,
            format!("{here}/duplicates"),
            "GET /companies/{company_id}/leads/duplicates",
        ),
        (
            &ana,
            format!("/api/v1/appointments/{meeting}"),
            "GET /appointments/{id}",
        ),
        (&ana, "/api/v1/appointments".to_owned(), "GET /appointments"),
        (
            &ana,
            format!("{here}/export"),
            "GET /companies/{company_id}/leads/export",
        ),
        (
            &ana,
            format!("/api/v1/leads/{lead}/personal_data"),
            "GET /leads/{id}/personal_data",
        ),
    ];
    for (n, (by, path, _)) in asked.iter().enumerate() {
        let call = server.get(path).token(&by.token);
        call.header("x-request-id", &format!("read-{n}"))
            .expect(200)
            .await;
    }
    let found = reads(&server, &ana, lead).await;
    let rows = found["reads"].as_array().expect("reads");
    assert_eq!(rows.len(), asked.len(), "{found}");
    for (n, (by, _, operation)) in asked.iter().enumerate() {
        // The latest first.
        let row = &rows[rows.len() - 1 - n];
        assert_eq!(row["operation"], *operation);
        assert_eq!(row["reader"], format!("user:{}", by.id));
        assert_eq!(row["request_id"], format!("read-{n}"));
    }
    assert_eq!(rows[rows.len() - 1]["full_name"], "Bo");
    assert_eq!(found["gaps"], json!([]));
    let others = reads(&server, &ana, other).await;
    assert_eq!(others["meta"]["total_count"], 5, "{others}");

    // What is not shown is not read.
    let stranger = server.sign_up("Eve").await;
    server
        .get(format!("/api/v1/leads/{lead}"))
        .token(&stranger.token)
        .expect(404)
        .await;
    let again = reads(&server, &ana, lead).await;
    assert_eq!(again["meta"]["total_count"], asked.len());
    let export = server.get(format!("/api/v1/leads/{lead}/personal_data"));
    let export = export.token(&ana.token).expect(200).await;
    assert_eq!(export["personal_data"]["read_count"], asked.len());
    assert_eq!(export["personal_data"]["first_name"], "Cy");
    assert_eq!(
        export["personal_data"]["events"][0]["content"]["contact"]["first_name"],
        "Cy"
    );
}

#[tokio::test]
async fn the_log_is_paged_and_only_ever_added_to() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Cy"}))
        .await["id"]);
    for _ in 0..5 {
        server
            .get(format!("/api/v1/leads/{lead}"))
            .token(&ana.token)
            .expect(200)
            .await;
    }
    let path = format!("/api/v1/leads/{lead}/reads?per_page=2");
    let mut page = server.get(&path).token(&ana.token).expect(200).await;
    let mut seen = 0;
    loop {
        seen += page["reads"].as_array().expect("reads").len();
        let Some(cursor) = page["meta"]["next_cursor"].as_str().map(str::to_owned) else {
            break;
        };
        page = server
            .get(format!("{path}&cursor={cursor}"))
            .token(&ana.token)
            .expect(200)
            .await;
    }
    assert_eq!(seen, 5);
    for statement in [
        "UPDATE lead_reads SET reader = 'user:9'",
        "DELETE FROM lead_reads",
        "TRUNCATE lead_reads",
        "DELETE FROM lead_reads_lost",
    ] {
        let refused = sqlx::query(statement).execute(server.database.pool()).await;
        let none = statement.ends_with("lost");
        assert_eq!(
            refused.is_err(),
            !none,
            "{statement}: nothing is in the latter to be deleted"
        );
    }
    // What the operator's own time of keeping is over for may go.
    let mut transaction = server.database.pool().begin().await.expect("a transaction");
    for statement in [
        "SET LOCAL leadledger.forget_lead_reads = 'on'",
        "DELETE FROM lead_reads WHERE read_at < now() + interval '1 hour'",
    ] {
        sqlx::query(statement)
            .execute(&mut *transaction)
            .await
            .expect("forgetting");
    }
    transaction.commit().await.expect("forgetting");
    assert_eq!(reads(&server, &ana, lead).await["reads"], json!([]));
}

#[tokio::test]
async fn a_server_that_died_leaves_a_gap_on_record() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Cy"}))
        .await["id"]);
    let long_ago = server.app.clock.now() - TimeDelta::hours(1);
    sqlx::query("INSERT INTO lead_read_writers (writer, opened_at, written_until) VALUES (gen_random_uuid(), $1, $1)")
        .bind(long_ago)
        .execute(server.database.pool())
        .await
        .expect("a writer");
    sqlx::query("INSERT INTO lead_reads_lost (writer, lost_until, count) VALUES (gen_random_uuid(), now(), 7)")
        .execute(server.database.pool())
        .await
        .expect("a loss");
    let found = reads(&server, &ana, lead).await;
    assert_eq!(found["gaps"][0]["lost"], 7);
    assert_eq!(found["gaps"][1]["until"], Value::Null);
    assert!(found["gaps"][1]["since"].is_string(), "{found}");
}

/// What tells of a gap goes no other way than the reads do.
#[tokio::test]
async fn a_gap_stays_on_record() {
    let server = TestServer::start().await;
    let pool = server.database.pool();
    let (running, died) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    for (writer, hours) in [(running, 0), (died, 2)] {
        let at = server.app.clock.now() - TimeDelta::hours(hours);
        sqlx::query(
            "INSERT INTO lead_read_writers (writer, opened_at, written_until) VALUES ($1, $2, $2)",
        )
        .bind(writer)
        .bind(at)
        .execute(pool)
        .await
        .expect("a writer");
    }
    let gaps = async || -> i64 {
        let mut connection = pool.acquire().await.expect("a connection");
        let found = lead_reads::gaps(&mut connection, server.app.clock.now());
        found.await.expect("gaps").len().try_into().expect("few")
    };
    assert_eq!(gaps().await, 1);
    let run = async |statement: &str| sqlx::query(statement).execute(pool).await;
    // As the server goes on.
    for statement in [
        "UPDATE lead_read_writers SET written_until = written_until WHERE opened_at < now() - interval '1 hour'",
        "UPDATE lead_read_writers SET written_until = written_until + interval '5 seconds', closed_at = NULL \
         WHERE opened_at < now() - interval '1 hour'",
    ] {
        assert_eq!(run(statement).await.expect(statement).rows_affected(), 1);
    }
    for statement in [
        "DELETE FROM lead_read_writers WHERE closed_at IS NULL AND written_until < now() - interval '20 seconds'",
        "DELETE FROM lead_read_writers",
        "TRUNCATE lead_read_writers",
        "UPDATE lead_read_writers SET written_until = written_until - interval '1 second'",
        "UPDATE lead_read_writers SET opened_at = opened_at + interval '1 second'",
        "UPDATE lead_read_writers SET writer = gen_random_uuid()",
        "UPDATE lead_read_writers SET written_until = NULL",
    ] {
        let refused = run(statement).await.expect_err(statement).to_string();
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
    assert_eq!(gaps().await, 1);
    // Closed once.
    let close = "UPDATE lead_read_writers SET closed_at = now() \
                 WHERE writer = '00000000-0000-0000-0000-000000000001'";
    run(close).await.expect("closed");
    for again in [
        close,
        "UPDATE lead_read_writers SET closed_at = NULL WHERE closed_at IS NOT NULL",
    ] {
        run(again).await.expect_err(again);
    }
    let mut transaction = pool.begin().await.expect("a transaction");
    for statement in [
        "SET LOCAL leadledger.forget_lead_reads = 'on'",
        "DELETE FROM lead_read_writers WHERE written_until < now() - interval '1 hour'",
    ] {
        sqlx::query(statement)
            .execute(&mut *transaction)
            .await
            .expect("forgetting");
    }
    transaction.commit().await.expect("forgetting");
    assert_eq!(gaps().await, 0);
}

#[tokio::test]
async fn a_look_into_the_past_is_a_read_of_today() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let lead = int(&server
        .lead(&ana, company, json!({"first_name": "Cy"}))
        .await["id"]);
    let before = server.app.clock.now();
    let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .expect("the ledger's end");
    let path = format!("/api/v1/leads/{lead}?as_of={position}");
    server.get(path).token(&ana.token).expect(200).await;
    let found = reads(&server, &ana, lead).await;
    let read_at = found["reads"][0]["read_at"].as_str().expect("a time");
    let read_at: chrono::DateTime<chrono::Utc> = read_at.parse().expect("an instant");
    assert!(read_at >= before, "{found}");
    // As of then, nobody had read anything.
    let path = format!("/api/v1/leads/{lead}/reads?as_of={position}");
    let then = server.get(path).token(&ana.token).expect(200).await;
    assert_eq!(then["reads"], json!([]));
    assert_eq!(then["meta"]["total_count"], 0);
}
