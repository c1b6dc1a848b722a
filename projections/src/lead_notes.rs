//! The notes that are on leads now; a removed note is a matter of the history alone.
//!
//! Those of a blocked lead are kept and not shown; those of an erased one are gone.

use std::collections::{BTreeMap, HashMap};

use aggregates::ids::LeadId;
use aggregates::lead::LeadEvent;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::projection::{Projection, Table};
use crate::recorded::{DomainEvent, Recorded};
use crate::statement::Statement;

struct NewNote {
    lead_id: i64,
    company_id: Option<i64>,
    author_id: i64,
    content: String,
    position: i64,
    created_at: DateTime<Utc>,
}

/// Owns `lead_notes`.
#[derive(Default)]
pub struct LeadNotes {
    added: BTreeMap<i64, NewNote>,
    removed: Vec<i64>,
    erased_leads: Vec<i64>,
    /// Leads that are taken away with all their notes.
    removed_leads: Vec<i64>,
}

impl Projection for LeadNotes {
    fn name(&self) -> &'static str {
        "lead_notes"
    }

    fn tables(&self) -> &'static [Table] {
        &[Table {
            name: "lead_notes",
            key: &["id"],
            counts_when: "true",
            looked_up_by: &[],
        }]
    }

    fn fold(&mut self, recorded: &Recorded) {
        match &recorded.event {
            DomainEvent::Lead(LeadEvent::LeadNoteAdded {
                note_id,
                author_id,
                content,
            }) => {
                self.added.insert(
                    note_id.get(),
                    NewNote {
                        lead_id: recorded.aggregate_id,
                        company_id: recorded.company_id.map(aggregates::ids::CompanyId::get),
                        author_id: author_id.get(),
                        content: content.plain().cloned().unwrap_or_default(),
                        position: recorded.position,
                        created_at: recorded.recorded_at,
                    },
                );
            }
            DomainEvent::Lead(LeadEvent::LeadNoteRemoved { note_id })
                if self.added.remove(&note_id.get()).is_none() =>
            {
                self.removed.push(note_id.get());
            }
            DomainEvent::Lead(LeadEvent::LeadErased { .. }) => {
                let lead = recorded.aggregate_id;
                self.added.retain(|_, note| note.lead_id != lead);
                self.erased_leads.push(lead);
            }
            DomainEvent::Lead(LeadEvent::LeadRemoved { .. }) => {
                let lead_id = recorded.aggregate_id;
                self.added.retain(|_, note| note.lead_id != lead_id);
                self.removed_leads.push(lead_id);
            }
            _ => {}
        }
    }

    fn write(&mut self, statement: &mut Statement) {
        let removed = std::mem::take(&mut self.removed);
        let erased = std::mem::take(&mut self.erased_leads);
        if !removed.is_empty() || !erased.is_empty() {
            statement.part("removed_notes", |s| {
                s.sql("DELETE FROM lead_notes USING head WHERE id = ANY(")
                    .bind(removed)
                    .sql(") OR lead_id = ANY(")
                    .bind(erased)
                    .sql(")");
            });
        }
        let removed_leads = std::mem::take(&mut self.removed_leads);
        if !removed_leads.is_empty() {
            statement.part("removed_leads_notes", |s| {
                s.sql("DELETE FROM lead_notes USING head WHERE lead_id = ANY(")
                    .bind(removed_leads)
                    .sql(")");
            });
        }
        let added = std::mem::take(&mut self.added);
        if added.is_empty() {
            return;
        }
        let (mut ids, mut leads, mut companies) = (Vec::new(), Vec::new(), Vec::new());
        let (mut authors, mut contents) = (Vec::new(), Vec::new());
        let (mut positions, mut times) = (Vec::new(), Vec::new());
        for (id, note) in added {
            ids.push(id);
            leads.push(note.lead_id);
            companies.push(note.company_id);
            authors.push(note.author_id);
            contents.push(note.content);
            positions.push(note.position);
            times.push(note.created_at);
        }
        statement.part("new_notes", |s| {
            s.sql(
                "INSERT INTO lead_notes (id, lead_id, company_id, author_id, content, position, created_at) \
                 SELECT r.* FROM head, unnest(",
            )
            .bind(ids)
            .also(leads)
            .also(companies)
            .also(authors)
            .also(contents)
            .also(positions)
            .also(times)
            .sql(") AS r");
        });
    }
}

/// A note with its author as they are called today.
#[derive(Debug, Clone, FromRow)]
pub struct NoteRow {
    /// Id of the note.
    pub id: i64,
    /// The lead it is on.
    pub lead_id: i64,
    /// Its text.
    pub content: String,
    /// Who wrote it.
    pub author_id: i64,
    /// The author's full name; empty when unknown.
    pub author_full_name: String,
    /// The author's e-mail.
    pub author_email: Option<String>,
    /// The author's avatar's file.
    pub author_avatar: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

const SELECT_NOTE: &str = "SELECT n.id, n.lead_id, n.content, n.author_id, \
     coalesce(u.full_name, '') AS author_full_name, u.email AS author_email, \
     (SELECT v.file FROM user_avatars v WHERE v.user_id = u.id) AS author_avatar, n.created_at \
     FROM lead_notes n LEFT JOIN users u ON u.id = n.author_id";

/// Those of a blocked lead are not shown.
const IS_SHOWN: &str = "NOT EXISTS (SELECT 1 FROM lead_erasures e WHERE e.lead_id = n.lead_id AND e.status = 'blocked')";

/// The notes on several leads, in the order of the leads, each list oldest first. Those of a blocked lead are not shown.
///
/// # Errors
/// What the database answers.
pub async fn of_leads(
    connection: &mut PgConnection,
    leads: &[LeadId],
) -> Result<Vec<Vec<NoteRow>>, sqlx::Error> {
    let ids: Vec<i64> = leads.iter().map(|lead| lead.get()).collect();
    let rows: Vec<NoteRow> = sqlx::query_as(&format!(
        "{SELECT_NOTE} WHERE n.lead_id = ANY($1) AND {IS_SHOWN} ORDER BY n.id"
    ))
    .bind(&ids)
    .fetch_all(connection)
    .await?;
    let mut lists: HashMap<i64, Vec<NoteRow>> = HashMap::new();
    for row in rows {
        lists.entry(row.lead_id).or_default().push(row);
    }
    Ok(ids
        .iter()
        .map(|id| lists.get(id).cloned().unwrap_or_default())
        .collect())
}

/// One note; `None` also when its lead is blocked.
///
/// # Errors
/// What the database answers.
pub async fn by_id(
    connection: &mut PgConnection,
    note_id: i64,
) -> Result<Option<NoteRow>, sqlx::Error> {
    sqlx::query_as(&format!("{SELECT_NOTE} WHERE n.id = $1 AND {IS_SHOWN}"))
        .bind(note_id)
        .fetch_optional(connection)
        .await
}
