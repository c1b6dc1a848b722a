//! What a superuser of the database does to a ledger, past its triggers and with the server's own secrets.

use std::collections::BTreeSet;

use chrono::DateTime;
use leadledger::ledger::leaf;
use leadledger::proof::checkpoint::Checkpoint;
use leadledger::proof::merkle::Frontier;
use leadledger::proof::note::Signer;
use leadledger::proof::stream_map::{StreamEnd, StreamMap, stream_key};
use projections::Table;
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::statements::{COLUMNS, EARLIER_TILES, HEADS, MARKS, NODES, TILES};

/// How many events it has.
pub const END: i64 = 36;

/// Chance that can be repeated (`SplitMix64`).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    pub fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub fn position(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(usize::try_from(to - from + 1).unwrap())).unwrap()
    }
}

/// What is done to the ledger.
pub const KINDS: [&str; 19] = [
    "byte of a payload",
    "byte of a metadata",
    "another column of an event",
    "two events in each other's place",
    "event removed",
    "event removed and the rest moved up",
    "event inserted",
    "event changed with its leaf hash",
    "tail cut off with the head",
    "everything rewritten and signed again",
    "tree node",
    "map of streams",
    "earlier map of streams",
    "commit",
    "mark of a checkpoint",
    "checkpoint",
    "head",
    "read row",
    "version of a read row",
];

pub async fn run(connection: &mut PgConnection, statements: &str) -> Result<u64, sqlx::Error> {
    connection
        .execute(statements)
        .await
        .map(|done| done.rows_affected())
}

async fn text(connection: &mut PgConnection, column: &str, position: i64) -> String {
    sqlx::query_scalar(&format!(
        "SELECT {column}::text FROM events WHERE position = $1"
    ))
    .bind(position)
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Another text that differs in one place and is JSON too.
fn with_another_byte(dice: &mut Chance, text: &str) -> String {
    loop {
        let mut bytes = text.as_bytes().to_vec();
        let at = dice.below(bytes.len());
        let byte = u8::try_from(32 + dice.below(95)).unwrap();
        match dice.below(3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        let is_json = serde_json::from_str::<serde_json::Value>(&changed).is_ok();
        if changed != text && is_json && !changed.contains("\\u") {
            return changed;
        }
    }
}

/// Makes the stored leaf hash that of the event as it is stored now.
pub async fn hash_anew(connection: &mut PgConnection, position: i64) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::text, metadata::text, \
         recorded_at, company_id FROM events WHERE position = $1",
    )
    .bind(position)
    .fetch_one(&mut *connection)
    .await?;
    let hash = leaf::hash(&leaf::Entry {
        aggregate_type: row.get(0),
        aggregate_id: row.get(1),
        sequence: row.get(2),
        event_type: row.get(3),
        event_version: row.get(4),
        payload: row.get(5),
        metadata: row.get(6),
        recorded_at: row.get(7),
        company_id: row.get(8),
    });
    sqlx::query("UPDATE events SET leaf_hash = $2 WHERE position = $1")
        .bind(position)
        .bind(hash)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes tree, map and checkpoints fit the events as they are now, signed with the stolen key.
pub async fn rewrite_proofs(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(
        "SELECT aggregate_type, aggregate_id, leaf_hash FROM events ORDER BY position",
    )
    .fetch_all(&mut *connection)
    .await?;
    let sizes: Vec<i64> = sqlx::query_scalar("SELECT tree_size FROM checkpoints")
        .fetch_all(&mut *connection)
        .await?;
    run(
        connection,
        "DELETE FROM tree_nodes; DELETE FROM stream_map_tiles; DELETE FROM checkpoints",
    )
    .await?;
    let signer = stolen_key(connection).await?;
    let (mut tree, mut map, mut nodes) = (Frontier::default(), StreamMap::default(), Vec::new());
    let (mut tiles, mut made) = (BTreeSet::new(), Vec::new());
    for (kind, id, leaf) in &rows {
        let leaf: [u8; 32] = leaf.as_slice().try_into().unwrap();
        tree.push(leaf, |node, hash| {
            if node.level % 4 == 0 {
                nodes.push((node, *hash));
            }
        });
        let key = stream_key(kind, id);
        let events = map.get(&key).map_or(0, |end| end.events) + 1;
        map.set(StreamEnd {
            key,
            events,
            last_leaf: leaf,
        });
        let size = i64::try_from(tree.size()).unwrap();
        if sizes.contains(&size) || tree.size() == rows.len() as u64 {
            let (streams, changed) = map.settle();
            tiles.extend(changed);
            let checkpoint = Checkpoint {
                origin: signer.public().name.clone(),
                size: tree.size(),
                root: tree.root(),
                streams,
                time: DateTime::UNIX_EPOCH,
            };
            made.push((size, checkpoint.signed_by(&[&signer])));
        }
    }
    for (node, hash) in nodes {
        sqlx::query("INSERT INTO tree_nodes VALUES ($1, $2, $3)")
            .bind(i16::try_from(node.level).unwrap())
            .bind(i64::try_from(node.index).unwrap())
            .bind(hash.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    for path in tiles {
        sqlx::query("INSERT INTO stream_map_tiles (path, content, since) VALUES ($1, $2, 1)")
            .bind(&path)
            .bind(map.tile(&path).unwrap().to_bytes())
            .execute(&mut *connection)
            .await?;
    }
    let size = i64::try_from(tree.size()).unwrap();
    sqlx::query("UPDATE stream_map SET size = $1")
        .bind(size)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE ledger_head SET position = $1")
        .bind(size)
        .execute(&mut *connection)
        .await?;
    for (size, note) in made {
        sqlx::query("INSERT INTO checkpoints (tree_size, note, made_at) VALUES ($1, $2, 'epoch')")
            .bind(size)
            .bind(note)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn stolen_key(connection: &mut PgConnection) -> Result<Signer, sqlx::Error> {
    let seed: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM server_secrets WHERE name = 'checkpoints'")
            .fetch_one(&mut *connection)
            .await?;
    let key: String = sqlx::query_scalar("SELECT verifier FROM checkpoint_keys")
        .fetch_one(connection)
        .await?;
    Ok(Signer::from_seed(key.split('+').next().unwrap(), &seed).unwrap())
}

/// Closes or opens a gap in the positions from this one on.
async fn move_by(connection: &mut PgConnection, from: i64, by: i64) -> Result<u64, sqlx::Error> {
    let away = format!("UPDATE events SET position = position + 1000000 WHERE position >= {from}");
    run(connection, &away).await?;
    let back =
        format!("UPDATE events SET position = position - 1000000 + {by} WHERE position > 1000000");
    run(connection, &back).await
}

/// Changes something at random. Answers the position that must be named, where one is, and the read table, if it is one.
pub async fn tamper(
    connection: &mut PgConnection,
    dice: &mut Chance,
    kind: &str,
    tables: &[Table],
) -> Result<(Option<i64>, Option<Table>), sqlx::Error> {
    let position = dice.position(1, END);
    let named = match kind {
        "byte of a payload" | "byte of a metadata" => {
            change_a_byte(connection, dice, position, kind.ends_with("metadata")).await?;
            Some(position)
        }
        "event changed with its leaf hash" => {
            change_a_byte(connection, dice, position, false).await?;
            hash_anew(connection, position).await?;
            None
        }
        "everything rewritten and signed again" => {
            change_a_byte(connection, dice, position, false).await?;
            hash_anew(connection, position).await?;
            rewrite_proofs(connection).await?;
            None
        }
        "another column of an event" => {
            let change = dice.one_of(&COLUMNS);
            let change = format!("UPDATE events SET {change} WHERE position = {position}");
            run(connection, &change).await?;
            Some(position)
        }
        "tree node"
        | "map of streams"
        | "earlier map of streams"
        | "mark of a checkpoint"
        | "head" => {
            let change = *dice.one_of(match kind {
                "tree node" => &NODES[..],
                "map of streams" => &TILES[..],
                "earlier map of streams" => &EARLIER_TILES[..],
                "mark of a checkpoint" => &MARKS[..],
                _ => &HEADS[..],
            });
            let byte = dice.below(32).to_string();
            run(connection, &change.replace("$byte", &byte)).await?;
            None
        }
        "commit" => {
            let last = dice.position(2, END + 5);
            let first = dice.position(-1, last - 1);
            let insert = format!(
                "INSERT INTO ledger_commits (first_position, last_position) VALUES ({first}, {last})"
            );
            run(connection, &insert).await?;
            None
        }
        "checkpoint" => {
            change_a_note(connection, dice).await?;
            None
        }
        "read row" | "version of a read row" => {
            let past = kind != "read row";
            let table = tamper_with_row(connection, dice, tables, past).await?;
            return Ok((None, Some(table)));
        }
        _ => reorder(connection, dice, kind, position).await?,
    };
    Ok((named, None))
}

/// Changes one byte of an event's payload or metadata.
async fn change_a_byte(
    connection: &mut PgConnection,
    dice: &mut Chance,
    position: i64,
    metadata: bool,
) -> Result<(), sqlx::Error> {
    let column = if metadata { "metadata" } else { "payload" };
    let stored = text(connection, column, position).await;
    sqlx::query(&format!(
        "UPDATE events SET {column} = $1::json WHERE position = {position}"
    ))
    .bind(with_another_byte(dice, &stored))
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes one character of the first checkpoint's note.
async fn change_a_note(
    connection: &mut PgConnection,
    dice: &mut Chance,
) -> Result<(), sqlx::Error> {
    let stored: String = sqlx::query_scalar("SELECT note FROM checkpoints ORDER BY id LIMIT 1")
        .fetch_one(&mut *connection)
        .await?;
    let mut changed: Vec<char> = stored.chars().collect();
    while changed.iter().collect::<String>() == stored {
        let at = dice.below(changed.len());
        changed[at] = char::from(u8::try_from(43 + dice.below(80)).unwrap());
    }
    sqlx::query("UPDATE checkpoints SET note = $1 WHERE note = $2")
        .bind(changed.iter().collect::<String>())
        .bind(stored)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes events away, moves them or slips one in; with everything else adjusted where it says so.
async fn reorder(
    connection: &mut PgConnection,
    dice: &mut Chance,
    kind: &str,
    position: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let remove = format!("DELETE FROM events WHERE position = {position}");
    match kind {
        "two events in each other's place" => {
            let other = 1 + (position + dice.position(0, END - 2)) % END;
            let swap = format!(
                "UPDATE events SET position = 1000000 WHERE position = {position}; \
                 UPDATE events SET position = {position} WHERE position = {other}; \
                 UPDATE events SET position = {other} WHERE position = 1000000"
            );
            run(connection, &swap).await?;
        }
        "event removed" => {
            run(connection, &remove).await?;
            return Ok((position < END).then_some(position));
        }
        "event removed and the rest moved up" => {
            run(connection, &remove).await?;
            move_by(connection, position, -1).await?;
            run(connection, HEADS[0]).await?;
        }
        "event inserted" => {
            move_by(connection, position, 1).await?;
            let insert = format!(
                "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, \
                 position, recorded_at, company_id) SELECT aggregate_type, aggregate_id, sequence + 100, event_type, \
                 event_version, payload, metadata, {position}, recorded_at, company_id FROM events WHERE position = {}",
                position + 1
            );
            run(connection, &insert).await?;
            run(connection, HEADS[1]).await?;
            hash_anew(connection, position).await?;
        }
        "tail cut off with the head" => {
            let cut = format!("DELETE FROM events WHERE position >= {position}");
            run(connection, &cut).await?;
            if dice.below(2) == 0 {
                rewrite_proofs(connection).await?;
            } else {
                let head = format!("UPDATE ledger_head SET position = {position} - 1");
                run(connection, &head).await?;
            }
        }
        _ => panic!("{kind} is no kind of change"),
    }
    Ok(None)
}

/// Changes a value of a read row or of a version of one, takes it away, or puts a copy beside it.
async fn tamper_with_row(
    connection: &mut PgConnection,
    dice: &mut Chance,
    tables: &[Table],
    past: bool,
) -> Result<Table, sqlx::Error> {
    loop {
        let table = *dice.one_of(tables);
        let name = if past {
            format!("past.{}", table.name)
        } else {
            format!("public.{}", table.name)
        };
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&name)
            .fetch_one(&mut *connection)
            .await?;
        if !is_there {
            continue;
        }
        let row = format!(
            "(SELECT ctid FROM {name} ORDER BY ctid OFFSET {} LIMIT 1)",
            dice.below(4)
        );
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
             WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        )
        .bind(&name)
        .fetch_all(&mut *connection)
        .await?;
        let (column, kind) = dice.one_of(&columns);
        let value = match kind.as_str() {
            "text" => format!("coalesce({column}, '') || 'x'"),
            "bigint" | "integer" | "smallint" => format!("coalesce({column}, 0) + 1"),
            "boolean" => format!("NOT coalesce({column}, false)"),
            "timestamp with time zone" => {
                format!("coalesce({column}, 'epoch') + interval '1 microsecond'")
            }
            _ => "NULL".to_owned(),
        };
        let change = match dice.below(6) {
            0 => format!("DELETE FROM {name} WHERE ctid = {row}"),
            1 => format!("INSERT INTO {name} SELECT * FROM {name} WHERE ctid = {row}"),
            _ => format!(
                "UPDATE {name} SET {column} = {value} WHERE ctid = {row} AND {column} IS DISTINCT FROM {value}"
            ),
        };
        let mut attempt = connection.begin().await?;
        match attempt.execute(change.as_str()).await {
            Ok(done) if done.rows_affected() == 1 => {
                attempt.commit().await?;
                return Ok(table);
            }
            // No such row, or a constraint stands in the way.
            _ => attempt.rollback().await?,
        }
    }
}
