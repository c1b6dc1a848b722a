//! The part of `verify` that is about the earlier tiles of the map of streams, from which the evidence of an earlier moment is made.
//!
//! A tile is written anew when the map is brought up to a size at which it is another, and the one before is kept until then. So at
//! each size that a tile names there must be one of every tile that changed since the size before, each as the events say; and those
//! of one path follow one another without a gap. What was not changed may begin anew: a rebuild writes every tile.

use std::collections::{HashSet, VecDeque};

use sqlx::{PgConnection, Row};

use super::tree::unsigned;
use super::verify_kept;
use super::verify_told::{NAMED, Told};
use crate::proof::merkle::sha256;
use crate::proof::stream_map::{StreamMap, Tile, TilePath};

/// How many tiles are fetched at once.
const AT_ONCE: usize = 2_000;

/// A tile from a size of the map on.
struct Version {
    from: i64,
    path: TilePath,
    /// The digest of the content; `None` of a tile of today, which is compared elsewhere.
    content: Option<Vec<u8>>,
}

/// The tiles in the order of the sizes from which they held, along the events.
pub(super) struct Tiles {
    /// How many events the map has taken in.
    pub size: u64,
    settled: i64,
    kept_from: i64,
    next: VecDeque<Version>,
    /// The tiles that changed since the last size that one names.
    changed: HashSet<TilePath>,
    told_of_map: Told,
    told_of_past: Told,
}

impl Tiles {
    /// Begins to read them. Until [`Tiles::told`] is called they are under way in a cursor of the connection's transaction.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn begin(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut found = Self {
            size: 0,
            settled: 0,
            kept_from: 0,
            next: VecDeque::new(),
            changed: HashSet::new(),
            told_of_map: Told::of("stream_map"),
            told_of_past: Told::of("past.stream_map_tiles"),
        };
        let map = sqlx::query("SELECT size, settled, kept_from FROM public.stream_map")
            .fetch_optional(&mut *connection)
            .await?;
        match map {
            Some(row) => {
                found.size = unsigned(row.try_get(0)?);
                found.settled = row.try_get(1)?;
                found.kept_from = row.try_get(2)?;
            }
            None => found.told_of_map.tell("is missing"),
        }
        // Of a map that is being made anew the tiles of today are not there yet.
        let live = if found.is_settled() {
            " UNION ALL SELECT since, path, NULL FROM public.stream_map_tiles"
        } else {
            ""
        };
        sqlx::query(&format!(
            "DECLARE tile_versions NO SCROLL CURSOR FOR \
             SELECT valid_from, path, sha256(content) FROM past.stream_map_tiles{live} ORDER BY 1, 2"
        ))
        .persistent(false)
        .execute(&mut *connection)
        .await?;
        found.fetch(connection).await?;
        Ok(found)
    }

    fn is_settled(&self) -> bool {
        unsigned(self.settled) <= self.size
    }

    async fn fetch(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let rows = sqlx::query(&format!("FETCH {AT_ONCE} FROM tile_versions"))
            .persistent(false)
            .fetch_all(connection)
            .await?;
        for row in &rows {
            self.next.push_back(Version {
                from: row.try_get(0)?,
                path: row.try_get(1)?,
                content: row.try_get(2)?,
            });
        }
        Ok(())
    }

    /// Whether a tile is said to be what it is from this size on.
    pub fn name(&self, size: u64) -> bool {
        let first = self.next.front();
        first.is_some_and(|version| unsigned(version.from) <= size)
            || (self.kept_from > 0 && unsigned(self.kept_from) == size)
    }

    /// These tiles changed up to a size that tiles may name or not.
    pub fn change(&mut self, paths: Vec<TilePath>) {
        self.changed.extend(paths);
    }

    /// Compares the tiles from this size on with the map, which has settled there.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn compare(
        &mut self,
        connection: &mut PgConnection,
        map: &StreamMap,
        size: u64,
    ) -> Result<(), sqlx::Error> {
        let mut missing = std::mem::take(&mut self.changed);
        let kept_from = unsigned(self.kept_from);
        // A map that is older than its versions has all its tiles from then on.
        if kept_from > 0 && size == kept_from {
            missing.extend(map.paths().cloned());
        }
        let mut wrong = Vec::new();
        let mut before: Option<TilePath> = None;
        while self.name(size) {
            let Some(version) = self.next.pop_front() else {
                break;
            };
            if self.next.is_empty() {
                self.fetch(connection).await?;
            }
            let there = missing.remove(&version.path);
            let again = !there && before.as_ref() == Some(&version.path);
            let here = u64::try_from(version.from) == Ok(size) && size >= kept_from;
            if again || !here || !is_of(map, &version) {
                wrong.push(version.path.clone());
            }
            before = Some(version.path);
        }
        if let Some(first) = wrong.first() {
            self.told_of_past.tell(format_args!(
                "{} tiles from size {size} on are not those of the events; the first has the path {first:?}",
                wrong.len()
            ));
        }
        // While the map is made anew, those that it will have again are away.
        let away = !self.is_settled() && size >= unsigned(self.settled);
        if size >= kept_from && !away && !missing.is_empty() {
            let first = missing.iter().min();
            self.told_of_past.tell(format_args!(
                "{} tiles from size {size} on are missing; the first has the path {:?}",
                missing.len(),
                first.map_or(&[][..], Vec::as_slice)
            ));
        }
        Ok(())
    }

    /// What is wrong, after the last event; `end` is how many there are, unless one was missing.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn told(
        mut self,
        connection: &mut PgConnection,
        end: Option<u64>,
    ) -> Result<Vec<String>, sqlx::Error> {
        if let Some(version) = self.next.front().filter(|_| end.is_some()) {
            let from = version.from;
            self.told_of_past.tell(format_args!(
                "a tile is said to be so from size {from} on, which the ledger does not have"
            ));
        }
        let settled = self.settled;
        if end.is_some_and(|end| end < unsigned(settled)) {
            self.told_of_map.tell(format_args!(
                "is said to have settled at size {settled}, which the ledger does not have"
            ));
        }
        sqlx::query("CLOSE tile_versions")
            .persistent(false)
            .execute(&mut *connection)
            .await?;
        self.follow_one_another(connection).await?;
        self.compare_sizes(connection).await?;
        let mut lines = self.told_of_past.into_lines();
        lines.extend(self.told_of_map.into_lines());
        Ok(lines)
    }

    /// Whether the tiles of each path adjoin, up to that of today.
    async fn follow_one_another(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        // Of a map that is being made anew, those that are written last end where it rests.
        let (live, last) = if self.is_settled() {
            (
                " UNION ALL SELECT path, since, NULL FROM public.stream_map_tiles",
                None,
            )
        } else {
            ("", Some(self.settled))
        };
        let wrong: Vec<(TilePath, i64)> = sqlx::query_as(&format!(
            "SELECT path, valid_from FROM (SELECT v.*, lead(valid_from, 1, $2) OVER \
             (PARTITION BY path ORDER BY valid_from, valid_until) AS next \
             FROM (SELECT path, valid_from, valid_until FROM past.stream_map_tiles{live}) AS v) AS v \
             WHERE valid_until IS DISTINCT FROM next OR valid_from >= valid_until ORDER BY path, valid_from LIMIT $1"
        ))
        .bind(i64::try_from(NAMED).unwrap_or(i64::MAX))
        .bind(last)
        .fetch_all(connection)
        .await?;
        for (path, from) in wrong {
            self.told_of_past.tell(format_args!(
                "the tile from size {from} on with the path {path:?} does not hold until the next one"
            ));
        }
        Ok(())
    }

    /// What is kept beside the map: the largest size it ever had, and from which on earlier tiles are kept.
    async fn compare_sizes(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (largest, others): (i64, i64) = sqlx::query_as(
            "SELECT greatest((SELECT max(since) FROM public.stream_map_tiles), \
             (SELECT max(valid_until) FROM past.stream_map_tiles), 0), \
             (SELECT count(*) FROM public.stream_map_tiles WHERE since <> $1)",
        )
        .bind(self.settled)
        .fetch_one(&mut *connection)
        .await?;
        let settled = self.settled;
        let anew = !self.is_settled();
        if largest > settled || (!anew && (largest != settled || unsigned(settled) != self.size)) {
            self.told_of_map.tell(format_args!(
                "is said to have settled at size {settled}, and did at {largest}"
            ));
        } else if anew && others > 0 {
            self.told_of_map.tell(format_args!(
                "is not being made anew, and has not come to size {settled}"
            ));
        }
        let from = self.kept_from;
        if let Some(at) = verify_kept::later_than_migration(connection, from, 24).await? {
            self.told_of_map.tell(format_args!(
                "size {from} came after earlier tiles began to be kept at {at}"
            ));
        }
        Ok(())
    }
}

/// Whether the map has this tile.
fn is_of(map: &StreamMap, version: &Version) -> bool {
    let content = match map.tile(&version.path) {
        Some(tile) => tile.to_bytes(),
        // A map that was brought up to an empty ledger has its topmost tile or not.
        None if version.path.is_empty() && map.tiles() == 0 => Tile::default().to_bytes(),
        None => return false,
    };
    let said = version.content.as_deref();
    said.is_none_or(|said| said == sha256(&content).as_slice())
}
