//! Territories as they are listed.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::ids::CompanyId;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::search;
use crate::statement::Statement;

#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    companies: Vec<i64>,
    names: Vec<String>,
    codes: Vec<Option<String>>,
    countries: Vec<Option<String>>,
    states: Vec<Option<String>>,
    cities: Vec<Option<String>>,
    postal_codes: Vec<String>,
    rule_versions: Vec<i32>,
    searches: Vec<String>,
    positions: Vec<i64>,
    times: Vec<DateTime<Utc>>,
}

/// Owns `territories`.
#[derive(Default)]
pub struct Territories {
    added: BTreeMap<i64, Recorded>,
}

impl Projection for Territories {
    fn name(&self) -> &'static str {
        "territories"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "territories",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        if let DomainEvent::Company(CompanyEvent::TerritoryAdded { territory_id, .. }) =
            &recorded.event
        {
            // Only a foreign writer adds one twice; the first counts then.
            let id = territory_id.get();
            self.added.entry(id).or_insert_with(|| recorded.clone());
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        if self.added.is_empty() {
            return;
        }
        let mut columns = Columns::default();
        for recorded in std::mem::take(&mut self.added).into_values() {
            columns.push(recorded);
        }
        statement.part("new_territories", |s| {
            s.sql(
                "INSERT INTO territories (id, company_id, name, code, country, state, city, postal_codes, \
                 rule_version, search, position, created_at) \
                 SELECT r.id, r.company_id, r.name, r.code, r.country, r.state, r.city, \
                 ARRAY(SELECT e FROM json_array_elements_text(r.postal_codes::json) WITH ORDINALITY AS t(e, n) \
                 ORDER BY n), r.rule_version, r.search, r.position, r.created_at FROM head, unnest(",
            )
            .bind(columns.ids)
            .also(columns.companies)
            .also(columns.names)
            .also(columns.codes)
            .also(columns.countries)
            .also(columns.states)
            .also(columns.cities)
            .also(columns.postal_codes)
            .also(columns.rule_versions)
            .also(columns.searches)
            .also(columns.positions)
            .also(columns.times)
            .sql(
                ") AS r(id, company_id, name, code, country, state, city, postal_codes, rule_version, search, \
                 position, created_at) ON CONFLICT (id) DO NOTHING",
            );
        });
    }
}

impl Columns {
    fn push(&mut self, recorded: Recorded) {
        let DomainEvent::Company(CompanyEvent::TerritoryAdded {
            territory_id,
            name,
            code,
            area,
            rule_version,
        }) = recorded.event
        else {
            return;
        };
        let texts = [&code, &area.country, &area.state, &area.city];
        let mut search = name.clone();
        for text in texts.into_iter().flatten() {
            search.push(' ');
            search.push_str(text);
        }
        self.ids.push(territory_id.get());
        self.companies.push(recorded.aggregate_id);
        self.names.push(name);
        self.codes.push(code);
        self.countries.push(area.country);
        self.states.push(area.state);
        self.cities.push(area.city);
        self.postal_codes.push(
            serde_json::to_string(&area.postal_codes).expect("a list of texts always serialises"),
        );
        self.rule_versions
            .push(i32::try_from(rule_version).unwrap_or(i32::MAX));
        self.searches.push(search::fold(&search));
        self.positions.push(recorded.position);
        self.times.push(recorded.recorded_at);
    }
}

/// A territory as it is read.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `territories`, by the same names"
)]
pub struct TerritoryRow {
    pub id: i64,
    pub company_id: i64,
    pub name: String,
    pub code: Option<String>,
    pub country: Option<String>,
    pub state: Option<String>,
    pub city: Option<String>,
    pub postal_codes: Vec<String>,
}

const COLUMNS: &str =
    "t.id, t.company_id, t.name, t.code, t.country, t.state, t.city, t.postal_codes";

/// The `count` territories of the company that end with the id `last`, oldest first: those that one command added.
///
/// # Errors
/// What the database answers.
pub async fn added(
    connection: &mut PgConnection,
    company: CompanyId,
    last: i64,
    count: i64,
) -> Result<Vec<TerritoryRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM territories t WHERE t.company_id = $1 AND t.id > $2 - $3 AND t.id <= $2 ORDER BY t.id"
    ))
    .bind(company.get())
    .bind(last)
    .bind(count)
    .fetch_all(connection)
    .await
}

/// A page of the company's territories, oldest first, whose name, code, country, state or city contains the text.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    text: Option<&str>,
    request: &PageRequest<i64>,
) -> Result<(Page<TerritoryRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(" WHERE t.company_id = ")
            .push_bind(company.get());
        if let Some(text) = text {
            query
                .push(" AND t.search LIKE ")
                .push_bind(search::contains_pattern(text));
        }
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "territories t",
        joins: "",
        key: "t.id",
    };
    list.page(connection, request, conditions).await
}
