//! Loading streams: their events folded, their subject's key beside them.

use std::collections::HashMap;
use std::sync::Arc;

use aggregates::personal::FieldCipher;
use sqlx::{PgConnection, Row};

use super::sealing::{DestroyedKey, SubjectKey};
use super::stream::{self, StreamKey};
use super::unit::Loaded;

/// The keys of these streams, as far as they have one.
pub(super) async fn keys(
    connection: &mut PgConnection,
    streams: &[StreamKey],
) -> Result<HashMap<StreamKey, SubjectKey>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT k.aggregate_type, k.aggregate_id, k.key FROM unnest($1::text[], $2::bigint[]) AS w(t, i) \
         JOIN subject_keys k ON k.aggregate_type = w.t AND k.aggregate_id = w.i",
    )
    .bind(streams.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
    .bind(streams.iter().map(|s| s.id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut keys = HashMap::with_capacity(rows.len());
    for row in rows {
        let kind = stream::StreamKind::from_name(row.try_get(0)?);
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

/// Loads the streams, each by folding all of its events; one without events loads empty.
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
    for (stream, key) in keys(connection, wanted).await? {
        if let Some(loaded) = loaded.get_mut(&stream) {
            loaded.key = Some(key);
        }
    }
    let rows = sqlx::query(
        "SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.payload::text \
         FROM unnest($1::text[], $2::text[]) AS w(t, i) \
         JOIN events e ON e.aggregate_type = w.t AND e.aggregate_id = w.i \
         ORDER BY e.aggregate_type, e.aggregate_id, e.sequence",
    )
    .bind(wanted.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|s| s.id.to_string()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for row in rows {
        let Some(stream) = StreamKey::from_stored(row.try_get(0)?, row.try_get(1)?) else {
            continue;
        };
        let Some(loaded) = loaded.get_mut(&stream) else {
            continue;
        };
        loaded.version = row.try_get(2)?;
        match stream::decode(stream.kind, row.try_get(3)?, cipher_of(loaded.key.as_ref())) {
            Ok(event) => loaded.state.evolve(&event),
            // Only a foreign writer can have stored it; its stream must stay usable.
            // The error may quote personal data: only its kind is logged.
            Err(error) => {
                let kind = error.classify();
                tracing::error!(%stream, version = loaded.version, ?kind, "unreadable event");
            }
        }
    }
    Ok(loaded)
}
