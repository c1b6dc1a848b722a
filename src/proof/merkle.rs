//! The Merkle tree of RFC 9162, section 2.1: hashing, growing, and proofs with their verification.
//!
//! Leaves are counted from 0 here: the event at position `p` is leaf `p - 1`. No storage: who proves is told which nodes a
//! proof needs, and brings them.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::Hash;

/// The root of two subtrees beside each other.
#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    sized(context.finish().as_ref())
}

/// SHA-256 of the bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    sized(digest(&SHA256, bytes).as_ref())
}

pub(super) fn sized(bytes: &[u8]) -> Hash {
    bytes.try_into().expect("SHA-256 gives 32 bytes")
}

/// A full subtree: the leaves from `index << level` up to but without `(index + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height: a leaf has 0.
    pub level: u32,
    /// Which of its level, from the left.
    pub index: u64,
}

/// What must be known of a tree to make it grow: the roots of the full subtrees that it consists of, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Of a tree of this size. The hashes are those of [`whole_nodes`] of `0..size`, in that order.
    #[must_use]
    pub fn new(size: u64, peaks: Vec<Hash>) -> Self {
        debug_assert_eq!(size.count_ones() as usize, peaks.len());
        Self { size, peaks }
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `completed` is told each subtree that it completes, lowest first, with its root.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(Node, &Hash)) {
        let mut hash = leaf;
        let mut level = 0;
        while self.size >> level & 1 == 1 {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            hash = parent(&left, &hash);
            level += 1;
            let index = self.size >> level;
            completed(Node { level, index }, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree; that of an empty one is SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or_else(|| sha256(&[]))
    }
}

/// The root over full subtrees beside each other, largest first; `None` of none.
fn fold(hashes: &[Hash]) -> Option<Hash> {
    let (last, others) = hashes.split_last()?;
    Some(
        others
            .iter()
            .rev()
            .fold(*last, |right, left| parent(left, &right)),
    )
}

/// The full subtrees that the leaves of a range consist of, from the left.
#[must_use]
pub fn whole_nodes(range: &Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let fits = (range.end - start).ilog2();
        let level = start.trailing_zeros().min(fits);
        nodes.push(Node {
            level,
            index: start >> level,
        });
        start += 1 << level;
    }
    nodes
}

/// The root over a range of leaves of those that proofs name, given the roots of full subtrees; `None` when one is missing.
pub fn range_root(
    range: &Range<u64>,
    mut root_of: impl FnMut(Node) -> Option<Hash>,
) -> Option<Hash> {
    let hashes: Option<Vec<Hash>> = whole_nodes(range).into_iter().map(&mut root_of).collect();
    fold(&hashes?)
}

/// The ranges whose roots are the inclusion proof of a leaf in the tree of this size, in the order of the proof
/// (`PATH` of section 2.1.3.1). Empty when there is no such leaf.
#[must_use]
pub fn inclusion_ranges(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while index < size && end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges whose roots prove that the tree of size `from` is the beginning of that of size `to`, in the order of the
/// proof (`PROOF` of section 2.1.4.1). Empty when the sizes are equal, when `from` is 0, and when it is beyond `to`.
#[must_use]
pub fn consistency_ranges(from: u64, to: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    if from == 0 || from >= to {
        return ranges;
    }
    let (mut start, mut end) = (0, to);
    while from < end {
        let middle = start + split(end - start);
        if from <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    if start != 0 {
        ranges.push(start..end);
    }
    ranges.reverse();
    ranges
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Whether the path proves that the tree of this size and root has this leaf at this index (section 2.1.3.2).
#[must_use]
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = parent(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = parent(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the path proves that the first tree is the beginning of the second (section 2.1.4.2). An empty tree is the beginning of
/// any, and needs no path.
#[must_use]
pub fn verify_consistency(
    (from, from_root): (u64, &Hash),
    (to, to_root): (u64, &Hash),
    path: &[Hash],
) -> bool {
    if from == to || from == 0 {
        let same = from != to || from_root == to_root;
        return same && path.is_empty() && (from != 0 || *from_root == sha256(&[]));
    }
    let mut path = path.iter();
    let first = if from.is_power_of_two() {
        Some(from_root)
    } else {
        path.next()
    };
    let Some(first) = first.filter(|_| from < to) else {
        return false;
    };
    let (mut node, mut last) = (from - 1, to - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for hash in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old = parent(hash, &old);
            new = parent(hash, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = parent(&new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old == *from_root && new == *to_root
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
