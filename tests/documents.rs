//! What the documents say that a program can check: every SQL statement of the guides runs on today's schema.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

mod support;

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
