//! Sources: where a company's leads come from, in their order of priority, and who is served from each.

use std::collections::HashMap;

use aggregates::access::Right;
use aggregates::company::sources::{SourceCommand, SourceName};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, SourceId, UserAccessId};
use aggregates::user::User;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use garde::Validate;
use projections::legal_holds::Held;
use projections::sources::{self, SourcePerson, SourceRow};
use projections::users::list::access_by_id;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::{AccessView, role_of};
use super::nothing::Nothing;
use super::pages::{Meta, PageQuery};
use super::users::PersonView;
use crate::api::caller::{Caller, Scope};
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Unit};
use crate::legal_hold;
use crate::lineage;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_source, list_sources))
        .routes(routes!(reorder_sources))
        .routes(routes!(delete_source))
        .routes(routes!(assign_user_access))
        .routes(routes!(remove_user_access))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewSource {
    /// 1 to 200 characters, unique in the company without regard to case.
    #[garde(skip)]
    name: String,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct SourceOrder {
    /// Every source of the company once, first priority first.
    #[garde(skip)]
    source_ids: Vec<i64>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct SourceAccess {
    /// A user access that holds in the company: its own, or one of a company above.
    #[garde(skip)]
    user_access_id: i64,
}

/// A source.
#[derive(Debug, Serialize, ToSchema)]
struct SourceView {
    id: i64,
    company_id: i64,
    name: String,
    /// 1 is first.
    priority: i32,
    /// Those whom its leads go to in turn, in order of assignment.
    user_accesses: Vec<ServedView>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ServedView {
    id: i64,
    user: PersonView,
    access: Option<AccessView>,
}

impl From<SourcePerson> for ServedView {
    fn from(person: SourcePerson) -> Self {
        Self {
            id: person.user_access_id,
            user: PersonView::new(
                person.user_id,
                person.full_name,
                person.email,
                person.avatar,
            ),
            access: role_of(&person.role).map(AccessView::from),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct SourceEnvelope {
    source: SourceView,
}

#[derive(Debug, Serialize, ToSchema)]
struct SourceList {
    sources: Vec<SourceView>,
    meta: Meta,
}

#[derive(Debug, Serialize, ToSchema)]
struct OrderedSources {
    sources: Vec<SourceView>,
}

async fn with_people(
    connection: &mut PgConnection,
    rows: Vec<SourceRow>,
) -> Result<Vec<SourceView>, sqlx::Error> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut people: HashMap<i64, Vec<ServedView>> = HashMap::new();
    for person in sources::people(connection, &ids).await? {
        let served = people.entry(person.source_id).or_default();
        served.push(person.into());
    }
    let views = rows.into_iter().map(|row| SourceView {
        user_accesses: people.remove(&row.id).unwrap_or_default(),
        id: row.id,
        company_id: row.company_id,
        name: row.name,
        priority: row.priority,
        created_at: row.created_at,
    });
    Ok(views.collect())
}

async fn one(
    app: &App,
    company: CompanyId,
    source: SourceId,
) -> Result<Json<SourceEnvelope>, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = sources::by_id(&mut connection, company, source).await?;
    let rows = Vec::from_iter(row);
    let source = with_people(&mut connection, rows).await?.pop();
    let source = source.ok_or_else(|| Problem::not_found("source"))?;
    Ok(Json(SourceEnvelope { source }))
}

async fn configurable(app: &App, caller: &Caller, company: CompanyId) -> Result<Scope, Problem> {
    let (scope, _) = caller.scope_with(app, company, Right::Configure).await?;
    Ok(scope)
}

/// Commits one command on the company's sources.
async fn carry_out(
    app: &App,
    caller: &Caller,
    company: CompanyId,
    command: SourceCommand,
) -> Result<(), Problem> {
    let stream = StreamKey::new(StreamKind::Company, company.get());
    let if_match = caller.write.if_match.clone();
    let removes = matches!(command, SourceCommand::Remove { .. });
    let mut work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let command = CompanyCommand::Source(command.clone());
            unit.execute::<Company>(company.get(), command)?;
            if removes {
                legal_hold::refuse_if_company_held(unit, company)?;
            }
            Ok(company.get())
        })
        .on(stream);
    if removes {
        work = work.sweeping(legal_hold::finding(vec![Held::Company(company)]));
    }
    app.ledger.commit(work).await?;
    Ok(())
}

/// Create a source for a company
///
/// It takes the last priority.
#[utoipa::path(post, path = "/companies/{company_id}/sources", tag = "Sources", security(("bearer" = [])),
    params(("company_id" = i64, Path), IfMatch), request_body = NewSource,
    responses((status = 201, description = "Source created successfully", body = SourceEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 409, description = "The company is not at the version of If-Match"), (status = 422, description = "Invalid, or the name is taken")))]
async fn create_source(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<NewSource>,
) -> Result<(StatusCode, Json<SourceEnvelope>), Problem> {
    let company = CompanyId(company_id);
    configurable(&app, &caller, company).await?;
    let name = SourceName::parse(&body.name)
        .map_err(|error| FieldErrors::of("name", error.to_string()))?;
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let source_id = SourceId(unit.next_id(IdKind::Source));
            let name = name.clone();
            let add = CompanyCommand::Source(SourceCommand::Add { source_id, name });
            unit.execute::<Company>(company_id, add)?;
            Ok(source_id.get())
        })
        .on(stream);
    let committed = app.ledger.commit(work).await?;
    let source = one(&app, company, SourceId(committed.resource_id)).await?;
    Ok((StatusCode::CREATED, source))
}

/// List sources for a company
///
/// First priority first.
#[utoipa::path(get, path = "/companies/{company_id}/sources", tag = "Sources", security(("bearer" = [])),
    params(("company_id" = i64, Path), PageQuery),
    responses((status = 200, description = "List of sources", body = SourceList), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such company")))]
async fn list_sources(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<SourceList>, Problem> {
    let wanted = page.check::<i64>()?;
    let company = CompanyId(company_id);
    caller.scope(&app, company).await?;
    let mut connection = app.pool.acquire().await?;
    let (page, total) = sources::page(&mut connection, company, &wanted.request).await?;
    let next = page.rows.last().filter(|_| page.more);
    let meta = wanted.meta(total, next.map(|row| row.priority).as_ref());
    let sources = with_people(&mut connection, page.rows).await?;
    Ok(Json(SourceList { sources, meta }))
}

/// Modify sources priority order for a company
///
/// Takes the complete list of the company's source ids.
#[utoipa::path(put, path = "/companies/{company_id}/sources/priority", tag = "Sources", security(("bearer" = [])),
    params(("company_id" = i64, Path), IfMatch), request_body = SourceOrder,
    responses((status = 200, description = "Sources order updated successfully", body = OrderedSources), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 409, description = "The company is not at the version of If-Match"), (status = 422, description = "Not every source exactly once")))]
async fn reorder_sources(
    State(app): State<App>,
    caller: Caller,
    Path(company_id): Path<i64>,
    Json(body): Json<SourceOrder>,
) -> Result<Json<OrderedSources>, Problem> {
    let company = CompanyId(company_id);
    configurable(&app, &caller, company).await?;
    let source_ids = body.source_ids.into_iter().map(SourceId).collect();
    let command = SourceCommand::Reorder { source_ids };
    carry_out(&app, &caller, company, command).await?;
    let mut connection = app.pool.acquire().await?;
    let rows = sources::of_company(&mut connection, company).await?;
    let sources = with_people(&mut connection, rows).await?;
    Ok(Json(OrderedSources { sources }))
}

/// Delete a source for company
///
/// Those behind it move up. Its leads keep it, and go on to show its name.
#[utoipa::path(delete, path = "/companies/{company_id}/sources/{id}", tag = "Sources", security(("bearer" = [])),
    params(("company_id" = i64, Path), ("id" = i64, Path), IfMatch),
    responses((status = 200, description = "Source deleted successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such source"),
        (status = 409, description = "The company is not at the version of If-Match"), (status = 422, description = "`legal_hold`: the company is held")))]
async fn delete_source(
    State(app): State<App>,
    caller: Caller,
    Path((company_id, id)): Path<(i64, i64)>,
) -> Result<Json<Nothing>, Problem> {
    let company = CompanyId(company_id);
    configurable(&app, &caller, company).await?;
    let source_id = SourceId(id);
    let command = SourceCommand::Remove { source_id };
    carry_out(&app, &caller, company, command).await?;
    Ok(Json(Nothing {}))
}

/// Assign a user access to a source
///
/// New leads from the source go to its user accesses in turn. One that is assigned already stays as it is.
#[utoipa::path(post, path = "/companies/{company_id}/sources/{source_id}/user_access", tag = "Sources", security(("bearer" = [])),
    params(("company_id" = i64, Path), ("source_id" = i64, Path), IfMatch), request_body = SourceAccess,
    responses((status = 201, description = "User access assigned successfully", body = SourceEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such source"),
        (status = 409, description = "The company is not at the version of If-Match"), (status = 422, description = "Not a user access that holds in the company")))]
async fn assign_user_access(
    State(app): State<App>,
    caller: Caller,
    Path((company_id, source_id)): Path<(i64, i64)>,
    Json(body): Json<SourceAccess>,
) -> Result<(StatusCode, Json<SourceEnvelope>), Problem> {
    let company = CompanyId(company_id);
    let scope = configurable(&app, &caller, company).await?;
    let source_id = SourceId(source_id);
    let user_access_id = UserAccessId(body.user_access_id);
    let mut connection = app.pool.acquire().await?;
    // A source that is not there is told before a field that is wrong.
    let source = sources::by_id(&mut connection, company, source_id).await?;
    source.ok_or_else(|| Problem::not_found("source"))?;
    let access = access_by_id(&mut connection, body.user_access_id).await?;
    drop(connection);
    let user_id = access.ok_or_else(holds_not)?.user_id;
    let stream = StreamKey::new(StreamKind::Company, company_id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            require_held(unit, company, user_id, user_access_id)?;
            let assign = SourceCommand::Assign {
                source_id,
                user_access_id,
            };
            unit.execute::<Company>(company_id, CompanyCommand::Source(assign))?;
            Ok(source_id.get())
        })
        .on(StreamKey::new(StreamKind::User, user_id));
    app.ledger
        .commit(lineage::reading(work, &scope.company))
        .await?;
    Ok((StatusCode::CREATED, one(&app, company, source_id).await?))
}

const HELD: Refusal = Refusal::UnknownReference {
    field: "user_access_id",
    thing: "user access",
};

fn holds_not() -> Problem {
    HELD.into()
}

/// Decides inside the commit that the access holds in the company.
fn require_held(
    unit: &Unit<'_>,
    company: CompanyId,
    user: i64,
    access: UserAccessId,
) -> Result<(), Refusal> {
    let held = unit.look_at(user, |user: &User| {
        user.access(access).map(|held| held.company_id)
    });
    match held {
        Some(at) if lineage::upwards(unit, company).contains(&at) => Ok(()),
        _ => Err(HELD),
    }
}

/// Remove a user access from a source
///
/// The leads that it was given stay with it.
#[utoipa::path(delete, path = "/companies/{company_id}/sources/{source_id}/user_access/{user_access_id}", tag = "Sources", security(("bearer" = [])),
    params(("company_id" = i64, Path), ("source_id" = i64, Path), ("user_access_id" = i64, Path), IfMatch),
    responses((status = 200, description = "User access removed successfully", body = Nothing), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such source, or not assigned to it"),
        (status = 409, description = "The company is not at the version of If-Match")))]
async fn remove_user_access(
    State(app): State<App>,
    caller: Caller,
    Path((company_id, source_id, user_access_id)): Path<(i64, i64, i64)>,
) -> Result<Json<Nothing>, Problem> {
    let company = CompanyId(company_id);
    configurable(&app, &caller, company).await?;
    let command = SourceCommand::Unassign {
        source_id: SourceId(source_id),
        user_access_id: UserAccessId(user_access_id),
    };
    carry_out(&app, &caller, company, command).await?;
    Ok(Json(Nothing {}))
}
