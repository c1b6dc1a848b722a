//! Proofs about the whole ledger, as it is stored: that an event is in it, and that one size of it is the beginning of another.

use std::collections::HashSet;
use std::ops::Range;

use sqlx::PgConnection;

use super::tree::{roots, unsigned};
use crate::proof::Hash;
use crate::proof::merkle::{self, Node};

/// That an event is in the tree of a size.
#[derive(Debug)]
pub struct Inclusion {
    /// The event's leaf hash.
    pub leaf: Hash,
    /// The root of the tree.
    pub root: Hash,
    /// The proof, as RFC 9162 orders it.
    pub path: Vec<Hash>,
}

/// That one tree is the beginning of another.
#[derive(Debug)]
pub struct Consistency {
    /// The root of the smaller tree.
    pub from_root: Hash,
    /// The root of the larger tree.
    pub to_root: Hash,
    /// The proof, as RFC 9162 orders it.
    pub path: Vec<Hash>,
}

/// How many events the ledger has.
///
/// # Errors
/// What the database answers.
pub async fn size(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(connection)
        .await
}

/// Proves the event at this position in the tree of this size: `1 <= position <= size`, and the size not beyond the ledger.
///
/// # Errors
/// What the database answers; [`sqlx::Error::RowNotFound`] when the stored tree lacks a node.
pub async fn inclusion(
    connection: &mut PgConnection,
    position: i64,
    size: i64,
) -> Result<Inclusion, sqlx::Error> {
    let (index, size) = (unsigned(position - 1), unsigned(size));
    let leaf = index..index + 1;
    let wanted = [&[leaf, 0..size], &merkle::inclusion_ranges(index, size)[..]].concat();
    let mut found = range_roots(connection, &wanted).await?.into_iter();
    let mut next = || found.next().ok_or(sqlx::Error::RowNotFound);
    Ok(Inclusion {
        leaf: next()?,
        root: next()?,
        path: found.collect(),
    })
}

/// Proves that the tree of size `from` is the beginning of that of size `to`: `1 <= from <= to`, not beyond the ledger.
///
/// # Errors
/// What the database answers; [`sqlx::Error::RowNotFound`] when the stored tree lacks a node.
pub async fn consistency(
    connection: &mut PgConnection,
    from: i64,
    to: i64,
) -> Result<Consistency, sqlx::Error> {
    let (from, to) = (unsigned(from), unsigned(to));
    let wanted = [&[0..from, 0..to], &merkle::consistency_ranges(from, to)[..]].concat();
    let mut found = range_roots(connection, &wanted).await?.into_iter();
    let mut next = || found.next().ok_or(sqlx::Error::RowNotFound);
    Ok(Consistency {
        from_root: next()?,
        to_root: next()?,
        path: found.collect(),
    })
}

/// The roots over these ranges, in their order.
pub(super) async fn range_roots(
    connection: &mut PgConnection,
    ranges: &[Range<u64>],
) -> Result<Vec<Hash>, sqlx::Error> {
    let nodes: HashSet<Node> = ranges.iter().flat_map(merkle::whole_nodes).collect();
    let known = roots(connection, &nodes).await?;
    let root = |range| merkle::range_root(range, |node| known.get(&node).copied());
    let found: Option<Vec<Hash>> = ranges.iter().map(root).collect();
    found.ok_or(sqlx::Error::RowNotFound)
}
