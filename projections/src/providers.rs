//! What a user can sign in with: a password, and linked identities.

use std::collections::BTreeMap;

use aggregates::Personal;
use aggregates::ids::UserId;
use aggregates::user::UserEvent;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

struct NewProvider {
    user_id: i64,
    provider: String,
    uid: Option<String>,
    email: Option<String>,
    position: i64,
    at: DateTime<Utc>,
}

/// Owns `user_providers`.
#[derive(Default)]
pub struct Providers {
    linked: BTreeMap<i64, NewProvider>,
    unlinked: Vec<i64>,
}

impl Projection for Providers {
    fn name(&self) -> &'static str {
        "user_providers"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "user_providers",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::User(UserEvent::ProviderLinked {
                provider_id,
                provider,
                uid,
                email,
            }) => {
                let email = email.as_ref().and_then(Personal::plain);
                let new = NewProvider {
                    user_id: recorded.aggregate_id,
                    provider: provider.clone(),
                    uid: uid.plain().cloned(),
                    email: email.map(ToString::to_string),
                    position: recorded.position,
                    at: recorded.recorded_at,
                };
                self.linked.insert(provider_id.get(), new);
            }
            DomainEvent::User(UserEvent::ProviderUnlinked { provider_id, .. })
                if self.linked.remove(&provider_id.get()).is_none() =>
            {
                self.unlinked.push(provider_id.get());
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let Self { linked, unlinked } = std::mem::take(self);
        if !unlinked.is_empty() {
            statement.part("unlinked_providers", |s| {
                s.sql("DELETE FROM user_providers USING head WHERE id = ANY(")
                    .bind(unlinked)
                    .sql(")");
            });
        }
        if linked.is_empty() {
            return;
        }
        let (mut ids, mut users, mut names, mut uids) = (vec![], vec![], vec![], vec![]);
        let (mut emails, mut positions, mut times) = (vec![], vec![], vec![]);
        for (id, new) in linked {
            ids.push(id);
            users.push(new.user_id);
            names.push(new.provider);
            uids.push(new.uid);
            emails.push(new.email);
            positions.push(new.position);
            times.push(new.at);
        }
        statement.part("linked_providers", |s| {
            s.sql(
                "INSERT INTO user_providers (id, user_id, provider, uid, email, position, created_at) \
                 SELECT r.* FROM head, unnest(",
            )
            .bind(ids)
            .also(users)
            .also(names)
            .also(uids)
            .also(emails)
            .also(positions)
            .also(times)
            .sql(") AS r");
        });
    }
}

/// Something that a user can sign in with.
#[derive(Debug, Clone, FromRow)]
#[expect(missing_docs, reason = "named like the columns of `user_providers`")]
pub struct ProviderRow {
    /// 0 for the password, which is no linked identity.
    pub id: i64,
    pub provider: String,
    pub uid: Option<String>,
    pub email: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// The user's password, if one is set, then linked identities, oldest first. Of the password the events are asked: old hashes are not
/// kept for the past, and once set a password is only ever replaced.
///
/// # Errors
/// What the database answers.
pub async fn of_user(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Vec<ProviderRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT 0::bigint AS id, 'password' AS provider, u.id::text AS uid, u.email, u.created_at FROM users u \
         WHERE u.id = $1 AND EXISTS (SELECT 1 FROM events e WHERE e.aggregate_type = 'user' AND e.aggregate_id = u.id::text \
             AND (e.event_type = 'PasswordChanged' OR e.event_type = 'UserRegistered' \
                  AND e.payload #>> '{UserRegistered,password_hash}' IS NOT NULL)) \
         UNION ALL \
         SELECT id, provider, uid, email, created_at FROM user_providers WHERE user_id = $1 ORDER BY id",
    )
    .bind(user.get())
    .fetch_all(connection)
    .await
}
