//! The part of `verify` that is about proofs: the tree and the map of streams worked out anew from the events, and compared with
//! what is stored, with every checkpoint that was signed, and with those that were witnessed elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use futures::TryStreamExt;
use sqlx::{PgConnection, Row};

use super::checkpoints::{self, Key};
use super::replay;
use super::tree::{is_stored, unsigned};
use super::verify_commits::Commits;
use super::verify_events::WrongEvents;
use super::verify_head;
use super::verify_marks::Marks;
use super::verify_tiles::Tiles;
use crate::proof::Hash;
use crate::proof::checkpoint::Checkpoint;
use crate::proof::keys::{TrustedKey, narrowed};
use crate::proof::merkle::{Frontier, Node};
use crate::proof::note::VerifierKey;
use crate::proof::stream_map::{StreamEnd, StreamMap, Tile, TilePath};

/// Checkpoints from outside the database, and who is trusted to have signed them.
#[derive(Debug, Default)]
pub struct Witnessed {
    /// Each with what it is called.
    pub notes: Vec<(String, String)>,
    /// The keys; those that the database lists, when there are none.
    pub keys: Vec<TrustedKey>,
    /// Up to this one all that the database marks as witnessed must be among them; `None` when they are known to be only some.
    pub complete_to: Option<i64>,
}

/// A claim about the ledger at some size.
struct Claim {
    who: String,
    root: Hash,
    streams: Hash,
    /// Whether it lies outside the database.
    witnessed: bool,
    /// Whether the database lists it.
    listed: bool,
}

/// The ledger's proofs, worked out anew along the events.
pub(super) struct Recomputed {
    tree: Frontier,
    map: StreamMap,
    claims: BTreeMap<u64, Vec<Claim>>,
    tiles: Tiles,
    nodes: i64,
    wrong_nodes: u64,
    /// Whether an event was missing: beyond it nothing can be worked out.
    broken: bool,
    events: WrongEvents,
    commits: Commits,
    /// What is wrong with what was made of the events.
    differences: Vec<String>,
}

impl Recomputed {
    /// Reads what is claimed about the ledger.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn begin(
        connection: &mut PgConnection,
        witnessed: &Witnessed,
    ) -> Result<Self, sqlx::Error> {
        let mut found = Self {
            tree: Frontier::default(),
            map: StreamMap::default(),
            claims: BTreeMap::new(),
            tiles: Tiles::begin(connection).await?,
            nodes: 0,
            wrong_nodes: 0,
            broken: false,
            events: WrongEvents::default(),
            commits: Commits::begin(connection).await?,
            differences: Vec::new(),
        };
        let keys = checkpoints::keys(connection).await?;
        let listed: Vec<TrustedKey> = keys.iter().filter_map(Key::trusted).collect();
        let query = format!(
            "SELECT id, tree_size, note, {}, witnessed FROM public.checkpoints ORDER BY id",
            replay::readable("made_at")
        );
        let mut stored = sqlx::query(&query).fetch(&mut *connection);
        let mut marks = Marks::new(witnessed);
        let mut rotations = HashSet::new();
        while let Some(row) = stored.try_next().await? {
            let (id, size, made_at) = (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?);
            let note: &str = row.try_get(2)?;
            let who = format!("checkpoints: id={id}");
            if let Some(said) = found.claim(&who, note, &listed, (false, true)) {
                found.compare_kept(&who, &said, (size, made_at));
            }
            if signed_by_both(note, made_at, &keys) {
                rotations.insert(made_at);
            }
            marks.take(id, note, row.try_get(4)?);
        }
        drop(stored);
        found.differences.extend(wrong_keys(&keys, &rotations));
        // Who keeps a key may not have heard that it ended.
        let trusted = if witnessed.keys.is_empty() {
            listed
        } else {
            narrowed(&witnessed.keys, &listed)
        };
        for (name, note) in &witnessed.notes {
            let listed = marks.is_listed(note);
            found.claim(
                &format!("witnessed checkpoint {name}"),
                note,
                &trusted,
                (true, listed),
            );
        }
        found.differences.extend(marks.told());
        found.at_size(connection).await?;
        Ok(found)
    }

    /// Notes what a checkpoint claims, and answers it.
    fn claim(
        &mut self,
        who: &str,
        note: &str,
        keys: &[TrustedKey],
        (witnessed, listed): (bool, bool),
    ) -> Option<Checkpoint> {
        match Checkpoint::open(note, keys) {
            Ok(said) => {
                self.claims.entry(said.size).or_default().push(Claim {
                    who: who.to_owned(),
                    root: said.root,
                    streams: said.streams,
                    witnessed,
                    listed,
                });
                Some(said)
            }
            Err(error) => {
                self.differences.push(format!("{who}: {error}"));
                None
            }
        }
    }

    /// Compares what is kept beside a checkpoint with what it says itself.
    fn compare_kept(
        &mut self,
        who: &str,
        said: &Checkpoint,
        (size, made_at): (i64, DateTime<Utc>),
    ) {
        if i64::try_from(said.size) != Ok(size) {
            self.differences.push(format!(
                "{who}: is of {} events, and kept as of {size}",
                said.size
            ));
        }
        if made_at.trunc_subsecs(0) != said.time {
            self.differences.push(format!(
                "{who}: was signed at {}, and is kept as made at {made_at}",
                said.time
            ));
        }
    }

    /// Blames an event for something that it is not for the proofs to know.
    pub fn blame(&mut self, position: i64, what: &str) {
        self.events.blame(position, what);
    }

    /// Takes the next events in.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn take(
        &mut self,
        connection: &mut PgConnection,
        step: &replay::Step,
    ) -> Result<(), sqlx::Error> {
        self.events.take(step);
        for leaf in &step.leaves {
            self.commits.take(leaf);
        }
        let mut made: Vec<(Node, Hash)> = Vec::new();
        for leaf in &step.leaves {
            if self.broken || unsigned(leaf.position) != self.tree.size() + 1 {
                self.broken = true;
                break;
            }
            self.tree.push(leaf.hash, |node, hash| {
                if is_stored(node) {
                    made.push((node, *hash));
                }
            });
            let events = self.map.get(&leaf.stream).map_or(0, |end| end.events) + 1;
            self.events.in_order(leaf, events);
            self.map.set(StreamEnd {
                key: leaf.stream,
                events,
                last_leaf: leaf.hash,
            });
            self.at_size(connection).await?;
        }
        self.compare_nodes(connection, &made).await
    }

    async fn compare_nodes(
        &mut self,
        connection: &mut PgConnection,
        made: &[(Node, Hash)],
    ) -> Result<(), sqlx::Error> {
        if made.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT n.level, n.index, n.hash FROM unnest($1::smallint[], $2::bigint[]) AS w(level, index) \
             JOIN public.tree_nodes n ON n.level = w.level AND n.index = w.index",
        )
        .bind(made.iter().map(|(n, _)| i16::try_from(n.level).unwrap_or(0)).collect::<Vec<_>>())
        .bind(made.iter().map(|(n, _)| i64::try_from(n.index).unwrap_or(0)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let mut stored: HashMap<Node, Vec<u8>> = HashMap::with_capacity(rows.len());
        for row in rows {
            let (level, index): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
            let node = Node {
                level: level.unsigned_abs().into(),
                index: unsigned(index),
            };
            stored.insert(node, row.try_get(2)?);
        }
        for (node, hash) in made {
            self.nodes += 1;
            if stored.get(node).map(Vec::as_slice) == Some(hash.as_slice()) {
                continue;
            }
            self.wrong_nodes += 1;
            if self.wrong_nodes == 1 {
                let first = (node.index << node.level) + 1;
                let last = (node.index + 1) << node.level;
                self.events.unlike_the_tree(first, last);
                let what = match stored.get(node) {
                    Some(_) => "is not the root of its events",
                    None => "is missing",
                };
                self.differences.push(format!(
                    "tree_nodes: the node over positions {first} to {last} {what}"
                ));
            }
        }
        Ok(())
    }

    /// Compares what is claimed about the ledger at the size that has just been reached.
    async fn at_size(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let size = self.tree.size();
        let stored_map = self.tiles.size == size;
        let claims = self.claims.remove(&size);
        let named = self.tiles.name(size);
        if claims.is_none() && !stored_map && !named {
            return Ok(());
        }
        let (root, (streams, changed)) = (self.tree.root(), self.map.settle());
        self.tiles.change(changed);
        let claims = claims.unwrap_or_default();
        // Of several that say something of these events all must hold.
        let hold = |witnessed| {
            let of_these = claims.iter().filter(|claim| claim.witnessed == witnessed);
            of_these
                .map(|claim| claim.root == root)
                .reduce(|all, one| all && one)
        };
        let (listed, witnessed) = (hold(false), hold(true));
        self.events.signed(size, listed, witnessed);
        // A checkpoint of the server's own was made of a map of that size.
        if named || listed.is_some() {
            self.tiles.compare(connection, &self.map, size).await?;
        }
        for Claim {
            who,
            root: said,
            streams: map,
            listed,
            ..
        } in claims
        {
            let what = if said != root {
                "the ledger does not have these first"
            } else if map != streams {
                "the map of streams is not that of the first"
            } else if !listed {
                "the database does not list it any more; it is of the first"
            } else {
                continue;
            };
            self.differences
                .push(format!("{who}: {what} {size} events"));
        }
        if stored_map {
            self.compare_tiles(connection).await?;
        }
        Ok(())
    }

    async fn compare_tiles(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut rows =
            sqlx::query("SELECT path, content FROM public.stream_map_tiles ORDER BY path")
                .fetch(connection);
        let (mut right, mut wrong) = (0_usize, 0_usize);
        let mut first: Option<TilePath> = None;
        while let Some(row) = rows.try_next().await? {
            let path: TilePath = row.try_get(0)?;
            let tile = Tile::from_bytes(row.try_get(1)?);
            // A map that was brought up to an empty ledger has its topmost tile or not.
            let empty = self.map.tiles() == 0 && tile == Some(Tile::default());
            if tile.is_some() && tile.as_ref() == self.map.tile(&path) {
                right += 1;
            } else if !empty {
                wrong += 1;
                first.get_or_insert(path);
            }
        }
        let missing = self.map.tiles() - right.min(self.map.tiles());
        if let Some(path) = first {
            self.differences.push(format!(
                "stream_map_tiles: {wrong} tiles are not those of the events; the first has the path {path:?}"
            ));
        } else if missing > 0 {
            self.differences
                .push(format!("stream_map_tiles: {missing} tiles are missing"));
        }
        Ok(())
    }

    /// After the last event: what is claimed about more events than there are. Answers all differences, those of the events first, in
    /// their order. `end` is where the ledger says that it ends.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn finish(
        mut self,
        connection: &mut PgConnection,
        end: Option<i64>,
    ) -> Result<Vec<String>, sqlx::Error> {
        let size = self.tree.size();
        if !self.broken && !self.claims.is_empty() {
            self.events.cut_off_after(size);
        }
        let beyond = if self.broken {
            "cannot be compared: an event before its end is missing"
        } else {
            "is of more events than the ledger has"
        };
        for claim in std::mem::take(&mut self.claims).into_values().flatten() {
            self.differences.push(format!("{}: {beyond}", claim.who));
        }
        let taken_in = self.tiles.size;
        if taken_in > size {
            self.differences.push(format!(
                "stream_map: has taken in {taken_in} events, and {size} can be read"
            ));
        }
        if self.wrong_nodes > 1 {
            self.differences
                .push(format!("tree_nodes: and {} more", self.wrong_nodes - 1));
        }
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM public.tree_nodes")
            .fetch_one(&mut *connection)
            .await?;
        if !self.broken && stored > self.nodes {
            self.differences.push(format!(
                "tree_nodes: {} nodes are over events that the ledger does not have",
                stored - self.nodes
            ));
        }
        let mut all = verify_head::before_the_first(connection).await?;
        all.extend(self.events.told(end));
        all.extend(verify_head::waiting(connection).await?);
        all.extend(self.commits.told());
        all.append(&mut self.differences);
        all.extend(
            self.tiles
                .told(connection, (!self.broken).then_some(size))
                .await?,
        );
        Ok(all)
    }
}

/// Whether this is the checkpoint of a change of keys, made when the key began to hold and signed by it too.
fn signed_by_both(note: &str, made_at: DateTime<Utc>, keys: &[Key]) -> bool {
    let begun = keys.iter().filter(|key| key.valid_from == made_at);
    let mut begun = begun.filter_map(|key| VerifierKey::parse(&key.verifier).ok());
    begun.any(|key| Checkpoint::open(note, &[key.into()]).is_ok())
}

/// Keys follow one another without a gap, and each but the first began with a checkpoint that it signed too.
fn wrong_keys(keys: &[Key], rotations: &HashSet<DateTime<Utc>>) -> Vec<String> {
    let mut found = Vec::new();
    for (nth, key) in keys.iter().enumerate() {
        let next = keys.get(nth + 1).map(|next| next.valid_from);
        if key.valid_until != next || next.is_some_and(|until| until < key.valid_from) {
            found.push(format!(
                "checkpoint_keys: {}: does not hold until the next one begins",
                key.verifier
            ));
        }
        if nth > 0 && !rotations.contains(&key.valid_from) {
            found.push(format!(
                "checkpoint_keys: {}: no checkpoint of when it began is signed by it",
                key.verifier
            ));
        }
    }
    found
}

/// Checks the ledger alone, without the read tables: events, order, hashes, tree, map, checkpoints, and the end.
///
/// # Errors
/// What the database answers.
pub async fn ledger(
    connection: &mut PgConnection,
    witnessed: &Witnessed,
) -> Result<Vec<String>, sqlx::Error> {
    let end = verify_head::end(connection).await?;
    let mut recomputed = Recomputed::begin(connection, witnessed).await?;
    let mut position = 0;
    loop {
        let (step, _) = replay::read(connection, position, i64::MAX).await?;
        recomputed.take(connection, &step).await?;
        if !step.any {
            break;
        }
        position = step.last;
    }
    recomputed.finish(connection, end).await
}
