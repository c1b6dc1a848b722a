//! Invitations, each with what became of it, and who may read which.

use std::collections::BTreeMap;

use aggregates::ids::CompanyId;
use aggregates::invitation::{InvitationEvent, Status};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};

use crate::ascending::Ascending;
use crate::page::{Page, PageRequest, Total};
use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

struct NewInvitation {
    company_id: i64,
    email: Option<String>,
    role: &'static str,
    invited_by: i64,
    nonce: String,
    code_hash: String,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// What the batch does to one invitation.
#[derive(Default)]
struct Row {
    new: Option<NewInvitation>,
    status: Option<Status>,
    version: i64,
    position: i64,
    at: DateTime<Utc>,
}

/// Owns `invitations`.
#[derive(Default)]
pub struct Invitations {
    rows: BTreeMap<i64, Row>,
}

impl Projection for Invitations {
    fn name(&self) -> &'static str {
        "invitations"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "invitations",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let DomainEvent::Invitation(event) = &recorded.event else {
            return;
        };
        let row = self.rows.entry(recorded.aggregate_id).or_default();
        row.version = recorded.sequence;
        row.position = recorded.position;
        row.at = recorded.recorded_at;
        match event {
            InvitationEvent::InvitationCreated {
                invitation_id: _,
                company_id,
                email,
                role,
                invited_by,
                language: _,
                nonce,
                code_hash,
                expires_at,
            } => {
                row.status = Some(Status::Pending);
                row.new = Some(NewInvitation {
                    company_id: company_id.get(),
                    email: email.plain().map(ToString::to_string),
                    role: role.code(),
                    invited_by: invited_by.get(),
                    nonce: nonce.clone(),
                    code_hash: code_hash.clone(),
                    expires_at: *expires_at,
                    created_at: recorded.recorded_at,
                });
            }
            InvitationEvent::InvitationAccepted { .. } => row.status = Some(Status::Accepted),
            InvitationEvent::InvitationRevoked { .. } => row.status = Some(Status::Revoked),
            InvitationEvent::InvitationExpired { .. } => row.status = Some(Status::Expired),
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        let (mut new, mut ended) = (NewColumns::default(), EndedColumns::default());
        for (id, row) in rows {
            let status = row.status.unwrap_or_default().code().to_owned();
            match row.new {
                Some(invitation) => {
                    new.push(invitation);
                    new.same.push(id, status, row.version, row.position, row.at);
                }
                None => ended.push(id, status, row.version, row.position, row.at),
            }
        }
        if !new.same.id.is_empty() {
            new.write(statement);
        }
        if !ended.id.is_empty() {
            statement.part("ended_invitations", |s| {
                s.sql(
                    "UPDATE invitations i SET status = r.status, version = r.version, position = r.position, \
                     updated_at = r.at FROM head, unnest(",
                )
                .bind(ended.id)
                .also(ended.status)
                .also(ended.version)
                .also(ended.position)
                .also(ended.at)
                .sql(") AS r(id, status, version, position, at) WHERE i.id = r.id");
            });
        }
    }
}

#[derive(Default)]
struct EndedColumns {
    id: Vec<i64>,
    status: Vec<String>,
    version: Vec<i64>,
    position: Vec<i64>,
    at: Vec<DateTime<Utc>>,
}

impl EndedColumns {
    fn push(&mut self, id: i64, status: String, version: i64, position: i64, at: DateTime<Utc>) {
        self.id.push(id);
        self.status.push(status);
        self.version.push(version);
        self.position.push(position);
        self.at.push(at);
    }
}

#[derive(Default)]
struct NewColumns {
    same: EndedColumns,
    company_id: Vec<i64>,
    email: Vec<Option<String>>,
    role: Vec<String>,
    invited_by: Vec<i64>,
    nonce: Vec<String>,
    code_hash: Vec<String>,
    expires_at: Vec<DateTime<Utc>>,
    created_at: Vec<DateTime<Utc>>,
}

impl NewColumns {
    fn push(&mut self, invitation: NewInvitation) {
        self.company_id.push(invitation.company_id);
        self.email.push(invitation.email);
        self.role.push(invitation.role.to_owned());
        self.invited_by.push(invitation.invited_by);
        self.nonce.push(invitation.nonce);
        self.code_hash.push(invitation.code_hash);
        self.expires_at.push(invitation.expires_at);
        self.created_at.push(invitation.created_at);
    }

    fn write(self, statement: &mut Statement) {
        statement.part("new_invitations", |s| {
            s.sql(
                "INSERT INTO invitations (id, status, version, position, updated_at, company_id, email, role, invited_by, \
                 nonce, code_hash, expires_at, created_at) SELECT r.* FROM head, unnest(",
            )
            .bind(self.same.id)
            .also(self.same.status)
            .also(self.same.version)
            .also(self.same.position)
            .also(self.same.at)
            .also(self.company_id)
            .also(self.email)
            .also(self.role)
            .also(self.invited_by)
            .also(self.nonce)
            .also(self.code_hash)
            .also(self.expires_at)
            .also(self.created_at)
            .sql(") AS r");
        });
    }
}

/// An invitation with its company and who made it.
#[derive(Debug, Clone, FromRow)]
#[expect(
    missing_docs,
    reason = "the columns of `invitations`, `companies` and `users`, by the same names"
)]
pub struct InvitationRow {
    pub id: i64,
    pub email: Option<String>,
    pub role: String,
    pub nonce: String,
    pub status: String,
    pub expires_at: DateTime<Utc>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub company_id: i64,
    pub company_name: String,
    pub company_is_default: bool,
    pub company_parent_id: Option<i64>,
    pub company_path: Vec<i64>,
    pub inviter_id: Option<i64>,
    pub inviter_first_name: Option<String>,
    pub inviter_full_name: Option<String>,
    pub inviter_email: Option<String>,
    /// Of their avatar.
    pub inviter_avatar: Option<String>,
}

const COLUMNS: &str = "i.id, i.email, i.role, i.nonce, i.status, i.expires_at, i.version, i.created_at, i.company_id, \
     c.name AS company_name, c.is_default AS company_is_default, c.parent_company_id AS company_parent_id, \
     c.path AS company_path, u.id AS inviter_id, u.first_name AS inviter_first_name, u.full_name AS inviter_full_name, \
     u.email AS inviter_email, \
     (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS inviter_avatar";
const JOINS: &str =
    " JOIN companies c ON c.id = i.company_id LEFT JOIN users u ON u.id = i.invited_by";

/// One invitation, whatever became of it.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    id: i64,
) -> Result<Option<InvitationRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM invitations i{JOINS} WHERE i.id = $1"
    ))
    .bind(id)
    .fetch_optional(connection)
    .await
}

/// The invitation whose code has this hash, whatever became of it.
///
/// # Errors
/// What the database answers.
pub async fn by_code_hash(
    connection: &mut PgConnection,
    code_hash: &str,
) -> Result<Option<InvitationRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM invitations i{JOINS} WHERE i.code_hash = $1"
    ))
    .bind(code_hash)
    .fetch_optional(connection)
    .await
}

/// The pending invitations of an e-mail, by id. Nobody has two of one company.
///
/// # Errors
/// What the database answers.
pub async fn pending_of_email(
    connection: &mut PgConnection,
    email: &str,
    now: DateTime<Utc>,
) -> Result<Vec<InvitationRow>, sqlx::Error> {
    sqlx::query_as(&format!(
        "SELECT {COLUMNS} FROM invitations i{JOINS} WHERE i.email = $1 AND i.status = 'pending' AND i.expires_at > $2 ORDER BY i.id"
    ))
    .bind(email)
    .bind(now)
    .fetch_all(connection)
    .await
}

/// The pending invitations of exactly this company, by id.
///
/// # Errors
/// What the database answers.
pub async fn pending_page(
    connection: &mut PgConnection,
    company: CompanyId,
    now: DateTime<Utc>,
    request: &PageRequest<i64>,
) -> Result<(Page<InvitationRow>, Total), sqlx::Error> {
    let conditions = |query: &mut QueryBuilder<'_, sqlx::Postgres>| {
        query
            .push(" WHERE i.status = 'pending' AND i.company_id = ")
            .push_bind(company.get())
            .push(" AND i.expires_at > ")
            .push_bind(now);
    };
    let list = Ascending {
        columns: COLUMNS,
        table: "invitations i",
        joins: JOINS,
        key: "i.id",
    };
    list.page(connection, request, conditions).await
}

/// The ids of an e-mail's invitations to a company that nobody has ended, expired or not.
///
/// # Errors
/// What the database answers.
pub async fn not_ended(
    connection: &mut PgConnection,
    company: CompanyId,
    email: &str,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM invitations WHERE email = $1 AND company_id = $2 AND status = 'pending'",
    )
    .bind(email)
    .bind(company.get())
    .fetch_all(connection)
    .await
}

/// The ids of those that are over and that nobody has noted yet, the oldest first.
///
/// # Errors
/// What the database answers.
pub async fn due(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    at_most: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM invitations WHERE status = 'pending' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
    )
    .bind(now)
    .bind(at_most)
    .fetch_all(connection)
    .await
}
