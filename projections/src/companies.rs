//! Companies as a tree: each row knows its path from the root, so that a role above is found without walking.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::ids::CompanyId;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::batch::{Projection, Table};
use crate::page::{Page, PageRequest, Total};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;

struct NewCompany {
    name: String,
    parent: Option<i64>,
    is_default: bool,
    region: String,
    created_at: DateTime<Utc>,
}

/// Owns `companies`.
#[derive(Default)]
pub struct Companies {
    new: BTreeMap<i64, NewCompany>,
    /// Version, position and time of the last event of each company.
    touched: BTreeMap<i64, (i64, i64, DateTime<Utc>)>,
    /// The flag after the batch, of the companies that the batch switches.
    cycles: BTreeMap<i64, bool>,
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
            looked_up_by: &[],
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
        if let CompanyEvent::CyclesSwitched { to, .. } = event {
            self.cycles.insert(id, *to);
        }
        if let CompanyEvent::CompanyCreated {
            company_id: _,
            name,
            default,
            parent_company_id,
            region,
        } = event
        {
            self.new.insert(
                id,
                NewCompany {
                    name: name.as_str().to_owned(),
                    parent: parent_company_id.map(aggregates::ids::CompanyId::get),
                    is_default: *default,
                    region: region.to_string(),
                    created_at: recorded.recorded_at,
                },
            );
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let mut touched = std::mem::take(&mut self.touched);
        let new = std::mem::take(&mut self.new);
        let cycles = std::mem::take(&mut self.cycles);
        if !new.is_empty() {
            write_new(statement, &new, &mut touched, &cycles);
        }
        if !touched.is_empty() {
            let ids: Vec<i64> = touched.keys().copied().collect();
            let versions: Vec<i64> = touched.values().map(|t| t.0).collect();
            let positions: Vec<i64> = touched.values().map(|t| t.1).collect();
            let times: Vec<DateTime<Utc>> = touched.values().map(|t| t.2).collect();
            let cycles: Vec<Option<bool>> = ids.iter().map(|id| cycles.get(id).copied()).collect();
            statement.part("touched_companies", |s| {
                s.sql("UPDATE companies c SET version = r.version, position = r.position, updated_at = r.at, \
                       cycles = coalesce(r.cycles, c.cycles) FROM head, unnest(")
                    .bind(ids)
                    .also(versions)
                    .also(positions)
                    .also(times)
                    .also(cycles)
                    .sql(") AS r(id, version, position, at, cycles) WHERE c.id = r.id");
            });
        }
    }
}

fn write_new(
    statement: &mut Statement,
    new: &BTreeMap<i64, NewCompany>,
    touched: &mut BTreeMap<i64, (i64, i64, DateTime<Utc>)>,
    cycles: &BTreeMap<i64, bool>,
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
        columns.ids.push(*id);
        columns.names.push(company.name.clone());
        columns.parents.push(company.parent);
        columns.above.push(above);
        columns
            .tails
            .push(serde_json::to_string(&tail).expect("a list of integers always serialises"));
        columns.defaults.push(company.is_default);
        columns.regions.push(company.region.clone());
        columns.searches.push(search::fold(&company.name));
        columns.versions.push(version);
        columns.positions.push(position);
        columns.created.push(company.created_at);
        columns.updated.push(updated_at);
        columns
            .cycles
            .push(cycles.get(id).copied().unwrap_or(false));
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
}

const COLUMNS: &str = "c.id, c.name, c.parent_company_id, c.path, c.is_default, c.cycles, c.region, c.version, \
     c.created_at, c.updated_at, g.governed_by, g.lead_limit";
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
    let mut query = QueryBuilder::new("SELECT count(*) FROM companies c");
    conditions(&mut query);
    let count: i64 = query
        .build_query_scalar()
        .fetch_one(&mut *connection)
        .await?;
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM companies c{GOVERNED}"));
    conditions(&mut query);
    if let Some(id) = request.after() {
        query.push(" AND c.id > ").push_bind(*id);
    }
    query
        .push(" ORDER BY c.id LIMIT ")
        .push_bind(request.per_page + 1)
        .push(" OFFSET ")
        .push_bind(request.offset());
    let rows = query.build_query_as().fetch_all(connection).await?;
    Ok((
        Page::from_overfetch(rows, request.per_page),
        Total::exact(count),
    ))
}
