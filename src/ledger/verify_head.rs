//! The part of `verify` that is about the ends of the ledger: what the next append builds on, what waits to be appended, and what stands where
//! nothing can.
//!
//! A number may have been given and not used, so that the last numbers may be higher than any event says, never lower.

use std::collections::BTreeMap;

use projections::DomainEvent;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::catch_up;
use super::stream::StreamKey;
use super::unit::LastIds;

/// How many events of a kind are named.
const NAMED: i64 = 100;

/// Where the ledger says that it ends; `None` when it says nothing.
///
/// # Errors
/// What the database answers.
pub(super) async fn end(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT position FROM public.ledger_head")
        .fetch_optional(connection)
        .await
}

/// What the end of the ledger must know of the events before it.
#[derive(Debug, Default)]
pub struct KnownAtEnd {
    /// Of each kind the highest id that an event gave.
    last_ids: BTreeMap<&'static str, i64>,
    /// The last event that touched users, companies or roles.
    authority: i64,
}

impl KnownAtEnd {
    /// Takes an event in that could be read.
    pub(super) fn note(&mut self, stream: StreamKey, position: i64, event: &DomainEvent) {
        for (kind, id) in catch_up::used_up_by(stream, event) {
            let last = self.last_ids.entry(kind.name()).or_insert(0);
            *last = id.max(*last);
        }
        if stream.touches_authority() {
            self.authority = position;
        }
    }

    /// Takes in what is known of later events.
    pub fn extend(&mut self, later: Self) {
        for (kind, id) in later.last_ids {
            let last = self.last_ids.entry(kind).or_insert(0);
            *last = id.max(*last);
        }
        self.authority = self.authority.max(later.authority);
    }

    /// Compares it with what the end of the ledger says, in words.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn compare(self, connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
        // Told is the end of the commit, whichever of its events it was.
        let row = sqlx::query(
            "SELECT last_ids, authority_position, coalesce((SELECT last_position FROM public.ledger_commits \
             WHERE first_position <= $1 AND last_position >= $1 ORDER BY last_position LIMIT 1), $1) FROM public.ledger_head",
        )
        .bind(self.authority)
        .fetch_optional(&mut *connection)
        .await?;
        // Told already.
        let Some(row) = row else {
            return Ok(Vec::new());
        };
        let Json(last_ids): Json<LastIds> = row.try_get(0)?;
        let (said, end): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let mut differences = Vec::new();
        for (kind, used) in self.last_ids {
            let last = last_ids.get(kind).copied().unwrap_or(0);
            if last < used {
                differences.push(format!(
                    "ledger_head: the last id of {kind} is {last}, and {used} was given"
                ));
            }
        }
        let times: Option<(String, String)> = sqlx::query_as(
            "SELECT h.recorded_at::text, e.recorded_at::text FROM public.ledger_head h JOIN public.events e ON e.position = h.position \
             WHERE h.recorded_at <> e.recorded_at",
        )
        .fetch_optional(&mut *connection)
        .await?;
        if let Some((said, last)) = times {
            differences.push(format!(
                "ledger_head: the last event was recorded at {last}, and not at {said}"
            ));
        }
        if !(self.authority..=end).contains(&said) {
            differences.push(format!(
                "ledger_head: users, companies or roles changed last at position {end}, and not at {said}"
            ));
        }
        Ok(differences)
    }
}

/// What waits for its place in the order and should not: what does not continue its stream, and what was passed over.
///
/// # Errors
/// What the database answers.
pub(super) async fn waiting(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    // A stock program's transaction may take its time; nobody's takes an hour.
    let rows = sqlx::query(
        "SELECT w.aggregate_type, w.aggregate_id, w.sequence, w.recorded_at::text, w.sequence <> w.next AS strays \
         FROM (SELECT e.*, row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY sequence) \
         + coalesce((SELECT max(s.sequence) FROM public.events s WHERE s.aggregate_type = e.aggregate_type \
         AND s.aggregate_id = e.aggregate_id AND s.position IS NOT NULL), 0) AS next \
         FROM public.events e WHERE e.position IS NULL) AS w, public.ledger_head h \
         WHERE w.sequence <> w.next OR w.recorded_at < h.recorded_at - interval '1 hour' \
         ORDER BY w.recorded_at, w.aggregate_type, w.aggregate_id, w.sequence LIMIT $1",
    )
    .bind(NAMED)
    .fetch_all(connection)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (kind, id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let sequence: i64 = row.try_get(2)?;
        let since: &str = row.try_get(3)?;
        let what = if row.try_get(4)? {
            "does not continue its stream".to_owned()
        } else {
            format!("was passed over since {since}")
        };
        found.push(format!(
            "events: without a position: event {sequence} of {} {} {what}",
            kind.escape_debug(),
            id.escape_debug()
        ));
    }
    Ok(found)
}

/// What stands before the first position, which the database would refuse: readers of a stream would find it, and no fold.
///
/// # Errors
/// What the database answers.
pub(super) async fn before_the_first(
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT position, sequence, aggregate_type, aggregate_id FROM public.events WHERE position < 1 ORDER BY position LIMIT $1",
    )
    .bind(NAMED)
    .fetch_all(connection)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (position, sequence): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (kind, id): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
        found.push(format!(
            "events: position {position}: event {sequence} of {} {} stands before the first position",
            kind.escape_debug(),
            id.escape_debug()
        ));
    }
    Ok(found)
}
