//! A lead as it is answered: in lists, among its duplicates, and alone with its notes. Which leads, and who may see them, is
//! asked elsewhere.

use aggregates::money::{Currency, Money};
use aggregates::stage::Stage;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use projections::lead_notes::NoteRow;
use projections::leads::list::LeadRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::accesses::{AccessView, role_of};
use super::super::lead_notes::NoteView;
use super::super::stages::StageView;
use super::super::users::PersonView;
use super::input::MoneyBody;
use crate::api::extract::Json;
use crate::api::preconditions::etag;

/// A lead.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeadView {
    id: i64,
    company_id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    full_name: String,
    email: Option<String>,
    phone_number: Option<String>,
    stage: Option<StageView>,
    /// Since when it is in the stage.
    stage_entered_at: DateTime<Utc>,
    source: Option<NamedView>,
    campaign: Option<NamedView>,
    cycle: Option<NamedView>,
    territory: Option<NamedView>,
    user_access: Option<AssigneeView>,
    duplicate: bool,
    duplicate_of_id: Option<i64>,
    answers: serde_json::Value,
    extra: serde_json::Value,
    estimated_value: Option<MoneyBody>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Since when the personal data is kept and not used: it is absent above.
    blocked_at: Option<DateTime<Utc>>,
    /// When the personal data was erased.
    erased_at: Option<DateTime<Utc>>,
    /// Only when a single lead is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<Vec<NoteView>>,
    /// Only in the list of duplicates: the id of the group's oldest lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_group: Option<i64>,
    /// Only in the list of duplicates: `email`, `phone`, or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_on: Option<Vec<String>>,
}

/// Something that a lead refers to.
#[derive(Debug, Serialize, ToSchema)]
struct NamedView {
    id: i64,
    name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AssigneeView {
    id: i64,
    user: PersonView,
    access: Option<AccessView>,
}

impl LeadView {
    /// As in the list of duplicates.
    pub fn in_group(mut row: LeadRow) -> Self {
        let (group, matched_on) = (row.duplicate_group, row.matched_on.take());
        Self {
            duplicate_group: group,
            matched_on,
            ..Self::from(row)
        }
    }
}

impl From<LeadRow> for LeadView {
    fn from(row: LeadRow) -> Self {
        let named = |id: Option<i64>, name: Option<String>| id.map(|id| NamedView { id, name });
        let user_access = row
            .user_access_id
            .zip(row.assignee_user_id)
            .map(|(id, user_id)| AssigneeView {
                id,
                user: PersonView::new(
                    user_id,
                    row.assignee_full_name.unwrap_or_default(),
                    row.assignee_email,
                    row.assignee_avatar,
                ),
                access: row
                    .assignee_role
                    .as_deref()
                    .and_then(role_of)
                    .map(AccessView::from),
            });
        let currency = row.estimated_value_currency;
        let currency = currency.and_then(|code| Currency::parse(&code).ok());
        let duplicate_of_id = row.duplicate_group.filter(|group| *group != row.id);
        Self {
            id: row.id,
            company_id: row.company_id,
            first_name: row.first_name,
            last_name: row.last_name,
            full_name: row.full_name,
            email: row.email,
            phone_number: row.phone,
            stage: Stage::from_id(row.stage_id).map(StageView::from),
            stage_entered_at: row.stage_entered_at,
            source: named(row.source_id, row.source_name),
            campaign: named(row.campaign_id, row.campaign_name),
            cycle: named(row.cycle_id, row.cycle_name),
            territory: named(row.territory_id, row.territory_name),
            user_access,
            duplicate: duplicate_of_id.is_some(),
            duplicate_of_id,
            answers: row.answers,
            extra: row.extra,
            estimated_value: row
                .estimated_value_amount
                .zip(currency)
                .map(|(amount, currency)| MoneyBody {
                    amount: Money { amount, currency }.amount_text(),
                    currency: currency.to_string(),
                }),
            created_at: row.created_at,
            updated_at: row.updated_at,
            blocked_at: row.blocked_at,
            erased_at: row.erased_at,
            notes: None,
            duplicate_group: None,
            matched_on: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LeadEnvelope {
    lead: LeadView,
}

/// One lead with its notes, and with the version as the `ETag`.
pub fn single(row: LeadRow, notes: Vec<NoteRow>) -> Response {
    let tag = [(header::ETAG, etag(row.version))];
    let mut lead = LeadView::from(row);
    lead.notes = Some(notes.into_iter().map(NoteView::from).collect());
    (tag, Json(LeadEnvelope { lead })).into_response()
}
