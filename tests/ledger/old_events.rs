//! Events of older versions, as rows that an older program left: read by loading, projecting, rebuilding and stock programs.

use aggregates::ids::{AppointmentId, UserId};
use aggregates::lead::appointments::{
    Appointment, AppointmentCommand, AppointmentStatus, AppointmentText, AppointmentWish,
};
use aggregates::lead::{Lead, LeadCommand};
use aggregates::upcasting;
use chrono::{DateTime, TimeDelta};
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;

use crate::node::{add_note, assert_sound, contact, create, note, open};
use crate::stock_programs::sequenced;
use crate::support::database::TestDatabase;

fn stock(pool: &PgPool) -> PersistedEventStore<PostgresEventRepository, Lead> {
    PersistedEventStore::new_event_store(PostgresEventRepository::new(pool.clone()))
}

fn meeting() -> LeadCommand {
    let starts_at = DateTime::UNIX_EPOCH;
    LeadCommand::Appointments(Box::new(AppointmentCommand {
        appointment_id: AppointmentId(7),
        only_of: None,
        wish: AppointmentWish::Schedule(Appointment {
            user_id: UserId(1),
            text: AppointmentText {
                title: "Visit".to_owned(),
                ..AppointmentText::default()
            }
            .into(),
            starts_at,
            ends_at: starts_at + TimeDelta::hours(1),
            status: AppointmentStatus::Scheduled,
        }),
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_of_the_first_version_is_read_everywhere() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let ledger = open(&database).await;
    let lead = create(&ledger, 1, contact("a@example.com")).await.unwrap();
    let id = lead.resource_id.to_string();
    let old = CqrsFramework::new(stock(pool), vec![], ());
    old.execute(&id, meeting()).await.unwrap();
    sequenced(pool).await;
    // What a program of before version 2.0 appends.
    sqlx::query(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
         VALUES ('lead', $1, 3, 'LeadAppointmentCancelled', '1', $2::json, '{}')",
    )
    .bind(&id)
    .bind(r#"{"LeadAppointmentCancelled":{"appointment_id":7}}"#)
    .execute(pool)
    .await
    .unwrap();
    sequenced(pool).await;
    let status: String = sqlx::query_scalar("SELECT status FROM appointments WHERE id = 7")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(status, "cancelled");
    // A node that loads the stream anew has read it too.
    add_note(&open(&database).await, lead.resource_id, "ours")
        .await
        .unwrap();
    assert_eq!(assert_sound(&database).await, 4);

    // A stock program needs the steps, and with them continues the stream.
    assert!(old.execute(&id, note(70, "theirs")).await.is_err());
    let steps = upcasting::upcasters("lead");
    let new = CqrsFramework::new(stock(pool).with_upcasters(steps), vec![], ());
    new.execute(&id, note(70, "theirs")).await.unwrap();
    sequenced(pool).await;
    assert_eq!(assert_sound(&database).await, 5);
    let stored: String = sqlx::query_scalar(
        "SELECT payload::text FROM events WHERE event_type = 'LeadAppointmentCancelled'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(
        stored,
        r#"{"LeadAppointmentCancelled":{"appointment_id":7}}"#
    );
}
