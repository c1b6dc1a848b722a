//! The least that PostgreSQL needs for the rows of an import: the very rows that one left behind, copied once more into the same tables with
//! the same indexes, by two connections at a time. No server decides, seals or hashes anything, nothing is looked up, and neither triggers nor
//! references are checked: an importer has all of that to do besides.

use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use leadledger::database::MIGRATIONS;
use leadledger::embedded::EmbeddedPostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

const DATABASE: &str = "floor";
const CONNECTIONS: usize = 2;
/// Rows of one commit, as of one statement of the bare loop.
const AT_ONCE: usize = 1_000;

/// Leads per second, of the import of so many rows that made this database.
pub async fn measure(postgres: &EmbeddedPostgres, imported: &str, rows: u64) -> Result<f64> {
    let tables = tables(postgres, imported, rows).await?;
    prepare(postgres).await?;
    let shares = shares(&tables);
    let mut connections = Vec::new();
    for _ in &shares {
        let mut connection = connect(postgres, DATABASE).await?;
        connection
            .execute("SET session_replication_role = replica")
            .await?;
        connections.push(connection);
    }
    let began = Instant::now();
    let copying = connections
        .into_iter()
        .zip(shares)
        .map(|(to, share)| copy(to, share));
    futures::future::try_join_all(copying).await?;
    Ok(crate::imports::per_second(rows, began.elapsed()))
}

/// What an import wrote to one table, as lines of `COPY`.
struct Written {
    table: String,
    lines: Vec<u8>,
}

/// The tables that have a row for each row of the import, or for every few.
async fn tables(postgres: &EmbeddedPostgres, imported: &str, rows: u64) -> Result<Vec<Written>> {
    let mut connection = connect(postgres, imported).await?;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname IN ('public', 'past') ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut tables = Vec::new();
    for table in names {
        let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM {table}"))
            .fetch_one(&mut connection)
            .await?;
        if count.unsigned_abs() < rows / 100 {
            continue;
        }
        let mut copied = connection
            .copy_out_raw(&format!("COPY {table} TO STDOUT"))
            .await?;
        let mut lines = Vec::new();
        while let Some(part) = copied.try_next().await? {
            lines.extend_from_slice(&part);
        }
        drop(copied);
        tables.push(Written { table, lines });
    }
    connection.close().await?;
    Ok(tables)
}

/// One piece of a table: a transaction's worth.
type Piece<'a> = (&'a str, &'a [u8]);

/// The pieces in the order in which the rows came, turn and turn about.
fn shares(tables: &[Written]) -> Vec<Vec<Vec<Piece<'_>>>> {
    let mut shares = vec![Vec::new(); CONNECTIONS];
    let pieces: Vec<(&str, Vec<&[u8]>)> = tables
        .iter()
        .map(|written| (written.table.as_str(), pieces(&written.lines)))
        .collect();
    let most = pieces
        .iter()
        .map(|(_, pieces)| pieces.len())
        .max()
        .unwrap_or_default();
    for turn in 0..most {
        let commit = pieces
            .iter()
            .filter_map(|(table, pieces)| Some((*table, *pieces.get(turn)?)));
        shares[turn % CONNECTIONS].push(commit.collect());
    }
    shares
}

fn pieces(lines: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        // A line's end stands for itself alone: in a value it is escaped.
        let ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let end = ends.map(|(at, _)| at + 1).take(AT_ONCE).last();
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

async fn copy(mut to: PgConnection, share: Vec<Vec<Piece<'_>>>) -> Result<()> {
    for commit in share {
        let mut transaction = to.begin().await?;
        for (table, lines) in commit {
            let mut copying = transaction
                .copy_in_raw(&format!("COPY {table} FROM STDIN"))
                .await?;
            copying.send(lines).await?;
            copying
                .finish()
                .await
                .with_context(|| format!("copying into {table}"))?;
        }
        transaction.commit().await?;
    }
    to.close().await?;
    Ok(())
}

/// An empty database with the server's tables.
async fn prepare(postgres: &EmbeddedPostgres) -> Result<()> {
    let mut connection = connect(postgres, "postgres").await?;
    connection
        .execute(format!("DROP DATABASE IF EXISTS {DATABASE}").as_str())
        .await?;
    connection.close().await?;
    postgres.ensure_database(DATABASE).await?;
    let mut connection = connect(postgres, DATABASE).await?;
    MIGRATIONS.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn connect(postgres: &EmbeddedPostgres, database: &str) -> Result<PgConnection> {
    Ok(PgConnection::connect_with(&postgres.connect_options(database)).await?)
}
