//! Taking imports back: what would come of it, the undo itself, and the leads that it left alone.

use aggregates::ids::{CompanyId, LegalHoldId};
use aggregates::import::{ImportCommand, ImportError, ImportStatus, KeptLead, KeptReason};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use projections::imports::kept::{self, KeptRow};
use projections::imports::list::ImportRow;
use projections::legal_holds::{self, Held};
use projections::page::{PageFrom, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::ImportFileView;
use super::{ImportEnvelope, allowed, one, refused};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::problem::Problem;
use crate::api::v1::pages::{Meta, PageQuery};
use crate::app::App;
use crate::import::undo;
use crate::ledger::{Decision, Refusal};
use crate::legal_hold;

/// How many leads that would stay are named in an answer.
const NAMED_LEADS: i64 = 1_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(undo_import))
        .routes(routes!(list_kept_leads))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UndoQuery {
    /// Only tell what would be undone; of an import that is undone, or being undone, what was so far.
    dry_run: Option<bool>,
}

/// What undoing would do.
#[derive(Debug, Serialize, ToSchema)]
struct ForeseenUndo {
    import_file: ImportFileView,
    dry_run: bool,
    /// Leads that would be taken away again.
    removed_leads: i64,
    /// Leads that would be as before.
    restored_leads: i64,
    /// Leads that would stay as they are.
    kept_leads: i64,
    /// Of those the first 1,000.
    kept: Vec<KeptLeadView>,
}

/// A lead that stays as it is.
#[derive(Debug, Serialize, ToSchema)]
struct KeptLeadView {
    lead_id: i64,
    /// The row that touched it last.
    row: i64,
    /// `changed_since`, or `legal_hold` for a lead that one stands on; null where it was not recorded.
    reason: Option<String>,
}

impl From<KeptRow> for KeptLeadView {
    fn from(row: KeptRow) -> Self {
        Self {
            lead_id: row.lead_id,
            row: row.row_number,
            reason: row.reason,
        }
    }
}

impl From<&KeptLead> for KeptLeadView {
    fn from(kept: &KeptLead) -> Self {
        Self {
            lead_id: kept.lead_id.get(),
            row: kept.row,
            reason: kept.reason.map(KeptReason::code).map(str::to_owned),
        }
    }
}

/// Undo an import
///
/// Brings every lead that the import touched back to the state before it, by further events: leads that it created go, except
/// those that were changed since, which stay and are listed. What only imports changed that have been undone since is not changed: take
/// imports back the newest first. Takes its time: follow the status. A repeat changes nothing. Refused while
/// a legal hold stands on the company or one above; a lead that is held itself stays.
#[utoipa::path(post, path = "/import/{import_code}/undo", tag = "Import", security(("bearer" = [])),
    params(("import_code" = String, Path), UndoQuery),
    responses((status = 200, description = "What would be undone (dry run)", body = ForeseenUndo),
        (status = 202, description = "Undoing has begun", body = ImportEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such import"), (status = 422, description = "It is still under way, or the company is held")))]
async fn undo_import(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
    Query(query): Query<UndoQuery>,
) -> Result<Response, Problem> {
    let row = allowed(&app, &caller, &code).await?;
    if query.dry_run.unwrap_or(false) {
        return Ok(Json(foreseen(&app, row).await?).into_response());
    }
    let company = CompanyId(row.company_id);
    let prepare = |mut decision: Decision| {
        let work = caller.work(move |unit| {
            legal_hold::refuse_if_company_held(unit, company)?;
            decision(unit)
        });
        work.sweeping(legal_hold::finding(vec![Held::Company(company)]))
    };
    let undo = app
        .imports
        .command(row.id, ImportCommand::RequestUndo, prepare);
    undo.await?;
    Ok((StatusCode::ACCEPTED, Json(one(&app, row.id).await?)).into_response())
}

async fn foreseen(app: &App, row: ImportRow) -> Result<ForeseenUndo, Problem> {
    let status = ImportStatus::from_code(&row.status);
    if matches!(
        status,
        Some(ImportStatus::Pending | ImportStatus::Processing)
    ) {
        return Err(refused(ImportError::StillUnderWay));
    }
    let mut connection = app.pool.acquire().await?;
    let company = CompanyId(row.company_id);
    let now = app.clock.now();
    if let Some(hold) = legal_holds::standing_over(&mut connection, company, now).await? {
        return Err(Problem::from(Refusal::LegalHold {
            legal_hold_id: LegalHoldId(hold.id),
            held: format!("company {}", hold.company_id.unwrap_or(row.company_id)),
        }));
    }
    let (removed_leads, restored_leads, kept_leads, kept) =
        if matches!(status, Some(ImportStatus::Undoing | ImportStatus::Undone)) {
            let first = PageRequest {
                per_page: NAMED_LEADS,
                from: PageFrom::Offset(0),
            };
            let (kept, _) = kept::page(&mut connection, row.id, &first).await?;
            let kept = kept.rows.into_iter().map(KeptLeadView::from).collect();
            (row.removed_leads, row.restored_leads, row.kept_leads, kept)
        } else {
            let foreseen = undo::foresee(&mut connection, row.id, now).await?;
            let count = i64::try_from(foreseen.kept.len()).unwrap_or(i64::MAX);
            let named = usize::try_from(NAMED_LEADS).unwrap_or(usize::MAX);
            let kept = foreseen.kept.iter().take(named);
            let kept = kept.map(KeptLeadView::from).collect();
            (foreseen.removed, foreseen.restored, count, kept)
        };
    Ok(ForeseenUndo {
        dry_run: true,
        removed_leads,
        restored_leads,
        kept_leads,
        kept,
        import_file: ImportFileView::new(row, now),
    })
}

#[derive(Debug, Serialize, ToSchema)]
struct KeptLeadList {
    kept_leads: Vec<KeptLeadView>,
    meta: Meta,
}

/// List the leads that an undo kept
///
/// Those that stayed as they were when the import was undone, in the order of their ids, each with why. Before it is undone there are none:
/// a dry run of the undo tells which would stay.
#[utoipa::path(get, path = "/import/{import_code}/kept_leads", tag = "Import", security(("bearer" = [])),
    params(("import_code" = String, Path), PageQuery),
    responses((status = 200, description = "The leads that stayed", body = KeptLeadList), (status = 400, description = "Malformed query"),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"),
        (status = 404, description = "No such import")))]
async fn list_kept_leads(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<KeptLeadList>, Problem> {
    let wanted = page.check::<i64>()?;
    let row = allowed(&app, &caller, &code).await?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = kept::page(&mut connection, row.id, &wanted.request).await?;
    let next = page.rows.last().filter(|_| page.more);
    let next = next.map(|row| row.lead_id);
    Ok(Json(KeptLeadList {
        meta: wanted.meta(total, next.as_ref()),
        kept_leads: page.rows.into_iter().map(KeptLeadView::from).collect(),
    }))
}
