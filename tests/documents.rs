//! What the documents say that a program can check: every SQL statement of the guides runs on today's schema, and the README's tour
//! does what it says when it is pasted.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(dead_code, reason = "other test binaries need the rest")]
#[path = "support/server.rs"]
mod server;
#[expect(dead_code, reason = "other test binaries need the rest")]
mod support;

use std::process::Command;

use server::{OWNER_PASSWORD, TestServer};
use support::database::TestDatabase;

/// The blocks of a Markdown text that are marked as SQL.
fn sql_blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    for part in text.split("```sql\n").skip(1) {
        blocks.push(part.split("```").next().unwrap());
    }
    blocks
}

#[tokio::test]
async fn every_statement_of_the_guides_runs() {
    let database = TestDatabase::create().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut ran = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for block in sql_blocks(&text) {
            let mut transaction = database.pool().begin().await.unwrap();
            sqlx::raw_sql(block)
                .execute(&mut *transaction)
                .await
                .unwrap_or_else(|error| panic!("{}: {error}\n{block}", path.display()));
            // Roles belong to the whole cluster, which other tests share.
            transaction.rollback().await.unwrap();
            ran += 1;
        }
    }
    assert!(ran >= 8, "only {ran} statements were found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_works_when_pasted() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let tour = readme
        .split("```sh\n")
        .find(|part| part.starts_with("API="));
    let tour = tour.unwrap().split("```").next().unwrap();
    let server = TestServer::start().await;
    let pasted = tour
        .replace("http://127.0.0.1:8080", server.url())
        .replace("Sunny-day-2026", OWNER_PASSWORD);
    let output = tokio::task::spawn_blocking(move || {
        Command::new("bash")
            .arg("-euo")
            .arg("pipefail")
            .arg("-c")
            .arg(pasted)
            .output()
    });
    let output = output.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        answers.len(),
        tour.lines().filter(|l| l.starts_with("call ")).count()
    );
    for answer in &answers {
        assert!(
            answer.get("errors").is_none() && answer.get("code").is_none(),
            "{answer}"
        );
    }
    assert_eq!(answers[0]["company"]["id"], 2);
    assert_eq!(answers[2]["lead"]["duplicate_of_id"], 1);
    assert_eq!(answers[5]["leads"][0]["first_name"], "Ana");
    assert_eq!(answers[6]["meta"]["total_count"], 2);
    assert_eq!(answers[7]["meta"]["total_count"], 2);
    server.assert_sound().await;
}
