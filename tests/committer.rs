//! The ledger under many writers, several nodes and foreign programs, on a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(dead_code, reason = "other test binaries need the rest")]
mod support;

use std::time::Duration;

use aggregates::ids::{CompanyId, LeadId, NoteId, UserId};
use aggregates::lead::{Classification, Contact, CreateLead, Lead, LeadCommand, LeadError};
use aggregates::person_name::PersonName;
use aggregates::stage::Stage;
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use futures::future::join_all;
use leadledger::clock::Clock;
use leadledger::ledger::{
    CommitError, IdKind, Ledger, LedgerTasks, Provenance, Refusal, Secrets, StreamKey, StreamKind,
    Work, leaf, verify,
};
use postgres_es::PostgresEventRepository;
use sqlx::{PgPool, Row};
use support::database::TestDatabase;

async fn node(database: &TestDatabase) -> (Ledger, LedgerTasks) {
    let mut connection = database.pool().acquire().await.unwrap();
    let secrets = Secrets::load(&mut connection).await.unwrap();
    drop(connection);
    let options = database.connect_options();
    Ledger::open(database.pool(), &options, &secrets, Clock::system())
        .await
        .unwrap()
}

fn create(name: &str) -> CreateLead {
    CreateLead {
        lead_id: LeadId(0),
        company_id: CompanyId(1),
        contact: Contact {
            first_name: Some(PersonName::parse(name).unwrap()),
            ..Contact::default()
        },
        stage: Stage::New,
        classification: Classification::default(),
        cycle_id: None,
        user_access_id: None,
        answers: Vec::new(),
        extra: std::collections::BTreeMap::new(),
        estimated_value: None,
    }
}

async fn create_lead(ledger: &Ledger, name: &str) -> i64 {
    let create = create(name);
    let work = Work::new(Provenance::system("test"), move |unit| {
        let lead_id = LeadId(unit.next_id(IdKind::Lead));
        let create = CreateLead {
            lead_id,
            ..create.clone()
        };
        unit.execute::<Lead>(lead_id.get(), LeadCommand::Create(Box::new(create)))?;
        Ok(lead_id.get())
    });
    ledger.commit(work).await.unwrap().resource_id
}

async fn add_note(ledger: &Ledger, lead: i64, text: &str) -> Result<i64, CommitError> {
    let content = text.to_owned();
    let work = Work::new(Provenance::system("test"), move |unit| {
        let note_id = NoteId(unit.next_id(IdKind::Note));
        unit.execute::<Lead>(
            lead,
            LeadCommand::AddNote {
                note_id,
                author_id: UserId(1),
                content: content.clone(),
                only_of: None,
            },
        )?;
        Ok(note_id.get())
    })
    .on(StreamKey::new(StreamKind::Lead, lead));
    ledger.commit(work).await.map(|done| done.resource_id)
}

async fn assert_sound(database: &TestDatabase) {
    let found = verify::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
}

async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_on_one_lead_all_succeed() {
    let database = TestDatabase::create().await;
    let (ledger, tasks) = node(&database).await;
    let lead = create_lead(&ledger, "Ana").await;
    let notes = join_all((0..64).map(|n| {
        let ledger = ledger.clone();
        async move { add_note(&ledger, lead, &format!("note {n}")).await.unwrap() }
    }))
    .await;
    let distinct: std::collections::BTreeSet<_> = notes.iter().collect();
    assert_eq!(distinct.len(), 64);
    let versions = count(
        database.pool(),
        "SELECT count(*) FROM events WHERE aggregate_type = 'lead' AND sequence BETWEEN 1 AND 65",
    );
    assert_eq!(versions.await, 65);
    assert_eq!(
        count(database.pool(), "SELECT version FROM leads").await,
        65
    );
    assert_sound(&database).await;
    drop(ledger);
    tasks.finished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_database_behave_as_one() {
    let database = TestDatabase::create().await;
    let (one, one_tasks) = node(&database).await;
    let (other, other_tasks) = node(&database).await;
    let lead = create_lead(&one, "Ana").await;
    let writers = (0..40).map(|n| {
        let ledger = if n % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        async move {
            for round in 0..5 {
                add_note(&ledger, lead, &format!("{n} {round}"))
                    .await
                    .unwrap();
                create_lead(&ledger, &format!("Lead {n} {round}")).await;
            }
        }
    });
    join_all(writers).await;
    assert_eq!(
        count(database.pool(), "SELECT count(*) FROM leads").await,
        201
    );
    assert_eq!(
        count(database.pool(), "SELECT count(*) FROM lead_notes").await,
        200
    );
    assert_eq!(
        count(database.pool(), "SELECT max(position) FROM events").await,
        401
    );
    // Ids are given in ledger order, whichever node gives them.
    let disordered = "SELECT count(*) FROM (SELECT aggregate_id::bigint AS id, \
         lag(aggregate_id::bigint) OVER (ORDER BY position) AS before FROM events \
         WHERE event_type = 'LeadCreated') AS t WHERE id <> coalesce(before, 0) + 1";
    assert_eq!(count(database.pool(), disordered).await, 0);
    assert_sound(&database).await;
    drop((one, other));
    one_tasks.finished().await;
    other_tasks.finished().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_does_not_disturb_its_neighbours() {
    let database = TestDatabase::create().await;
    let (ledger, _tasks) = node(&database).await;
    let lead = create_lead(&ledger, "Ana").await;
    let outcomes = join_all((0..50).map(|n| {
        let ledger = ledger.clone();
        let target = if n % 5 == 0 { 999_999 } else { lead };
        async move { add_note(&ledger, target, "hello").await }
    }))
    .await;
    let refused = outcomes.iter().filter(|outcome| {
        matches!(
            outcome,
            Err(CommitError::Refused(Refusal::Lead(LeadError::NotCreated)))
        )
    });
    assert_eq!(refused.count(), 10);
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        40
    );
    assert_sound(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_program_reads_our_stream_and_appends_to_it() {
    let database = TestDatabase::create().await;
    let (ledger, _tasks) = node(&database).await;
    let lead = create_lead(&ledger, "Ana").await;

    let repository = PostgresEventRepository::new(database.pool().clone());
    let store = PersistedEventStore::<_, Lead>::new_event_store(repository);
    let stock = CqrsFramework::new(store, vec![], ());
    stock
        .execute(
            &lead.to_string(),
            LeadCommand::AddNote {
                note_id: NoteId(70),
                author_id: UserId(1),
                content: "from a script".into(),
                only_of: None,
            },
        )
        .await
        .unwrap();
    let mut stranger = create("Bruno");
    stranger.lead_id = LeadId(40);
    stock
        .execute("40", LeadCommand::Create(Box::new(stranger)))
        .await
        .unwrap();

    for _ in 0..100 {
        if count(
            database.pool(),
            "SELECT count(*) FROM events WHERE position IS NULL",
        )
        .await
            == 0
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let content: String = sqlx::query_scalar("SELECT content FROM lead_notes WHERE id = 70")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(content, "from a script");
    let company = "SELECT company_id FROM leads WHERE id = 40";
    assert_eq!(count(database.pool(), company).await, 1);

    // Our next command goes on where the script stopped, and our next ids do not meet the script's.
    assert_eq!(add_note(&ledger, lead, "ours").await.unwrap(), 71);
    assert_eq!(create_lead(&ledger, "Carla").await, 41);
    assert_sound(&database).await;
}

#[tokio::test]
async fn stored_events_are_sealed_hashed_and_cannot_be_changed() {
    let database = TestDatabase::create().await;
    let (ledger, _tasks) = node(&database).await;
    let lead = create_lead(&ledger, "Anastasia").await;
    add_note(&ledger, lead, "likes Zanzibar").await.unwrap();
    let rows = sqlx::query(
        "SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::text, \
         metadata::text, recorded_at, company_id, leaf_hash FROM events",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        let payload: &str = row.get(5);
        assert!(!payload.contains("Anastasia") && !payload.contains("Zanzibar"));
        let expected = leaf::hash(&leaf::Entry {
            aggregate_type: row.get(0),
            aggregate_id: row.get(1),
            sequence: row.get(2),
            event_type: row.get(3),
            event_version: row.get(4),
            payload,
            metadata: row.get(6),
            recorded_at: row.get(7),
            company_id: row.get(8),
        });
        assert_eq!(row.get::<Vec<u8>, _>(9), expected);
    }
    for change in [
        "UPDATE events SET event_type = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
    ] {
        let refused = sqlx::query(change)
            .execute(database.pool())
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn verify_names_a_changed_row_a_missing_one_and_a_changed_event() {
    let database = TestDatabase::create().await;
    let (ledger, _tasks) = node(&database).await;
    let lead = create_lead(&ledger, "Ana").await;
    let gone = add_note(&ledger, lead, "hello").await.unwrap();
    assert_sound(&database).await;
    sqlx::raw_sql(&format!(
        "UPDATE leads SET stage_id = 5; DELETE FROM lead_notes WHERE id = {gone}; \
         ALTER TABLE events DISABLE TRIGGER ALL; \
         UPDATE events SET metadata = '{{\"actor\":\"nobody\"}}' WHERE position = 2; \
         ALTER TABLE events ENABLE TRIGGER ALL"
    ))
    .execute(database.pool())
    .await
    .unwrap();
    let found = verify::run(&database.connect_options(), &[], |_, _| ())
        .await
        .unwrap();
    for difference in [
        "leads: id=1: differs in stage_id",
        "lead_notes: id=1: is missing",
        "events: position 2: the leaf hash is not that of the event",
    ] {
        assert!(
            found.differences.iter().any(|found| found == difference),
            "{difference} is not among {:?}",
            found.differences
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_load_loses_nothing() {
    let database = TestDatabase::create().await;
    let (ledger, _tasks) = node(&database).await;
    for n in 0..50 {
        create_lead(&ledger, &format!("Lead {n}")).await;
    }
    sqlx::query("UPDATE leads SET full_name = 'wrong', stage_id = 6")
        .execute(database.pool())
        .await
        .unwrap();
    let load = async {
        for n in 0..200 {
            let lead = create_lead(&ledger, &format!("More {n}")).await;
            add_note(&ledger, lead, "hello").await.unwrap();
        }
    };
    let options = database.connect_options();
    let rebuild = leadledger::ledger::rebuild::run(&options, &[], |_, _| ());
    let ((), outcome) = tokio::join!(load, rebuild);
    outcome.unwrap();
    assert_eq!(
        count(database.pool(), "SELECT count(*) FROM leads").await,
        250
    );
    assert_sound(&database).await;
}
