//! Lead notes: create, delete. They are read with their lead.

use aggregates::ids::{LeadId, NoteId};
use aggregates::lead::{Lead, LeadCommand};
use aggregates::text;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::lead_notes::{self, NoteRow};
use projections::leads::list;
use projections::legal_holds::Held;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::nothing::Nothing;
use super::users::PersonView;
use super::writable_lead::writable;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::field_errors::FieldErrors;
use crate::api::optimistic::OptimisticCaller;
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, StreamKey, StreamKind};
use crate::legal_hold;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_note))
        .routes(routes!(delete_note))
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
struct NewNote {
    /// 1 to 10,000 characters.
    #[garde(skip)]
    content: String,
}

/// A note.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoteView {
    id: i64,
    lead_id: i64,
    content: String,
    user: PersonView,
    created_at: DateTime<Utc>,
}

impl From<NoteRow> for NoteView {
    fn from(row: NoteRow) -> Self {
        Self {
            id: row.id,
            lead_id: row.lead_id,
            content: row.content,
            user: PersonView::new(
                row.author_id,
                row.author_full_name,
                row.author_email,
                row.author_avatar,
            ),
            created_at: row.created_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct NoteEnvelope {
    note: NoteView,
}

/// Create a note for a lead
#[utoipa::path(post, path = "/leads/{lead_id}/notes", tag = "Lead Notes", security(("bearer" = [])), params(("lead_id" = i64, Path), IfMatch),
    request_body = NewNote,
    responses((status = 201, description = "Note created successfully", body = NoteEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead"), (status = 422, description = "Invalid")))]
async fn create_note(
    State(app): State<App>,
    caller: OptimisticCaller,
    Path(lead_id): Path<i64>,
    Json(body): Json<NewNote>,
) -> Result<Response, Problem> {
    let create = |caller| create(&app, caller, lead_id, body.clone());
    caller.attempt(&app, create).await
}

async fn create(
    app: &App,
    caller: Caller,
    lead_id: i64,
    body: NewNote,
) -> Result<Response, Problem> {
    let (lead, only_of) = writable(app, &caller, lead_id).await?;
    let content = text::block(&body.content, 10_000)
        .map_err(|error| FieldErrors::of("content", error.to_string()))?
        .to_owned();
    let stream = StreamKey::new(StreamKind::Lead, lead.id);
    let (author_id, if_match) = (caller.user_id, caller.write.if_match.clone());
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let note_id = NoteId(unit.next_id(IdKind::Note));
            unit.execute::<Lead>(
                stream.id,
                LeadCommand::AddNote {
                    note_id,
                    author_id,
                    content: content.clone(),
                    only_of: only_of.clone(),
                },
            )?;
            Ok(note_id.get())
        })
        .on(stream);
    let committed = app.ledger.commit(work).await?;
    let mut connection = app.pool.acquire().await?;
    let note = lead_notes::by_id(&mut connection, committed.resource_id)
        .await?
        .ok_or_else(|| Problem::not_found("note"))?;
    let version = list::by_id(&mut connection, LeadId(lead_id))
        .await?
        .map_or(0, |lead| lead.version);
    let note = NoteView::from(note);
    let tag = [(header::ETAG, etag(version))];
    Ok((StatusCode::CREATED, tag, Json(NoteEnvelope { note })).into_response())
}

/// Delete a note from a lead
#[utoipa::path(delete, path = "/leads/{lead_id}/notes/{id}", tag = "Lead Notes", security(("bearer" = [])),
    params(("lead_id" = i64, Path), ("id" = i64, Path), IfMatch),
    responses((status = 200, description = "Note deleted successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such lead or note"),
        (status = 422, description = "A legal hold stands, or the lead is blocked or erased")))]
async fn delete_note(
    State(app): State<App>,
    caller: Caller,
    Path((lead_id, id)): Path<(i64, i64)>,
) -> Result<Json<Nothing>, Problem> {
    let (lead, only_of) = writable(&app, &caller, lead_id).await?;
    let stream = StreamKey::new(StreamKind::Lead, lead.id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            unit.execute::<Lead>(
                stream.id,
                LeadCommand::RemoveNote {
                    note_id: NoteId(id),
                    only_of: only_of.clone(),
                },
            )?;
            legal_hold::refuse_if_held(unit, LeadId(stream.id))?;
            Ok(id)
        })
        .on(stream)
        .sweeping(legal_hold::finding(vec![Held::Lead(LeadId(lead.id))]));
    app.ledger.commit(work).await?;
    Ok(Json(Nothing {}))
}
