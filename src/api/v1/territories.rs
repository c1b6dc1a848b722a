//! Territories: areas of a company, and which leads fall into them.

use aggregates::access::Right;
use aggregates::company::territories::{Area, NewTerritory};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, TerritoryId};
use aggregates::text;
use axum::extract::State;
use axum::http::StatusCode;
use garde::Validate;
use projections::territories::{self, TerritoryRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pages::{Meta, PageQuery};
use super::users::checked;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, StreamKey, StreamKind};

/// The most postal codes of one territory.
const MOST_POSTAL_CODES: usize = 1_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_territories, list_territories))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewTerritories {
    /// 1 to 500.
    #[garde(length(min = 1, max = 500))]
    territories: Vec<TerritoryBody>,
}

/// A territory to create. A lead falls into it when every field given here equals the lead's, without regard to case and
/// accents; of the postal codes one must be the lead's, or its beginning when it ends in `*`.
#[derive(Debug, Deserialize, ToSchema)]
struct TerritoryBody {
    /// 1 to 200 characters.
    name: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    city: Option<String>,
    #[serde(default)]
    postal_codes: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TerritoryQuery {
    /// Name, code, country, state or city contains.
    search: Option<String>,
}

/// A territory.
#[derive(Debug, Serialize, ToSchema)]
struct TerritoryView {
    id: i64,
    company_id: i64,
    name: String,
    code: Option<String>,
    country: Option<String>,
    state: Option<String>,
    city: Option<String>,
    postal_codes: Vec<String>,
}

impl From<TerritoryRow> for TerritoryView {
    fn from(row: TerritoryRow) -> Self {
        Self {
            id: row.id,
            company_id: row.company_id,
            name: row.name,
            code: row.code,
            country: row.country,
            state: row.state,
            city: row.city,
            postal_codes: row.postal_codes,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct CreatedTerritories {
    territories: Vec<TerritoryView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TerritoryList {
    territories: Vec<TerritoryView>,
    meta: Meta,
}

/// Create territories for a company
///
/// All or none. A lead that is created without a territory falls into the oldest one whose rule matches its address.
#[utoipa::path(post, path = "/companies/{company_id}/territories", tag = "Territories", security(("bearer" = [])),
    params(("company_id" = i64, Path), IfMatch), request_body = NewTerritories,
    responses((status = 201, description = "Territories created successfully", body = CreatedTerritories), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 409, description = "The company is not at the version of If-Match"), (status = 422, description = "Invalid")))]
async fn create_territories(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<NewTerritories>,
) -> Result<(StatusCode, Json<CreatedTerritories>), Problem> {
    let company = CompanyId(company_id);
    caller.scope_with(&app, company, Right::Configure).await?;
    let new = check(body.territories)?;
    let count = i64::try_from(new.len()).expect("at most 500");
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let mut new = new.clone();
            for territory in &mut new {
                territory.territory_id = TerritoryId(unit.next_id(IdKind::Territory));
            }
            let last = new.last().map_or(0, |last| last.territory_id.get());
            unit.execute::<Company>(company_id, CompanyCommand::AddTerritories(new))?;
            Ok(last)
        })
        .on(stream);
    let last = app.ledger.commit(work).await?.resource_id;
    let mut connection = app.pool.acquire().await?;
    let rows = territories::added(&mut connection, company, last, count).await?;
    let territories = rows.into_iter().map(TerritoryView::from).collect();
    Ok((
        StatusCode::CREATED,
        Json(CreatedTerritories { territories }),
    ))
}

fn check(bodies: Vec<TerritoryBody>) -> Result<Vec<NewTerritory>, Problem> {
    let mut errors = FieldErrors::default();
    let mut new = Vec::with_capacity(bodies.len());
    for (n, body) in bodies.into_iter().enumerate() {
        let mut line = |field: &str, text: &str, max| {
            let field = format!("territories[{n}].{field}");
            checked(&mut errors, &field, text::line(text, max)).map(str::to_owned)
        };
        let name = line("name", &body.name, 200).unwrap_or_default();
        // Forms send an empty text for a field that was left alone.
        let mut optional = |field: &str, text: Option<String>| {
            let text = text.filter(|text| !text.trim().is_empty())?;
            line(field, &text, 100)
        };
        let code = optional("code", body.code);
        let area = Area {
            country: optional("country", body.country),
            state: optional("state", body.state),
            city: optional("city", body.city),
            postal_codes: Vec::new(),
        };
        let codes = body.postal_codes.unwrap_or_default();
        let postal_codes = check_postal_codes(&mut errors, n, &codes);
        new.push(NewTerritory {
            territory_id: TerritoryId(0),
            name,
            code,
            area: Area {
                postal_codes,
                ..area
            },
        });
    }
    if errors.is_empty() {
        Ok(new)
    } else {
        Err(errors.into())
    }
}

fn check_postal_codes(errors: &mut FieldErrors, n: usize, codes: &[String]) -> Vec<String> {
    if codes.len() > MOST_POSTAL_CODES {
        let field = format!("territories[{n}].postal_codes");
        errors.add(field, format!("must be at most {MOST_POSTAL_CODES}"));
        return Vec::new();
    }
    let mut postal_codes = Vec::with_capacity(codes.len());
    for (m, code) in codes.iter().enumerate() {
        let field = format!("territories[{n}].postal_codes[{m}]");
        if code.trim() == "*" {
            errors.add(field, "must begin with something before the *");
        } else if let Some(code) = checked(errors, &field, text::line(code, 20)) {
            postal_codes.push(code.to_owned());
        }
    }
    postal_codes
}

/// List territories for a company
///
/// Oldest first, which is the order in which their rules are tried.
#[utoipa::path(get, path = "/companies/{company_id}/territories", tag = "Territories", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery, TerritoryQuery),
    responses((status = 200, description = "List of territories", body = TerritoryList), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such company")))]
async fn list_territories(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
    Query(query): Query<TerritoryQuery>,
) -> Result<Json<TerritoryList>, Problem> {
    let wanted = page.check::<i64>()?;
    let company = CompanyId(company_id);
    caller.scope(&app, company).await?;
    let mut connection = app.pool.acquire().await?;
    let text = query.search.as_deref();
    let (page, total) = territories::page(&mut connection, company, text, &wanted.request).await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(TerritoryList {
        meta: wanted.meta(total, next.as_ref()),
        territories: page.rows.into_iter().map(TerritoryView::from).collect(),
    }))
}
