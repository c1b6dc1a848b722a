//! What the events of leads tell of their past that their state does not: what came after a version, and since when a lead was in
//! its stage.

use aggregates::lead::LeadEvent;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

/// What happened to a lead after one of its versions.
#[derive(Debug, Clone, FromRow)]
pub struct Later {
    /// The lead.
    pub lead_id: i64,
    /// The version that it came to.
    pub version: i64,
    /// What the events came through, each once; null is a foreign program's that does not say.
    pub sources: Vec<Option<String>>,
}

/// What happened to these leads after these versions; nothing is said of those that nothing happened to.
///
/// # Errors
/// What the database answers.
pub async fn later(
    connection: &mut PgConnection,
    leads: &[(i64, i64)],
) -> Result<Vec<Later>, sqlx::Error> {
    let (ids, versions): (Vec<i64>, Vec<i64>) = leads.iter().copied().unzip();
    sqlx::query_as(
        "SELECT w.id AS lead_id, max(e.sequence) AS version, array_agg(DISTINCT e.metadata ->> 'source') AS sources \
         FROM unnest($1::bigint[], $2::bigint[]) AS w(id, version) \
         JOIN events e ON e.aggregate_type = 'lead' AND e.aggregate_id = w.id::text AND e.sequence > w.version \
         GROUP BY w.id",
    )
    .bind(ids)
    .bind(versions)
    .fetch_all(connection)
    .await
}

/// Since when each of these leads was in its stage at the version beside it, in their order; `None` for one that was not there.
///
/// # Errors
/// What the database answers.
pub async fn stages_entered(
    connection: &mut PgConnection,
    leads: &[(i64, i64)],
) -> Result<Vec<Option<DateTime<Utc>>>, sqlx::Error> {
    let (ids, versions): (Vec<i64>, Vec<i64>) = leads.iter().copied().unzip();
    let rows: Vec<(Option<String>, Option<DateTime<Utc>>)> = sqlx::query_as(
        "SELECT e.moved, e.recorded_at FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w(id, version, n) \
         LEFT JOIN LATERAL (SELECT CASE WHEN event_type = 'LeadStageChanged' THEN payload::text END AS moved, recorded_at \
         FROM events WHERE aggregate_type = 'lead' AND aggregate_id = w.id::text AND sequence <= w.version \
         AND event_type IN ('LeadCreated', 'LeadStageChanged') AND position IS NOT NULL \
         ORDER BY sequence DESC LIMIT 1) AS e ON true ORDER BY w.n",
    )
    .bind(ids)
    .bind(versions)
    .fetch_all(connection)
    .await?;
    let entered = rows.into_iter().map(|(moved, recorded_at)| {
        let moved = moved.and_then(|payload| serde_json::from_str(&payload).ok());
        match moved {
            Some(LeadEvent::LeadStageChanged {
                to_entered_at: Some(at),
                ..
            }) => Some(at),
            _ => recorded_at,
        }
    });
    Ok(entered.collect())
}
