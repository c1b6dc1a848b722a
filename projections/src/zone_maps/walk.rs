//! Reading a list as of a moment by its zone map: zone by zone, and no further than needed.

use aggregates::ids::CompanyId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::{GROUP, OUTDATED, Place, ZonedList};
use crate::page::PageRequest;

/// Appends a part of a query.
type PushRows<'a> = Box<dyn Fn(&mut QueryBuilder<'_, Postgres>) + Send + Sync + 'a>;

/// What is read by a map.
pub(crate) struct Walk<'a> {
    pub company: CompanyId,
    pub list: &'static ZonedList,
    pub part: i64,
    pub descending: bool,
    /// Where it begins: the place itself is not part of it.
    pub after: Option<Place>,
    /// In an order by time: nothing that is wanted is earlier, nor as late as this.
    pub times: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    /// Of the rows that the map tells of, one in so many is wanted. Where all are, its groups tell how many come before a page.
    pub one_in: i64,
    /// Appends `FROM … WHERE …` of the rows that are wanted, as of the moment, under the name `l`.
    pub rows: PushRows<'a>,
}

/// The position that the connection's tables are of.
const MOMENT: &str = "(SELECT current_setting('leadledger.as_of')::bigint)";

/// How many zones, in how many groups, one statement may look into. It looks into no more than it needs.
const AT_MOST: (i64, i64) = (1_024, 256);

/// After so many times what should have been looked through for some rows, they are taken to lie elsewhere in the order than by chance, as
/// those of one import do: whoever walks gives up, and they are collected.
pub(crate) const ASTRAY: i64 = 4;
/// Zones that are looked into in any case.
const ANYHOW: i64 = 64;
/// Where so many rows are to be looked through, whole groups of zones are, which of a row that has changed often hold a few rows each.
const LONG: i64 = 8_192;
/// Where so many zones more are expected to be looked into, they are as whole groups, unless only a few of those in between held anything: one in
/// so many. To find a zone's first row costs as much as to walk through hundreds.
const MANY: i64 = GROUP;
const DENSE: i64 = 4;
/// How many of its rows a zone is taken to have held at the moment: an eighth.
const HELD: i64 = 4;

/// What a walk came to.
pub(crate) enum Found {
    /// The rows.
    Rows(Walked),
    /// There is no map that tells about the moment.
    NoMap,
    /// The rows are not where one in so many should be: they are to be looked for in another way.
    Astray,
}

/// What a walk found.
pub(crate) struct Walked {
    /// How many rows come before the first of them.
    passed: i64,
    ids: Vec<i64>,
}

impl Walked {
    /// The ids of the rows from the first one on, where none was passed over.
    pub fn all(self) -> Vec<i64> {
        debug_assert_eq!(
            self.passed, 0,
            "only what a whole list has before a page is passed over"
        );
        self.ids
    }

    /// How many they are, with those that were passed over.
    pub fn rows(&self) -> i64 {
        self.passed + i64::try_from(self.ids.len()).unwrap_or(i64::MAX)
    }

    /// Without what comes before the page.
    pub fn of_page<C>(mut self, request: &PageRequest<C>) -> Vec<i64> {
        let before = usize::try_from(request.offset() - self.passed).unwrap_or(usize::MAX);
        self.ids.drain(..before.min(self.ids.len()));
        self.ids
    }
}

/// What is looked into at a time.
#[derive(Debug, Clone, Copy)]
enum Pieces {
    Zones,
    Groups,
}

/// What comes before a part of a list.
struct Before {
    /// The map that tells, by the position as of which it was made.
    map: i64,
    /// How many rows that held.
    rows: i64,
    /// Where it ends.
    place: Place,
}

impl Walk<'_> {
    /// The ids of the rows, in their order, up to the end of the page and one more, or of the list: of the first ones, or of those behind a number
    /// of rows that come before the page. On a connection on which the tables are those of the moment.
    pub async fn ids<C>(
        mut self,
        connection: &mut PgConnection,
        request: &PageRequest<C>,
    ) -> Result<Found, sqlx::Error> {
        let mut map: Option<i64> = None;
        let mut passed = 0;
        if self.one_in == 1
            && request.offset() > 0
            && let Some(before) = self.before(connection, request.offset()).await?
        {
            map = Some(before.map);
            passed = before.rows;
            self.after = Some(before.place);
        }
        let wanted = request.offset() - passed + request.per_page + 1;
        let astray = wanted.saturating_mul(self.one_in).saturating_mul(ASTRAY) / HELD + ANYHOW;
        let mut pieces = if self.one_in > 1 && wanted.saturating_mul(self.one_in) >= LONG {
            Pieces::Groups
        } else {
            Pieces::Zones
        };
        let mut looked_into = 0;
        let mut at_once = wanted;
        let mut ids: Vec<i64> = Vec::new();
        loop {
            let first = looked_into == 0;
            let mut query = self.rows_in(pieces, &|query| {
                // One plan for every first page: see `PageRequest::push_window`.
                if first && request.offset() == 0 {
                    query.push(at_once);
                } else {
                    query.push_bind(at_once);
                }
            });
            let rows = query.build().fetch_all(&mut *connection).await?;
            let mut zones = Vec::with_capacity(rows.len());
            for row in &rows {
                let of: Option<i64> = row.try_get(0)?;
                // Without a map, or with another one than that of the rows so far, which knows other zones.
                if of.is_none() || map.is_some_and(|map| of != Some(map)) {
                    return Ok(Found::NoMap);
                }
                map = of;
                zones.extend(row.try_get::<Option<i64>, _>(1)?);
                ids.extend(row.try_get::<Option<i64>, _>(2)?);
            }
            // Zone by zone is how they are asked for, and so they come; no other order is ever taken for it.
            let in_order = if self.descending {
                zones.is_sorted_by(|a, b| a >= b)
            } else {
                zones.is_sorted()
            };
            if !in_order {
                return Ok(Found::NoMap);
            }
            if i64::try_from(ids.len()).unwrap_or(i64::MAX) >= wanted {
                ids.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                return Ok(Found::Rows(Walked { passed, ids }));
            }
            let Some(last) = rows.last().filter(|_| !zones.is_empty()) else {
                return Ok(Found::Rows(Walked { passed, ids }));
            };
            self.after = Some(Place::read(self.list, last, 3, 4)?);
            let apart = zones.last().zip(zones.first());
            let apart = apart.map_or(0, |(last, first)| (last - first).abs() + 1);
            zones.dedup();
            let zones = i64::try_from(zones.len()).unwrap_or(i64::MAX);
            looked_into += match pieces {
                Pieces::Zones => zones,
                Pieces::Groups => zones.saturating_mul(GROUP),
            };
            if self.one_in > 1 && looked_into > astray {
                return Ok(Found::Astray);
            }
            // Where rows lie as those so far.
            let found = i64::try_from(ids.len()).unwrap_or(i64::MAX);
            let missing = wanted - found;
            let expected = missing.saturating_mul(looked_into) / found.max(1);
            let goes_on_in_groups = self.one_in > 1
                && matches!(pieces, Pieces::Zones)
                && expected >= MANY
                && zones.saturating_mul(DENSE) >= apart;
            // Each piece without a wanted row takes one of those that are asked for. What is asked for beyond those that are missing is read in vain.
            let next = if goes_on_in_groups {
                pieces = Pieces::Groups;
                missing.saturating_add(expected / GROUP)
            } else {
                2 * at_once
            };
            at_once = next.min(AT_MOST.0.max(wanted));
        }
    }

    /// The groups of zones that come before the row with so many before it, passed over as a whole. `None` where there is none, or no map.
    async fn before(
        &self,
        connection: &mut PgConnection,
        rows: i64,
    ) -> Result<Option<Before>, sqlx::Error> {
        let kind = self.list.kind;
        let (far, _) = self.ends();
        let direction = self.direction();
        // No more groups are looked at than it takes: the sum is made as they come.
        let mut query =
            QueryBuilder::new("SELECT m.as_of, g.up_to - g.rows, g.far, g.far_id FROM ");
        self.push_map(&mut query);
        query.push(format!(
            " CROSS JOIN LATERAL (SELECT z.rows, CAST(sum(z.rows) OVER w AS bigint) AS up_to, lag(z.far) OVER w AS far, lag(z.far_id) OVER w AS far_id \
             FROM (SELECT z.zone, z.{far}_{kind} AS far, z.{far}_id AS far_id, \
             (width_bucket({MOMENT}, z.begun) - coalesce(width_bucket({MOMENT}, z.ended), 0))::bigint AS rows \
             FROM past.zones z WHERE z.level = 1"
        ));
        self.push_zones(&mut query);
        query
            .push(format!(
                " ORDER BY z.zone {direction}) z WINDOW w AS (ORDER BY z.zone {direction} ROWS UNBOUNDED PRECEDING)) g \
                 WHERE m.as_of IS NOT NULL AND g.up_to > "
            ))
            .push_bind(rows)
            .push(" LIMIT 1");
        let row = query.build().fetch_optional(connection).await?;
        // Without a place the row lies in the first group.
        let Some(row) = row.filter(|row| !matches!(row.try_get::<Option<i64>, _>(3), Ok(None)))
        else {
            return Ok(None);
        };
        Ok(Some(Before {
            map: row.try_get(0)?,
            rows: row.try_get(1)?,
            place: Place::read(self.list, &row, 2, 3)?,
        }))
    }

    /// How many rows there are, up to `most`. `None` when there is no map that tells about the moment, or when more groups than this share of
    /// the list's would have to be looked at. Group by group, for the order does not matter, and in one statement. On a connection on which
    /// the tables are those of the moment.
    pub async fn count(
        &self,
        connection: &mut PgConnection,
        most: i64,
        (share, of): (i64, i64),
    ) -> Result<Option<i64>, sqlx::Error> {
        let kind = self.list.kind;
        let push_share = |query: &mut QueryBuilder<'_, Postgres>| {
            query
                .push("(SELECT 1 + CAST((max(z.zone) + 1)::float8 * ")
                .push_bind(share)
                .push(" / ")
                .push_bind(of.max(1))
                .push(" AS bigint) FROM past.zones z WHERE z.level = 1");
            self.push_list(query);
            query.push(")");
        };
        let mut query = QueryBuilder::new(
            "SELECT m.as_of IS NOT NULL, (SELECT NOT EXISTS (SELECT 1 FROM past.zones z WHERE z.level = 1",
        );
        self.push_zones(&mut query);
        query.push(" OFFSET ");
        push_share(&mut query);
        query.push(")), (SELECT count(*) FROM (SELECT 1 FROM (SELECT z.* FROM past.zones z WHERE z.level = 1");
        self.push_zones(&mut query);
        query.push(" ORDER BY z.zone LIMIT ");
        push_share(&mut query);
        query.push(") z CROSS JOIN LATERAL (SELECT 1");
        (self.rows)(&mut query);
        let ZonedList { key, id, .. } = self.list;
        for (side, end) in [(">=", "first"), ("<=", "last")] {
            // Both, as in `rows_in`.
            query.push(format!(
                " AND l.{key} {side} z.{end}_{kind} AND (l.{key}, l.{id}) {side} (z.{end}_{kind}, z.{end}_id)"
            ));
        }
        query
            .push(") l LIMIT ")
            .push_bind(most)
            .push(") counted) FROM ");
        self.push_map(&mut query);
        let (mapped, to_the_end, counted): (bool, bool, i64) =
            query.build_query_as().fetch_one(connection).await?;
        let looked_at_all = to_the_end || counted >= most;
        Ok((mapped && looked_at_all).then_some(counted))
    }

    /// The zones, or groups of them, of the list.
    fn push_list(&self, query: &mut QueryBuilder<'_, Postgres>) {
        query
            .push(" AND z.company_id = ")
            .push_bind(self.company.get())
            .push(" AND z.list = ")
            .push_bind(self.list.name)
            .push(" AND z.part = ")
            .push_bind(self.part);
    }

    /// Those that hold anything that is wanted.
    fn push_zones(&self, query: &mut QueryBuilder<'_, Postgres>) {
        let kind = self.list.kind;
        self.push_list(query);
        query.push(format!(" AND z.held @> {MOMENT}"));
        if let Some(after) = &self.after {
            let (far, beyond) = self.ends();
            query.push(format!(" AND (z.{far}_{kind}, z.{far}_id) {beyond} "));
            after.push(query);
        }
        let (from, to) = self.times;
        if let Some(from) = from {
            query.push(" AND z.last_at >= ").push_bind(from);
        }
        if let Some(to) = to {
            query.push(" AND z.first_at < ").push_bind(to);
        }
    }

    /// Which end of a zone is the far one, and what compares a place that comes later with another.
    fn ends(&self) -> (&'static str, &'static str) {
        if self.descending {
            ("first", "<")
        } else {
            ("last", ">")
        }
    }

    /// Appends the relation `z` of the next zones, in the order of the list: of one group after the other, each when it is needed. To have
    /// them sorted, PostgreSQL would look at the zones of all groups first. Or of the next groups.
    fn push_next(&self, pieces: Pieces, query: &mut QueryBuilder<'_, Postgres>) {
        let kind = self.list.kind;
        let (far, _) = self.ends();
        let near = if self.descending { "last" } else { "first" };
        let direction = self.direction();
        let (zones, groups) = AT_MOST;
        let columns = format!(
            "z.zone, z.{near}_{kind} AS near, z.{near}_id AS near_id, z.{far}_{kind} AS far, z.{far}_id AS far_id"
        );
        if matches!(pieces, Pieces::Groups) {
            query.push(format!(
                "(SELECT {columns} FROM past.zones z WHERE z.level = 1"
            ));
            self.push_zones(query);
            query.push(format!(" ORDER BY z.zone {direction} LIMIT {groups}) z"));
            return;
        }
        query.push("(SELECT z.* FROM (SELECT z.zone FROM past.zones z WHERE z.level = 1");
        self.push_zones(query);
        // The limit inside too: else PostgreSQL may look at every zone for its group, instead of at the zones of each group.
        query.push(format!(
            " ORDER BY z.zone {direction} LIMIT {groups}) g CROSS JOIN LATERAL (SELECT {columns} FROM past.zones z \
             WHERE z.level = 0 AND z.zone >= g.zone * {GROUP} AND z.zone < (g.zone + 1) * {GROUP}"
        ));
        self.push_zones(query);
        query.push(format!(
            " ORDER BY z.zone {direction} LIMIT {zones}) z LIMIT {zones}) z"
        ));
    }

    const fn direction(&self) -> &'static str {
        if self.descending { "DESC" } else { "ASC" }
    }

    /// Appends the relation `m` of one row: which map tells about the moment, by the position as of which it was made.
    fn push_map(&self, query: &mut QueryBuilder<'_, Postgres>) {
        query
            .push("(SELECT (SELECT m.as_of FROM past.zone_maps m WHERE m.company_id = ")
            .push_bind(self.company.get())
            .push(" AND m.list = ")
            .push_bind(self.list.name)
            .push(format!(
                " AND m.as_of >= {MOMENT} AND NOT {OUTDATED}) AS as_of) m"
            ));
    }

    /// The map, zone (or group) and id of each of the first rows in the next ones, and the place behind which to go on; of a zone without such a row its
    /// end; or the map alone.
    fn rows_in(
        &self,
        pieces: Pieces,
        push_rows: &dyn Fn(&mut QueryBuilder<'_, Postgres>),
    ) -> QueryBuilder<'_, Postgres> {
        let ZonedList { key, id, .. } = self.list;
        let mut query =
            QueryBuilder::new("SELECT m.as_of, r.zone, r.id, r.place, r.place_id FROM ");
        self.push_map(&mut query);
        query.push(
            " LEFT JOIN (SELECT z.zone, l.id, coalesce(l.key, z.far) AS place, coalesce(l.id, z.far_id) AS place_id FROM ",
        );
        self.push_next(pieces, &mut query);
        query.push(format!(
            " LEFT JOIN LATERAL (SELECT l.{key} AS key, l.{id} AS id"
        ));
        (self.rows)(&mut query);
        let (not_before, not_beyond) = if self.descending {
            ("<=", ">=")
        } else {
            (">=", "<=")
        };
        query.push(format!(
            " AND (l.{key}, l.{id}) {not_before} (z.near, z.near_id) AND (l.{key}, l.{id}) {not_beyond} (z.far, z.far_id)"
        ));
        // The same without the ids, which says nothing new: but of a column between two values PostgreSQL expects few rows, and of two rows
        // of columns a ninth of the table, and then it looks for them by any other index.
        query.push(format!(
            " AND l.{key} {not_before} z.near AND l.{key} {not_beyond} z.far"
        ));
        if let Some(after) = &self.after {
            let (_, beyond) = self.ends();
            query.push(format!(" AND (l.{key}, l.{id}) {beyond} "));
            after.push(&mut query);
        }
        let direction = self.direction();
        query.push(format!(
            " ORDER BY l.{key} {direction}, l.{id} {direction} LIMIT "
        ));
        push_rows(&mut query);
        query.push(") l ON true LIMIT ");
        push_rows(&mut query);
        query.push(") r ON true");
        query
    }
}
