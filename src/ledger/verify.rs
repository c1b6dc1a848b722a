//! `leadledger verify`: are the read tables what the ledger says, and is the ledger what its hashes say?
//!
//! Everything happens in one transaction on one snapshot, in temporary tables: servers go on serving and notice nothing.

use projections::{Batch, Table, count_spans, zone_maps};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

use super::likenesses::{self, Unknown};
use super::rebuild::unknown;
use super::verify_careful::{CarefulFold, check};
use super::verify_claims::Claimed;
use super::verify_compaction::Compaction;
use super::verify_head::{self, KnownAtEnd};
use super::verify_proofs::{Recomputed, Witnessed};
use super::{
    catch_up, replay, snapshots, verify_erasures, verify_kept, verify_past, verify_versions,
    versions,
};

/// How many differences of one table are named; the rest is counted.
const NAMED: i64 = 100;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many events were read.
    pub events: i64,
    /// How many rows were compared.
    pub rows: i64,
    /// Each difference, in words; never with personal data. What is wrong with the ledger itself comes first, in its order.
    pub differences: Vec<String>,
    /// Tables with too many versions to look at each: their past was looked at in four places only.
    pub sampled: Vec<&'static str>,
}

/// What is looked at besides the rows themselves.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    /// Whether every projection is folded: only all together can tell some things.
    pub all: bool,
    /// Checkpoints from outside the database.
    pub witnessed: &'a Witnessed,
    /// How thoroughly the past is looked at.
    pub depth: Depth,
}

/// How thoroughly the past of read tables is looked at: at how many commits the fold stops, a millisecond each. Tables whose
/// versions would need more are looked at in four places only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth(pub usize);

impl Depth {
    /// What takes half a minute longer than no past at all.
    pub const USUAL: Self = Self(20_000);
    /// Every version of every table.
    pub const EVERY_VERSION: Self = Self(usize::MAX);
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
    run_with(
        options,
        names,
        &Witnessed::default(),
        Depth::USUAL,
        progress,
    )
    .await
}

/// [`run`], comparing the ledger with checkpoints from outside the database too.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    options: &PgConnectOptions,
    names: &[String],
    witnessed: &Witnessed,
    depth: Depth,
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
    let checks = Checks {
        all: names.is_empty(),
        witnessed,
        depth,
    };
    let mut findings = fold_apart(&mut transaction, &mut batch, checks, &mut progress).await?;
    let unknown = Unknown::look_for(&mut transaction).await?;
    for table in &tables {
        compare(&mut transaction, table, &unknown, &mut findings).await?;
        let lost = versions::out_of_reach(&mut transaction, table).await?;
        if lost > 0 {
            findings.differences.push(format!(
                "{}: {lost} versions of its past are not found, because their rows are missing",
                table.name
            ));
        }
    }
    let zones = async |connection: &mut PgConnection| {
        let wrong = zone_maps::build::wrong(connection).await?;
        let told = wrong.into_iter().map(|(company, list)| {
            format!("past.zones: company_id={company} list={list}: is not a map of that list")
        });
        Ok(told.collect())
    };
    let mut wrong = check(&mut transaction, "past.zones", zones).await?;
    let spans = count_spans::build::wrong;
    wrong.extend(check(&mut transaction, "past.count_spans", spans).await?);
    if names.is_empty() {
        let verify = snapshots::verify;
        wrong.extend(check(&mut transaction, "stream_snapshots", verify).await?);
        let verify = verify_erasures::destroyed_keys;
        wrong.extend(check(&mut transaction, "destroyed_keys", verify).await?);
        let verify = verify_erasures::keys_that_are_back;
        wrong.extend(check(&mut transaction, "subject_keys", verify).await?);
    }
    findings.differences.extend(wrong);
    transaction.rollback().await?;
    Ok(findings)
}

/// Folds the whole ledger into temporary tables of the connection, which are there until its transaction ends, and checks
/// the ledger on the way. The connection's search path begins with `pg_temp`.
///
/// # Errors
/// What the database answers.
pub async fn fold_apart(
    connection: &mut PgConnection,
    batch: &mut Batch,
    checks: Checks<'_>,
    progress: &mut impl FnMut(i64, i64),
) -> Result<Findings, sqlx::Error> {
    let mut findings = Findings::default();
    let end = verify_head::end(connection).await?;
    for table in &batch.tables() {
        let (first, _) = replay::shadow(connection, table, "pg_temp").await?;
        for statement in first {
            connection.execute(statement.as_str()).await?;
        }
    }
    let mut recomputed = Recomputed::begin(connection, checks.witnessed).await?;
    let tables = batch.tables();
    let compare =
        async |connection: &mut PgConnection| verify_kept::compare(connection, &tables).await;
    let wrongly_kept = check(connection, "past.kept_tables", compare).await?;
    let (mut stops, sampled) = verify_versions::begin(connection, &tables, checks.depth).await?;
    findings.sampled = sampled;
    let moments = verify_past::moments(connection).await?;
    let unknown = Unknown::look_for(connection).await?;
    stops.extend(&moments);
    let mut known_at_end = KnownAtEnd::default();
    let mut claimed = Claimed::default();
    let mut fold = CarefulFold::default();
    let mut compaction = Compaction::of(&tables);
    let mut position = 0;
    loop {
        let up_to = stops.range(position + 1..).next().copied();
        let mut step = fold.step(connection, batch, position, up_to).await?;
        known_at_end.extend(std::mem::take(&mut step.known_at_end));
        claimed.extend(std::mem::take(&mut step.claimed));
        // Only all projections together can tell whether the tables still refuse it.
        if let Some(recorded) = step.left_out.as_ref().filter(|_| checks.all)
            && catch_up::fold(connection, std::slice::from_ref(recorded), None)
                .await?
                .is_none()
        {
            recomputed.blame(
                recorded.position,
                "is left out of the read tables without need",
            );
        }
        recomputed.take(connection, &step).await?;
        if !step.any {
            // Where the fold should stop an event is missing: what comes behind it is judged all the same.
            if up_to.is_some_and(|stop| stops.remove(&stop)) {
                continue;
            }
            break;
        }
        position = step.last;
        findings.events = position;
        progress(position, end.unwrap_or(position));
        compaction.after_step(connection).await?;
        if moments.contains(&position) {
            verify_past::compare(connection, &tables, &unknown, position, &mut findings).await?;
        }
    }
    for (position, reason) in fold.refused {
        let what = format!("cannot be among the others, the read tables refuse it ({reason})");
        recomputed.blame(position, &what);
    }
    let mut differences = recomputed.finish(connection, end).await?;
    let compare = async |connection: &mut PgConnection| known_at_end.compare(connection).await;
    differences.extend(check(connection, "ledger_head", compare).await?);
    if checks.all {
        let compare = async |connection: &mut PgConnection| claimed.compare(connection).await;
        differences.extend(check(connection, "claims", compare).await?);
    }
    differences.extend(wrongly_kept);
    differences.append(&mut findings.differences);
    findings.differences = differences;
    Ok(findings)
}

/// Compares a live read table, and the versions of its rows, with the one of the same name in the connection's temporary schema.
///
/// # Errors
/// What the database answers.
pub async fn compare(
    connection: &mut PgConnection,
    table: &Table,
    unknown: &Unknown,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let exact = verify_versions::exact(connection, table, unknown).await?;
    if let Some(exact) = &exact {
        verify_versions::compare(connection, table, exact, findings).await?;
    }
    let unlike = likenesses::unlike_recorded(connection, table.name).await?;
    findings.differences.extend(unlike);
    let other = format!("public.{}", table.name);
    let sides = match &exact {
        None => Sides {
            other: &other,
            row: "to_jsonb(t) - 'since'",
            condition: table.counts_when,
            kept: "",
        },
        Some(exact) => Sides {
            other: &other,
            row: &exact.row,
            condition: &exact.condition,
            kept: &exact.there,
        },
    };
    compare_with(connection, table, &sides, findings).await
}

/// How the table of the fold is compared with what is there.
pub(super) struct Sides<'a> {
    /// What is there, with its schema.
    pub other: &'a str,
    /// SQL that makes JSON of a row `t`.
    pub row: &'a str,
    /// Which rows `t` are compared.
    pub condition: &'a str,
    /// SQL, beginning with ` AND`: which rows of the fold are there, too.
    pub kept: &'a str,
}

/// Compares what a table in another schema than the temporary one shows with what the table of the fold shows.
///
/// # Errors
/// What the database answers.
pub(super) async fn compare_with(
    connection: &mut PgConnection,
    table: &Table,
    sides: &Sides<'_>,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let Sides {
        other,
        row,
        condition,
        kept,
    } = sides;
    let name = table.name;
    let keys = table.key.join(", ");
    let side = |from: &str, kept: &str| {
        format!("SELECT {keys}, {row} AS row FROM {from} t WHERE {condition}{kept}")
    };
    let sides = (side(other, ""), side(&format!("pg_temp.{name}"), kept));
    compare_rows(connection, name, table.key, sides, findings).await?;
    let compared: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM pg_temp.{name}"))
        .fetch_one(connection)
        .await?;
    findings.rows += compared;
    Ok(())
}

/// Compares the rows of two queries, what is there with what should be: each gives the columns of the key, and `row`, JSON of all
/// that counts.
///
/// # Errors
/// What the database answers.
pub(super) async fn compare_rows(
    connection: &mut PgConnection,
    name: &str,
    key: &[&str],
    (there, wanted): (String, String),
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let each = |form: fn(&&str) -> String, between: &str| {
        let forms: Vec<String> = key.iter().map(form).collect();
        forms.join(between)
    };
    let rows = sqlx::query(&format!(
        "SELECT {shown} AS which, l.row IS NULL AS missing, r.row IS NULL AS surplus, \
         (SELECT string_agg(a.key, ', ' ORDER BY a.key) FROM jsonb_each(l.row) a \
          JOIN jsonb_each(r.row) b USING (key) WHERE a.value IS DISTINCT FROM b.value) AS columns, \
         count(*) OVER () AS all_of_them \
         FROM ({there}) l FULL JOIN ({wanted}) r ON {join} \
         WHERE l.row IS DISTINCT FROM r.row ORDER BY {order} LIMIT {NAMED}",
        shown = each(
            |column| format!("'{column}=' || coalesce(l.{column}, r.{column})"),
            " || ' ' || "
        ),
        join = each(|column| format!("l.{column} = r.{column}"), " AND "),
        order = each(|column| format!("coalesce(l.{column}, r.{column})"), ", "),
    ))
    .fetch_all(connection)
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
    Ok(())
}
