//! The part of `verify` that is about how and since when the past is kept: `past.kept_tables` and `past.beginning`, which migrations
//! write once and nothing changes.

use std::collections::BTreeSet;

use projections::Table;
use sqlx::{PgConnection, Row};

/// Tables whose past nobody asks for.
const NOT_KEPT: [&str; 7] = [
    "company_totals",
    "lead_erasures",
    "mail_outbox",
    "source_turns",
    "user_credentials",
    "user_memberships",
    "user_profiles",
];

/// Tables that were kept later than the first ones. When it was that those of before migration 0027 began is not on record.
const KEPT_LATER: [&str; 4] = [
    "import_chunks",
    "import_kept_leads",
    "imports",
    "legal_holds",
];

/// How long a migration may have run, and clocks differ.
const SLACK: &str = "interval '1 hour'";

/// How a table's versions are kept, as the migrations say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The column that tells since which position readers see a row as it is.
    pub since: &'static str,
    by: &'static str,
    rows_stay: bool,
    timed_by: &'static [&'static str],
}

/// How this read table's versions are kept, if they are.
pub(super) fn kept(name: &str) -> Option<Kept> {
    if NOT_KEPT.contains(&name) {
        return None;
    }
    let since = match name {
        "leads" | "lead_notes" | "lead_stages" | "legal_terms" => "position",
        _ => "since",
    };
    let by = match name {
        "leads" | "stage_counts" | "stage_counts_daily" => "statement",
        _ => "trigger",
    };
    let rows_stay = matches!(
        name,
        "stage_counts" | "stage_counts_daily" | "duplicate_counts"
    );
    let timed_by: &[&str] = if name == "leads" {
        &["created_at", "updated_at"]
    } else {
        &[]
    };
    Some(Kept {
        since,
        by,
        rows_stay,
        timed_by,
    })
}

/// Compares what these tables' rows say with the migrations, and since when versions are kept with those that there are.
///
/// # Errors
/// What the database answers.
pub(super) async fn compare(
    connection: &mut PgConnection,
    tables: &[Table],
) -> Result<Vec<String>, sqlx::Error> {
    let mut wrong = Vec::new();
    let beginning: Option<i64> = sqlx::query_scalar("SELECT position FROM past.beginning")
        .fetch_optional(&mut *connection)
        .await?;
    let Some(beginning) = beginning else {
        return Ok(vec!["past.beginning: is missing".to_owned()]);
    };
    if let Some(at) = later_than_migration(connection, beginning, 16).await? {
        wrong.push(format!(
            "past.beginning: position {beginning} was recorded after versions began to be kept at {at}"
        ));
    }
    let rows = sqlx::query(
        "SELECT table_name, since_column, kept_by, rows_stay, timed_by, kept_from FROM past.kept_tables ORDER BY table_name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut missing: BTreeSet<&str> = tables
        .iter()
        .map(|table| table.name)
        .filter(|name| kept(name).is_some())
        .collect();
    for row in &rows {
        let name: &str = row.try_get(0)?;
        let Some(table) = tables.iter().find(|table| table.name == name) else {
            continue;
        };
        if !missing.remove(name) {
            wrong.push(format!("past.kept_tables: {name}: should not be there"));
            continue;
        }
        let timed_by: Vec<String> = row.try_get(4)?;
        let said = (
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            timed_by.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let wanted = kept(name).map(|kept| {
            let timed_by = kept.timed_by.to_vec();
            (kept.since, kept.by, kept.rows_stay, timed_by)
        });
        if wanted != Some(said) {
            let what = "is not kept as the migrations say";
            wrong.push(format!("past.kept_tables: {name}: {what}"));
        }
        let from: i64 = row.try_get(5)?;
        if let Some(what) = wrong_from(connection, table, from, beginning).await? {
            wrong.push(format!("past.kept_tables: {name}: {what}"));
        }
    }
    for name in missing {
        wrong.push(format!("past.kept_tables: {name}: is missing"));
    }
    Ok(wrong)
}

/// What is wrong with the position from which on a table's versions are said to be kept.
async fn wrong_from(
    connection: &mut PgConnection,
    Table { name, .. }: &Table,
    from: i64,
    beginning: i64,
) -> Result<Option<String>, sqlx::Error> {
    if KEPT_LATER.contains(name) {
        if let Some(at) = later_than_migration(connection, from, 27).await? {
            return Ok(Some(format!(
                "position {from} was recorded after its versions began to be kept at {at}"
            )));
        }
        if from < beginning {
            return Ok(Some(format!(
                "is kept from position {from}, before the beginning"
            )));
        }
    } else if from != beginning {
        return Ok(Some(format!(
            "is kept from position {from}, and the past begins with {beginning}"
        )));
    }
    let earlier: Option<i64> = sqlx::query_scalar(&format!(
        "SELECT min(valid_until) FROM past.{name} WHERE valid_until <= $1"
    ))
    .bind(from)
    .fetch_one(connection)
    .await?;
    Ok(earlier.map(|until| format!("a version until {until} was kept before position {from}")))
}

/// When this migration was run, if that was before the event at this position was recorded.
pub(super) async fn later_than_migration(
    connection: &mut PgConnection,
    position: i64,
    migration: i64,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "SELECT m.installed_on::text FROM public._sqlx_migrations m JOIN public.events e ON e.position = $1 \
         WHERE m.version = $2 AND e.recorded_at > m.installed_on + {SLACK}"
    ))
    .bind(position)
    .bind(migration)
    .fetch_optional(connection)
    .await
}
