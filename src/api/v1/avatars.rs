//! Avatars of users and companies: upload, remove, and fetching the picture itself.

use std::sync::{Arc, Mutex, PoisonError};

use aggregates::access::Right;
use aggregates::avatar::{Avatar, MediaType};
use aggregates::company::{Company, CompanyCommand};
use aggregates::ids::{CompanyId, UserId};
use aggregates::user::{User, UserCommand};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use garde::Validate;
use projections::legal_holds::Held;
use projections::users::list;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{companies, users};
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::layers::AVATAR_BODY_LIMIT;
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::avatars::{MOST_BYTES, PictureError};
use crate::ledger::{FindStreams, Refusal, StreamKey, StreamKind, Unit};
use crate::legal_hold::{self, FormerRoles};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(upload_user_avatar, remove_user_avatar))
        .routes(routes!(upload_company_avatar, remove_company_avatar))
        .layer(DefaultBodyLimit::max(AVATAR_BODY_LIMIT))
        .routes(routes!(show_avatar))
}

/// The path at which the avatar with this file name is fetched.
pub fn route_of(file: Option<String>) -> Option<String> {
    file.map(|file| format!("/api/v1/avatars/{file}"))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct UserAvatar {
    /// The caller when absent.
    #[garde(skip)]
    user_id: Option<i64>,
    /// A PNG, JPEG, GIF or WebP picture up to 2 MiB, in base64; a `data:` URL is taken too.
    #[garde(skip)]
    avatar_base64: String,
    /// The file's name; not kept.
    #[garde(inner(length(max = 255)))]
    name: Option<String>,
    /// The media type; the picture's content decides.
    #[garde(inner(length(max = 255)))]
    r#type: Option<String>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct CompanyAvatar {
    #[garde(skip)]
    company_id: i64,
    /// A PNG, JPEG, GIF or WebP picture up to 2 MiB, in base64; a `data:` URL is taken too.
    #[garde(skip)]
    avatar_base64: String,
    /// The file's name; not kept.
    #[garde(inner(length(max = 255)))]
    name: Option<String>,
    /// The media type; the picture's content decides.
    #[garde(inner(length(max = 255)))]
    r#type: Option<String>,
}

/// Whose avatar; taken from the query or from a body.
#[derive(Debug, Default, Deserialize, Validate, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[garde(allow_unvalidated)]
struct UserOwner {
    /// The caller when absent.
    user_id: Option<i64>,
}

/// Whose avatar; taken from the query or from a body.
#[derive(Debug, Default, Deserialize, Validate, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[garde(allow_unvalidated)]
struct CompanyOwner {
    company_id: Option<i64>,
}

/// Upload a user avatar
///
/// Users change their own; an administrator of a company that a user belongs to may change theirs.
#[utoipa::path(put, path = "/users/avatar", tag = "Users", security(("bearer" = [])), params(IfMatch), request_body = UserAvatar,
    responses((status = 200, description = "User avatar updated successfully", body = users::UserEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"), (status = 404, description = "No such user"),
        (status = 413, description = "Larger than 2 MiB"),
        (status = 422, description = "Not a picture; `legal_hold`: a company in which the user holds a role, or held one since, is held, and the former picture would be gone")))]
async fn upload_user_avatar(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<UserAvatar>,
) -> Result<Response, Problem> {
    let user = body.user_id.map_or(caller.user_id, UserId);
    may_change_user(&app, &caller, user).await?;
    let owner = StreamKey::new(StreamKind::User, user.get());
    let avatar = upload(&app, owner, &body.avatar_base64).await?;
    set(&app, &caller, owner, Some(avatar)).await?;
    users::one(&app, &caller, user).await
}

/// Remove a user avatar
#[utoipa::path(delete, path = "/users/avatar", tag = "Users", security(("bearer" = [])), params(UserOwner, IfMatch), request_body = Option<UserOwner>,
    responses((status = 200, description = "User avatar removed successfully", body = users::UserEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"), (status = 404, description = "No such user"),
        (status = 422, description = "Another user in the body than in the query; `legal_hold`: a company in which the user holds a role, or held one since, is held")))]
async fn remove_user_avatar(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UserOwner>,
    body: Option<Json<UserOwner>>,
) -> Result<Response, Problem> {
    let told = named(
        query.user_id,
        body.and_then(|Json(body)| body.user_id),
        "user_id",
    )?;
    let user = told.map_or(caller.user_id, UserId);
    may_change_user(&app, &caller, user).await?;
    let owner = StreamKey::new(StreamKind::User, user.get());
    set(&app, &caller, owner, None).await?;
    users::one(&app, &caller, user).await
}

/// Upload a company avatar
#[utoipa::path(put, path = "/companies/avatar", tag = "Companies", security(("bearer" = [])), params(IfMatch), request_body = CompanyAvatar,
    responses((status = 200, description = "Company avatar updated successfully", body = companies::CompanyEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 413, description = "Larger than 2 MiB"),
        (status = 422, description = "Not a picture; `legal_hold`: the company is held, and the former picture would be gone")))]
async fn upload_company_avatar(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<CompanyAvatar>,
) -> Result<Response, Problem> {
    let company = CompanyId(body.company_id);
    caller.scope_with(&app, company, Right::Administer).await?;
    let owner = StreamKey::new(StreamKind::Company, company.get());
    let avatar = upload(&app, owner, &body.avatar_base64).await?;
    set(&app, &caller, owner, Some(avatar)).await?;
    companies::one(&app, company).await
}

/// Remove a company avatar
#[utoipa::path(delete, path = "/companies/avatar", tag = "Companies", security(("bearer" = [])), params(CompanyOwner, IfMatch), request_body = Option<CompanyOwner>,
    responses((status = 200, description = "Company avatar removed successfully", body = companies::CompanyEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Right missing"), (status = 404, description = "No such company"),
        (status = 422, description = "No company named, or two; `legal_hold`: the company is held")))]
async fn remove_company_avatar(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<CompanyOwner>,
    body: Option<Json<CompanyOwner>>,
) -> Result<Response, Problem> {
    let told = named(
        query.company_id,
        body.and_then(|Json(body)| body.company_id),
        "company_id",
    )?;
    let company = CompanyId(told.ok_or_else(|| FieldErrors::of("company_id", "is required"))?);
    caller.scope_with(&app, company, Right::Administer).await?;
    let owner = StreamKey::new(StreamKind::Company, company.get());
    set(&app, &caller, owner, None).await?;
    companies::one(&app, company).await
}

/// What query or body names; both may, if they agree.
fn named(query: Option<i64>, body: Option<i64>, field: &str) -> Result<Option<i64>, Problem> {
    match (query, body) {
        (Some(one), Some(other)) if one != other => {
            let differ = "is not the same in the query and in the body";
            Err(FieldErrors::of(field, differ).into())
        }
        (one, other) => Ok(one.or(other)),
    }
}

async fn may_change_user(app: &App, caller: &Caller, user: UserId) -> Result<(), Problem> {
    users::require_visible(app, caller, user).await?;
    if user == caller.user_id || caller.authority.platform_owner {
        return Ok(());
    }
    let mut connection = app.pool.acquire().await?;
    let paths = list::company_paths(&mut connection, user).await?;
    let mut administered = paths
        .iter()
        .filter_map(|path| caller.authority.reach(path, Right::Administer));
    match administered.next() {
        Some(_) => Ok(()),
        None => Err(Problem::forbidden("You may not change this user's avatar.")),
    }
}

/// Padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    let text = text.trim();
    let text = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").map_or("", |(_, data)| data),
        None => text,
    };
    if text.len() / 4 * 3 > MOST_BYTES + 2 {
        return Err(Problem::too_large());
    }
    let bytes = BASE64
        .decode(text)
        .map_err(|_| FieldErrors::of("avatar_base64", "is not base64"))?;
    if bytes.len() > MOST_BYTES {
        return Err(Problem::too_large());
    }
    Ok(bytes)
}

/// Checks, makes anew and stores the picture.
async fn upload(app: &App, owner: StreamKey, text: &str) -> Result<Avatar, Problem> {
    let made = app.avatars.make(owner.to_string(), decoded(text)?).await;
    let (avatar, bytes) = made.map_err(|error| match error {
        PictureError::Busy => Problem::queue_full(1),
        wrong => FieldErrors::of("avatar_base64", wrong.to_string()).into(),
    })?;
    app.avatars.put(&avatar, bytes).await.map_err(|error| {
        tracing::error!(%error, "an avatar was not stored");
        Problem::unavailable(5)
    })?;
    Ok(avatar)
}

/// Finds the companies in which the user holds a role, and all above: a hold on any of them holds the user's picture.
fn companies_of(user: UserId) -> FindStreams {
    Arc::new(move |connection| {
        Box::pin(async move {
            let paths = list::company_paths(connection, user).await?;
            let companies = paths.into_iter().flatten();
            let streams = companies.map(|company| StreamKey::new(StreamKind::Company, company));
            Ok(streams.collect())
        })
    })
}

/// Who changes the picture may be of another company: they are told that the user is held, and not where.
fn refuse_if_held(unit: &Unit<'_>, company: CompanyId, user: i64) -> Result<(), Refusal> {
    let held = legal_hold::refuse_if_company_held(unit, company);
    held.map_err(|refusal| match refusal {
        Refusal::LegalHold { legal_hold_id, .. } => Refusal::LegalHold {
            legal_hold_id,
            held: format!("user {user}"),
        },
        other => other,
    })
}

/// Shows the avatar, and removes the picture that it replaces from the store.
async fn set(
    app: &App,
    caller: &Caller,
    owner: StreamKey,
    avatar: Option<Avatar>,
) -> Result<(), Problem> {
    let replaced: Arc<Mutex<Option<Avatar>>> = Arc::default();
    let (former, new) = (replaced.clone(), avatar.clone());
    let if_match = caller.write.if_match.clone();
    let id = owner.id;
    let roles = FormerRoles::default();
    let ended = roles.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, owner)?;
            let before = if owner.kind == StreamKind::Company {
                let before = unit.state::<Company>(id).avatar().cloned();
                unit.execute::<Company>(id, CompanyCommand::SetAvatar(new.clone()))?;
                // The picture that is replaced is gone for good.
                if before.is_some() && before != new {
                    legal_hold::refuse_if_company_held(unit, CompanyId(id))?;
                }
                before
            } else {
                let user = unit.state::<User>(id);
                let before = user.avatar().cloned();
                unit.execute::<User>(id, UserCommand::SetAvatar(new.clone()))?;
                if before.is_some() && before != new {
                    for access in user.accesses() {
                        refuse_if_held(unit, access.company_id, id)?;
                    }
                    ended.refuse_if_held(unit, UserId(id))?;
                }
                before
            };
            *former.lock().unwrap_or_else(PoisonError::into_inner) = before;
            Ok(id)
        })
        .on(owner);
    let find = if owner.kind == StreamKind::Company {
        legal_hold::finding(vec![Held::Company(CompanyId(id))])
    } else {
        roles.also_finding(companies_of(UserId(id)), UserId(id))
    };
    app.ledger.commit(work.sweeping(find)).await?;
    let replaced = replaced
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(old) = replaced.filter(|old| Some(old) != avatar.as_ref()) {
        app.avatars.remove(&old).await;
    }
    Ok(())
}

/// The picture
///
/// Needs no token: its name tells nothing and cannot be guessed. What a name stands for never changes.
#[utoipa::path(get, path = "/avatars/{file}", tag = "Users", params(("file" = String, Path)),
    responses((status = 200, description = "The picture", content_type = "image/*", body = Vec<u8>),
        (status = 304, description = "The client has it"), (status = 404, description = "Nobody shows such a picture")))]
async fn show_avatar(
    State(app): State<App>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let absent = || Problem::not_found("avatar");
    let (hash, media_type) = parse(&file).ok_or_else(absent)?;
    let mut connection = app.pool.acquire().await?;
    let shown = projections::avatars::is_shown(&mut connection, &file).await?;
    drop(connection);
    if !shown {
        return Err(absent());
    }
    let tag = format!("\"{hash}\"");
    let answer = [
        (header::ETAG, tag.clone()),
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".to_owned(),
        ),
        (header::CONTENT_TYPE, media_type.name().to_owned()),
    ];
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| [tag.as_str(), "*"].contains(&known.trim().trim_start_matches("W/")));
    if known {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let bytes = app.avatars.get(&file).await.map_err(|error| {
        tracing::error!(%error, "an avatar was not read");
        Problem::unavailable(5)
    })?;
    Ok((answer, bytes.ok_or_else(absent)?).into_response())
}

fn parse(file: &str) -> Option<(&str, MediaType)> {
    let (hash, extension) = file.split_once('.')?;
    let digits = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let media_type = MediaType::from_extension(extension)?;
    digits.then_some((hash, media_type))
}
