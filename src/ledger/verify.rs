//! `leadledger verify`: are the read tables what the ledger says, and is the ledger what its hashes say?
//!
//! Everything happens in one transaction on one snapshot, in temporary tables: servers go on serving and notice nothing.

use projections::{Batch, Table};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

use super::rebuild::unknown;
use super::verify_proofs::{Recomputed, Witnessed, wrong_end, wrong_events};
use super::{catch_up, replay, snapshots};

/// How many differences of one table are named; the rest is counted.
const NAMED: i64 = 100;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many events were read.
    pub events: i64,
    /// How many rows were compared.
    pub rows: i64,
    /// Each difference, in words; never with personal data.
    pub differences: Vec<String>,
}

/// Rebuilds the projections with these names (or all) apart, and compares row by row. `progress` is told position and end.
///
/// # Errors
/// An unknown name, or what the database answers.
pub async fn run(
    options: &PgConnectOptions,
    names: &[String],
    progress: impl FnMut(i64, i64),
) -> anyhow::Result<Findings> {
    run_with(options, names, &Witnessed::default(), progress).await
}

/// [`run`], comparing the ledger with checkpoints from outside the database too.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    options: &PgConnectOptions,
    names: &[String],
    witnessed: &Witnessed,
    mut progress: impl FnMut(i64, i64),
) -> anyhow::Result<Findings> {
    let mut batch = Batch::of(names).map_err(|name| unknown(&name))?;
    let tables = batch.tables();
    let mut connection = options
        .clone()
        .options([("search_path", "pg_temp,public"), ("jit", "off")])
        .connect()
        .await?;
    let mut transaction = connection.begin().await?;
    transaction
        .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let all = names.is_empty();
    let mut findings =
        fold_apart(&mut transaction, &mut batch, all, witnessed, &mut progress).await?;
    for table in &tables {
        compare(&mut transaction, table, &mut findings).await?;
    }
    if names.is_empty() {
        let wrong = snapshots::verify(&mut transaction).await?;
        findings.differences.extend(wrong);
    }
    transaction.rollback().await?;
    Ok(findings)
}

/// Folds the whole ledger into temporary tables of the connection, which are there until its transaction ends, and checks
/// the ledger on the way. `all` tells that the batch has every projection. The connection's search path begins with `pg_temp`.
///
/// # Errors
/// What the database answers.
pub async fn fold_apart(
    connection: &mut PgConnection,
    batch: &mut Batch,
    all: bool,
    witnessed: &Witnessed,
    progress: &mut impl FnMut(i64, i64),
) -> Result<Findings, sqlx::Error> {
    let mut findings = Findings::default();
    let end = replay::end(connection, false).await?;
    for table in &batch.tables() {
        let (first, _) = replay::shadow(connection, table, "pg_temp").await?;
        for statement in first {
            connection.execute(statement.as_str()).await?;
        }
    }
    let mut recomputed = Recomputed::begin(connection, witnessed).await?;
    let mut position = 0;
    loop {
        let step = replay::step(connection, batch, position).await?;
        findings.differences.extend(wrong_events(&step));
        // Only all projections together can tell whether the tables still refuse it.
        if let Some(recorded) = step.left_out.as_ref().filter(|_| all)
            && catch_up::fold(connection, std::slice::from_ref(recorded))
                .await?
                .is_none()
        {
            findings.differences.push(format!(
                "events: position {}: is left out of the read tables without need",
                recorded.position
            ));
        }
        if !step.any {
            break;
        }
        recomputed.take(connection, &step.leaves).await?;
        position = step.last;
        findings.events = position;
        progress(position, end);
    }
    findings.differences.extend(wrong_end(position, end));
    let wrong = recomputed.finish(connection).await?;
    findings.differences.extend(wrong);
    Ok(findings)
}

/// Compares a live read table with the one of the same name in the connection's temporary schema.
///
/// # Errors
/// What the database answers.
pub async fn compare(
    connection: &mut PgConnection,
    table: &Table,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let Table {
        name,
        key,
        counts_when,
        ..
    } = table;
    let keys = key.join(", ");
    let shown: Vec<String> = key
        .iter()
        .map(|column| format!("'{column}=' || coalesce(l.{column}, r.{column})"))
        .collect();
    let join: Vec<String> = key
        .iter()
        .map(|column| format!("l.{column} = r.{column}"))
        .collect();
    let rows = sqlx::query(&format!(
        "SELECT {shown} AS which, l.{first} IS NULL AS missing, r.{first} IS NULL AS surplus, \
         (SELECT string_agg(a.key, ', ' ORDER BY a.key) FROM jsonb_each(to_jsonb(l)) a \
          JOIN jsonb_each(to_jsonb(r)) b USING (key) WHERE a.value IS DISTINCT FROM b.value) AS columns, \
         count(*) OVER () AS all_of_them \
         FROM (SELECT * FROM public.{name} WHERE {counts_when}) l \
         FULL JOIN (SELECT * FROM pg_temp.{name} WHERE {counts_when}) r ON {join} \
         WHERE to_jsonb(l) IS DISTINCT FROM to_jsonb(r) ORDER BY {order} LIMIT {NAMED}",
        shown = shown.join(" || ' ' || "),
        first = key[0],
        join = join.join(" AND "),
        order = key
            .iter()
            .map(|column| format!("coalesce(l.{column}, r.{column})"))
            .collect::<Vec<_>>()
            .join(", "),
    ))
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let which: String = row.try_get(0)?;
        let what = if row.try_get(1)? {
            "is missing".to_owned()
        } else if row.try_get(2)? {
            "should not be there".to_owned()
        } else {
            let columns: Option<String> = row.try_get(3)?;
            format!("differs in {}", columns.unwrap_or_default())
        };
        findings
            .differences
            .push(format!("{name}: {which}: {what}"));
    }
    if let Some(row) = rows.first() {
        let all: i64 = row.try_get(4)?;
        if all > NAMED {
            findings
                .differences
                .push(format!("{name}: and {} more", all - NAMED));
        }
    }
    let compared: i64 = sqlx::query_scalar(&format!(
        "SELECT count(*) FROM (SELECT {keys} FROM pg_temp.{name}) AS t"
    ))
    .fetch_one(connection)
    .await?;
    findings.rows += compared;
    Ok(())
}
