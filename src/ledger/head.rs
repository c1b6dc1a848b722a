//! The end of the ledger as a node knows it, and the streams it keeps at hand.

use chrono::{DateTime, Utc};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::stream::StreamKey;
use super::tree;
use super::unit::{LastIds, Loaded};
use crate::proof::merkle::Frontier;

/// How many streams of the ordinary size a node keeps folded, and how many bytes all of them may have: a lead may hold a megabyte.
const STREAMS_AT_HAND: usize = 20_000;
const BYTES_AT_HAND: u64 = 32 << 20;
/// What a stream takes besides what its events say: its key, ready for use, and its places in the maps.
const BYTES_OF_A_STREAM: u64 = 1_000;
/// When the ledger moved further than this without us, forgetting everything is cheaper than asking what moved.
const FORGET_ALL_BEYOND: i64 = 5_000;

/// What the next append builds on.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub position: i64,
    pub recorded_at: DateTime<Utc>,
    pub last_ids: LastIds,
    /// Of the last event that touched users, companies or roles.
    pub authority_position: i64,
    /// The tree over the events up to the position.
    pub tree: Frontier,
}

impl Head {
    /// `known` is the tree as it was at some position, which is still right if that is the end.
    async fn read(
        connection: &mut PgConnection,
        lock: bool,
        known: Option<&Frontier>,
    ) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(if lock {
            "SELECT position, greatest(recorded_at, 'epoch'), last_ids, authority_position FROM ledger_head FOR UPDATE"
        } else {
            "SELECT position, greatest(recorded_at, 'epoch'), last_ids, authority_position FROM ledger_head"
        })
        .fetch_one(&mut *connection)
        .await?;
        let Json(last_ids) = row.try_get::<Json<LastIds>, _>(2)?;
        let position: i64 = row.try_get(0)?;
        let tree = match known.filter(|tree| tree.size() == tree::unsigned(position)) {
            Some(tree) => tree.clone(),
            None => tree::complete_frontier(connection, position).await?,
        };
        Ok(Self {
            position,
            tree,
            recorded_at: row.try_get(1)?,
            last_ids,
            authority_position: row.try_get(3)?,
        })
    }
}

/// How much a stream takes.
#[derive(Clone)]
pub(super) struct Bytes;

impl Weighter<StreamKey, Loaded> for Bytes {
    fn weight(&self, _: &StreamKey, loaded: &Loaded) -> u64 {
        BYTES_OF_A_STREAM + loaded.bytes as u64
    }
}

/// Streams that are folded already; those that were touched seldom or long ago go first.
pub(super) type StreamsAtHand = Cache<StreamKey, Loaded, Bytes>;

fn no_streams() -> StreamsAtHand {
    Cache::with_weighter(STREAMS_AT_HAND, BYTES_AT_HAND, Bytes)
}

/// A head and streams that agree with each other: every stream at hand is as of this head.
pub(super) struct View {
    pub head: Head,
    pub streams: StreamsAtHand,
}

impl View {
    /// Of the ledger as it is now, nothing at hand.
    pub async fn open(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        Ok(Self {
            head: Head::read(connection, false, None).await?,
            streams: no_streams(),
        })
    }

    /// Moves to the ledger's present end and forgets the streams that moved. With `lock`, the connection must be in a
    /// transaction, which from then on is the only appender.
    pub async fn refresh(
        &mut self,
        connection: &mut PgConnection,
        lock: bool,
    ) -> Result<(), sqlx::Error> {
        let head = Head::read(connection, lock, Some(&self.head.tree)).await?;
        let moved = head.position - self.head.position;
        if !(0..=FORGET_ALL_BEYOND).contains(&moved) {
            self.forget_all();
        } else if moved > 0 {
            let rows = sqlx::query(
                "SELECT DISTINCT aggregate_type, aggregate_id FROM events WHERE position > $1",
            )
            .bind(self.head.position)
            .fetch_all(connection)
            .await?;
            for row in rows {
                if let Some(stream) = StreamKey::from_stored(row.try_get(0)?, row.try_get(1)?) {
                    self.streams.remove(&stream);
                }
            }
        }
        self.head = head;
        Ok(())
    }

    /// Forgets every stream at hand.
    pub fn forget_all(&mut self) {
        self.streams = no_streams();
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::StreamKind;
    use super::*;

    #[test]
    fn streams_at_hand_are_bounded_by_what_they_take() {
        let mut at_hand = no_streams();
        for id in 1..=1_000 {
            let stream = StreamKey::new(StreamKind::Lead, id);
            let bytes = 1 << 20;
            let loaded = Loaded {
                bytes,
                ..Loaded::empty(stream)
            };
            at_hand.insert(stream, loaded);
        }
        assert!((1..=32).contains(&at_hand.len()), "{}", at_hand.len());
    }
}
