//! Companies as a tree: each row knows its path from the root, so that a role above is found without walking.

pub mod moves;

use std::collections::{BTreeMap, BTreeSet};

use aggregates::company::CompanyEvent;
use aggregates::ids::CompanyId;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{LookUp, Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;

struct NewCompany {
    name: String,
    parent: Option<i64>,
    is_default: bool,
    region: String,
    cycles: bool,
    created_at: DateTime<Utc>,
}

/// The last words of a batch on a company that is in the table already.
#[derive(Default)]
struct Changes {
    name: Option<String>,
    is_default: Option<bool>,
    region: Option<String>,
    cycles: Option<bool>,
}

/// Owns `companies`.
#[derive(Default)]
pub struct Companies {
    new: BTreeMap<i64, NewCompany>,
    changes: BTreeMap<i64, Changes>,
    /// Where the batch puts the companies that are new or moved.
    parents: BTreeMap<i64, Option<i64>>,
    /// Those that are in the table already and move.
    moved: BTreeSet<i64>,
    /// Looked up when something moves.
    paths: BTreeMap<i64, Vec<i64>>,
    /// Version, position and time of the last event of each company.
    touched: BTreeMap<i64, (i64, i64, DateTime<Utc>)>,
}

impl Projection for Companies {
    fn name(&self) -> &'static str {
        "companies"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "companies",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &["companies_path"],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Company(event) = &recorded.event else {
            return;
        };
        let id = recorded.aggregate_id;
        self.touched.insert(
            id,
            (recorded.sequence, recorded.position, recorded.recorded_at),
        );
        if let CompanyEvent::CompanyCreated {
            company_id: _,
            name,
            default,
            parent_company_id,
            region,
        } = event
        {
            let parent = parent_company_id.map(aggregates::ids::CompanyId::get);
            self.parents.insert(id, parent);
            self.new.insert(
                id,
                NewCompany {
                    name: name.as_str().to_owned(),
                    parent,
                    is_default: *default,
                    region: region.to_string(),
                    cycles: false,
                    created_at: recorded.recorded_at,
                },
            );
        }
        self.fold_change(id, event);
    }

    fn can_assume(&self) -> bool {
        self.moved.is_empty()
    }

    fn look_up<'a>(&'a mut self, connection: &'a mut PgConnection) -> LookUp<'a> {
        Box::pin(async {
            if !self.moved.is_empty() {
                self.paths = moves::paths(connection, &self.moved, &self.parents).await?;
            }
            Ok(())
        })
    }

    fn write(&mut self, statement: &mut Statement) {
        let mut batch = std::mem::take(self);
        if !batch.new.is_empty() {
            write_new(statement, &batch.new, &mut batch.touched, &mut batch.paths);
        }
        if !batch.touched.is_empty() || !batch.paths.is_empty() {
            batch.write_changed(statement);
        }
    }
}

impl Companies {
    fn fold_change(&mut self, id: i64, event: &CompanyEvent) {
        if let CompanyEvent::CompanyMoved {
            to_parent_company_id,
            ..
        } = event
        {
            let parent = to_parent_company_id.map(aggregates::ids::CompanyId::get);
            self.parents.insert(id, parent);
            match self.new.get_mut(&id) {
                Some(new) => new.parent = parent,
                None => {
                    self.moved.insert(id);
                }
            }
        }
        let mut changes = Changes::default();
        match event {
            CompanyEvent::CompanyRenamed { to, .. } => changes.name = Some(to.as_str().to_owned()),
            CompanyEvent::CompanyDefaultChanged { to, .. } => changes.is_default = Some(*to),
            CompanyEvent::CompanyRegionChanged { to, .. } => changes.region = Some(to.to_string()),
            CompanyEvent::CyclesSwitched { to, .. } => changes.cycles = Some(*to),
            _ => return,
        }
        if let Some(new) = self.new.get_mut(&id) {
            new.name = changes.name.unwrap_or(std::mem::take(&mut new.name));
            new.is_default = changes.is_default.unwrap_or(new.is_default);
            new.cycles = changes.cycles.unwrap_or(new.cycles);
            new.region = changes.region.unwrap_or(std::mem::take(&mut new.region));
        } else {
            let known = self.changes.entry(id).or_default();
            known.name = changes.name.or(known.name.take());
            known.is_default = changes.is_default.or(known.is_default);
            known.cycles = changes.cycles.or(known.cycles);
            known.region = changes.region.or(known.region.take());
        }
    }

    /// Also those that moved only because something above them did: of these no more than the path changes.
    fn write_changed(mut self, statement: &mut Statement) {
        let mut columns = ChangedColumns::default();
        let ids: BTreeSet<i64> = self
            .touched
            .keys()
            .chain(self.paths.keys())
            .copied()
            .collect();
        for id in ids {
            let touched = self.touched.get(&id);
            let changes = self.changes.remove(&id).unwrap_or_default();
            columns.ids.push(id);
            columns.versions.push(touched.map(|t| t.0));
            columns.positions.push(touched.map(|t| t.1));
            columns.updated.push(touched.map(|t| t.2));
            columns.moved.push(self.moved.contains(&id));
            columns
                .parents
                .push(self.parents.get(&id).copied().flatten());
            columns.paths.push(self.paths.get(&id).map(|p| json(p)));
            columns
                .searches
                .push(changes.name.as_deref().map(search::fold));
            columns.names.push(changes.name);
            columns.defaults.push(changes.is_default);
            columns.regions.push(changes.region);
            columns.cycles.push(changes.cycles);
        }
        columns.write(statement);
    }
}

#[derive(Default)]
struct ChangedColumns {
    ids: Vec<i64>,
    versions: Vec<Option<i64>>,
    positions: Vec<Option<i64>>,
    updated: Vec<Option<DateTime<Utc>>>,
    moved: Vec<bool>,
    parents: Vec<Option<i64>>,
    paths: Vec<Option<String>>,
    names: Vec<Option<String>>,
    searches: Vec<Option<String>>,
    defaults: Vec<Option<bool>>,
    regions: Vec<Option<String>>,
    cycles: Vec<Option<bool>>,
}

impl ChangedColumns {
    fn write(self, statement: &mut Statement) {
        statement.part("changed_companies", |s| {
            s.sql(
                "UPDATE companies c SET version = coalesce(r.version, c.version), \
                 position = coalesce(r.position, c.position), updated_at = coalesce(r.at, c.updated_at), \
                 parent_company_id = CASE WHEN r.moved THEN r.parent ELSE c.parent_company_id END, \
                 path = CASE WHEN r.path IS NULL THEN c.path ELSE ARRAY(SELECT e::bigint \
                 FROM json_array_elements_text(r.path::json) WITH ORDINALITY AS t(e, n) ORDER BY n) END, \
                 name = coalesce(r.name, c.name), search = coalesce(r.search, c.search), \
                 is_default = coalesce(r.is_default, c.is_default), region = coalesce(r.region, c.region), \
                 cycles = coalesce(r.cycles, c.cycles) \
                 FROM head, unnest(",
            )
            .bind(self.ids)
            .also(self.versions)
            .also(self.positions)
            .also(self.updated)
            .also(self.moved)
            .also(self.parents)
            .also(self.paths)
            .also(self.names)
            .also(self.searches)
            .also(self.defaults)
            .also(self.regions)
            .also(self.cycles)
            .sql(
                ") AS r(id, version, position, at, moved, parent, path, name, search, is_default, region, cycles) \
                 WHERE c.id = r.id",
            );
        });
    }
}

fn json(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("a list of integers always serialises")
}

fn write_new(
    statement: &mut Statement,
    new: &BTreeMap<i64, NewCompany>,
    touched: &mut BTreeMap<i64, (i64, i64, DateTime<Utc>)>,
    paths: &mut BTreeMap<i64, Vec<i64>>,
) {
    let mut columns = NewColumns::default();
    for (id, company) in new {
        let Some((version, position, updated_at)) = touched.remove(id) else {
            continue;
        };
        // A parent made in the same batch is not in the table yet: its part of the path is carried here.
        let mut tail = vec![*id];
        let mut above = company.parent;
        while let Some(parent) = above.filter(|parent| new.contains_key(parent)) {
            tail.insert(0, parent);
            above = new[&parent].parent;
        }
        // With a move in the batch, what is in the table may not be the way any more.
        if let Some(path) = paths.remove(id) {
            (above, tail) = (None, path);
        }
        columns.ids.push(*id);
        columns.names.push(company.name.clone());
        columns.parents.push(company.parent);
        columns.above.push(above);
        columns.tails.push(json(&tail));
        columns.defaults.push(company.is_default);
        columns.regions.push(company.region.clone());
        columns.searches.push(search::fold(&company.name));
        columns.versions.push(version);
        columns.positions.push(position);
        columns.created.push(company.created_at);
        columns.updated.push(updated_at);
        columns.cycles.push(company.cycles);
    }
    statement.part("new_companies", |s| {
        s.sql(
            "INSERT INTO companies (id, name, parent_company_id, path, is_default, cycles, region, search, version, \
             position, created_at, updated_at) \
             SELECT r.id, r.name, r.parent, coalesce(p.path, '{}') || \
             ARRAY(SELECT e::bigint FROM json_array_elements_text(r.tail::json) WITH ORDINALITY AS t(e, n) ORDER BY n), \
             r.is_default, r.cycles, r.region, r.search, r.version, r.position, r.created_at, r.updated_at \
             FROM head, unnest(",
        )
        .bind(columns.ids)
        .also(columns.names)
        .also(columns.parents)
        .also(columns.above)
        .also(columns.tails)
        .also(columns.defaults)
        .also(columns.regions)
        .also(columns.searches)
        .also(columns.versions)
        .also(columns.positions)
        .also(columns.created)
        .also(columns.updated)
        .also(columns.cycles)
        .sql(
            ") AS r(id, name, parent, above, tail, is_default, region, search, version, position, created_at, updated_at, cycles) \
             LEFT JOIN companies p ON p.id = r.above",
        );
    });
}

#[derive(Default)]
struct NewColumns {
    ids: Vec<i64>,
    names: Vec<String>,
    parents: Vec<Option<i64>>,
    above: Vec<Option<i64>>,
    tails: Vec<String>,
    defaults: Vec<bool>,
    regions: Vec<String>,
    searches: Vec<String>,
    versions: Vec<i64>,
    positions: Vec<i64>,
    created: Vec<DateTime<Utc>>,
    updated: Vec<DateTime<Utc>>,
    cycles: Vec<bool>,
}

/// A company as it is read.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "the columns of `companies`, by the same names")]
pub struct CompanyRow {
    pub id: i64,
    pub name: String,
    pub parent_company_id: Option<i64>,
    pub path: Vec<i64>,
    pub is_default: bool,
    pub cycles: bool,
    pub region: String,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The nearest company on the path that ever subscribed to a plan.
    pub governed_by: Option<i64>,
    /// How many leads that plan allows, if it limits them.
    pub lead_limit: Option<i64>,
    /// The avatar's file.
    pub avatar: Option<String>,
}

const COLUMNS: &str = "c.id, c.name, c.parent_company_id, c.path, c.is_default, c.cycles, c.region, c.version, \
     c.created_at, c.updated_at, g.governed_by, g.lead_limit, \
     (SELECT v.file FROM company_avatars v WHERE v.company_id = c.id) AS avatar";
const GOVERNED: &str = " LEFT JOIN LATERAL (SELECT s.company_id AS governed_by, s.lead_limit \
     FROM unnest(c.path) WITH ORDINALITY AS p(id, n) JOIN subscriptions s ON s.company_id = p.id \
     ORDER BY p.n DESC LIMIT 1) g ON true";

/// One company.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    company: CompanyId,
) -> Result<Option<CompanyRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM companies c{GOVERNED} WHERE c.id = $1"
    ))
    .bind(company.get())
    .fetch_optional(connection)
    .await
}

/// Which companies a reader may see.
#[derive(Debug, Clone)]
pub enum Visible {
    /// Every one: the platform owner.
    All,
    /// These and all below them.
    Under(Vec<i64>),
}

/// Companies that the reader may see, by id, whose name contains the text and whose parent is the given one.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    visible: &Visible,
    text: Option<&str>,
    parent: Option<i64>,
    request: &PageRequest<i64>,
) -> Result<(Page<CompanyRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query.push(" WHERE true");
        if let Visible::Under(roots) = visible {
            query.push(" AND c.path && ").push_bind(roots.clone());
        }
        if let Some(parent) = parent {
            query.push(" AND c.parent_company_id = ").push_bind(parent);
        }
        if let Some(text) = text {
            query
                .push(" AND c.search LIKE ")
                .push_bind(search::contains_pattern(text));
        }
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "companies c",
        joins: GOVERNED,
        key: "c.id",
    };
    list.page(connection, request, conditions).await
}
