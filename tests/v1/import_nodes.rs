//! Imports across deaths of nodes, several nodes, and several companies.

use std::fmt::Write as _;
use std::time::Duration;

use leadledger::import::runner;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;

use crate::imports::{Scene, code, ended, people};
use crate::server::{TestServer, int};

async fn processed(scene: &Scene, import: &Value) -> i64 {
    let path = format!("/api/v1/import/{}", code(import));
    let answer = scene
        .server
        .get(path)
        .token(&scene.ana.token)
        .expect(200)
        .await;
    int(&answer["import_file"]["processed_rows"])
}

async fn until_some_rows(scene: &Scene, import: &Value) {
    for _ in 0..500 {
        if processed(scene, import).await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no row is processed");
}

/// Each row is one lead, none is missing and none came twice.
async fn assert_each_row_once(server: &TestServer, import: i64, rows: i64) {
    let numbers: Vec<i64> = sqlx::query_scalar(
        "SELECT substring(metadata->>'source' FROM 'row ([0-9]+)$')::bigint FROM events \
         WHERE aggregate_type = 'lead' AND event_type = 'LeadCreated' \
         AND metadata->>'source' LIKE 'import ' || (SELECT import_code FROM imports WHERE id = $1) || ' row %' ORDER BY 1",
    )
    .bind(import)
    .fetch_all(server.database.pool())
    .await
    .expect("reading events");
    assert_eq!(numbers, (2..rows + 2).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_goes_on_where_it_was() {
    let scene = Scene::start().await;
    let rows = 6_000;
    let import = scene.upload(&people(rows, "example.com"), &[]).await;
    for _ in 0..2 {
        until_some_rows(&scene, &import).await;
        // Whatever the runner was doing, it does no more; its connection and its locks go with it.
        scene.server.runner.abort();
        let stopped = processed(&scene, &import).await;
        let next = runner::run(
            scene.server.app.imports.clone(),
            scene.server.database.connect_options(),
        );
        let next = tokio::spawn(next);
        tokio::time::sleep(Duration::from_millis(300)).await;
        next.abort();
        assert!(processed(&scene, &import).await >= stopped);
    }
    let last = runner::run(
        scene.server.app.imports.clone(),
        scene.server.database.connect_options(),
    );
    tokio::spawn(last);
    let import = scene.ended(code(&import)).await;
    assert_eq!(import["status"], "completed");
    assert_eq!(int(&import["imported_rows"]), 6_000);
    assert_each_row_once(&scene.server, int(&import["id"]), 6_000).await;
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_goes_on_with_the_files_of_the_first() {
    let scene = Scene::start().await;
    let other = scene.server.beside_with_files().await;
    let first = scene.upload(&people(4_000, "one.example"), &[]).await;
    let second = scene.upload(&people(4_000, "two.example"), &[]).await;
    until_some_rows(&scene, &first).await;
    scene.server.runner.abort();
    for import in [&first, &second] {
        let import = ended(&other, &scene.ana, code(import)).await;
        assert_eq!(int(&import["imported_rows"]), 4_000);
        assert_each_row_once(&other, int(&import["id"]), 4_000).await;
    }
    other.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_import_does_not_wait_for_the_large_one_of_another_company() {
    let scene = Scene::start().await;
    let large = scene.upload(&people(30_000, "large.example"), &[]).await;
    let other = scene.server.company(&scene.ana, "Other").await;
    let path = format!("/api/v1/companies/{other}/import/leads");
    let small = scene.server.post(path).token(&scene.ana.token);
    let small = small
        .upload("b.csv", people(300, "small.example"), &[])
        .expect(201)
        .await;
    scene.ended(code(&small["import_file"])).await;
    assert!(
        processed(&scene, &large).await < 30_000,
        "the large one came first"
    );
    let cancel = format!("/api/v1/import/{}/cancel", code(&large));
    scene
        .server
        .post(cancel)
        .token(&scene.ana.token)
        .expect(200)
        .await;
}

/// A chunk is decided while the one before is written; what it has in common with that one counts all the same.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_like_rows_of_the_chunk_before_are_found() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let scene = Scene::start().await;
    let mut file = "First name,E-mail\n".to_owned();
    let mut doubles = 0;
    for n in 0..6_000 {
        // Now and then a swarm of doubles, at all distances.
        let double = n > 1_000 && n % 1_000 < 20;
        let like = if double { n - 1 - (n % 1_000) * 37 } else { n };
        doubles += i64::from(double);
        writeln!(file, "P{n},p{like}@example.com").unwrap();
    }
    let import = scene.upload(&file, &[("duplicates", "skip")]).await;
    let import = scene.ended(code(&import)).await;
    assert_eq!(int(&import["skipped_rows"]), doubles);
    assert_eq!(int(&import["imported_rows"]), 6_000 - doubles);
    let numbers = metrics.render();
    let right = numbers.lines().find_map(|line| {
        let count = line.strip_prefix("ledger_guesses_total{guess=\"right\"} ")?;
        count.parse::<u64>().ok()
    });
    assert!(
        right.is_some_and(|right| right > 0),
        "{right:?} in {numbers}"
    );
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_come_in_meanwhile_are_duplicates_all_the_same() {
    let scene = Scene::start().await;
    let import = scene
        .upload(&people(2_000, "example.com"), &[("duplicates", "skip")])
        .await;
    let mut made = 0;
    for n in (0..2_000).step_by(100) {
        let body = serde_json::json!({"email": format!("p{n}@example.com")});
        scene.server.lead(&scene.ana, scene.company, body).await;
        made += 1;
    }
    let import = scene.ended(code(&import)).await;
    let list = format!("/api/v1/companies/{}/leads", scene.company);
    let list = scene
        .server
        .get(list)
        .token(&scene.ana.token)
        .expect(200)
        .await;
    let leads = int(&list["meta"]["total_count"]);
    assert_eq!(leads, int(&import["imported_rows"]) + made);
    scene.server.assert_sound().await;
}
