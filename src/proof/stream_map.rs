//! The map of streams: for every stream of the ledger, how many events it has and which is the last. Its root is committed in
//! each checkpoint, so that a history with an event left out does not fit.
//!
//! A binary trie over the 256 bits of the stream's key, the first bit at the top. A subtree without streams has 32 zero
//! bytes as its root; one with a single stream has that stream's hash, however deep it could go on; any other has
//! `SHA-256(0x01 || left || right)`. It is kept in tiles of four bits, so that a change touches a few rows.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{Context, SHA256};

use super::Hash;
use super::merkle::{parent, sized};

/// The root of a subtree without streams.
pub const EMPTY: Hash = [0; 32];

/// How many values a step down a tile has: four bits.
const WIDTH: u8 = 16;

/// Where a stream stands in the map: SHA-256 over its two names, each after its length in eight bytes, big endian.
#[must_use]
pub fn stream_key(aggregate_type: &str, aggregate_id: &str) -> Hash {
    let mut context = Context::new(&SHA256);
    for name in [aggregate_type, aggregate_id] {
        let length = u64::try_from(name.len()).expect("a length fits in 64 bits");
        context.update(&length.to_be_bytes());
        context.update(name.as_bytes());
    }
    sized(context.finish().as_ref())
}

/// What the map says of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// See [`stream_key`].
    pub key: Hash,
    /// How many events it has.
    pub events: u64,
    /// The leaf hash of its last event, by position.
    pub last_leaf: Hash,
}

impl StreamEnd {
    /// `SHA-256(0x00 || "leadledger.stream.v1" || key || number of events, eight bytes, big endian || last leaf hash)`.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(b"leadledger.stream.v1");
        context.update(&self.key);
        context.update(&self.events.to_be_bytes());
        context.update(&self.last_leaf);
        sized(context.finish().as_ref())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Child {
    Stream(StreamEnd),
    Tile(Hash),
}

/// Four levels of the trie: what hangs below each of 16 values, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tile {
    children: Vec<(u8, Child)>,
}

impl Tile {
    fn child(&self, nibble: u8) -> Option<&Child> {
        let at = self.children.binary_search_by_key(&nibble, |(n, _)| *n);
        at.ok().map(|at| &self.children[at].1)
    }

    fn put(&mut self, nibble: u8, child: Child) {
        match self.children.binary_search_by_key(&nibble, |(n, _)| *n) {
            Ok(at) => self.children[at].1 = child,
            Err(at) => self.children.insert(at, (nibble, child)),
        }
    }

    /// To be stored: for each child its value and kind in one byte (`kind << 4 | value`), then a stream's key, number of events and
    /// last leaf hash, or a tile's root.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.children.len() * 73);
        for (nibble, child) in &self.children {
            match child {
                Child::Stream(end) => {
                    bytes.push(0x10 | nibble);
                    bytes.extend(end.key);
                    bytes.extend(end.events.to_be_bytes());
                    bytes.extend(end.last_leaf);
                }
                Child::Tile(root) => {
                    bytes.push(0x20 | nibble);
                    bytes.extend(root);
                }
            }
        }
        bytes
    }

    /// The tile in what was stored; `None` when it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut tile = Self::default();
        let mut rest = bytes;
        while let Some((&head, after)) = rest.split_first() {
            let (child, after) = match head >> 4 {
                1 => {
                    let (key, after) = after.split_first_chunk()?;
                    let (events, after) = after.split_first_chunk()?;
                    let (last_leaf, after) = after.split_first_chunk()?;
                    let end = StreamEnd {
                        key: *key,
                        events: u64::from_be_bytes(*events),
                        last_leaf: *last_leaf,
                    };
                    (Child::Stream(end), after)
                }
                2 => {
                    let (root, after) = after.split_first_chunk()?;
                    (Child::Tile(*root), after)
                }
                _ => return None,
            };
            let nibble = head & 15;
            let ascending = tile.children.last().is_none_or(|(last, _)| *last < nibble);
            if !ascending {
                return None;
            }
            tile.children.push((nibble, child));
            rest = after;
        }
        Some(tile)
    }
}

/// The root over children whose values lie in `from..from + width`.
fn root_of(children: &[(u8, Child)], from: u8, width: u8) -> Hash {
    match children {
        [] => EMPTY,
        [(_, Child::Stream(end))] => end.hash(),
        [(_, Child::Tile(root))] if width == 1 => *root,
        _ => {
            let half = width / 2;
            let (left, right) = halves(children, from + half);
            parent(
                &root_of(left, from, half),
                &root_of(right, from + half, half),
            )
        }
    }
}

/// Children with their values, ascending.
type Children = [(u8, Child)];

fn halves(children: &Children, middle: u8) -> (&Children, &Children) {
    children.split_at(children.partition_point(|(nibble, _)| *nibble < middle))
}

fn nibble(key: &Hash, at: usize) -> u8 {
    let byte = key[at / 2];
    if at.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 15
    }
}

/// The way to a tile: the four-bit values from the top, one a byte.
pub type TilePath = Vec<u8>;

/// The map, or as much of it as is at hand.
#[derive(Debug, Default)]
pub struct StreamMap {
    tiles: HashMap<TilePath, Tile>,
    changed: HashSet<TilePath>,
}

impl StreamMap {
    /// Takes a stored tile to hand.
    pub fn bring(&mut self, path: TilePath, tile: Tile) {
        self.tiles.insert(path, tile);
    }

    /// Whether the tile is at hand.
    #[must_use]
    pub fn tile(&self, path: &[u8]) -> Option<&Tile> {
        self.tiles.get(path)
    }

    /// The ways to the tiles that are at hand.
    pub fn paths(&self) -> impl Iterator<Item = &TilePath> {
        self.tiles.keys()
    }

    /// How many tiles are at hand.
    #[must_use]
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// The next tile on the way to the key that must be brought before the key can be set or proved.
    #[must_use]
    pub fn missing(&self, key: &Hash) -> Option<TilePath> {
        let mut path = TilePath::new();
        loop {
            let Some(tile) = self.tiles.get(&path) else {
                return Some(path);
            };
            let next = nibble(key, path.len());
            match tile.child(next) {
                Some(Child::Tile(_)) => path.push(next),
                _ => return None,
            }
        }
    }

    /// What the map says of the stream with this key. Every tile on its way must be at hand.
    #[must_use]
    pub fn get(&self, key: &Hash) -> Option<StreamEnd> {
        let mut path = TilePath::new();
        loop {
            let next = nibble(key, path.len());
            match self.tiles.get(&path)?.child(next)? {
                Child::Tile(_) => path.push(next),
                Child::Stream(end) => return (end.key == *key).then_some(*end),
            }
        }
    }

    /// Says something new of a stream. Every tile on its way must be at hand.
    pub fn set(&mut self, end: StreamEnd) {
        let mut path = TilePath::new();
        loop {
            self.changed.insert(path.clone());
            let tile = self.tiles.entry(path.clone()).or_default();
            let next = nibble(&end.key, path.len());
            match tile.child(next).cloned() {
                Some(Child::Tile(_)) => path.push(next),
                Some(Child::Stream(other)) if other.key != end.key => {
                    // Two streams below one value: a tile of their own, and perhaps more below it.
                    tile.put(next, Child::Tile(EMPTY));
                    path.push(next);
                    let mut below = Tile::default();
                    below.put(nibble(&other.key, path.len()), Child::Stream(other));
                    self.tiles.insert(path.clone(), below);
                }
                _ => {
                    tile.put(next, Child::Stream(end));
                    return;
                }
            }
        }
    }

    /// Works out the roots of what changed, and answers the root of the map with the tiles to store.
    pub fn settle(&mut self) -> (Hash, Vec<TilePath>) {
        let mut changed: Vec<TilePath> = self.changed.drain().collect();
        changed.sort_by_key(|path| std::cmp::Reverse(path.len()));
        for path in &changed {
            let Some((last, above)) = path.split_last() else {
                continue;
            };
            let root = root_of(&self.tiles[path].children, 0, WIDTH);
            if let Some(tile) = self.tiles.get_mut(above) {
                tile.put(*last, Child::Tile(root));
            }
        }
        (self.root(), changed)
    }

    /// The root as of the last [`StreamMap::settle`].
    #[must_use]
    pub fn root(&self) -> Hash {
        let top = self.tiles.get([].as_slice());
        top.map_or(EMPTY, |tile| root_of(&tile.children, 0, WIDTH))
    }

    /// What the map says of the stream, with the proof: the roots beside the way, from the stream up. `None` when the map has no
    /// such stream. Every tile on its way must be at hand.
    #[must_use]
    pub fn prove(&self, key: &Hash) -> Option<(StreamEnd, Vec<Hash>)> {
        let mut beside = Vec::new();
        let mut path = TilePath::new();
        loop {
            let next = nibble(key, path.len());
            let mut children = self.tiles.get(&path)?.children.as_slice();
            let (mut from, mut width) = (0, WIDTH);
            while width > 1 && !matches!(children, [(_, Child::Stream(_))]) {
                let half = width / 2;
                let (left, right) = halves(children, from + half);
                if next < from + half {
                    beside.push(root_of(right, from + half, half));
                    children = left;
                } else {
                    beside.push(root_of(left, from, half));
                    children = right;
                    from += half;
                }
                width = half;
            }
            match children {
                [(_, Child::Stream(end))] if end.key == *key => {
                    beside.reverse();
                    return Some((*end, beside));
                }
                [(_, Child::Tile(_))] => path.push(next),
                _ => return None,
            }
        }
    }
}

/// Whether the proof shows that the map with this root says this of the stream.
#[must_use]
pub fn verify(end: &StreamEnd, proof: &[Hash], root: &Hash) -> bool {
    if proof.len() > 256 {
        return false;
    }
    let mut hash = end.hash();
    for (depth, beside) in (0..proof.len()).rev().zip(proof) {
        let right = end.key[depth / 8] >> (7 - depth % 8) & 1 == 1;
        hash = if right {
            parent(beside, &hash)
        } else {
            parent(&hash, beside)
        };
    }
    hash == *root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, straight.
    fn defined_root(ends: &[StreamEnd], depth: usize) -> Hash {
        match ends {
            [] => EMPTY,
            [end] => end.hash(),
            _ => {
                let (right, left): (Vec<_>, Vec<_>) = ends
                    .iter()
                    .partition(|end| end.key[depth / 8] >> (7 - depth % 8) & 1 == 1);
                parent(
                    &defined_root(&left, depth + 1),
                    &defined_root(&right, depth + 1),
                )
            }
        }
    }

    fn end(n: u8, events: u64) -> StreamEnd {
        StreamEnd {
            key: stream_key("lead", &n.to_string()),
            events,
            last_leaf: [n; 32],
        }
    }

    #[test]
    fn the_key_of_a_stream_is_fixed() {
        // Computed independently with Python's hashlib.
        let key = stream_key("lead", "1");
        assert_eq!(
            crate::digests::hexadecimal(&key),
            "7c4aed9e64dff196cdb3b0934a1599555c24fce299680e42d84bbebe467494a7"
        );
        assert_ne!(stream_key("ab", "c"), stream_key("a", "bc"));
    }

    #[test]
    fn streams_that_share_a_long_way_are_told_apart() {
        let mut map = StreamMap::default();
        let (mut one, mut two) = (end(1, 1), end(2, 1));
        two.key = one.key;
        two.key[20] ^= 1;
        one.events = 3;
        map.set(two);
        map.set(one);
        let (root, _) = map.settle();
        assert_eq!(root, defined_root(&[one, two], 0));
        let (found, proof) = map.prove(&one.key).unwrap();
        assert_eq!((found, proof.len()), (one, 168));
        assert!(verify(&one, &proof, &root));
        assert!(!verify(&two, &proof, &root));
    }

    proptest! {
        #[test]
        fn the_root_is_the_defined_one_however_the_map_came_to_be(
            changes in prop::collection::vec((0_u8..60, 1_u64..9, any::<bool>()), 0..120)
        ) {
            let mut map = StreamMap::default();
            let mut said = std::collections::BTreeMap::new();
            for (n, events, settled) in changes {
                map.set(end(n, events));
                said.insert(n, end(n, events));
                if settled {
                    map.settle();
                }
            }
            let (root, _) = map.settle();
            let ends: Vec<_> = said.values().copied().collect();
            prop_assert_eq!(root, defined_root(&ends, 0));
            for end in &ends {
                prop_assert_eq!(map.get(&end.key), Some(*end));
                let (found, proof) = map.prove(&end.key).unwrap();
                prop_assert_eq!(found, *end);
                prop_assert!(verify(end, &proof, &root));
                let fewer = StreamEnd { events: end.events - 1, ..*end };
                prop_assert!(!verify(&fewer, &proof, &root));
            }
            prop_assert!(map.prove(&stream_key("lead", "none")).is_none());
            for tile in map.tiles.values() {
                let stored = Tile::from_bytes(&tile.to_bytes());
                prop_assert_eq!(stored.as_ref(), Some(tile));
            }
        }

        #[test]
        fn stored_bytes_of_any_kind_are_a_tile_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(tile) = Tile::from_bytes(&bytes) {
                prop_assert_eq!(tile.to_bytes(), bytes);
            }
        }
    }
}
