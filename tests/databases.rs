//! The tests' own databases: separate, quick to get, gone after use, kept after a failure.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(
    dead_code,
    reason = "each test binary takes what it needs of what they share"
)]
mod support;

use sqlx::{Connection, PgConnection};
use support::database::{TestDatabase, stop_cluster};

async fn exists(witness: &TestDatabase, name: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(witness.pool())
        .await
        .unwrap()
}

async fn name(database: &TestDatabase) -> String {
    sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(database.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    for database in [&one, &other] {
        sqlx::raw_sql("CREATE TABLE only_here (number int)")
            .execute(database.pool())
            .await
            .unwrap();
    }
    assert_ne!(name(&one).await, name(&other).await);
}

#[tokio::test]
async fn the_url_leads_to_the_database() {
    let database = TestDatabase::create().await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let found: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    assert_eq!(found, name(&database).await);
    assert!(database.connect_options().get_socket().is_some());
}

#[tokio::test]
async fn a_database_is_gone_after_its_test() {
    let witness = TestDatabase::create().await;
    let dropped = TestDatabase::create().await;
    let dropped_name = name(&dropped).await;
    drop(dropped);
    assert!(!exists(&witness, &dropped_name).await);
    let dropped = TestDatabase::create().await;
    let dropped_name = name(&dropped).await;
    dropped.drop_now().await.unwrap();
    assert!(!exists(&witness, &dropped_name).await);
}

#[tokio::test]
async fn a_failing_test_keeps_its_database() {
    let witness = TestDatabase::create().await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let failing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let database = TestDatabase::create().await;
            sender.send(name(&database).await).unwrap();
            panic!("this test fails on purpose");
        });
    });
    assert!(failing.join().is_err());
    let kept = receiver.recv().unwrap();
    assert!(exists(&witness, &kept).await);
    sqlx::raw_sql(&format!("DROP DATABASE {kept} WITH (FORCE)"))
        .execute(witness.pool())
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "not a test: stops the PostgreSQL that the tests leave running"]
async fn stop_the_cluster_of_the_tests() {
    assert!(stop_cluster().await.unwrap(), "it is still in use");
}
