//! The kept versions of read tables (migration 0016) when a table is exchanged for a rebuilt one: what was kept stays, and the
//! new table goes on keeping.

use projections::Table;
use sqlx::{Executor, PgConnection};

/// Takes triggers and view from the live table, and gives the rows of the rebuilt one in `schema` the positions since which
/// readers see them. A row that the live table lacks is seen from `end` on. Answers the SQL that gives the exchanged table what was taken.
///
/// # Errors
/// What the database answers.
pub async fn detach(
    connection: &mut PgConnection,
    table: &Table,
    schema: &str,
    end: i64,
) -> Result<Option<String>, sqlx::Error> {
    let name = table.name;
    let kept: Option<(String, bool)> = sqlx::query_as(
        "SELECT since_column, rows_stay FROM past.kept_tables WHERE table_name = $1",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((since, rows_stay)) = kept else {
        return detach_view(connection, name).await;
    };
    if since == "since" {
        let same: Vec<String> = table
            .key
            .iter()
            .map(|column| format!("l.{column} = r.{column}"))
            .collect();
        let statement = format!(
            "UPDATE {schema}.{name} r SET since = coalesce((SELECT l.since FROM public.{name} l WHERE {}), {end})",
            same.join(" AND ")
        );
        connection.execute(statement.as_str()).await?;
    }
    if rows_stay {
        let restored = counters_of_the_past(table, &format!("{schema}.{name}"));
        connection.execute(restored.as_str()).await?;
    }
    sqlx::query("SELECT detach_versions($1)")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(Some(format!("SELECT attach_versions('{name}')")))
}

/// Takes away the view of the past of a table that keeps no versions, where it has one: it is made of events. Answers how it is made.
async fn detach_view(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<String>, sqlx::Error> {
    let made: Option<String> = sqlx::query_scalar(
        "SELECT format('CREATE VIEW as_of.%I AS %s', $1, pg_get_viewdef(v)) FROM to_regclass(format('as_of.%I', $1)) v \
         WHERE v IS NOT NULL",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    if made.is_some() {
        let drop = format!("DROP VIEW as_of.{name}");
        connection.execute(drop.as_str()).await?;
    }
    Ok(made)
}

/// SQL that gives counters which came back to zero their rows again: a fold in larger batches than the events came in never made them, and
/// what they counted in the past is found through their rows.
fn counters_of_the_past(table: &Table, rebuilt: &str) -> String {
    let name = table.name;
    let keys = table.key.join(", ");
    format!(
        "INSERT INTO {rebuilt} ({keys}, count, since) SELECT {keys}, 0, max(p.valid_until) FROM past.{name} p \
         WHERE {} GROUP BY {keys}",
        without_row(table, rebuilt)
    )
}

/// The condition that a version `p` has no row in this table.
fn without_row(table: &Table, rows: &str) -> String {
    let same: Vec<String> = table
        .key
        .iter()
        .map(|column| format!("r.{column} = p.{column}"))
        .collect();
    format!(
        "NOT EXISTS (SELECT 1 FROM {rows} r WHERE {})",
        same.join(" AND ")
    )
}

/// How many versions of the table's past readers do not find, because the row is gone that they are found through.
///
/// # Errors
/// What the database answers.
pub async fn out_of_reach(
    connection: &mut PgConnection,
    table: &Table,
) -> Result<i64, sqlx::Error> {
    let name = table.name;
    let through_rows: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM past.kept_tables WHERE table_name = $1 AND rows_stay)",
    )
    .bind(name)
    .fetch_one(&mut *connection)
    .await?;
    if !through_rows {
        return Ok(0);
    }
    let without = without_row(table, &format!("public.{name}"));
    sqlx::query_scalar(&format!(
        "SELECT count(*) FROM past.{name} p WHERE {without}"
    ))
    .fetch_one(connection)
    .await
}
