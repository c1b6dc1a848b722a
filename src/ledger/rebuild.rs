//! `leadledger rebuild`: read tables made anew from the ledger beside the live ones, then swapped in, while servers serve.

use std::time::Duration;

use anyhow::Context;
use projections::{Batch, Table, count_spans, zone_maps};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::{checkpoints, replay, versions};

const SCHEMA: &str = "rebuild";
/// Only one rebuild at a time; the number is arbitrary and this program's own.
const LOCK: i64 = 0x006c_6561_642e_7262;
/// The swap waits while fewer events than this are left to fold.
const NEARLY_THERE: i64 = 500;
/// How often the swap tries to get its locks before it gives up.
const SWAP_ATTEMPTS: u32 = 100;

/// Rebuilds the projections with these names, or all. `progress` is told position and end.
///
/// # Errors
/// An unknown name, another rebuild under way, or what the database answers. The live tables stay as they were.
pub async fn run(
    options: &PgConnectOptions,
    names: &[String],
    mut progress: impl FnMut(i64, i64),
) -> anyhow::Result<i64> {
    let mut batch = Batch::of(names).map_err(|name| unknown(&name))?;
    let tables = batch.tables();
    let mut connection = options
        .clone()
        .options([("search_path", "rebuild,public"), ("jit", "off")])
        .connect()
        .await?;
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut connection)
        .await?;
    anyhow::ensure!(alone, "another rebuild is under way on this database");

    connection
        .execute("DROP SCHEMA IF EXISTS rebuild CASCADE; CREATE SCHEMA rebuild;")
        .await?;
    let mut later = Vec::new();
    for table in &tables {
        let (first, rest) = replay::shadow(&mut connection, table, SCHEMA).await?;
        for statement in first {
            connection.execute(statement.as_str()).await?;
        }
        later.extend(rest);
    }
    let mut position = fold(&mut connection, &mut batch, 0, 0, &mut progress).await?;
    for statement in later {
        connection
            .execute(statement.as_str())
            .await
            .context("an index could not be made")?;
    }
    for table in &tables {
        let analyze = format!("ANALYZE {SCHEMA}.{}", table.name);
        connection.execute(analyze.as_str()).await?;
    }
    for attempt in 0.. {
        position = fold(
            &mut connection,
            &mut batch,
            position,
            NEARLY_THERE,
            &mut progress,
        )
        .await?;
        match swap(&mut connection, &mut batch, &tables, position).await {
            Ok(end) => {
                position = end;
                break;
            }
            Err(error) if attempt < SWAP_ATTEMPTS && is_lock_conflict(&error) => {
                tokio::time::sleep(Duration::from_millis(50 + u64::from(attempt) * 5)).await;
            }
            Err(error) => return Err(error).context("the rebuilt tables could not be swapped in"),
        }
    }
    connection.execute("DROP SCHEMA rebuild CASCADE").await?;
    if names.is_empty() {
        checkpoints::rebuild(&mut connection).await?;
    }
    progress(position, position);
    Ok(position)
}

/// The message for a name that is no projection's.
#[must_use]
pub fn unknown(name: &str) -> anyhow::Error {
    anyhow::anyhow!("there is no projection called {name:?}")
}

async fn fold(
    connection: &mut PgConnection,
    batch: &mut Batch,
    mut position: i64,
    leave: i64,
    progress: &mut impl FnMut(i64, i64),
) -> Result<i64, sqlx::Error> {
    let mut end = replay::end(connection, false).await?;
    while position < end - leave {
        let step = replay::step(connection, batch, position, None).await?;
        if !step.any {
            break;
        }
        position = step.last;
        progress(position, end);
        if position >= end {
            end = replay::end(connection, false).await?;
        }
    }
    Ok(position)
}

/// One transaction: the live tables locked, then the ledger's end; the last events folded; the tables exchanged.
///
/// The tables come first, because an appender that waits for the ledger's end holds them already. Should locks cross all the
/// same, this side gives up quickly and tries again; nobody else ever notices.
async fn swap(
    connection: &mut PgConnection,
    batch: &mut Batch,
    tables: &[Table],
    position: i64,
) -> Result<i64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    transaction
        .execute("SET LOCAL lock_timeout = '400ms'")
        .await?;
    let live: Vec<String> = tables
        .iter()
        .map(|table| format!("public.{}", table.name))
        .collect();
    let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", live.join(", "));
    transaction.execute(lock.as_str()).await?;
    let end = replay::end(&mut transaction, true).await?;
    let mut position = position;
    while position < end {
        let step = replay::step(&mut transaction, batch, position, None).await?;
        if !step.any {
            break;
        }
        position = step.last;
    }
    if tables.iter().any(|table| table.name == "imports") {
        // They were folded, perhaps, while the key was there still.
        transaction
            .execute(
                "UPDATE rebuild.imports SET name = '' WHERE name <> '' AND id IN \
                 (SELECT aggregate_id FROM public.destroyed_keys WHERE aggregate_type = 'import')",
            )
            .await?;
    }
    // What they tell about is written anew.
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    zone_maps::build::forget(&mut transaction, &names).await?;
    count_spans::build::forget(&mut transaction, &names).await?;
    for table in tables {
        let name = table.name;
        let grants: Vec<String> = sqlx::query_scalar(
            "SELECT format('GRANT %s ON rebuild.%I TO %s', a.privilege_type, c.relname, \
             CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) \
             FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = format('public.%I', $1)::regclass",
        )
        .bind(name)
        .fetch_all(&mut *transaction)
        .await?;
        let comment: Option<String> = sqlx::query_scalar(
            "SELECT format('COMMENT ON TABLE rebuild.%I IS %L', $1, \
             obj_description(format('public.%I', $1)::regclass)) \
             WHERE obj_description(format('public.%I', $1)::regclass) IS NOT NULL",
        )
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
        for statement in grants.into_iter().chain(comment) {
            transaction.execute(statement.as_str()).await?;
        }
        let attach = versions::detach(&mut transaction, table, SCHEMA, end).await?;
        let exchange =
            format!("DROP TABLE public.{name}; ALTER TABLE rebuild.{name} SET SCHEMA public;");
        transaction.execute(exchange.as_str()).await?;
        if let Some(attach) = attach {
            transaction.execute(attach.as_str()).await?;
        }
    }
    transaction.commit().await?;
    Ok(end)
}

fn is_lock_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "55P03" | "40P01"))
}
