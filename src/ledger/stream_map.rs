//! The map of streams in the database: brought up to the ledger's end when a checkpoint is made, over the streams that were
//! touched since.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::tree::unsigned;
use crate::proof::Hash;
use crate::proof::stream_map::{StreamEnd, StreamMap, Tile, TilePath};

/// So many streams are brought up to date at once: what lies between their places is in memory four times over while it is written, some
/// kilobytes for each.
const AT_ONCE: usize = 2_500;

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
    // In the order of their places in the map, and not in that of the events: so each tile is read and written once, and near the one
    // before it. Streams come to lie at random, and of millions each event would bring a page of tiles of its own.
    sqlx::query(&format!(
        "DECLARE touched NO SCROLL CURSOR FOR SELECT sha256(int8send(octet_length(aggregate_type)) || convert_to(aggregate_type, 'UTF8') \
         || int8send(octet_length(aggregate_id)) || convert_to(aggregate_id, 'UTF8')), count(*), \
         (array_agg(leaf_hash ORDER BY position DESC))[1] \
         FROM events WHERE position > {from} AND position <= {to} GROUP BY aggregate_type, aggregate_id ORDER BY 1"
    ))
    .persistent(false)
    .execute(&mut *connection)
    .await?;
    let root = loop {
        let touched = fetch_touched(connection).await?;
        let last = touched.len() < AT_ONCE;
        let root = take_in(connection, touched, since).await?;
        if last {
            break root;
        }
    };
    sqlx::query("CLOSE touched")
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE stream_map SET size = $1, settled = $2")
        .bind(to)
        .bind(since)
        .execute(connection)
        .await?;
    Ok(root)
}

/// The next streams that were touched: how many events came to each, and the leaf of the last one.
async fn fetch_touched(connection: &mut PgConnection) -> Result<Vec<StreamEnd>, sqlx::Error> {
    let rows = sqlx::query(&format!("FETCH {AT_ONCE} FROM touched"))
        .persistent(false)
        .fetch_all(connection)
        .await?;
    let hash = |row: &PgRow, column: usize| -> Result<Hash, sqlx::Error> {
        let bytes: Option<&[u8]> = row.try_get(column)?;
        let hash = bytes.and_then(|bytes| bytes.try_into().ok());
        hash.ok_or(sqlx::Error::RowNotFound)
    };
    let ends = rows.iter().map(|row| {
        Ok(StreamEnd {
            key: hash(row, 0)?,
            events: unsigned(row.try_get(1)?),
            last_leaf: hash(row, 2)?,
        })
    });
    ends.collect()
}

/// Takes in what came to these streams; the tiles that change are as they are since `since`. Answers the map's root.
async fn take_in(
    connection: &mut PgConnection,
    touched: Vec<StreamEnd>,
    since: i64,
) -> Result<Hash, sqlx::Error> {
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
