//! The kept versions of read tables (migration 0016) when a table is exchanged for a rebuilt one: what was kept stays, and the
//! new table goes on keeping.

use projections::Table;
use sqlx::{Executor, PgConnection};

/// Takes triggers and view from the live table, and gives the rows of the rebuilt one in `schema` the positions since which
/// readers see them. A row that the live table lacks is seen from `end` on. Answers whether the table keeps versions at all.
///
/// # Errors
/// What the database answers.
pub async fn detach(
    connection: &mut PgConnection,
    table: &Table,
    schema: &str,
    end: i64,
) -> Result<bool, sqlx::Error> {
    let name = table.name;
    let since: Option<String> =
        sqlx::query_scalar("SELECT since_column FROM past.kept_tables WHERE table_name = $1")
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(since) = since else {
        return Ok(false);
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
    sqlx::query("SELECT detach_versions($1)")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(true)
}

/// Gives the exchanged table its triggers and its view.
///
/// # Errors
/// What the database answers.
pub async fn attach(connection: &mut PgConnection, table: &Table) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT attach_versions($1)")
        .bind(table.name)
        .execute(connection)
        .await?;
    Ok(())
}
