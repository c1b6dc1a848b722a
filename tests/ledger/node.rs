//! Nodes on a test's database, the commands that they are given, and what must hold of the database afterwards.

use std::sync::Arc;

use aggregates::email::Email;
use aggregates::ids::{CompanyId, LeadId, NoteId, UserId};
use aggregates::lead::erasure::{ErasureCommand, ErasureReason};
use aggregates::lead::{
    Classification, Contact, CreateLead, ExtraFields, Lead, LeadCommand, UpdateLead,
};
use aggregates::person_name::PersonName;
use aggregates::stage::Stage;
use leadledger::clock::Clock;
use leadledger::ledger::likenesses::ToRecord;
use leadledger::ledger::{
    CommitError, Committed, FindStreams, IdKind, Ledger, Provenance, Secrets, StreamKey,
    StreamKind, Work, checkpoints, leaf, verify,
};
use sqlx::Row;

use crate::support::database::TestDatabase;

/// One more node on this database.
pub async fn open(database: &TestDatabase) -> Ledger {
    let mut connection = database.pool().acquire().await.unwrap();
    let secrets = Secrets::load(&mut connection).await.unwrap();
    drop(connection);
    let options = database.connect_options();
    let (ledger, _tasks) = Ledger::open(database.pool(), &options, &secrets, Clock::system())
        .await
        .unwrap();
    ledger
}

pub fn contact(email: &str) -> Contact {
    Contact {
        first_name: Some(PersonName::parse("Anabel").unwrap()),
        email: Some(Email::parse(email).unwrap()),
        ..Contact::default()
    }
}

pub fn new_lead(lead_id: i64, company_id: i64, contact: Contact) -> CreateLead {
    CreateLead {
        lead_id: LeadId(lead_id),
        company_id: CompanyId(company_id),
        contact,
        stage: Stage::New,
        classification: Classification::default(),
        territory_match: None,
        routing: None,
        cycle_id: None,
        user_access_id: None,
        answers: Vec::new(),
        extra: ExtraFields::new(),
        estimated_value: None,
    }
}

pub fn note(note_id: i64, content: &str) -> LeadCommand {
    LeadCommand::AddNote {
        note_id: NoteId(note_id),
        author_id: UserId(1),
        content: content.to_owned(),
        only_of: None,
    }
}

pub async fn create(
    ledger: &Ledger,
    company_id: i64,
    contact: Contact,
) -> Result<Committed, CommitError> {
    let work = Work::new(Provenance::system("test"), move |unit| {
        let lead_id = unit.next_id(IdKind::Lead);
        let create = new_lead(lead_id, company_id, contact.clone());
        unit.execute::<Lead>(lead_id, LeadCommand::Create(Box::new(create)))?;
        Ok(lead_id)
    });
    ledger.commit(work).await
}

/// Answers the note's id.
pub async fn add_note(
    ledger: &Ledger,
    lead_id: i64,
    content: &str,
) -> Result<Committed, CommitError> {
    let content = content.to_owned();
    let work = Work::new(Provenance::system("test"), move |unit| {
        let note_id = unit.next_id(IdKind::Note);
        unit.execute::<Lead>(lead_id, note(note_id, &content))?;
        Ok(note_id)
    });
    ledger
        .commit(work.on(StreamKey::new(StreamKind::Lead, lead_id)))
        .await
}

pub async fn update(
    ledger: &Ledger,
    lead_id: i64,
    update: UpdateLead,
) -> Result<Committed, CommitError> {
    let work = Work::new(Provenance::system("test"), move |unit| {
        unit.execute::<Lead>(lead_id, LeadCommand::Update(Box::new(update.clone())))?;
        Ok(lead_id)
    });
    ledger
        .commit(work.on(StreamKey::new(StreamKind::Lead, lead_id)))
        .await
}

/// Blocks the lead, and erases it: as the API does, or without recording whom it was like.
pub async fn erase(ledger: &Ledger, lead_id: i64, recorded: bool) {
    let stream = StreamKey::new(StreamKind::Lead, lead_id);
    let reason = ErasureReason::SubjectRequest;
    let block = Work::new(Provenance::system("test"), move |unit| {
        let command = ErasureCommand::Block { reason };
        unit.execute::<Lead>(lead_id, LeadCommand::Erasure(command))?;
        Ok(lead_id)
    });
    ledger.commit(block.on(stream)).await.unwrap();
    let likeness = ToRecord::default();
    let to_record = likeness.clone();
    let erase = Work::new(Provenance::system("test"), move |unit| {
        if recorded {
            likeness.record(unit);
        }
        let now = unit.now();
        let command = ErasureCommand::Erase { reason, now };
        unit.execute::<Lead>(lead_id, LeadCommand::Erasure(command))?;
        Ok(lead_id)
    });
    let find: FindStreams = Arc::new(move |connection| {
        let to_record = to_record.clone();
        Box::pin(async move {
            to_record.look(connection, lead_id).await?;
            Ok(Vec::new())
        })
    });
    ledger
        .commit(erase.on(stream).sweeping(find))
        .await
        .unwrap();
}

/// Positions and sequences without gaps, every leaf hash that of its row, and every read row that which the events make.
/// Answers the number of events.
pub async fn assert_sound(database: &TestDatabase) -> i64 {
    let rows = sqlx::query(
        "SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::text, metadata::text, \
         recorded_at, company_id, leaf_hash, position, \
         row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY position) AS nth \
         FROM events ORDER BY position",
    )
    .fetch_all(database.pool())
    .await
    .unwrap();
    for (row, position) in rows.iter().zip(1_i64..) {
        assert_eq!(row.get::<Option<i64>, _>(10), Some(position));
        assert_eq!(row.get::<i64, _>(2), row.get::<i64, _>(11));
        let entry = leaf::Entry {
            aggregate_type: row.get(0),
            aggregate_id: row.get(1),
            sequence: row.get(2),
            event_type: row.get(3),
            event_version: row.get(4),
            payload: row.get(5),
            metadata: row.get(6),
            recorded_at: row.get(7),
            company_id: row.get(8),
        };
        assert_eq!(row.get::<Vec<u8>, _>(9), leaf::hash(&entry));
    }
    let end: i64 = sqlx::query_scalar("SELECT position FROM ledger_head")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(end, i64::try_from(rows.len()).unwrap());
    let found = verify::run(&database.connect_options(), &[], |_, _| {})
        .await
        .unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
    end
}

/// Makes a checkpoint and marks it as witnessed: its size and note, as they lie outside.
pub async fn checkpoint(database: &TestDatabase) -> (String, String) {
    let kept = checkpoints::make(database.pool(), Clock::system().now())
        .await
        .unwrap();
    let mut connection = database.pool().acquire().await.unwrap();
    checkpoints::mark_witnessed(&mut connection, kept.id)
        .await
        .unwrap();
    (kept.size.to_string(), kept.note)
}
