//! Which picture a user or a company shows. The names in the object store; not the pictures.

use std::collections::BTreeMap;

use aggregates::Personal;
use aggregates::avatar::Avatar;
use aggregates::company::CompanyEvent;
use aggregates::user::UserEvent;
use sqlx::PgConnection;

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

/// The last picture of each owner in the batch, and the position that set it.
type Rows = BTreeMap<i64, (Option<Avatar>, i64)>;

/// Owns `user_avatars` and `company_avatars`.
#[derive(Default)]
pub struct Avatars {
    users: Rows,
    companies: Rows,
}

impl Projection for Avatars {
    fn name(&self) -> &'static str {
        "avatars"
    }

    fn tables(&self) -> &'static [Table] {
        &[
            Table {
                name: "user_avatars",
                key: &["user_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
            Table {
                name: "company_avatars",
                key: &["company_id"],
                counts_when: "true",
                looked_up_by: &[],
            },
        ]
    }

    fn fold(&mut self, recorded: &Recorded) {
        let (id, position) = (recorded.aggregate_id, recorded.position);
        match &recorded.event {
            DomainEvent::User(UserEvent::UserAvatarChanged { to, .. }) => {
                let to = to.as_ref().and_then(Personal::plain).cloned();
                self.users.insert(id, (to, position));
            }
            DomainEvent::Company(CompanyEvent::CompanyAvatarChanged { to, .. }) => {
                self.companies.insert(id, (to.clone(), position));
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let Self { users, companies } = std::mem::take(self);
        write(statement, "user_avatars", "user_id", users);
        write(statement, "company_avatars", "company_id", companies);
    }
}

fn write(statement: &mut Statement, table: &str, owner: &str, rows: Rows) {
    if rows.is_empty() {
        return;
    }
    let (mut owners, mut files, mut types) = (vec![], vec![], vec![]);
    let (mut sizes, mut positions) = (vec![], vec![]);
    for (id, (avatar, position)) in rows {
        owners.push(id);
        files.push(avatar.as_ref().map(Avatar::file_name));
        types.push(avatar.as_ref().map(|a| a.media_type.name().to_owned()));
        sizes.push(avatar.as_ref().map(|a| a.size));
        positions.push(position);
    }
    statement.part(&format!("changed_{table}"), |s| {
        s.sql(&format!(
            "INSERT INTO {table} ({owner}, file, media_type, size, position) SELECT r.* FROM head, unnest("
        ))
        .bind(owners)
        .also(files)
        .also(types)
        .also(sizes)
        .also(positions)
        .sql(&format!(
            ") AS r ON CONFLICT ({owner}) DO UPDATE SET file = EXCLUDED.file, media_type = EXCLUDED.media_type, \
             size = EXCLUDED.size, position = EXCLUDED.position"
        ));
    });
}

/// Whether any user or company shows the picture with this file name.
///
/// # Errors
/// What the database answers.
pub async fn is_shown(connection: &mut PgConnection, file: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM user_avatars WHERE file = $1) \
         OR EXISTS (SELECT 1 FROM company_avatars WHERE file = $1)",
    )
    .bind(file)
    .fetch_one(connection)
    .await
}
