//! Snapshots: the folded state of a long stream, stored with every hundredth event, so that the stream's first touch after a
//! restart reads a hundred events at most.
//!
//! A cache and nothing more: a snapshot that is missing, of another shape or unreadable is made up for by the events.

use projections::Statement;
use sqlx::{PgConnection, Row};

use super::load::{self, cipher_of};
use super::stream::{self, StreamKey, StreamKind};
use super::unit::Loaded;

/// So many events are folded anew at most, plus those of one commit.
const EVERY: i64 = 100;

/// Whether enough happened since the stream's last snapshot for a new one.
pub(super) fn is_due(loaded: &Loaded) -> bool {
    loaded.version - loaded.snapshot >= EVERY
}

/// Adds the snapshots that are due, and marks them as taken.
pub(super) fn write<'a>(
    statement: &mut Statement,
    changed: impl Iterator<Item = (&'a StreamKey, &'a mut Loaded)>,
) {
    let (mut kinds, mut ids) = (Vec::new(), Vec::new());
    let (mut sequences, mut states) = (Vec::new(), Vec::new());
    for (stream, loaded) in changed.filter(|(_, loaded)| is_due(loaded)) {
        // Nothing of an erased stream is worth keeping, and its snapshot goes in this very statement.
        if loaded.state.is_erased() {
            continue;
        }
        loaded.snapshot = loaded.version;
        kinds.push(stream.kind.name());
        ids.push(stream.id);
        sequences.push(loaded.version);
        let state = stream::encode_state(&loaded.state, cipher_of(loaded.key.as_ref()));
        loaded.bytes = state.len();
        states.push(state);
    }
    if kinds.is_empty() {
        return;
    }
    statement.part("new_snapshots", |s| {
        s.sql(
            "INSERT INTO stream_snapshots AS t (shape, aggregate_type, aggregate_id, sequence, state) SELECT ",
        )
        .bind(aggregates::STATE_SHAPE)
        .sql(", r.* FROM head, unnest(")
        .bind(kinds)
        .also(ids)
        .also(sequences)
        .also(states)
        .sql(
            ") AS r ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE \
             SET shape = excluded.shape, sequence = excluded.sequence, state = excluded.state",
        );
    });
}

/// Folds the streams that have snapshots anew and tells each snapshot that says something else. Only those that this version of the
/// code would read.
///
/// # Errors
/// What the database answers.
pub(super) async fn verify(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut differences = Vec::new();
    let mut after = (String::new(), 0_i64);
    loop {
        let row = sqlx::query(
            "SELECT aggregate_type, aggregate_id, sequence, state FROM stream_snapshots \
             WHERE shape = $1 AND (aggregate_type, aggregate_id) > ($2, $3) \
             ORDER BY aggregate_type, aggregate_id LIMIT 1",
        )
        .bind(aggregates::STATE_SHAPE)
        .bind(&after.0)
        .bind(after.1)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            return Ok(differences);
        };
        after = (row.try_get(0)?, row.try_get(1)?);
        let Some(kind) = StreamKind::from_name(&after.0) else {
            continue;
        };
        let stream = StreamKey::new(kind, after.1);
        let anew = load::fold_anew(&mut *connection, stream, row.try_get(2)?).await?;
        let cipher = cipher_of(anew.key.as_ref());
        let stored = stream::decode_state(kind, row.try_get(3)?, cipher);
        if stored.ok() != Some(anew.state) {
            differences.push(format!(
                "stream_snapshots: {stream}: differs from its events"
            ));
        }
    }
}
