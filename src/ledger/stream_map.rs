//! The map of streams in the database: brought up to the ledger's end when a checkpoint is made, over the streams that were
//! touched since.

use std::collections::HashSet;

use sqlx::{PgConnection, Row};

use super::tree::unsigned;
use crate::proof::Hash;
use crate::proof::stream_map::{StreamEnd, StreamMap, Tile, TilePath, stream_key};

/// So many events are taken in at once. Each brings two or three tiles of its own into memory, in a ledger of millions of streams, and
/// each of these is there four times while it is written: together some ten kilobytes.
const AT_ONCE: i64 = 2_500;

/// How many events the map has taken in.
pub(super) async fn size(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT size FROM stream_map")
        .fetch_one(connection)
        .await
}

/// The size from which on the map's earlier tiles are kept: older checkpoints have no evidence any more.
pub(super) async fn kept_from(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT kept_from FROM stream_map")
        .fetch_one(connection)
        .await
}

/// Takes the events after position `from`, where the map is, up to `to` in, and answers the map's root. The caller holds the checkpoints'
/// lock in a transaction.
pub(super) async fn advance(
    connection: &mut PgConnection,
    from: i64,
    to: i64,
) -> Result<Hash, sqlx::Error> {
    let settled: i64 = sqlx::query_scalar("SELECT settled FROM stream_map")
        .fetch_one(&mut *connection)
        .await?;
    // A map that is made anew rests where it was, so that its tiles there are those that held then.
    if from < settled && settled < to {
        advance_settled(connection, from, settled, settled).await?;
        return advance_settled(connection, settled, to, settled).await;
    }
    advance_settled(connection, from, to, settled).await
}

async fn advance_settled(
    connection: &mut PgConnection,
    from: i64,
    to: i64,
    settled: i64,
) -> Result<Hash, sqlx::Error> {
    let since = to.max(settled);
    let mut done = from;
    let root = loop {
        let next = to.min(done + AT_ONCE);
        let root = take_in(connection, done, next, since).await?;
        done = next;
        if done == to {
            break root;
        }
    };
    sqlx::query("UPDATE stream_map SET size = $1, settled = $2")
        .bind(to)
        .bind(since)
        .execute(connection)
        .await?;
    Ok(root)
}

/// Takes the events after position `from` up to `to` in; the tiles that they change are as they are since `since`.
async fn take_in(
    connection: &mut PgConnection,
    from: i64,
    to: i64,
    since: i64,
) -> Result<Hash, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT aggregate_type, aggregate_id, count(*), (array_agg(leaf_hash ORDER BY position DESC))[1] \
         FROM events WHERE position > $1 AND position <= $2 GROUP BY 1, 2",
    )
    .bind(from)
    .bind(to)
    .fetch_all(&mut *connection)
    .await?;
    let mut touched = Vec::with_capacity(rows.len());
    for row in &rows {
        let leaf: Option<&[u8]> = row.try_get(3)?;
        let leaf = leaf.and_then(|leaf| leaf.try_into().ok());
        touched.push(StreamEnd {
            key: stream_key(row.try_get(0)?, row.try_get(1)?),
            events: unsigned(row.try_get(2)?),
            last_leaf: leaf.ok_or(sqlx::Error::RowNotFound)?,
        });
    }
    drop(rows);
    let mut map = StreamMap::default();
    let keys: Vec<Hash> = touched.iter().map(|end| end.key).collect();
    bring(connection, &mut map, &keys, NOW).await?;
    for end in touched {
        let before = map.get(&end.key).map_or(0, |end| end.events);
        map.set(StreamEnd {
            events: before + end.events,
            ..end
        });
    }
    let (root, changed) = map.settle();
    let contents = |path: &TilePath| map.tile(path).map_or_else(Vec::new, Tile::to_bytes);
    sqlx::query(
        "INSERT INTO past.stream_map_tiles (path, valid_from, valid_until, content) \
         SELECT path, since, $2, content FROM stream_map_tiles WHERE path = ANY($1::bytea[]) AND since < $2",
    )
    .bind(&changed)
    .bind(since)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO stream_map_tiles (path, content, since) SELECT r.*, $3 FROM unnest($1::bytea[], $2::bytea[]) AS r \
         ON CONFLICT (path) DO UPDATE SET content = excluded.content, since = excluded.since",
    )
    .bind(&changed)
    .bind(changed.iter().map(contents).collect::<Vec<_>>())
    .bind(since)
    .execute(connection)
    .await?;
    Ok(root)
}

/// For [`bring`]: the tiles as they are.
pub(super) const NOW: i64 = i64::MAX;

/// Brings the tiles on the ways to these keys as they were when the map had this size, and the topmost one in any case.
pub(super) async fn bring(
    connection: &mut PgConnection,
    map: &mut StreamMap,
    keys: &[Hash],
    size: i64,
) -> Result<(), sqlx::Error> {
    let mut wanted: HashSet<TilePath> = HashSet::from([TilePath::new()]);
    while !wanted.is_empty() {
        let paths: Vec<&TilePath> = wanted.iter().collect();
        let rows =
            sqlx::query(
                "SELECT path, content FROM stream_map_tiles WHERE path = ANY($1::bytea[]) AND since <= $2 \
                 UNION ALL SELECT path, content FROM past.stream_map_tiles \
                 WHERE path = ANY($1::bytea[]) AND valid_from <= $2 AND valid_until > $2",
            )
            .bind(paths)
            .bind(size)
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let tile = Tile::from_bytes(row.try_get(1)?).ok_or(sqlx::Error::RowNotFound)?;
            let path: TilePath = row.try_get(0)?;
            wanted.remove(&path);
            map.bring(path, tile);
        }
        // Only the topmost may be missing: of a map that is empty yet.
        if wanted.remove([].as_slice()) {
            map.bring(TilePath::new(), Tile::default());
        }
        if !wanted.is_empty() {
            return Err(sqlx::Error::RowNotFound);
        }
        wanted = keys.iter().filter_map(|key| map.missing(key)).collect();
    }
    Ok(())
}

/// Forgets the map, so that the next checkpoint makes it anew from the events. The caller holds the checkpoints' lock in a transaction.
pub(super) async fn forget(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO past.stream_map_tiles (path, valid_from, valid_until, content) \
         SELECT t.path, t.since, m.settled, t.content FROM stream_map_tiles t, stream_map m WHERE t.since < m.settled \
         ON CONFLICT DO NOTHING",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM stream_map_tiles")
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE stream_map SET size = 0")
        .execute(connection)
        .await?;
    Ok(())
}
