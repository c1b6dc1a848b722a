//! Replaying the ledger into read tables that stand apart from the live ones.
//!
//! Projections write to unqualified table names; the search path decides whose tables those are.

use chrono::{DateTime, Utc};
use projections::{Batch, Recorded, Table};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::leaf;
use super::load;
use super::stream::{self, StreamKey};
use super::verify_claims::Claimed;
use super::verify_head::KnownAtEnd;
use crate::proof::Hash;
use crate::proof::merkle::sha256;
use crate::proof::stream_map::stream_key;

/// How many events are folded at once: enough for big statements, little enough to hold in memory.
const STEP: i64 = 5_000;
/// A commit of more events than a step takes is folded as a whole, up to so many.
const MOST_AT_ONCE: i64 = 100_000;
/// How many missing positions before one event are named.
const NAMED_GAPS: usize = 100;

/// What one step found.
pub struct Step {
    /// Position of the last event that was folded; where the next step goes on.
    pub last: i64,
    /// Whether there were any events.
    pub any: bool,
    /// Positions whose stored leaf hash is not that of the stored event.
    pub wrong_leaves: Vec<i64>,
    /// Positions that are missing before an event of this step.
    pub gaps: Vec<i64>,
    /// What the events add to the tree and to the map of streams, in their order.
    pub leaves: Vec<Leaf>,
    /// The step's last event, when it is one that the read tables refused as it came (`unprojected_events`): not folded.
    pub left_out: Option<Recorded>,
    /// What the end of the ledger must know of the events that were folded.
    pub known_at_end: KnownAtEnd,
    /// What they say of claims.
    pub claimed: Claimed,
}

/// An event as the ledger's proofs see it.
pub struct Leaf {
    /// Its position.
    pub position: i64,
    /// Where its stream stands in the map.
    pub stream: Hash,
    /// Its leaf hash, as worked out from what is stored.
    pub hash: Hash,
    /// Its number in the stream.
    pub sequence: i64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// What stands for the request that it comes from: the digest of its metadata, if these name one. An import goes on for one request
    /// through many commits.
    pub request: Option<Hash>,
}

/// Folds the next events after `after` into the tables that the connection's search path finds first, up to one that was
/// left out when it came, or up to this position.
///
/// # Errors
/// What the database answers.
pub async fn step(
    connection: &mut PgConnection,
    batch: &mut Batch,
    after: i64,
    up_to: Option<i64>,
) -> Result<Step, sqlx::Error> {
    let left_out: Option<i64> = sqlx::query_scalar(
        "SELECT min(position) FROM public.unprojected_events WHERE position > $1",
    )
    .bind(after)
    .fetch_one(&mut *connection)
    .await?;
    let up_to = left_out.unwrap_or(i64::MAX).min(up_to.unwrap_or(i64::MAX));
    let (up_to, most) = whole_commits(connection, after, up_to).await?;
    let (mut found, rows) = read_most(connection, after, up_to, most).await?;
    let mut streams = Vec::with_capacity(rows.len());
    for row in &rows {
        streams.extend(StreamKey::from_stored(row.try_get(1)?, row.try_get(2)?));
    }
    streams.sort_unstable();
    streams.dedup();
    let keys = load::keys(connection, &streams).await?;
    for row in &rows {
        let Some(stream) = StreamKey::from_stored(row.try_get(1)?, row.try_get(2)?) else {
            continue;
        };
        let cipher = load::cipher_of(keys.get(&stream));
        // What no fold can read was reported when it was sequenced; it has no read rows to rebuild.
        let stored = stream::Stored {
            event_type: row.try_get(4)?,
            event_version: row.try_get(5)?,
            payload: row.try_get(6)?,
        };
        let Ok(event) = stream::decode(stream.kind, stored, cipher) else {
            continue;
        };
        let (position, company_id): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(9)?);
        found.known_at_end.note(stream, position, &event);
        found.claimed.note(stream, &event, row.try_get(7)?);
        let recorded = Recorded {
            position,
            recorded_at: row.try_get(8)?,
            aggregate_id: stream.id,
            sequence: row.try_get(3)?,
            company_id: company_id.map(aggregates::ids::CompanyId),
            event,
        };
        if left_out == Some(position) {
            found.left_out = Some(recorded);
        } else {
            batch.fold(&recorded);
        }
    }
    // For tables that keep versions of their rows, as those of `verify` do: readers saw the step's rows from the end of the commit on,
    // which may lie beyond a step.
    sqlx::query(
        "SELECT set_config('leadledger.commit_begins', coalesce(c.first_position, p)::text, true), \
         set_config('leadledger.commit_ends', coalesce(c.last_position, p)::text, true) \
         FROM CAST($1 AS bigint) AS p LEFT JOIN LATERAL (SELECT * FROM public.ledger_commits \
         WHERE last_position >= p ORDER BY last_position LIMIT 1) AS c ON c.first_position <= p",
    )
    .bind(found.last)
    .execute(&mut *connection)
    .await?;
    batch.write_rows(connection, None).await?;
    Ok(found)
}

/// Up to where a step goes that would end within a commit, and how many events it takes: what came and went in the same commit was nothing
/// for anybody, and a fold that stopped there would keep it.
async fn whole_commits(
    connection: &mut PgConnection,
    after: i64,
    up_to: i64,
) -> Result<(i64, i64), sqlx::Error> {
    let reach = after.saturating_add(STEP);
    if up_to <= reach {
        return Ok((up_to, STEP));
    }
    let commit: Option<(i64, i64)> = sqlx::query_as(
        "SELECT first_position, last_position FROM \
         (SELECT * FROM public.ledger_commits WHERE last_position > $1 ORDER BY last_position LIMIT 1) AS c \
         WHERE first_position <= $1",
    )
    .bind(reach)
    .fetch_optional(connection)
    .await?;
    Ok(match commit {
        Some((first, _)) if first - 1 > after => (first - 1, STEP),
        Some((_, last)) if last - after <= MOST_AT_ONCE => (up_to.min(last), last - after),
        _ => (up_to, STEP),
    })
}

/// Reads the next events after `after`, none beyond `up_to`, and works out what they should hash to.
///
/// # Errors
/// What the database answers.
pub async fn read(
    connection: &mut PgConnection,
    after: i64,
    up_to: i64,
) -> Result<(Step, Vec<PgRow>), sqlx::Error> {
    read_most(connection, after, up_to, STEP).await
}

/// [`read`], at most so many.
async fn read_most(
    connection: &mut PgConnection,
    after: i64,
    up_to: i64,
    most: i64,
) -> Result<(Step, Vec<PgRow>), sqlx::Error> {
    let rows = sqlx::query(&format!(
        "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload::text, \
         metadata::text, {}, company_id, leaf_hash \
         FROM public.events WHERE position > $1 AND position <= $3 ORDER BY position LIMIT $2",
        readable("recorded_at")
    ))
    .bind(after)
    .bind(most)
    .bind(up_to)
    .fetch_all(connection)
    .await?;
    let mut found = Step {
        last: after,
        any: !rows.is_empty(),
        wrong_leaves: Vec::new(),
        gaps: Vec::new(),
        leaves: Vec::with_capacity(rows.len()),
        left_out: None,
        known_at_end: KnownAtEnd::default(),
        claimed: Claimed::default(),
    };
    for row in &rows {
        let position: i64 = row.try_get(0)?;
        let (aggregate_type, aggregate_id) = (row.try_get(1)?, row.try_get(2)?);
        let hash = leaf::hash(&leaf::Entry {
            aggregate_type,
            aggregate_id,
            sequence: row.try_get(3)?,
            event_type: row.try_get(4)?,
            event_version: row.try_get(5)?,
            payload: row.try_get(6)?,
            metadata: row.try_get(7)?,
            recorded_at: row.try_get(8)?,
            company_id: row.try_get(9)?,
        });
        if row.try_get::<Option<&[u8]>, _>(10)? != Some(hash.as_slice()) {
            found.wrong_leaves.push(position);
        }
        // Gaps are named up to a number that a person reads.
        found
            .gaps
            .extend((found.last + 1..position).take(NAMED_GAPS));
        found.last = position;
        found.leaves.push(Leaf {
            position,
            stream: stream_key(aggregate_type, aggregate_id),
            hash: hash.try_into().expect("SHA-256 gives 32 bytes"),
            sequence: row.try_get(3)?,
            recorded_at: row.try_get(8)?,
            request: row
                .try_get::<&str, _>(7)
                .ok()
                .filter(|metadata| {
                    metadata.contains("\"request_id\":") && aggregate_type != "import"
                })
                .map(|metadata| sha256(metadata.as_bytes())),
        });
    }
    Ok((found, rows))
}

/// SQL of a column's time, which only somebody else than us can have made such that it cannot be read: no hash has that of 1970 in it.
pub(super) fn readable(column: &str) -> String {
    format!(
        "CASE WHEN {column} BETWEEN '1970-01-01' AND '9999-01-01' THEN {column} ELSE 'epoch' END"
    )
}

/// The end of the ledger; with `lock`, inside a transaction, nobody else appends until it ends.
///
/// # Errors
/// What the database answers.
pub async fn end(connection: &mut PgConnection, lock: bool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(if lock {
        "SELECT position FROM public.ledger_head FOR UPDATE"
    } else {
        "SELECT position FROM public.ledger_head"
    })
    .fetch_one(connection)
    .await
}

/// SQL that makes an empty table like the live one in `schema`, with its primary key and the indexes that folding needs;
/// and the SQL of all its other indexes, for later. Names stay the same: they are the schema's own.
///
/// # Errors
/// What the database answers.
pub async fn shadow(
    connection: &mut PgConnection,
    table: &Table,
    schema: &str,
) -> Result<(Vec<String>, Vec<String>), sqlx::Error> {
    let name = table.name;
    let temporary = if schema == "pg_temp" { "TEMP " } else { "" };
    let mut first = vec![format!(
        "CREATE {temporary}TABLE {schema}.{name} (LIKE public.{name} INCLUDING DEFAULTS INCLUDING COMMENTS \
         INCLUDING CONSTRAINTS)"
    )];
    let key: Option<(String, String)> = sqlx::query_as(
        "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE conrelid = format('public.%I', $1)::regclass AND contype = 'p'",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some((constraint, definition)) = &key {
        first.push(format!(
            "ALTER TABLE {schema}.{name} ADD CONSTRAINT {constraint} {definition}"
        ));
    }
    let mut later = Vec::new();
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = $1",
    )
    .bind(name)
    .fetch_all(connection)
    .await?;
    for (index, definition) in indexes {
        if key
            .as_ref()
            .is_some_and(|(constraint, _)| *constraint == index)
        {
            continue;
        }
        let definition = definition.replacen(
            &format!(" ON public.{name}"),
            &format!(" ON {schema}.{name}"),
            1,
        );
        if table.looked_up_by.contains(&index.as_str()) {
            first.push(definition);
        } else {
            later.push(definition);
        }
    }
    Ok((first, later))
}
