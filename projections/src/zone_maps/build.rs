//! Making zone maps from the tables, and comparing them with what they would be.

use aggregates::ids::CompanyId;
use sqlx::{PgConnection, Row};

use super::{ALL, OUTDATED, ZonedList};

/// How many rows a zone has, of so many in all: of ten millions 790, of a hundred thousand 79. A list is read through some whole zones,
/// and past all of them.
fn zone_rows(rows: i64) -> i64 {
    (rows.isqrt() / 4).max(16)
}

/// The positions of a map are rounded to this many steps: so many times a zone can begin to hold, and end, at most.
const STEPS: i64 = 2048;

/// How many rows and versions a company's list has, of which map or none.
///
/// # Errors
/// What the database answers.
pub async fn rows(
    connection: &mut PgConnection,
    company: CompanyId,
    ZonedList { table, .. }: &ZonedList,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "SELECT (SELECT count(*) FROM public.{table} WHERE company_id = $1) \
         + (SELECT count(*) FROM past.{table} WHERE company_id = $1)"
    ))
    .bind(company.get())
    .fetch_one(connection)
    .await
}

/// Makes the map of a company's list of about so many rows and versions, in place of the one that there is. In a transaction of the
/// caller, who sees to it that nobody else does so at the same time, and that it is done, or not, within a minute.
///
/// # Errors
/// What the database answers.
pub async fn build(
    connection: &mut PgConnection,
    company: CompanyId,
    list: &ZonedList,
    rows: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM past.zone_maps WHERE company_id = $1 AND list = $2")
        .bind(company.get())
        .bind(list.name)
        .execute(&mut *connection)
        .await?;
    // One statement, and so one snapshot: the ledger's end, and the tables as they are then.
    let statement = format!(
        "WITH map AS (INSERT INTO past.zone_maps (company_id, list, as_of, zone_rows) \
         SELECT $1, $2, position, $3 FROM public.ledger_head RETURNING *) \
         INSERT INTO past.zones ({}) {}",
        columns(list),
        zones(list, "map")
    );
    sqlx::query(&statement)
        .bind(company.get())
        .bind(list.name)
        .bind(zone_rows(rows))
        .execute(connection)
        .await?;
    Ok(())
}

fn columns(ZonedList { kind, .. }: &ZonedList) -> String {
    format!("company_id, list, part, zone, first_{kind}, first_id, last_{kind}, last_id, held")
}

/// A query of the zones of the maps in a relation that has the columns of `past.zone_maps`, all of this list.
fn zones(list: &ZonedList, maps: &str) -> String {
    let ZonedList {
        table,
        since,
        part,
        key,
        id,
        ..
    } = list;
    // All versions of a row that stand at the same place are of one zone, which is why ranks are counted and not rows.
    format!(
        "SELECT company_id, list, part, zone, min(key), min(id) FILTER (WHERE first), max(key), max(id) FILTER (WHERE last), \
         range_agg(int8range(valid_from / step * step, (valid_until + step - 1) / step * step)) \
         FROM (SELECT *, (rank - 1) / zone_rows AS zone, \
             (rank - 1) / zone_rows IS DISTINCT FROM (lag(rank) OVER ordered - 1) / zone_rows AS first, \
             (rank - 1) / zone_rows IS DISTINCT FROM (lead(rank) OVER ordered - 1) / zone_rows AS last \
           FROM (SELECT *, rank() OVER (PARTITION BY company_id, part ORDER BY key, id) AS rank, \
                 greatest(1, (as_of - min(valid_from) OVER (PARTITION BY company_id)) / {STEPS}) AS step \
             FROM (SELECT m.*, CAST({part} AS bigint) AS part, {key} AS key, {id} AS id, r.{since} AS valid_from, \
                   CAST(NULL AS bigint) AS valid_until \
                 FROM {maps} m JOIN public.{table} r ON r.company_id = m.company_id WHERE r.{since} <= m.as_of \
               UNION ALL SELECT m.*, {part}, {key}, {id}, valid_from, CASE WHEN valid_until <= m.as_of THEN valid_until END \
                 FROM {maps} m JOIN past.{table} r ON r.company_id = m.company_id WHERE valid_from <= m.as_of) AS r) AS r \
           WINDOW ordered AS (PARTITION BY company_id, part ORDER BY key, id)) AS r \
         GROUP BY company_id, list, part, zone"
    )
}

/// The maps that are not what they would be if they were made anew: a company and the name of a list each. Where one of them hides rows,
/// readers miss these in the past.
///
/// # Errors
/// What the database answers.
pub async fn wrong(connection: &mut PgConnection) -> Result<Vec<(i64, String)>, sqlx::Error> {
    let mut wrong = Vec::new();
    for list in &ALL {
        let columns = columns(list);
        let maps = format!("(SELECT * FROM past.zone_maps m WHERE list = $1 AND NOT {OUTDATED})");
        let wanted = zones(list, &maps);
        let rows = sqlx::query(&format!(
            "WITH there AS MATERIALIZED (SELECT {columns} FROM past.zones JOIN {maps} m USING (company_id, list)), \
             wanted ({columns}) AS MATERIALIZED ({wanted}) \
             SELECT DISTINCT company_id FROM ((TABLE there EXCEPT ALL TABLE wanted) UNION ALL \
             (TABLE wanted EXCEPT ALL TABLE there)) AS differ ORDER BY company_id"
        ))
        .bind(list.name)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            wrong.push((row.try_get(0)?, list.name.to_owned()));
        }
    }
    let unknown: Vec<(i64, String)> = sqlx::query_as(
        "SELECT company_id, list FROM past.zone_maps WHERE NOT list = ANY($1) ORDER BY company_id, list",
    )
    .bind(ALL.iter().map(|list| list.name).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    wrong.extend(unknown);
    Ok(wrong)
}

/// Deletes every map of these tables: what they tell about was made anew.
///
/// # Errors
/// What the database answers.
pub async fn forget(connection: &mut PgConnection, tables: &[&str]) -> Result<(), sqlx::Error> {
    let lists: Vec<&str> = ALL
        .iter()
        .filter(|list| tables.contains(&list.table))
        .map(|list| list.name)
        .collect();
    sqlx::query("DELETE FROM past.zone_maps WHERE list = ANY($1)")
        .bind(lists)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes the maps by name in which there can be names that were erased since they were made.
///
/// # Errors
/// What the database answers.
pub async fn forget_erased(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let statement = format!("DELETE FROM past.zone_maps m WHERE {OUTDATED}");
    sqlx::query(&statement).execute(connection).await?;
    Ok(())
}
