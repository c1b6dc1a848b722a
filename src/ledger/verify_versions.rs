//! Whether the kept versions of read tables, and the positions since which readers see each row, are those of the ledger: all of
//! them, and exactly.
//!
//! A version lasts from the end of one commit to that of another, so a fold in big steps cannot tell which. Here the fold stops
//! at every commit that a table names, and before it: the temporary table keeps its versions as the live one does, and a position
//! that was moved, or a version that was taken away, leaves the two apart. A commit that nobody names any more is
//! folded together with others, and what it did then bears the wrong position.
//!
//! A stop costs a millisecond. Tables that name the most commits are left to [`verify_past`](super::verify_past) when all together
//! name more than the wanted [`Depth`].

use std::collections::BTreeSet;

use projections::Table;
use sqlx::{Executor, PgConnection, Row};

use super::likenesses::{Known, Unknown};
use super::verify::{self, Depth, Findings};
use super::verify_kept;

/// How a table keeps its versions: its row of `past.kept_tables`.
struct Kept {
    since: &'static str,
    kept_from: i64,
}

/// Lets the temporary tables, which are empty, keep their versions too, as far as there are not too many. Answers the positions
/// at which the fold has to stop, and the tables of which there are too many. The tables stand in `pg_temp`, the versions beside
/// them as `past_…`.
///
/// # Errors
/// What the database answers.
pub(super) async fn begin(
    connection: &mut PgConnection,
    tables: &[Table],
    Depth(most): Depth,
) -> Result<(BTreeSet<i64>, Vec<&'static str>), sqlx::Error> {
    let mut named = Vec::new();
    for table in tables {
        if let Some(kept) = kept(connection, table).await? {
            let commits = commits_of(connection, table, &kept, most).await?;
            named.push((table.name, kept.since, commits));
        }
    }
    named.sort_by_key(|(_, _, commits)| commits.len());
    connection.execute(FUNCTIONS).await?;
    let mut commits = BTreeSet::new();
    let mut too_many = Vec::new();
    for (name, since, more) in named {
        let mut all = commits.clone();
        all.extend(more);
        if all.len() > most {
            too_many.push(name);
            continue;
        }
        commits = all;
        keep(connection, name, since).await?;
    }
    Ok((stops(connection, commits).await?, too_many))
}

/// What the triggers on the live tables do, for the commit that [`replay::step`](super::replay::step) names. What the same commit
/// made was seen by nobody: one of very many events is folded in several steps. Rows that [`verify_compaction`](super::verify_compaction) writes anew
/// stay as they are.
const FUNCTIONS: &str = "
CREATE OR REPLACE FUNCTION pg_temp.stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('leadledger.writes_anew', true), '') = '' THEN
        NEW.since := current_setting('leadledger.commit_ends')::bigint;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION pg_temp.keep_old_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO pg_temp.%I SELECT o.%I, current_setting(''leadledger.commit_ends'')::bigint, o.* FROM old_rows o '
        'WHERE o.%I < current_setting(''leadledger.commit_begins'')::bigint',
        'past_' || TG_TABLE_NAME, TG_ARGV[0], TG_ARGV[0]);
    RETURN NULL;
END $$;
";

async fn keep(connection: &mut PgConnection, name: &str, since: &str) -> Result<(), sqlx::Error> {
    let stamp = if since == "since" {
        format!(
            "CREATE TRIGGER stamp_row BEFORE INSERT OR UPDATE ON pg_temp.{name}
                 FOR EACH ROW EXECUTE FUNCTION pg_temp.stamp_row();"
        )
    } else {
        String::new()
    };
    let statements = format!(
        "CREATE TEMP TABLE past_{name} (LIKE past.{name});
         CREATE TRIGGER keep_replaced_rows AFTER UPDATE ON pg_temp.{name} REFERENCING OLD TABLE AS old_rows
             FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.keep_old_rows('{since}');
         CREATE TRIGGER keep_removed_rows AFTER DELETE ON pg_temp.{name} REFERENCING OLD TABLE AS old_rows
             FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.keep_old_rows('{since}');
         {stamp}"
    );
    connection.execute(statements.as_str()).await?;
    Ok(())
}

/// The column is the one of the migrations, whatever somebody wrote there: that it differs is told elsewhere.
async fn kept(connection: &mut PgConnection, table: &Table) -> Result<Option<Kept>, sqlx::Error> {
    let Some(wanted) = verify_kept::kept(table.name) else {
        return Ok(None);
    };
    let kept_from: Option<i64> =
        sqlx::query_scalar("SELECT kept_from FROM past.kept_tables WHERE table_name = $1")
            .bind(table.name)
            .fetch_optional(connection)
            .await?;
    Ok(kept_from.map(|kept_from| Kept {
        since: wanted.since,
        kept_from,
    }))
}

/// The positions that the table's rows and versions name; at most one more than `most`.
async fn commits_of(
    connection: &mut PgConnection,
    Table { name, .. }: &Table,
    Kept { since, kept_from }: &Kept,
    most: usize,
) -> Result<Vec<i64>, sqlx::Error> {
    // A lead that was never changed has no version besides its row, whose position is that of its first event.
    let never_changed = if *name == "leads" {
        " AND version > 1"
    } else {
        ""
    };
    sqlx::query_scalar(&format!(
        "SELECT p FROM (SELECT {since} AS p FROM public.{name} WHERE true{never_changed} \
         UNION SELECT valid_from FROM past.{name} WHERE true{never_changed} UNION SELECT valid_until FROM past.{name}) AS named \
         WHERE p > {kept_from} LIMIT {}",
        i64::try_from(most).map_or(i64::MAX, |most| most.saturating_add(1))
    ))
    .fetch_all(connection)
    .await
}

/// The ends of the commits with these positions in them, and those of the commits before.
async fn stops(
    connection: &mut PgConnection,
    positions: BTreeSet<i64>,
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let positions: Vec<i64> = positions.into_iter().collect();
    let rows = sqlx::query(
        "SELECT coalesce(c.first_position - 1, p - 1), coalesce(c.last_position, p) FROM unnest($1::bigint[]) AS p \
         LEFT JOIN LATERAL (SELECT * FROM (SELECT first_position, last_position FROM public.ledger_commits \
         WHERE last_position >= p ORDER BY last_position LIMIT 1) AS c WHERE c.first_position <= p) AS c ON true",
    )
    .bind(positions)
    .fetch_all(connection)
    .await?;
    let mut stops = BTreeSet::new();
    for row in rows {
        stops.extend([row.try_get::<i64, _>(0)?, row.try_get(1)?]);
    }
    Ok(stops)
}

/// How a table's versions are compared with those of the fold.
pub(super) struct Exact {
    /// SQL of a row `t`: the position from which on its versions can be told.
    from: String,
    /// Makes JSON of a row `t`, with the position since which readers see it.
    pub row: String,
    /// Which rows `t` are compared: counters at zero too, whose beginning can be told.
    pub condition: String,
    /// Which rows `t` of the fold are there, too, beginning with ` AND`: not counters that never were anything but zero. The fold takes a very large commit in
    /// several steps, and has counters which the commit as a whole never made.
    pub there: String,
    /// Which rows of the fold are kept, too.
    kept: &'static str,
}

/// How the table is compared; `None` when its versions are not.
///
/// # Errors
/// What the database answers.
pub(super) async fn exact(
    connection: &mut PgConnection,
    table: &Table,
    unknown: &Unknown,
) -> Result<Option<Exact>, sqlx::Error> {
    let begun: bool = sqlx::query_scalar("SELECT to_regclass('pg_temp.past_' || $1) IS NOT NULL")
        .bind(table.name)
        .fetch_one(&mut *connection)
        .await?;
    if !begun {
        return Ok(None);
    }
    let Some(Kept { since, kept_from }) = kept(connection, table).await? else {
        return Ok(None);
    };
    let Known { until, kept } = unknown.of(table.name);
    let from = format!("greatest({kept_from}, {until})");
    // What became so before says nothing about when.
    let row = if since == "since" {
        format!("to_jsonb(t) || jsonb_build_object('since', greatest(t.since, {from}))")
    } else {
        "to_jsonb(t)".to_owned()
    };
    let &Table {
        name,
        key,
        counts_when,
        ..
    } = table;
    let same: Vec<String> = key.iter().map(|key| format!("p.{key} = t.{key}")).collect();
    let had = format!(
        "EXISTS (SELECT 1 FROM pg_temp.past_{name} p WHERE {})",
        same.join(" AND ")
    );
    Ok(Some(Exact {
        condition: format!("({counts_when} OR t.{since} > {from})"),
        there: format!(" AND ({counts_when} OR {had})"),
        from,
        row,
        kept,
    }))
}

/// Compares the table's versions with those of the fold.
///
/// # Errors
/// What the database answers.
pub(super) async fn compare(
    connection: &mut PgConnection,
    Table {
        name,
        key,
        counts_when,
        ..
    }: &Table,
    Exact {
        from, row, kept, ..
    }: &Exact,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let keys = key.join(", ");
    let side = |versions: &str, kept: &str| {
        format!(
            "SELECT {keys}, valid_until, row_number() OVER (PARTITION BY {keys}, valid_until) AS nth, \
             {row} || jsonb_build_object('valid_from', greatest(t.valid_from, {from})) AS row \
             FROM {versions} t WHERE ({counts_when} OR valid_from > {from}) AND (valid_until > {from} OR valid_from >= valid_until){kept}"
        )
    };
    let key: Vec<&str> = key.iter().copied().chain(["valid_until", "nth"]).collect();
    let sides = (
        side(&format!("past.{name}"), ""),
        side(&format!("pg_temp.past_{name}"), kept),
    );
    let name = format!("past.{name}");
    verify::compare_rows(connection, &name, &key, sides, findings).await
}
