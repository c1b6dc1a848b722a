//! Erasing a lead: its key is destroyed in the statement that appends `LeadErased`, and what stands outside of the ledger and the
//! read tables is cleared afterwards, again and again until it is done.
//!
//! What the read tables do is the projections' business. Nodes that hold the stream in memory are told by a trigger.

use aggregates::ids::{CompanyId, LeadId};
use aggregates::personal::Personal;
use chrono::{DateTime, TimeDelta, Utc};
use projections::lead_erasures::{self, ErasureRow};
use projections::{DomainEvent, Statement, zone_maps};
use serde_json::Value;
use sqlx::{Executor, FromRow, PgConnection, PgPool, Row};

use super::stream::{StreamKey, StreamKind};

/// How long after an erasure everything is cleared for the last time: an answer that was being written when the key went
/// is kept by then, or never.
const LAST_PASS_AFTER: TimeDelta = TimeDelta::seconds(60);

/// States of imports in which their file is read.
pub(super) const UNDER_WAY: &str = "'pending', 'processing', 'undoing'";
/// A day longer than the files of imports are kept.
const FILES_KEPT_FOR: &str = "31 days";

/// The tables whose dead rows held what was erased, in the schemas `public` and `past`.
const VACUUMED: [&str; 10] = [
    "subject_keys",
    "stream_snapshots",
    "idempotency_keys",
    "leads",
    "duplicates",
    "lead_notes",
    "appointments",
    "legal_holds",
    "imports",
    "zones",
];

/// The erasures that are not cleared yet, each with the lead's company.
const DUE: &str = "WITH due AS (SELECT d.aggregate_id AS lead, d.position, d.destroyed_at, l.company_id AS company FROM destroyed_keys d \
     JOIN lead_erasures l ON l.lead_id = d.aggregate_id WHERE d.cleared_at IS NULL AND d.aggregate_type = 'lead')";
/// The imports by which such a lead came or changed, or of which a row was passed over because the lead had it all.
const KNOWN: &str = "SELECT i.id, due.position FROM due \
     JOIN events e ON e.aggregate_type = 'lead' AND e.aggregate_id = due.lead::text \
     JOIN imports i ON i.import_code = split_part(e.metadata ->> 'source', ' ', 2) \
     WHERE e.metadata ->> 'source' LIKE 'import %' \
     UNION SELECT i.id, due.position FROM due JOIN imports i ON i.company_id = due.company \
     WHERE i.skipped_rows > 0 AND EXISTS (SELECT 1 FROM import_chunks c \
         WHERE c.import_id = i.id AND jsonb_path_exists(c.outcomes, '$.skipped[*] ? (@.lead_id == $lead)', \
             jsonb_build_object('lead', due.lead)))";

/// Of an import: rows failed, or were never dealt with because it failed or was cancelled. Nobody knows whom these were about.
const UNKNOWN: &str = "(i.failed_rows > 0 OR i.failure IS NOT NULL OR i.total_rows IS DISTINCT FROM \
     i.imported_rows + i.updated_rows + i.skipped_rows + i.failed_rows)";

/// Whether the event is the end of its stream's key.
pub(super) fn destroys_key(event: &DomainEvent) -> bool {
    matches!(
        event,
        DomainEvent::Lead(aggregates::lead::LeadEvent::LeadErased { .. })
    )
}

/// Adds the parts that destroy the streams' keys, each with the position of the event that says so, and their snapshots.
pub(super) fn destroy_keys(
    statement: &mut Statement,
    streams: &[(StreamKey, i64)],
    now: DateTime<Utc>,
) {
    if streams.is_empty() {
        return;
    }
    let kinds: Vec<&str> = streams.iter().map(|(s, _)| s.kind.name()).collect();
    let ids: Vec<i64> = streams.iter().map(|(s, _)| s.id).collect();
    let positions: Vec<i64> = streams.iter().map(|(_, position)| *position).collect();
    statement.part("gone_keys", |s| {
        s.sql("DELETE FROM subject_keys k USING head, unnest(")
            .bind(kinds.clone())
            .also(ids.clone())
            .sql(
                ") AS r(t, i) WHERE k.aggregate_type = r.t AND k.aggregate_id = r.i \
                 RETURNING k.aggregate_type, k.aggregate_id, k.key_id",
            );
    });
    statement.part("gone_snapshots", |s| {
        s.sql("DELETE FROM stream_snapshots t USING head, unnest(")
            .bind(kinds.clone())
            .also(ids.clone())
            .sql(") AS r(t, i) WHERE t.aggregate_type = r.t AND t.aggregate_id = r.i");
    });
    statement.part("noted_keys", |s| {
        s.sql("INSERT INTO destroyed_keys (aggregate_type, aggregate_id, key_id, position, destroyed_at) SELECT r.t, r.i, k.key_id, r.position, ")
            .bind(now)
            .sql(" FROM head, unnest(")
            .bind(kinds)
            .also(ids)
            .also(positions)
            .sql(
                ") AS r(t, i, position) LEFT JOIN gone_keys k ON k.aggregate_type = r.t AND k.aggregate_id = r.i \
                 ON CONFLICT DO NOTHING",
            );
    });
}

/// [`destroy_keys`] as a statement of its own, for a caller that has the ledger to itself in a transaction.
///
/// # Errors
/// What the database answers.
pub(super) async fn destroy_keys_now(
    connection: &mut PgConnection,
    streams: &[(StreamKey, i64)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if streams.is_empty() {
        return Ok(());
    }
    let mut statement = Statement::unguarded();
    destroy_keys(&mut statement, streams, now);
    let (sql, arguments) = statement.finish();
    sqlx::query_with(&sql, arguments)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether an event of the stream holds personal data that no key seals, as a stock program stores it. That cannot be erased without
/// breaking the ledger.
///
/// # Errors
/// What the database answers.
pub async fn holds_unsealed(
    connection: &mut PgConnection,
    stream: StreamKey,
) -> Result<bool, sqlx::Error> {
    let payloads: Vec<String> = sqlx::query_scalar(
        "SELECT payload::text FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence",
    )
    .bind(stream.kind.name())
    .bind(stream.id.to_string())
    .fetch_all(connection)
    .await?;
    Ok(payloads.iter().any(|payload| is_unsealed(payload)))
}

/// Whether a payload of a lead's stream holds a personal value as it stands. By the names of the fields, so that also an event
/// that no code of ours can read is looked at.
fn is_unsealed(payload: &str) -> bool {
    const SEALED_FIELDS: [&str; 4] = ["contact", "answers", "extra", "content"];
    // In these, what was before and after is personal as a whole.
    const SEALED_CHANGES: [&str; 3] = [
        "LeadContactChanged",
        "LeadAnswersChanged",
        "LeadExtraFieldsChanged",
    ];
    let Ok(Value::Object(payload)) = serde_json::from_str(payload) else {
        return true;
    };
    let plain = |value: &Value| {
        let read = serde_json::from_value::<Personal<Value>>(value.clone());
        !matches!(read, Ok(Personal::Sealed(_) | Personal::Erased))
    };
    payload.iter().any(|(event, content)| {
        let Some(content) = content.as_object() else {
            return true;
        };
        content.iter().any(|(name, value)| match name.as_str() {
            name if SEALED_FIELDS.contains(&name) => plain(value),
            "from" | "to" if SEALED_CHANGES.contains(&event.as_str()) => plain(value),
            // An appointment is open but for its words.
            "from" | "to" | "appointment" => value.get("text").is_some_and(plain),
            "reason" if event == "LeadHoldPlaced" => plain(value),
            _ => false,
        })
    })
}

/// Clears what is kept outside of the ledger and the read tables about the erased leads that are not done yet: the kept
/// answers of requests, and zone maps with names of that time. The last time, some while after the erasure, dead rows are vacuumed too. Repeats harmlessly.
///
/// # Errors
/// What the database answers; what was not cleared is due again.
pub async fn clear(pool: &PgPool, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let rows = sqlx::query(
        "SELECT aggregate_id, destroyed_at FROM destroyed_keys \
         WHERE cleared_at IS NULL AND aggregate_type = $1 ORDER BY destroyed_at LIMIT 1000",
    )
    .bind(StreamKind::Lead.name())
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let (mut leads, mut last) = (Vec::new(), Vec::new());
    for row in &rows {
        let lead: i64 = row.try_get(0)?;
        let destroyed_at: DateTime<Utc> = row.try_get(1)?;
        leads.push(lead);
        if destroyed_at + LAST_PASS_AFTER <= now {
            last.push(lead);
        }
    }
    clear_answers(&mut connection, &leads).await?;
    zone_maps::build::forget_erased(&mut connection).await?;
    let waiting = waiting_for_imports(&mut connection, &last).await?;
    last.retain(|lead| !waiting.contains(lead));
    if last.is_empty() {
        return Ok(0);
    }
    vacuum(&mut connection).await?;
    sqlx::query(
        "UPDATE destroyed_keys SET cleared_at = $2 WHERE aggregate_type = $3 AND aggregate_id = ANY($1)",
    )
    .bind(&last)
    .bind(now)
    .bind(StreamKind::Lead.name())
    .execute(&mut *connection)
    .await?;
    Ok(last.len() as u64)
}

/// The codes of the imports at rest whose files hold, or may hold, what was erased and is not cleared yet: those by which such a lead came
/// or changed, those with a row that was passed over because the lead had it all, and those into its company from before the erasure of which rows
/// failed or were never dealt with, because the import failed or was cancelled: of these nobody knows whom they were about.
///
/// # Errors
/// What the database answers.
pub async fn imports_to_forget(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "{DUE}, known AS ({KNOWN}) \
         SELECT i.import_code FROM imports i JOIN known ON known.id = i.id WHERE i.status NOT IN ({UNDER_WAY}) \
         UNION SELECT i.import_code FROM due JOIN imports i ON i.company_id = due.company \
             WHERE i.status NOT IN ({UNDER_WAY}) AND i.created_at > now() - interval '{FILES_KEPT_FOR}' \
             AND {UNKNOWN} \
             AND (SELECT min(e.position) FROM events e WHERE e.aggregate_type = 'import' AND e.aggregate_id = i.id::text) < due.position"
    ))
    .fetch_all(pool)
    .await
}

/// The file of an import that holds, or may hold, a row about a lead.
#[derive(Debug, Clone, FromRow)]
pub struct FileAbout {
    /// The import's.
    pub import_code: String,
    /// Bytes.
    pub size: i64,
    /// How it is to be understood: `ImportOptions`.
    pub options: Value,
}

/// The files that would be removed if the lead were erased, those of the newest imports first. Some are not kept any more.
///
/// # Errors
/// What the database answers.
pub async fn files_about(
    connection: &mut PgConnection,
    lead: LeadId,
    company: CompanyId,
) -> Result<Vec<FileAbout>, sqlx::Error> {
    sqlx::query_as(&format!(
        "WITH due AS (SELECT $1::bigint AS lead, 0::bigint AS position, $2::bigint AS company), known AS ({KNOWN}) \
         SELECT i.import_code, i.file_size AS size, i.options FROM imports i \
         WHERE i.created_at > now() - interval '{FILES_KEPT_FOR}' \
         AND (i.id IN (SELECT id FROM known) OR i.company_id = $2 AND {UNKNOWN}) ORDER BY i.id DESC"
    ))
    .bind(lead.get())
    .bind(company.get())
    .fetch_all(connection)
    .await
}

/// The companies whose uploads in parts may hold what was erased and is not cleared yet, each with the time of the last erasure: what
/// came before it is to be forgotten.
///
/// # Errors
/// What the database answers.
pub async fn uploads_to_forget(pool: &PgPool) -> Result<Vec<(i64, DateTime<Utc>)>, sqlx::Error> {
    sqlx::query_as(&format!(
        "{DUE} SELECT company, max(destroyed_at) FROM due WHERE company IS NOT NULL GROUP BY company"
    ))
    .fetch_all(pool)
    .await
}

/// Forgets the words that came with the imports at rest by which erased leads came or changed: what the file is called, and the reasons that
/// were given. They are sealed in the events with the key of the import's stream, which is destroyed; the read tables lose the name in
/// the same transaction. What came with the import's other leads is sealed with their own keys. Repeats harmlessly.
///
/// # Errors
/// What the database answers.
pub async fn forget_names(pool: &PgPool, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let known: Vec<(i64, i64)> = sqlx::query_as(&format!(
        "{DUE}, known AS ({KNOWN}) SELECT i.id, min(known.position) FROM imports i JOIN known ON known.id = i.id \
         WHERE i.status NOT IN ({UNDER_WAY}) AND i.name <> '' GROUP BY i.id"
    ))
    .fetch_all(pool)
    .await?;
    if known.is_empty() {
        return Ok(0);
    }
    let (imports, positions): (Vec<i64>, Vec<i64>) = known.into_iter().unzip();
    let mut transaction = pool.begin().await?;
    // No version of the row is kept, and nothing became of it: that is what the ledger tells since.
    transaction
        .execute("SET LOCAL leadledger.forgetting = 'on'")
        .await?;
    for table in ["public.imports", "past.imports"] {
        sqlx::query(&format!("UPDATE {table} SET name = '' WHERE id = ANY($1)"))
            .bind(&imports)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query(
        "WITH gone AS (DELETE FROM subject_keys WHERE aggregate_type = $1 AND aggregate_id = ANY($2) RETURNING aggregate_id, key_id) \
         INSERT INTO destroyed_keys (aggregate_type, aggregate_id, key_id, position, destroyed_at, cleared_at) \
         SELECT $1, r.id, gone.key_id, r.position, $4, $4 FROM unnest($2, $3) AS r(id, position) \
         LEFT JOIN gone ON gone.aggregate_id = r.id ON CONFLICT DO NOTHING",
    )
    .bind(StreamKind::Import.name())
    .bind(&imports)
    .bind(positions)
    .bind(now)
    .execute(&mut *transaction)
    .await?;
    // Answers that told the name; those of other requests that made something of the same number are given anew, too.
    sqlx::query("UPDATE idempotency_keys SET response = NULL WHERE response IS NOT NULL AND resource_id = ANY($1)")
        .bind(&imports)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(imports.len() as u64)
}

/// Which of these leads' companies have an import under way, whose file is still read: they are not done.
async fn waiting_for_imports(
    connection: &mut PgConnection,
    leads: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(&format!(
        "SELECT l.lead_id FROM lead_erasures l WHERE l.lead_id = ANY($1) \
         AND EXISTS (SELECT 1 FROM imports i WHERE i.company_id = l.company_id AND i.status IN ({UNDER_WAY}))"
    ))
    .bind(leads)
    .fetch_all(connection)
    .await
}

/// Forgets the kept answers that may tell about these leads; the requests are answered anew when they are repeated.
///
/// # Errors
/// What the database answers.
pub async fn clear_answers(
    connection: &mut PgConnection,
    leads: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE idempotency_keys SET response = NULL WHERE response IS NOT NULL AND (leads IS NULL OR leads && $1)",
    )
    .bind(leads)
    .execute(connection)
    .await?;
    Ok(())
}

async fn vacuum(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'past') AND tablename = ANY($1)",
    )
    .bind(&VACUUMED[..])
    .fetch_all(&mut *connection)
    .await?;
    // As one simple query: VACUUM refuses to run inside the implicit transaction of several. The statistics of the columns are
    // samples of what stands in them.
    let vacuum = format!("VACUUM ANALYZE {}", tables.join(", "));
    connection.execute(vacuum.as_str()).await?;
    Ok(())
}

/// How far the erasure of the lead had gone by the end of the ledger that the connection reads: as of a moment, by then.
///
/// # Errors
/// What the database answers.
pub async fn steps_of_lead(
    connection: &mut PgConnection,
    lead: LeadId,
) -> Result<ErasureRow, sqlx::Error> {
    let steps = sqlx::query(
        "SELECT event_type, coalesce(payload #>> '{LeadBlocked,reason}', payload #>> '{LeadErased,reason}'), company_id, position, \
         recorded_at FROM events WHERE position IS NOT NULL AND aggregate_type = $1 AND aggregate_id = $2 \
         AND event_type IN ('LeadBlocked', 'LeadUnblocked', 'LeadErased') ORDER BY sequence",
    )
    .bind(StreamKind::Lead.name())
    .bind(lead.to_string())
    .fetch_all(connection)
    .await?;
    let mut row = ErasureRow::never(lead);
    let mut status = lead_erasures::IN_USE;
    for step in steps {
        let reason: Option<String> = step.try_get(1)?;
        let at: Option<DateTime<Utc>> = step.try_get(4)?;
        row.company_id = step.try_get(2)?;
        row.reason = reason.or(row.reason);
        match step.try_get(0)? {
            "LeadBlocked" => {
                status = lead_erasures::BLOCKED;
                (row.blocked_at, row.unblocked_at) = (at, None);
            }
            "LeadUnblocked" => {
                status = lead_erasures::IN_USE;
                row.unblocked_at = at;
            }
            _ => {
                status = lead_erasures::ERASED;
                (row.erased_at, row.erased_position) = (at, step.try_get(3)?);
            }
        }
    }
    status.clone_into(&mut row.status);
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::is_unsealed;

    #[test]
    fn what_a_stock_program_stored_plain_is_found() {
        let sealed = r#"{"sealed":"abc"}"#;
        for payload in [
            format!(r#"{{"LeadNoteAdded":{{"note_id":1,"author_id":2,"content":{sealed}}}}}"#),
            format!(r#"{{"LeadContactChanged":{{"from":{sealed},"to":{sealed}}}}}"#),
            r#"{"LeadStageChanged":{"from_stage_id":1,"to_stage_id":2}}"#.to_owned(),
            r#"{"LeadClassified":{"from":{"source_id":1},"to":{"source_id":2}}}"#.to_owned(),
            r#"{"LeadErased":{"reason":"subject_request"}}"#.to_owned(),
            format!(r#"{{"LeadAppointmentScheduled":{{"appointment":{{"text":{sealed}}}}}}}"#),
        ] {
            assert!(!is_unsealed(&payload), "{payload}");
        }
        for payload in [
            r#"{"LeadNoteAdded":{"note_id":1,"author_id":2,"content":"Called Ana"}}"#.to_owned(),
            format!(r#"{{"LeadContactChanged":{{"from":{sealed},"to":{{"first_name":"Ana"}}}}}}"#),
            r#"{"LeadAppointmentScheduled":{"appointment":{"text":{"title":"Ana"}}}}"#.to_owned(),
            r#"{"LeadExtraFieldsChanged":{"from":{"sealed":"a"},"to":{"plain":{"sealed":"b"}}}}"#
                .to_owned(),
            r#""Ana""#.to_owned(),
        ] {
            assert!(is_unsealed(&payload), "{payload}");
        }
    }
}
