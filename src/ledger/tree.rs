//! The ledger's Merkle tree in the database: grown by every append in its own statement, read for proofs, filled in for
//! events from before there was a tree.
//!
//! Leaves are `events.leaf_hash`. Of the nodes above them only every fourth level is stored (`tree_nodes`), a row for sixteen
//! events; those between are worked out from sixteen hashes at most. A node never changes once its subtree is full, so
//! that whoever writes it writes the same.

use std::collections::{HashMap, HashSet};

use projections::Statement;
use sqlx::{Connection, PgConnection, Row};

use crate::proof::Hash;
use crate::proof::merkle::{self, Frontier, Node};

/// Every so many levels are stored.
const STEP: u32 = 4;
/// The lowest stored level, as the table has it.
const LOWEST: i16 = 4;
/// How many events one transaction of a filling takes.
const FILL: i64 = 16 * 1024;

/// Nodes that an append completes, to be stored with it.
#[derive(Debug, Default)]
pub(super) struct NewNodes {
    levels: Vec<i16>,
    indexes: Vec<i64>,
    hashes: Vec<Vec<u8>>,
}

impl NewNodes {
    /// Lets the tree grow by an event.
    pub fn grow(&mut self, tree: &mut Frontier, leaf: &[u8]) {
        let leaf = leaf.try_into().expect("a leaf hash has 32 bytes");
        tree.push(leaf, |node, hash| {
            if is_stored(node) {
                self.levels.push(level_of(node));
                self.indexes.push(index_of(node));
                self.hashes.push(hash.to_vec());
            }
        });
    }

    /// Adds the part that stores them, if there are any.
    pub fn write(self, statement: &mut Statement) {
        if self.levels.is_empty() {
            return;
        }
        statement.part("new_tree_nodes", |s| {
            s.sql("INSERT INTO tree_nodes (level, index, hash) SELECT r.* FROM head, unnest(")
                .bind(self.levels)
                .also(self.indexes)
                .also(self.hashes)
                .sql(") AS r");
        });
    }

    /// Stores them; what is there already is made right.
    pub async fn store(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.levels.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO tree_nodes AS n (level, index, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) \
             ON CONFLICT (level, index) DO UPDATE SET hash = excluded.hash WHERE n.hash <> excluded.hash",
        )
        .bind(self.levels)
        .bind(self.indexes)
        .bind(self.hashes)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Whether the table has nodes of this level.
#[must_use]
pub(super) fn is_stored(node: Node) -> bool {
    node.level > 0 && node.level.is_multiple_of(STEP)
}

fn level_of(node: Node) -> i16 {
    i16::try_from(node.level).expect("a tree of positions has below 64 levels")
}

fn index_of(node: Node) -> i64 {
    i64::try_from(node.index).expect("positions fit in 63 bits")
}

/// A position or size of the ledger, which is never negative.
pub(super) fn unsigned(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// The nodes below one that are stored, or leaves.
fn stored_below(node: Node) -> impl Iterator<Item = Node> {
    let height = node.level % STEP;
    let (level, first) = (node.level - height, node.index << height);
    (first..first + (1 << height)).map(move |index| Node { level, index })
}

/// The roots of these full subtrees, as far as they are stored.
///
/// # Errors
/// What the database answers.
pub(super) async fn roots(
    connection: &mut PgConnection,
    wanted: &HashSet<Node>,
) -> Result<HashMap<Node, Hash>, sqlx::Error> {
    let stored: HashSet<Node> = wanted.iter().flat_map(|node| stored_below(*node)).collect();
    let (leaves, nodes): (Vec<Node>, Vec<Node>) =
        stored.into_iter().partition(|node| node.level == 0);
    let mut known = HashMap::new();
    let mut take = |level: i16, index: i64, hash: &[u8]| {
        if let (Ok(level), Ok(index), Ok(hash)) =
            (level.try_into(), index.try_into(), hash.try_into())
        {
            known.insert(Node { level, index }, hash);
        }
    };
    if !leaves.is_empty() {
        let positions: Vec<i64> = leaves.iter().map(|leaf| index_of(*leaf) + 1).collect();
        let rows = sqlx::query(
            "SELECT position - 1, leaf_hash FROM events WHERE position = ANY($1) AND leaf_hash IS NOT NULL",
        )
        .bind(positions)
        .fetch_all(&mut *connection)
        .await?;
        for row in rows {
            take(0, row.try_get(0)?, row.try_get(1)?);
        }
    }
    if !nodes.is_empty() {
        let rows = sqlx::query(
            "SELECT n.level, n.index, n.hash FROM unnest($1::smallint[], $2::bigint[]) AS w(level, index) \
             JOIN tree_nodes n ON n.level = w.level AND n.index = w.index",
        )
        .bind(nodes.iter().map(|n| level_of(*n)).collect::<Vec<_>>())
        .bind(nodes.iter().map(|n| index_of(*n)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for row in rows {
            take(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        }
    }
    let root = |node: &Node| {
        let mut hashes: Vec<Hash> = stored_below(*node)
            .map(|below| known.get(&below).copied())
            .collect::<Option<_>>()?;
        while hashes.len() > 1 {
            let pairs = hashes.chunks_exact(2);
            hashes = pairs.map(|two| merkle::parent(&two[0], &two[1])).collect();
        }
        hashes.pop()
    };
    Ok(wanted
        .iter()
        .filter_map(|node| root(node).map(|hash| (*node, hash)))
        .collect())
}

/// The tree over the first `size` events, ready to grow; `None` when nodes of it are missing.
///
/// # Errors
/// What the database answers.
pub(super) async fn frontier(
    connection: &mut PgConnection,
    size: i64,
) -> Result<Option<Frontier>, sqlx::Error> {
    let size = unsigned(size);
    let peaks = merkle::whole_nodes(&(0..size));
    let known = roots(connection, &peaks.iter().copied().collect()).await?;
    let hashes: Option<Vec<Hash>> = peaks.iter().map(|peak| known.get(peak).copied()).collect();
    Ok(hashes.map(|hashes| Frontier::new(size, hashes)))
}

/// [`frontier`], after filling in what is missing.
///
/// # Errors
/// What the database answers; [`sqlx::Error::RowNotFound`] when events are missing, whose tree there is none.
pub(super) async fn complete_frontier(
    connection: &mut PgConnection,
    size: i64,
) -> Result<Frontier, sqlx::Error> {
    if let Some(tree) = frontier(connection, size).await? {
        return Ok(tree);
    }
    fill(connection, 0).await?;
    let tree = frontier(connection, size).await?;
    tree.ok_or(sqlx::Error::RowNotFound)
}

/// Fills in the nodes over events from before the ledger had a tree. Goes on where it was interrupted, and does no harm
/// beside servers that append.
///
/// # Errors
/// What the database answers.
pub async fn complete(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let done: i64 =
        sqlx::query_scalar("SELECT coalesce(max(index) + 1, 0) FROM tree_nodes WHERE level = $1")
            .bind(LOWEST)
            .fetch_one(&mut *connection)
            .await?;
    fill(connection, done << STEP).await
}

/// Works out every node anew, from the leaves, and takes away what is none.
///
/// # Errors
/// What the database answers.
pub(super) async fn rebuild(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    fill(connection, 0).await?;
    sqlx::query(
        "DELETE FROM tree_nodes USING (SELECT position FROM ledger_head FOR UPDATE) AS h \
         WHERE level > 62 OR (index + 1)::numeric * power(2::numeric, level) > h.position",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Fills in from this size on, up to the last full sixteen events; from the beginning when the tree is missing below it.
async fn fill(connection: &mut PgConnection, from: i64) -> Result<(), sqlx::Error> {
    let mut tree = frontier(connection, from).await?.unwrap_or_default();
    let mut told = false;
    loop {
        let from = i64::try_from(tree.size()).expect("positions fit in 63 bits");
        let mut transaction = connection.begin().await?;
        let leaves: Vec<Option<Vec<u8>>> = sqlx::query_scalar(
            "SELECT leaf_hash FROM events WHERE position > $1 AND position <= $1 + $2 ORDER BY position",
        )
        .bind(from)
        .bind(FILL)
        .fetch_all(&mut *transaction)
        .await?;
        let mut nodes = NewNodes::default();
        let full = leaves.len() >> STEP << STEP;
        for leaf in leaves.iter().take(full) {
            let leaf = leaf.as_deref().filter(|leaf| leaf.len() == 32);
            nodes.grow(&mut tree, leaf.ok_or(sqlx::Error::RowNotFound)?);
        }
        if full == 0 {
            return Ok(());
        }
        if !told {
            tracing::info!(from, "the tree over the ledger's events is filled in");
            told = true;
        }
        nodes.store(&mut transaction).await?;
        transaction.commit().await?;
    }
}
