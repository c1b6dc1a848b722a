//! The roles that users no longer hold, and when legal holds were placed: read from the events, which a rebuild does not touch.

use std::collections::{BTreeMap, HashMap};

use aggregates::ids::{CompanyId, LegalHoldId, UserId};
use sqlx::{PgConnection, Row};

use super::stream::StreamKind;

/// The companies in which the user held a role that ended or moved away, each with the position at which the last one did.
///
/// # Errors
/// What the database answers.
pub async fn of_user(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<BTreeMap<CompanyId, i64>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT coalesce(payload #>> '{AccessRevoked,company_id}', payload #>> '{AccessChanged,from_company_id}'), position \
         FROM events WHERE position IS NOT NULL AND aggregate_type = $1 AND aggregate_id = $2 AND (event_type = 'AccessRevoked' \
         OR event_type = 'AccessChanged' \
             AND payload #>> '{AccessChanged,from_company_id}' <> payload #>> '{AccessChanged,to_company_id}')",
    )
    .bind(StreamKind::User.name())
    .bind(user.to_string())
    .fetch_all(connection)
    .await?;
    let mut ended = BTreeMap::new();
    for row in rows {
        // What a foreign program stored may be no number; no role came of it then.
        let company = row.try_get::<Option<&str>, _>(0)?;
        if let Some(company) = company.and_then(|company| company.parse().ok()) {
            let last = ended.entry(CompanyId(company)).or_default();
            *last = row.try_get::<i64, _>(1)?.max(*last);
        }
    }
    Ok(ended)
}

/// The positions at which the holds on these companies were placed.
///
/// # Errors
/// What the database answers.
pub async fn holds_placed(
    connection: &mut PgConnection,
    companies: &[i64],
) -> Result<HashMap<LegalHoldId, i64>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT payload #>> '{LegalHoldPlaced,legal_hold_id}', position FROM events WHERE position IS NOT NULL \
         AND aggregate_type = $1 AND aggregate_id = ANY($2) AND event_type = 'LegalHoldPlaced'",
    )
    .bind(StreamKind::Company.name())
    .bind(companies.iter().map(ToString::to_string).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut placed = HashMap::new();
    for row in rows {
        let hold = row.try_get::<Option<&str>, _>(0)?;
        if let Some(hold) = hold.and_then(|hold| hold.parse().ok()) {
            placed.insert(LegalHoldId(hold), row.try_get(1)?);
        }
    }
    Ok(placed)
}
