//! Lead lists: all, duplicates, unassigned; and the metrics by stage. None of them scans a company's leads.

use std::time::Instant;

use aggregates::access::{Reach, Right};
use aggregates::ids::CompanyId;
use aggregates::stage::Stage;
use axum::extract::State;
use chrono::{DateTime, NaiveDate};
use projections::duplicates;
use projections::duplicates::Hidden;
use projections::leads::counts::{self, LeadFilter};
use projections::leads::list::{self, Cursor, LeadRow, Sort, SortColumn};
use projections::leads::past::{self, Past};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dates::day;
use super::leads::LeadView;
use super::pages::{Meta, PageQuery, Wanted};
use super::stages::StageView;
use crate::api::caller::{Caller, Scope};
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::moment::Moment;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_leads))
        .routes(routes!(list_duplicates))
        .routes(routes!(list_unassigned))
        .routes(routes!(list_metrics))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LeadQuery {
    /// Name, e-mail or phone contains, without regard to case and accents.
    search: Option<String>,
    stage_id: Option<i64>,
    source_id: Option<i64>,
    campaign_id: Option<i64>,
    cycle_id: Option<i64>,
    territory_id: Option<i64>,
    /// The assignee.
    user_access_id: Option<i64>,
    /// First day of creation, UTC.
    created_from: Option<NaiveDate>,
    /// Last day of creation, UTC.
    created_to: Option<NaiveDate>,
    /// `created_at`, `updated_at`, `id` or `full_name`, with `-` for descending; `-created_at` when absent.
    sort: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MetricsQuery {
    campaign_id: Option<i64>,
    source_id: Option<i64>,
    cycle_id: Option<i64>,
    /// The assignee.
    user_access_id: Option<i64>,
    /// First day of creation, UTC.
    created_from: Option<NaiveDate>,
    /// Last day of creation, UTC.
    created_to: Option<NaiveDate>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LeadList {
    leads: Vec<LeadView>,
    meta: Meta,
}

#[derive(Debug, Serialize, ToSchema)]
struct Metrics {
    metrics: Vec<StageMetric>,
    total: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct StageMetric {
    stage: StageView,
    count: i64,
    /// Of the total, 0 to 100, to two places.
    percentage: f64,
}

/// The place after a row, on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireCursor {
    Time(i64, i64),
    Id(i64),
    Name(String, i64),
}

impl From<Cursor> for WireCursor {
    fn from(cursor: Cursor) -> Self {
        match cursor {
            Cursor::Time(time, id) => Self::Time(time.timestamp_micros(), id),
            Cursor::Id(id) => Self::Id(id),
            Cursor::Name(name, id) => Self::Name(name, id),
        }
    }
}

impl WireCursor {
    fn read(&self, sort: Sort) -> Result<Cursor, Problem> {
        let cursor = match self {
            Self::Time(micros, id) => {
                let time = DateTime::from_timestamp_micros(*micros);
                let time = time.filter(|time| day(time.date_naive()).is_ok());
                time.map(|time| Cursor::Time(time, *id))
            }
            Self::Id(id) => Some(Cursor::Id(*id)),
            Self::Name(name, _) if name.contains('\0') => None,
            Self::Name(name, id) => Some(Cursor::Name(name.clone(), *id)),
        };
        cursor.filter(|cursor| sort.accepts(cursor)).ok_or_else(|| {
            Problem::malformed_query(FieldErrors::of(
                "cursor",
                "is not a cursor of this list in this order",
            ))
        })
    }
}

/// The order that a text names, as in `-created_at`.
pub(super) fn sort_of(text: Option<&str>) -> Result<Sort, Problem> {
    let text = text.unwrap_or("-created_at");
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let column = match name {
        "created_at" => SortColumn::CreatedAt,
        "updated_at" => SortColumn::UpdatedAt,
        "id" => SortColumn::Id,
        "full_name" => SortColumn::FullName,
        _ => {
            return Err(Problem::malformed_query(FieldErrors::of(
                "sort",
                "must be created_at, updated_at, id or full_name, with - for descending",
            )));
        }
    };
    Ok(Sort { column, descending })
}

impl LeadQuery {
    /// What is listed of what the reach allows; see [`within`].
    pub(super) fn filter(
        &self,
        scope: &Scope,
        reach: Reach,
        unassigned: bool,
    ) -> Result<LeadFilter, Problem> {
        let (user_access_ids, or_unassigned) =
            within(scope, reach, unassigned, self.user_access_id);
        Ok(LeadFilter {
            stage_id: self.stage_id,
            source_id: self.source_id,
            campaign_id: self.campaign_id,
            cycle_id: self.cycle_id,
            territory_id: self.territory_id,
            user_access_ids,
            or_unassigned,
            created_from: checked_day("created_from", self.created_from)?,
            created_to: checked_day("created_to", self.created_to)?,
        })
    }

    /// The searched text, if there is any in it.
    pub(super) fn text(&self) -> Option<&str> {
        self.search
            .as_deref()
            .filter(|text| !text.trim().is_empty())
    }

    /// The order that is asked for.
    pub(super) fn sort(&self) -> Option<&str> {
        self.sort.as_deref()
    }
}

fn checked_day(name: &str, date: Option<NaiveDate>) -> Result<Option<NaiveDate>, Problem> {
    date.map(day)
        .transpose()
        .map_err(|message| Problem::malformed_query(FieldErrors::of(name, message)))
}

/// Narrows the filter to what the reach allows: an agent sees their own leads and, where `unassigned` says so, nobody's.
pub(super) fn within(
    scope: &Scope,
    reach: Reach,
    unassigned: bool,
    wanted: Option<i64>,
) -> (Option<Vec<i64>>, bool) {
    let own = || -> Vec<i64> { scope.own_accesses().iter().map(|id| id.get()).collect() };
    match (reach, wanted) {
        (Reach::All, wanted) => (wanted.map(|id| vec![id]), false),
        (Reach::Own, None) => (Some(own()), unassigned),
        (Reach::Own, Some(id)) => (
            Some(own().into_iter().filter(|own| *own == id).collect()),
            false,
        ),
    }
}

/// List company leads
#[utoipa::path(get, path = "/companies/{company_id}/leads", tag = "Leads", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery, LeadQuery),
    responses((status = 200, description = "List of leads", body = LeadList), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn list_leads(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
    Query(query): Query<LeadQuery>,
) -> Result<Json<LeadList>, Problem> {
    let company = CompanyId(company_id);
    let (scope, reach) = caller.scope_with(&app, company, Right::ReadLeads).await?;
    let sort = sort_of(query.sort.as_deref())?;
    let filter = query.filter(&scope, reach, true)?;
    let page = find(&app, company, &filter, query.text(), sort, page).await?;
    Ok(page.shown_to(&app, &caller, "GET /companies/{company_id}/leads"))
}

/// List unassigned company leads
#[utoipa::path(get, path = "/companies/{company_id}/leads/unassigned", tag = "Leads", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of unassigned leads", body = LeadList), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn list_unassigned(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<LeadList>, Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::ReadLeads).await?;
    let filter = LeadFilter::unassigned();
    let page = find(&app, company, &filter, None, sort_of(None)?, page).await?;
    Ok(page.shown_to(
        &app,
        &caller,
        "GET /companies/{company_id}/leads/unassigned",
    ))
}

/// A page of leads with what the list says about itself.
struct Found {
    rows: Vec<LeadRow>,
    meta: Meta,
}

impl Found {
    fn shown_to(self, app: &App, caller: &Caller, operation: &'static str) -> Json<LeadList> {
        let leads = self.rows.iter().map(|row| (row.id, row.company_id));
        caller.has_read(app, operation, leads);
        Json(LeadList {
            meta: self.meta,
            leads: self.rows.into_iter().map(LeadView::from).collect(),
        })
    }
}

/// The past as of the moment, with what this node counted of it already.
fn past_of(app: &App, moment: Moment) -> Past<'_> {
    Past {
        moment: moment.position,
        totals: &app.past_totals,
    }
}

async fn find(
    app: &App,
    company: CompanyId,
    filter: &LeadFilter,
    text: Option<&str>,
    sort: Sort,
    page: PageQuery,
) -> Result<Found, Problem> {
    let wanted: Wanted<WireCursor> = page.check()?;
    let request = projections::page::PageRequest {
        per_page: wanted.request.per_page,
        from: match wanted.request.after() {
            Some(cursor) => projections::page::PageFrom::After(cursor.read(sort)?),
            None => projections::page::PageFrom::Offset(wanted.request.offset()),
        },
    };
    let mut connection = app.pool.acquire().await?;
    let leads = list::Wanted {
        company,
        filter,
        text,
        sort,
    };
    let (total, page) = if let Some(moment) = app.pool.moment() {
        let begun = Instant::now();
        let past = past_of(app, moment);
        let (total, read) = past::page(&mut connection, past, leads, &request).await?;
        app.zone_maps.took(company, &read, moment, begun.elapsed());
        (total, read.page)
    } else {
        list::page(&mut connection, leads, &request).await?
    };
    let next = page.rows.last().filter(|_| page.more);
    let next = next.map(|row| WireCursor::from(sort.cursor_after(row)));
    Ok(Found {
        meta: wanted.meta(total, next.as_ref()),
        rows: page.rows,
    })
}

/// List duplicate company leads
///
/// Every member of every group of leads that share an e-mail or phone, group by group; the oldest is the original.
#[utoipa::path(get, path = "/companies/{company_id}/leads/duplicates", tag = "Leads", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of duplicate leads", body = LeadList), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn list_duplicates(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<LeadList>, Problem> {
    let company = CompanyId(company_id);
    let (scope, reach) = caller.scope_with(&app, company, Right::ReadLeads).await?;
    let wanted: Wanted<(i64, i64)> = page.check()?;
    let (only_of, _) = within(&scope, reach, true, None);
    let mut connection = app.pool.acquire().await?;
    let (only_of, request) = (only_of.as_deref(), &wanted.request);
    let (connection, mapping) = (&mut *connection, &app.zone_maps);
    let (total, page) = if let Some(moment) = app.pool.moment() {
        let hidden = Hidden::of(connection, company, None).await?;
        let total = duplicates::total_of_past(connection, company, only_of, &hidden).await?;
        let begun = Instant::now();
        let read = duplicates::page_of_past(connection, company, only_of, &hidden, request).await?;
        mapping.took(company, &read, moment, begun.elapsed());
        (total, read.page)
    } else {
        let total = duplicates::total(connection, company, only_of).await?;
        let page = duplicates::page(connection, company, only_of, request).await?;
        (total, page)
    };
    let next = page.rows.last().filter(|_| page.more);
    let next = next.and_then(|row| Some((row.duplicate_group?, row.id)));
    let leads = page.rows.iter().map(|row| (row.id, row.company_id));
    caller.has_read(&app, "GET /companies/{company_id}/leads/duplicates", leads);
    Ok(Json(LeadList {
        meta: wanted.meta(total, next.as_ref()),
        leads: page.rows.into_iter().map(LeadView::in_group).collect(),
    }))
}

/// List lead metrics by stage
#[utoipa::path(get, path = "/companies/{company_id}/leads/metrics", tag = "Leads", security(("bearer" = [])),
    params(("company_id" = i64, Path), MetricsQuery),
    responses((status = 200, description = "Lead metrics by stage", body = Metrics), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company")))]
async fn list_metrics(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(query): Query<MetricsQuery>,
) -> Result<Json<Metrics>, Problem> {
    let company = CompanyId(company_id);
    let (scope, reach) = caller.scope_with(&app, company, Right::Analyse).await?;
    let (user_access_ids, or_unassigned) = within(&scope, reach, false, query.user_access_id);
    let filter = LeadFilter {
        source_id: query.source_id,
        campaign_id: query.campaign_id,
        cycle_id: query.cycle_id,
        user_access_ids,
        or_unassigned,
        created_from: checked_day("created_from", query.created_from)?,
        created_to: checked_day("created_to", query.created_to)?,
        ..LeadFilter::default()
    };
    let mut connection = app.pool.acquire().await?;
    let counted = if let Some(moment) = app.pool.moment() {
        let past = past_of(&app, moment);
        past.by_stage(&mut connection, company, &filter).await?
    } else {
        counts::by_stage(&mut connection, company, &filter)
            .await?
            .into()
    };
    let total: i64 = counted.iter().map(|(_, count)| count).sum();
    let metrics = Stage::ALL.into_iter().map(|stage| {
        let count = counted
            .iter()
            .find(|(id, _)| *id == stage.id())
            .map_or(0, |(_, count)| *count);
        StageMetric {
            stage: stage.into(),
            count,
            percentage: percentage(count, total),
        }
    });
    Ok(Json(Metrics {
        metrics: metrics.collect(),
        total,
    }))
}

/// `count` of `total` in percent, to two places; 0 of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of leads are far below 2^52"
)]
fn percentage(count: i64, total: i64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    (count as f64 * 10_000.0 / total as f64).round() / 100.0
}
