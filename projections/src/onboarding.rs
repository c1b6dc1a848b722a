//! How far each user's first steps are: the onboarding, and the legal terms approved last.

use std::collections::BTreeMap;

use aggregates::user::UserEvent;
use chrono::{DateTime, Utc};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

#[derive(Default)]
struct Row {
    completed_at: Option<DateTime<Utc>>,
    approved: Option<(i64, DateTime<Utc>)>,
    position: i64,
}

/// Owns `user_onboarding`.
#[derive(Default)]
pub struct Onboarding {
    rows: BTreeMap<i64, Row>,
}

impl Projection for Onboarding {
    fn name(&self) -> &'static str {
        "user_onboarding"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "user_onboarding",
            key: &["user_id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::User(UserEvent::OnboardingCompleted { completed_at }) => {
                let row = self.rows.entry(recorded.aggregate_id).or_default();
                row.completed_at = Some(*completed_at);
                row.position = recorded.position;
            }
            DomainEvent::User(UserEvent::LegalTermsApproved {
                legal_term_id,
                approved_at,
                ..
            }) => {
                let row = self.rows.entry(recorded.aggregate_id).or_default();
                row.approved = Some((legal_term_id.get(), *approved_at));
                row.position = recorded.position;
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return;
        }
        let (mut users, mut completed, mut terms) = (vec![], vec![], vec![]);
        let (mut approved, mut positions) = (vec![], vec![]);
        for (user, row) in rows {
            users.push(user);
            completed.push(row.completed_at);
            terms.push(row.approved.map(|(id, _)| id));
            approved.push(row.approved.map(|(_, at)| at));
            positions.push(row.position);
        }
        statement.part("onboarded_users", |s| {
            s.sql(
                "INSERT INTO user_onboarding (user_id, completed_at, legal_term_id, approved_at, position) \
                 SELECT r.* FROM head, unnest(",
            )
            .bind(users)
            .also(completed)
            .also(terms)
            .also(approved)
            .also(positions)
            .sql(
                ") AS r ON CONFLICT (user_id) DO UPDATE SET \
                 completed_at = coalesce(EXCLUDED.completed_at, user_onboarding.completed_at), \
                 legal_term_id = coalesce(EXCLUDED.legal_term_id, user_onboarding.legal_term_id), \
                 approved_at = coalesce(EXCLUDED.approved_at, user_onboarding.approved_at), \
                 position = EXCLUDED.position",
            );
        });
    }
}
