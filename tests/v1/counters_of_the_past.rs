//! Metrics of the past, whether their counters are read together or looked up.

use aggregates::access::Role;
use aggregates::ids::CompanyId;
use chrono::{DateTime, TimeDelta, Utc};
use leadledger::clock::Clock;
use projections::count_spans::Counters;
use projections::count_spans::build::{self, Sizes};
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

/// Small enough that a few leads have several spans, and several parts.
const SMALL: Sizes = Sizes {
    counters: 1,
    span: 3,
    part: 4,
    changed: 1,
};

const DAYS: i64 = 4;
/// Changes of each day.
const CHANGES: i64 = 8;

/// Makes the spans of the company's counters as the server does; answers how many parts got any.
async fn put_together(server: &TestServer, company: i64, sizes: Sizes) -> Vec<usize> {
    let mut made = Vec::new();
    for counters in Counters::ALL {
        let mut transaction = server.database.pool().begin().await.expect("beginning");
        let parts = build::refresh(&mut transaction, CompanyId(company), counters, sizes)
            .await
            .expect("making spans");
        transaction.commit().await.expect("committing");
        made.push(parts);
    }
    made
}

/// What the metrics answer to each of these questions.
async fn metrics(
    server: &TestServer,
    who: &Person,
    company: i64,
    questions: &[String],
    moment: &str,
) -> Vec<Value> {
    let mut answers = Vec::new();
    for question in questions {
        let path = format!("/api/v1/companies/{company}/leads/metrics?{question}{moment}");
        let mut answer = server.get(path).token(&who.token).expect(200).await;
        answer.as_object_mut().expect("an object").remove("meta");
        answers.push(answer);
    }
    answers
}

/// A moment, and what was answered then.
type Then = Vec<(i64, Vec<Value>)>;

async fn assert_as_then(
    server: &TestServer,
    who: &Person,
    company: i64,
    questions: &[String],
    then: &Then,
) {
    // A server remembers what it has counted.
    let fresh = server.beside().await;
    for (position, answers) in then {
        let moment = format!("&as_of={position}");
        let found = metrics(&fresh, who, company, questions, &moment).await;
        assert_eq!(found, *answers, "as of {position}");
    }
}

async fn run(server: &TestServer, statement: &str) {
    sqlx::raw_sql(statement)
        .execute(server.database.pool())
        .await
        .expect("a superuser's change");
}

#[tokio::test]
async fn metrics_are_what_they_were_however_their_counters_are_read() {
    let begin: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
    let clock = Clock::fixed(begin);
    let server = TestServer::start_by(clock.clone()).await;
    let mut ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let bob = server.member(company, &ana, Role::Agent, "Bob").await;
    let (web, fair) = (
        server.source(&ana, company, "Web").await,
        server.source(&ana, company, "Fair").await,
    );
    let day = |n: i64| (begin + TimeDelta::days(n)).date_naive();
    let mut questions = vec![
        String::new(),
        format!("source_id={web}"),
        format!("source_id={fair}&user_access_id={}", bob.access_id),
        format!("created_from={}", day(2)),
        format!("created_to={}", day(2)),
        format!("created_from={}&created_to={}", day(DAYS), day(DAYS + 5)),
    ];
    for n in 0..DAYS {
        let (from, to) = (day(n), day(n + n % 2));
        questions.push(format!("created_from={from}&created_to={to}"));
        questions.push(format!(
            "created_from={from}&created_to={to}&source_id={web}"
        ));
    }

    let index = |n: i64| usize::try_from(n).unwrap();
    let mut then: Then = Vec::new();
    let mut leads: Vec<i64> = Vec::new();
    let mut dice = 7_i64;
    let mut of = |n: i64| {
        dice = (dice * 1_103_515_245 + 12_345) % 2_147_483_648;
        (dice >> 16) % n
    };
    for n in 0..DAYS {
        for change in 0..CHANGES {
            let source = [json!(web), json!(fair), Value::Null][index(of(3))].clone();
            let person = [json!(bob.access_id), Value::Null][index(of(2))].clone();
            let body = json!({"first_name": "Lead", "stage_id": 1 + of(3), "source_id": source, "user_access_id": person});
            if change % 2 == 0 || leads.is_empty() {
                leads.push(int(&server.lead(&ana, company, body).await["id"]));
            } else {
                let lead = leads[index(of(i64::try_from(leads.len()).unwrap()))];
                let change = server
                    .put(format!("/api/v1/leads/{lead}"))
                    .token(&ana.token);
                change.json(&body).expect(200).await;
            }
            let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
                .fetch_one(server.database.pool())
                .await
                .unwrap();
            then.push((
                position,
                metrics(&server, &ana, company, &questions, "").await,
            ));
        }
        // On the last day nothing is put together: what is told goes up to the day before.
        if n < DAYS - 1 {
            put_together(&server, company, SMALL).await;
        }
        clock.advance(TimeDelta::days(1));
        ana = server.person(ana.id, &ana.email).await;
    }
    let parts: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM past.count_parts WHERE counters = 'stage_counts_daily'",
    )
    .fetch_one(server.database.pool())
    .await
    .unwrap();
    assert!(parts > 1, "a part that grew was never cut");
    assert_as_then(&server, &ana, company, &questions, &then).await;
    server.assert_sound().await;

    run(&server, "DELETE FROM past.count_parts").await;
    assert_as_then(&server, &ana, company, &questions, &then).await;

    let made = put_together(&server, company, SMALL).await;
    assert!(made[0] == 1 && made[1] > 1, "{made:?}");
    assert_eq!(
        put_together(&server, company, SMALL).await,
        [0, 0],
        "nothing changed"
    );
    assert_as_then(&server, &ana, company, &questions, &then).await;
    server.assert_sound().await;

    // Spans are read, and so it is looked at whether they are right.
    run(
        &server,
        "UPDATE past.count_spans SET count = (SELECT array_agg(n + 1) FROM unnest(count) n)",
    )
    .await;
    let fresh = server.beside().await;
    let (position, answers) = &then[then.len() / 2];
    let moment = format!("&as_of={position}");
    let found = metrics(&fresh, &ana, company, &questions, &moment).await;
    assert_ne!(found, *answers, "no span was read");
}

#[tokio::test]
async fn spans_that_are_not_what_counters_said_are_found() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    for n in 0..6 {
        let body = json!({"first_name": "Lead", "stage_id": 1 + n % 4});
        let lead = int(&server.lead(&ana, company, body).await["id"]);
        let change = server.put(format!("/api/v1/leads/{lead}"));
        let body = json!({"stage_id": 2 + n % 4});
        change.token(&ana.token).json(&body).expect(200).await;
    }
    let wanted = async |after: i64, counters: i64| {
        let mut connection = server.database.pool().acquire().await.expect("connected");
        let sizes = Sizes { counters, ..SMALL };
        build::wanted(&mut connection, after, sizes)
            .await
            .expect("looking")
    };
    let (position, of_five) = wanted(0, 5).await;
    let both = Counters::ALL.map(|counters| (CompanyId(company), counters));
    assert_eq!(of_five, both);
    assert_eq!(wanted(0, 6).await.1, [], "it has five counters");
    put_together(&server, company, SMALL).await;
    assert_eq!(wanted(position - 1, 5).await.1, both);
    assert_eq!(wanted(position, 5).await.1, []);
    server.assert_sound().await;

    let spans: i64 =
        sqlx::query_scalar("SELECT count(*) FROM past.count_spans WHERE counters = 'stage_counts'")
            .fetch_one(server.database.pool())
            .await
            .unwrap();
    assert!(spans > 2, "{spans}");
    run(&server, "CREATE TABLE spans AS TABLE past.count_spans; CREATE TABLE parts AS TABLE past.count_parts").await;
    let first = "counters = 'stage_counts' AND since = 0";
    let last = "(counters, since) = (SELECT counters, max(since) FROM past.count_spans WHERE counters = 'stage_counts' GROUP BY 1)";
    for change in [
        format!("UPDATE past.count_spans SET count[1] = count[1] + 1 WHERE {first}"),
        format!("UPDATE past.count_spans SET valid_from[1] = 1 WHERE {last}"),
        format!("UPDATE past.count_spans SET valid_until[1] = since WHERE {last}"),
        format!("UPDATE past.count_spans SET stage_id[1] = NULL WHERE {last}"),
        format!("UPDATE past.count_spans SET since = since - 1 WHERE {last}"),
        format!("UPDATE past.count_spans SET since = 1 WHERE {first}"),
        format!("DELETE FROM past.count_spans WHERE {first}"),
        format!("DELETE FROM past.count_spans WHERE {last}"),
        "DELETE FROM past.count_spans WHERE counters = 'stage_counts'".to_owned(),
        "UPDATE past.count_parts SET as_of = as_of + 1 WHERE counters = 'stage_counts'".to_owned(),
        "INSERT INTO past.count_parts SELECT counters, company_id, '2026-01-01', as_of FROM past.count_parts WHERE counters = 'stage_counts'; \
         INSERT INTO past.count_spans SELECT counters, company_id, '2026-01-01', since, valid_from, valid_until, created_on, stage_id, source_id, \
         campaign_id, cycle_id, territory_id, user_access_id, count FROM past.count_spans WHERE counters = 'stage_counts'".to_owned(),
    ] {
        run(&server, &change).await;
        let found = server.differences().await;
        let told = format!("past.count_spans: company_id={company} counters=stage_counts first_day=");
        assert!(found.len() == 1 && found[0].starts_with(&told), "{change}: {found:?}");
        run(&server, "DELETE FROM past.count_parts; INSERT INTO past.count_parts TABLE parts; INSERT INTO past.count_spans TABLE spans").await;
    }
    server.assert_sound().await;

    // What keys and constraints forbid, as long as they are there.
    for (change, told) in [
        (
            "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM past.count_parts WHERE counters = 'stage_counts'; COMMIT",
            "of no part",
        ),
        (
            "ALTER TABLE past.count_spans DROP CONSTRAINT count_spans_pkey; INSERT INTO past.count_spans TABLE spans",
            "more than once",
        ),
        (
            "ALTER TABLE past.count_spans DROP CONSTRAINT count_spans_counters_company_id_first_day_fkey; \
             ALTER TABLE past.count_parts DROP CONSTRAINT count_parts_pkey; INSERT INTO past.count_parts TABLE parts",
            "more than once",
        ),
        (
            "ALTER TABLE past.count_parts DROP CONSTRAINT count_parts_first_day_check; \
             INSERT INTO past.count_parts SELECT counters, company_id, 'infinity', as_of FROM parts",
            "no part",
        ),
    ] {
        run(&server, change).await;
        let found = server.differences().await;
        assert!(
            !found.is_empty() && found.iter().all(|found| found.contains(told)),
            "{change}: {found:?}"
        );
        run(
            &server,
            "DELETE FROM past.count_spans; DELETE FROM past.count_parts; \
             INSERT INTO past.count_parts TABLE parts; INSERT INTO past.count_spans TABLE spans",
        )
        .await;
        server.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_right_while_their_spans_are_deleted() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    for n in 0..4 {
        let body = json!({"first_name": "Lead", "stage_id": 1 + n % 4});
        server.lead(&ana, company, body).await;
    }
    put_together(&server, company, SMALL).await;
    let position: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(server.database.pool())
        .await
        .unwrap();
    let mut deleting = server.database.pool().begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE past.count_spans IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *deleting)
        .await
        .unwrap();
    let path = format!("/api/v1/companies/{company}/leads/metrics?as_of={position}");
    let asked = server.get(path).token(&ana.token).expect(200);
    let asked = async {
        let answer = asked.await;
        assert_eq!(answer["total"], 4, "{answer}");
    };
    let deleted = async {
        // Until whoever asks waits for the lock.
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'past.count_spans'::regclass)";
        loop {
            let waits: Result<bool, _> = sqlx::query_scalar(waits)
                .fetch_one(server.database.pool())
                .await;
            if waits.expect("the locks") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        sqlx::raw_sql("DELETE FROM past.count_parts")
            .execute(&mut *deleting)
            .await
            .expect("deleting");
        deleting.commit().await.expect("committing");
    };
    tokio::join!(asked, deleted);
}
