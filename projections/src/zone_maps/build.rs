//! Making zone maps from the tables, and comparing them with what they would be.

use aggregates::ids::CompanyId;
use sqlx::PgConnection;

use super::{ALL, GROUP, OUTDATED, ZonedList};

/// How many rows and versions a zone has: some of them are walked through for every page.
pub const ZONE_ROWS: i64 = 32;

/// How many rows and versions a company's list has, of which map or none.
///
/// # Errors
/// What the database answers.
pub async fn rows(
    connection: &mut PgConnection,
    company: CompanyId,
    ZonedList { table, within, .. }: &ZonedList,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "SELECT (SELECT count(*) FROM public.{table} WHERE company_id = $1 AND {within}) \
         + (SELECT count(*) FROM past.{table} WHERE company_id = $1 AND {within})"
    ))
    .bind(company.get())
    .fetch_one(connection)
    .await
}

/// The advisory lock of whoever makes a map of the company `$1`'s list `$2`, until the end of the transaction.
const LOCK: &str = "hashtextextended('zone map ' || $2, $1)";

/// Whether a map of a company's list that tells about a position is still to be made: there is none, and nobody is making one. Nobody else begins
/// until the caller's transaction ends.
///
/// # Errors
/// What the database answers.
pub async fn is_wanted(
    connection: &mut PgConnection,
    company: CompanyId,
    list: &ZonedList,
    position: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "SELECT pg_try_advisory_xact_lock({LOCK}) AND NOT EXISTS (SELECT 1 \
         FROM past.zone_maps WHERE company_id = $1 AND list = $2 AND as_of >= $3)"
    ))
    .bind(company.get())
    .bind(list.name)
    .bind(position)
    .fetch_one(connection)
    .await
}

/// Makes the map of a company's list, with zones of so many rows, in place of the one that there is. In a transaction of the caller, which
/// reads what is committed at each statement. Waits for whoever makes the same map.
///
/// # Errors
/// What the database answers.
pub async fn build(
    connection: &mut PgConnection,
    company: CompanyId,
    list: &ZonedList,
    zone_rows: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
        .bind(company.get())
        .bind(list.name)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM past.zone_maps WHERE company_id = $1 AND list = $2")
        .bind(company.get())
        .bind(list.name)
        .execute(&mut *connection)
        .await?;
    let entries = rows(connection, company, list).await?;
    // One statement, and so one snapshot: the ledger's end, and the tables as they are then.
    let statement = format!(
        "WITH map AS (INSERT INTO past.zone_maps (company_id, list, as_of, zone_rows, entries) \
         SELECT $1, $2, position, $3, $4 FROM public.ledger_head RETURNING *) \
         INSERT INTO past.zones (company_id, list, {}) SELECT $1, $2, zones.* FROM ({}) AS zones",
        columns(list),
        zones(list, "(SELECT position FROM public.ledger_head)")
    );
    sqlx::query(&statement)
        .bind(company.get())
        .bind(list.name)
        .bind(zone_rows)
        .bind(entries)
        .execute(&mut *connection)
        .await?;
    // Erasures that were recorded meanwhile saw no map. Those to come will: they are cleared for a minute.
    let outdated =
        format!("DELETE FROM past.zone_maps m WHERE company_id = $1 AND list = $2 AND {OUTDATED}");
    sqlx::query(&outdated)
        .bind(company.get())
        .bind(list.name)
        .execute(connection)
        .await?;
    Ok(())
}

fn columns(ZonedList { kind, .. }: &ZonedList) -> String {
    format!("part, level, zone, first_{kind}, first_id, last_{kind}, last_id, held, begun, ended")
}

/// A query of the zones, of `$3` rows each, and of their groups, of the list of the company `$1`, as of this position.
fn zones(list: &ZonedList, as_of: &str) -> String {
    let ZonedList {
        table,
        since,
        part,
        within,
        key,
        id,
        ..
    } = list;
    let order = "PARTITION BY part ORDER BY key, id";
    // All versions of a row that stand at the same place are of one zone, which is why ranks are counted and not rows.
    format!(
        "WITH zones AS MATERIALIZED (SELECT part, zone, min(key) AS first, min(id) FILTER (WHERE first) AS first_id, \
         max(key) AS last, max(id) FILTER (WHERE last) AS last_id, range_agg(int8range(valid_from, valid_until)) AS held, \
         array_agg(valid_from) AS begun, array_agg(valid_until) FILTER (WHERE valid_until IS NOT NULL) AS ended \
         FROM (SELECT part, key, id, valid_from, valid_until, (rank - 1) / $3 AS zone, \
             (rank - 1) / $3 IS DISTINCT FROM (lag(rank) OVER ordered - 1) / $3 AS first, \
             (rank - 1) / $3 IS DISTINCT FROM (lead(rank) OVER ordered - 1) / $3 AS last \
           FROM (SELECT *, rank() OVER ({order}) AS rank \
             FROM (SELECT CAST({part} AS bigint) AS part, {key} AS key, {id} AS id, {since} AS valid_from, \
                   CAST(NULL AS bigint) AS valid_until FROM public.{table} WHERE company_id = $1 AND {within} AND {since} <= {as_of} \
               UNION ALL SELECT {part}, {key}, {id}, valid_from, CASE WHEN valid_until <= {as_of} THEN valid_until END \
                 FROM past.{table} WHERE company_id = $1 AND {within} AND valid_from <= {as_of}) AS r) AS r \
           WINDOW ordered AS ({order})) AS r \
         GROUP BY part, zone) \
         SELECT part, CAST(0 AS smallint) AS level, zone, first, first_id, last, last_id, held, \
         CAST(NULL AS bigint[]) AS begun, CAST(NULL AS bigint[]) AS ended FROM zones \
         UNION ALL SELECT part, 1, zone / {GROUP}, min(first), (array_agg(first_id ORDER BY zone))[1], max(last), \
         (array_agg(last_id ORDER BY zone DESC))[1], (SELECT range_agg(r) FROM unnest(array_agg(held)) AS h, unnest(h) AS r), \
         (SELECT array_agg(b ORDER BY b) FROM unnest(past.joined(begun)) AS b), \
         (SELECT array_agg(e ORDER BY e) FROM unnest(past.joined(ended)) AS e) \
         FROM zones GROUP BY part, zone / {GROUP} ORDER BY part, level, zone"
    )
}

/// The maps that are not what they would be if they were made anew: a company and the name of a list each. Where one of them hides rows,
/// readers miss these in the past.
///
/// # Errors
/// What the database answers.
pub async fn wrong(connection: &mut PgConnection) -> Result<Vec<(i64, String)>, sqlx::Error> {
    let maps: Vec<(i64, String, i64, i64)> = sqlx::query_as(&format!(
        "SELECT company_id, list, as_of, zone_rows FROM past.zone_maps m WHERE NOT {OUTDATED} ORDER BY company_id, list"
    ))
    .fetch_all(&mut *connection)
    .await?;
    let end: i64 = sqlx::query_scalar("SELECT position FROM public.ledger_head")
        .fetch_one(&mut *connection)
        .await?;
    let mut wrong = Vec::new();
    for (company, name, as_of, zone_rows) in maps {
        let same = match ZonedList::named(&name) {
            // What it tells of positions to come would be wrong as soon as something happens.
            _ if as_of > end => false,
            None => false,
            Some(list) => {
                let columns = columns(list);
                let wanted = zones(list, "$4");
                sqlx::query_scalar(&format!(
                    "WITH there AS MATERIALIZED (SELECT {columns} FROM past.zones WHERE company_id = $1 AND list = $2), \
                     wanted ({columns}) AS MATERIALIZED ({wanted}) \
                     SELECT NOT EXISTS ((TABLE there EXCEPT ALL TABLE wanted) UNION ALL (TABLE wanted EXCEPT ALL TABLE there))"
                ))
                .bind(company)
                .bind(&name)
                .bind(zone_rows)
                .bind(as_of)
                .fetch_one(&mut *connection)
                .await?
            }
        };
        if !same {
            wrong.push((company, name));
        }
    }
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
