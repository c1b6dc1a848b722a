//! Integration tokens: found by the hash of their secret, listed by company; and when each was last used, which is no event.

use std::collections::BTreeMap;

use aggregates::company::CompanyEvent;
use aggregates::company::integration_token::{TokenName, TokenScope};
use aggregates::ids::{CompanyId, IntegrationTokenId};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

struct NewToken {
    company: i64,
    name: Option<String>,
    scopes: Vec<String>,
    hash: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    position: i64,
    created_at: DateTime<Utc>,
}

/// Owns `integration_tokens`.
#[derive(Default)]
pub struct IntegrationTokens {
    new: BTreeMap<i64, NewToken>,
    /// Those that earlier batches made: time and position of their end.
    revoked: BTreeMap<i64, (DateTime<Utc>, i64)>,
}

impl Projection for IntegrationTokens {
    fn name(&self) -> &'static str {
        "integration_tokens"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "integration_tokens",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Company(event) = &recorded.event else {
            return;
        };
        match event {
            CompanyEvent::IntegrationTokenCreated {
                integration_token_id,
                name,
                scopes,
                token_hash,
                expires_at,
            } => {
                let token = NewToken {
                    company: recorded.aggregate_id,
                    name: name.as_ref().map(TokenName::as_str).map(str::to_owned),
                    scopes: scopes.iter().map(|s| s.as_str().to_owned()).collect(),
                    hash: token_hash.clone(),
                    expires_at: *expires_at,
                    revoked_at: None,
                    position: recorded.position,
                    created_at: recorded.recorded_at,
                };
                self.new.insert(integration_token_id.get(), token);
            }
            CompanyEvent::IntegrationTokenRevoked {
                integration_token_id,
            } => {
                let id = integration_token_id.get();
                if let Some(token) = self.new.get_mut(&id) {
                    token.revoked_at = Some(recorded.recorded_at);
                    token.position = recorded.position;
                } else {
                    let end = (recorded.recorded_at, recorded.position);
                    self.revoked.insert(id, end);
                }
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let new = std::mem::take(&mut self.new);
        if !new.is_empty() {
            write_new(statement, new);
        }
        let revoked = std::mem::take(&mut self.revoked);
        if !revoked.is_empty() {
            let ids: Vec<i64> = revoked.keys().copied().collect();
            let times: Vec<_> = revoked.values().map(|end| end.0).collect();
            let positions: Vec<_> = revoked.values().map(|end| end.1).collect();
            statement.part("revoked_integration_tokens", |s| {
                s.sql("UPDATE integration_tokens t SET revoked_at = r.at, position = r.position FROM head, unnest(")
                    .bind(ids)
                    .also(times)
                    .also(positions)
                    .sql(") AS r(id, at, position) WHERE t.id = r.id");
            });
        }
    }
}

fn write_new(statement: &mut Statement, new: BTreeMap<i64, NewToken>) {
    let (mut ids, mut companies, mut names, mut scopes) = (vec![], vec![], vec![], vec![]);
    let (mut hashes, mut ends, mut revoked) = (vec![], vec![], vec![]);
    let (mut positions, mut times) = (vec![], vec![]);
    for (id, token) in new {
        ids.push(id);
        companies.push(token.company);
        names.push(token.name);
        // `unnest` would flatten a list of lists; no scope has a comma.
        scopes.push(token.scopes.join(","));
        hashes.push(token.hash);
        ends.push(token.expires_at);
        revoked.push(token.revoked_at);
        positions.push(token.position);
        times.push(token.created_at);
    }
    statement.part("new_integration_tokens", |s| {
        s.sql(
            "INSERT INTO integration_tokens (id, company_id, name, scopes, token_hash, expires_at, revoked_at, position, \
             created_at) SELECT r.id, r.company_id, r.name, string_to_array(r.scopes, ','), r.token_hash, r.expires_at, \
             r.revoked_at, r.position, r.created_at FROM head, unnest(",
        )
        .bind(ids)
        .also(companies)
        .also(names)
        .also(scopes)
        .also(hashes)
        .also(ends)
        .also(revoked)
        .also(positions)
        .also(times)
        .sql(
            ") AS r(id, company_id, name, scopes, token_hash, expires_at, revoked_at, position, created_at)",
        );
    });
}

/// A token as it is read, without its hash.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `integration_tokens` and `integration_token_uses`, by the same names"
)]
pub struct IntegrationTokenRow {
    pub id: i64,
    pub company_id: i64,
    pub name: Option<String>,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
}

impl IntegrationTokenRow {
    /// Whether the token may do this.
    #[must_use]
    pub fn has_scope(&self, scope: &TokenScope) -> bool {
        self.scopes.iter().any(|held| held == scope.as_str())
    }

    /// Whether it is neither revoked nor past its end.
    #[must_use]
    pub fn holds_at(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

const COLUMNS: &str = "t.id, t.company_id, t.name, t.scopes, t.expires_at, t.revoked_at, t.created_at, u.last_used_at";
const USES: &str = " LEFT JOIN integration_token_uses u ON u.token_id = t.id";

/// The token whose secret has this hash.
///
/// # Errors
/// What the database answers.
pub async fn by_hash(
    connection: &mut PgConnection,
    token_hash: &str,
) -> Result<Option<IntegrationTokenRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM integration_tokens t{USES} WHERE t.token_hash = $1 ORDER BY t.id LIMIT 1"
    ))
    .bind(token_hash)
    .fetch_optional(connection)
    .await
}

/// One token.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    token: IntegrationTokenId,
) -> Result<Option<IntegrationTokenRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM integration_tokens t{USES} WHERE t.id = $1"
    ))
    .bind(token.get())
    .fetch_optional(connection)
    .await
}

/// The tokens of a company that are not revoked, by id.
///
/// # Errors
/// What the database answers.
pub async fn page(
    connection: &mut PgConnection,
    company: CompanyId,
    request: &PageRequest<i64>,
) -> Result<(Page<IntegrationTokenRow>, Total), sqlx::Error> {
    let live = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(" WHERE t.revoked_at IS NULL AND t.company_id = ")
            .push_bind(company.get());
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "integration_tokens t",
        joins: USES,
        key: "t.id",
    };
    list.page(connection, request, live).await
}

/// Notes that a token was used; an earlier time never takes the place of a later one.
///
/// # Errors
/// What the database answers.
pub async fn record_use(
    connection: &mut PgConnection,
    token: IntegrationTokenId,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO integration_token_uses (token_id, last_used_at) VALUES ($1, $2) ON CONFLICT (token_id) \
         DO UPDATE SET last_used_at = greatest(integration_token_uses.last_used_at, EXCLUDED.last_used_at)",
    )
    .bind(token.get())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
