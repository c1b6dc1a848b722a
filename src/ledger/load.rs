//! Loading streams: their events folded, their subject's key beside them. A key that was destroyed is not loaded, whoever put it back.

use std::collections::HashMap;
use std::sync::Arc;

use aggregates::lead::Lead;
use aggregates::personal::FieldCipher;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::sealing::{DestroyedKey, SubjectKey};
use super::stream::{self, State, StreamKey, StreamKind};
use super::unit::Loaded;

/// The condition that a key `k` was destroyed and is there again, as after restoring a backup of the keys. A lead's, when register or read
/// table names the event that erased it, and the ledger has that event: neither of them alone makes a lead unreadable. An import's, when it
/// is the very key in the register, for an import goes on with a new one.
const IS_BACK: &str = "(EXISTS (SELECT 1 FROM (SELECT d.position FROM public.destroyed_keys d \
     WHERE d.aggregate_type = k.aggregate_type AND d.aggregate_id = k.aggregate_id \
     UNION ALL SELECT l.erased_position FROM public.lead_erasures l \
     WHERE k.aggregate_type = 'lead' AND l.lead_id = k.aggregate_id) AS told \
     JOIN public.events e ON e.position = told.position AND e.event_type = 'LeadErased' \
     AND e.aggregate_type = k.aggregate_type AND e.aggregate_id = k.aggregate_id::text) \
     OR EXISTS (SELECT 1 FROM public.destroyed_keys d WHERE d.aggregate_type = k.aggregate_type AND d.aggregate_type <> 'lead' \
     AND d.aggregate_id = k.aggregate_id AND d.key_id = k.key_id))";

/// The keys of these streams, as far as they have one.
pub(super) async fn keys(
    connection: &mut PgConnection,
    streams: &[StreamKey],
) -> Result<HashMap<StreamKey, SubjectKey>, sqlx::Error> {
    let rows = sqlx::query(&format!(
        "SELECT k.aggregate_type, k.aggregate_id, k.key FROM unnest($1::text[], $2::bigint[]) AS w(t, i) \
         JOIN subject_keys k ON k.aggregate_type = w.t AND k.aggregate_id = w.i WHERE NOT {IS_BACK}"
    ))
    .bind(streams.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
    .bind(streams.iter().map(|s| s.id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut keys = HashMap::with_capacity(rows.len());
    for row in rows {
        let kind = StreamKind::from_name(row.try_get(0)?);
        let bytes: Vec<u8> = row.try_get(2)?;
        if let (Some(kind), Ok(bytes)) = (kind, bytes.try_into()) {
            let stream = StreamKey::new(kind, row.try_get(1)?);
            keys.insert(stream, SubjectKey::from_bytes(stream, bytes));
        }
    }
    Ok(keys)
}

/// The cipher that reads a stream with this key, or without one: what was sealed then reads as erased.
pub(super) fn cipher_of(key: Option<&SubjectKey>) -> Arc<dyn FieldCipher> {
    key.map_or_else(|| Arc::new(DestroyedKey) as _, SubjectKey::cipher)
}

/// Loads the streams, each by folding its events on top of its snapshot; one without events loads empty.
pub(super) async fn streams(
    connection: &mut PgConnection,
    wanted: &[StreamKey],
) -> Result<HashMap<StreamKey, Loaded>, sqlx::Error> {
    let mut loaded: HashMap<_, _> = wanted
        .iter()
        .map(|stream| (*stream, Loaded::empty(*stream)))
        .collect();
    if wanted.is_empty() {
        return Ok(loaded);
    }
    bring_keys_and_snapshots(connection, wanted, &mut loaded).await?;
    let after: Vec<i64> = wanted.iter().map(|s| loaded[s].snapshot).collect();
    let rows = sqlx::query(
        "SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.payload::text, e.event_type, e.event_version \
         FROM unnest($1::text[], $2::text[], $3::bigint[]) AS w(t, i, after) \
         JOIN events e ON e.aggregate_type = w.t AND e.aggregate_id = w.i AND e.sequence > w.after \
         ORDER BY e.aggregate_type, e.aggregate_id, e.sequence",
    )
    .bind(wanted.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|s| s.id.to_string()).collect::<Vec<_>>())
    .bind(after)
    .fetch_all(connection)
    .await?;
    fold_in(&rows, &mut loaded)?;
    Ok(loaded)
}

/// The state of a stream as of one of its events, whatever its snapshot says.
pub(super) async fn fold_anew(
    connection: &mut PgConnection,
    stream: StreamKey,
    up_to: i64,
) -> Result<Loaded, sqlx::Error> {
    let folded = fold_all_anew(connection, &[(stream, up_to)]).await?;
    let mut states = folded.into_values();
    Ok(states.next().unwrap_or_else(|| Loaded::empty(stream)))
}

/// The states of these streams, each as of one of its events, whatever their snapshots say.
async fn fold_all_anew(
    connection: &mut PgConnection,
    wanted: &[(StreamKey, i64)],
) -> Result<HashMap<StreamKey, Loaded>, sqlx::Error> {
    let streams: Vec<StreamKey> = wanted.iter().map(|(stream, _)| *stream).collect();
    let empty = |stream: &StreamKey| (*stream, Loaded::empty(*stream));
    let mut loaded: HashMap<_, _> = streams.iter().map(empty).collect();
    for (stream, key) in keys(connection, &streams).await? {
        loaded.entry(stream).and_modify(|l| l.key = Some(key));
    }
    let rows = sqlx::query(
        "SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.payload::text, e.event_type, e.event_version \
         FROM unnest($1::text[], $2::text[], $3::bigint[]) AS w(t, i, up_to) \
         JOIN events e ON e.aggregate_type = w.t AND e.aggregate_id = w.i AND e.sequence <= w.up_to \
         ORDER BY e.aggregate_type, e.aggregate_id, e.sequence",
    )
    .bind(streams.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
    .bind(streams.iter().map(|s| s.id.to_string()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, up_to)| *up_to).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    fold_in(&rows, &mut loaded)?;
    Ok(loaded)
}

/// Folds rows of stream type and id, sequence, payload, event type and version, each stream's in order.
fn fold_in(rows: &[PgRow], loaded: &mut HashMap<StreamKey, Loaded>) -> Result<(), sqlx::Error> {
    for row in rows {
        let Some(stream) = StreamKey::from_stored(row.try_get(0)?, row.try_get(1)?) else {
            continue;
        };
        let Some(loaded) = loaded.get_mut(&stream) else {
            continue;
        };
        loaded.version = row.try_get(2)?;
        let stored = stream::Stored {
            event_type: row.try_get(4)?,
            event_version: row.try_get(5)?,
            payload: row.try_get(3)?,
        };
        loaded.bytes += stored.payload.len();
        match stream::decode(stream.kind, stored, cipher_of(loaded.key.as_ref())) {
            Ok(event) => loaded.state.evolve(&event),
            // Only a foreign writer can have stored it; its stream must stay usable.
            // The error may quote personal data: only its kind is logged.
            Err(error) => {
                let kind = error.classify();
                tracing::error!(%stream, version = loaded.version, ?kind, "unreadable event");
            }
        }
    }
    Ok(())
}

async fn bring_keys_and_snapshots(
    connection: &mut PgConnection,
    wanted: &[StreamKey],
    loaded: &mut HashMap<StreamKey, Loaded>,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(&format!(
        "SELECT w.t, w.i, k.key, s.sequence, s.state, k.key_id FROM unnest($1::text[], $2::bigint[]) AS w(t, i) \
         LEFT JOIN subject_keys k ON k.aggregate_type = w.t AND k.aggregate_id = w.i AND NOT {IS_BACK} \
         LEFT JOIN stream_snapshots s ON s.aggregate_type = w.t AND s.aggregate_id = w.i AND s.shape = $3"
    ))
    .bind(wanted.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|s| s.id).collect::<Vec<_>>())
    .bind(aggregates::STATE_SHAPE)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let kind = StreamKind::from_name(row.try_get(0)?);
        let Some(stream) = kind.map(|kind| row.try_get(1).map(|id| StreamKey::new(kind, id)))
        else {
            continue;
        };
        let stream = stream?;
        let Some(loaded) = loaded.get_mut(&stream) else {
            continue;
        };
        let key: Option<Vec<u8>> = row.try_get(2)?;
        loaded.key = key
            .and_then(|bytes| bytes.try_into().ok())
            .zip(row.try_get(5)?)
            .map(|(bytes, id)| SubjectKey::from_bytes(stream, bytes).with_id(id));
        let snapshot: Option<(i64, &str)> = row
            .try_get::<Option<i64>, _>(3)?
            .zip(row.try_get::<Option<&str>, _>(4)?);
        if let Some((sequence, text)) = snapshot
            && let Ok(state) =
                stream::decode_state(stream.kind, text, cipher_of(loaded.key.as_ref()))
        {
            loaded.state = state;
            loaded.version = sequence;
            loaded.snapshot = sequence;
            loaded.bytes = text.len();
        }
    }
    Ok(())
}

/// Leads as they were, each after its event with the sequence beside it.
///
/// # Errors
/// What the database answers.
pub async fn leads_at(
    connection: &mut PgConnection,
    leads: &[(i64, i64)],
) -> Result<HashMap<i64, Lead>, sqlx::Error> {
    let stream = |(lead, at): &(i64, i64)| (StreamKey::new(StreamKind::Lead, *lead), *at);
    let wanted: Vec<_> = leads.iter().map(stream).collect();
    let folded = fold_all_anew(connection, &wanted).await?;
    let leads = folded.into_iter().filter_map(|(stream, loaded)| {
        let State::Lead(lead) = loaded.state else {
            return None;
        };
        Some((stream.id, Arc::unwrap_or_clone(lead)))
    });
    Ok(leads.collect())
}

/// An import as the ledger has it now.
///
/// # Errors
/// What the database answers.
pub async fn import_state(
    connection: &mut PgConnection,
    import: aggregates::ids::ImportId,
) -> Result<aggregates::import::Import, sqlx::Error> {
    let stream = StreamKey::new(StreamKind::Import, import.get());
    let loaded = streams(connection, &[stream]).await?.remove(&stream);
    Ok(match loaded.map(|loaded| loaded.state) {
        Some(State::Import(import)) => import.as_ref().clone(),
        _ => aggregates::import::Import::default(),
    })
}
