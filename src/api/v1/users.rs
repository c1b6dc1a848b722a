//! Users: create, login, validate JWT, show, show all, find by email, update.

use std::collections::BTreeSet;

use aggregates::Change;
use aggregates::access::{Right, Role};
use aggregates::company::{Company, CompanyCommand};
use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::money::Currency;
use aggregates::person_name::PersonName;
use aggregates::phone::Phone;
use aggregates::user::{Profile, Register, Status, UpdateProfile, User, UserCommand};
use aggregates::{password, text};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use garde::Validate;
use projections::users::list::{self, UserFilter, UserRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accesses::role_of;
use super::dates::day;
use super::invitations::Offered;
use super::pages::{Meta, PageQuery};
use super::{avatars, email_proofs};
use crate::api::caller::{Anonymous, Caller};
use crate::api::extract::{Json, Patch, Path, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::preconditions::{IfMatch, etag};
use crate::api::problem::Problem;
use crate::app::App;
use crate::auth::token::Session;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Unit, Work};
use crate::plan_limits::PlanLimits;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_user, list_users))
        .routes(routes!(login))
        .routes(routes!(validate_jwt))
        .routes(routes!(find_by_email))
        .routes(routes!(show_user, update_user))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewUser {
    /// 1 to 100 characters.
    #[garde(skip)]
    first_name: String,
    #[garde(skip)]
    last_name: Option<String>,
    #[garde(skip)]
    #[schema(example = "user@example.com")]
    email: String,
    /// At least 12 characters with upper, lower, digit and special. Without one nobody can sign in yet.
    #[garde(skip)]
    password: Option<String>,
    /// Roles to grant; takes an administrator of each company, or an invitation code.
    #[garde(length(max = 50))]
    user_accesses_attributes: Option<Vec<NewUserAccess>>,
    #[garde(skip)]
    invitation_code: Option<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
struct NewUserAccess {
    company_id: i64,
    access_id: i64,
    #[serde(default)]
    primary: Option<bool>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct Credentials {
    #[garde(skip)]
    #[schema(example = "user@example.com")]
    email: String,
    #[garde(length(max = 1000))]
    password: String,
}

/// Every field may be absent (stays as it is) or null (is cleared; a password cannot be).
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
#[serde(default)]
#[derive(Default)]
struct UserChanges {
    #[schema(value_type = Option<String>)]
    first_name: Patch<String>,
    #[schema(value_type = Option<String>)]
    last_name: Patch<String>,
    #[schema(value_type = Option<NaiveDate>, example = "1990-01-31")]
    birthdate: Patch<NaiveDate>,
    #[schema(value_type = Option<String>)]
    theme: Patch<String>,
    #[schema(value_type = Option<String>, example = "es-MX")]
    lang: Patch<String>,
    password: Option<String>,
    #[schema(value_type = Option<String>, example = "MXN")]
    currency: Patch<String>,
    #[schema(value_type = Option<String>)]
    phone_number: Patch<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UserQuery {
    /// Name or e-mail contains, without regard to case and accents.
    search: Option<String>,
    /// `pending` or `active`.
    status: Option<String>,
    company_id: Option<i64>,
    access_id: Option<i64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EmailQuery {
    email: String,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    id: i64,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    status: String,
    full_name: String,
    avatar_route: Option<String>,
    birthdate: Option<NaiveDate>,
    theme: Option<String>,
    lang: Option<String>,
    currency: Option<String>,
    phone_number: Option<String>,
    primary_access: Option<PrimaryAccess>,
    primary_company: Option<PrimaryCompany>,
    onboarding_completed_at: Option<DateTime<Utc>>,
    /// Whether there are legal terms that the user has yet to approve.
    terms_pending: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct PrimaryAccess {
    id: i64,
    company_id: i64,
    access_id: i64,
    access_name: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PrimaryCompany {
    pub id: i64,
    pub name: String,
    pub default: bool,
    pub parent_company_id: Option<i64>,
}

/// A user as others refer to them.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonView {
    id: i64,
    full_name: String,
    email: Option<String>,
    avatar_route: Option<String>,
}

impl PersonView {
    pub fn new(id: i64, full_name: String, email: Option<String>, avatar: Option<String>) -> Self {
        Self {
            id,
            full_name,
            email,
            avatar_route: avatars::route_of(avatar),
        }
    }
}

impl UserView {
    /// As `caller` sees the user: a primary access in a company that they do not see is none.
    fn seen_by(caller: &Caller, mut row: UserRow) -> Self {
        let path = row.company_path.as_deref();
        let hidden = path.is_some_and(|path| !caller.authority.sees(path));
        if hidden && row.id != caller.user_id.get() {
            row.access_id = None;
            row.access_company_id = None;
        }
        row.into()
    }
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        let role = row.access_role.as_deref().and_then(role_of);
        let primary_access =
            row.access_id
                .zip(row.access_company_id)
                .zip(role)
                .map(|((id, company_id), role)| PrimaryAccess {
                    id,
                    company_id,
                    access_id: role.id(),
                    access_name: role.name(),
                });
        let primary_company = row
            .access_company_id
            .zip(row.company_name)
            .map(|(id, name)| PrimaryCompany {
                id,
                name,
                default: row.company_is_default.unwrap_or_default(),
                parent_company_id: row.company_parent_id,
            });
        Self {
            id: row.id,
            first_name: row.first_name,
            last_name: row.last_name,
            email: row.email,
            status: row.status,
            full_name: row.full_name,
            avatar_route: avatars::route_of(row.avatar),
            birthdate: row.birthdate,
            theme: row.theme,
            lang: row.lang,
            currency: row.currency,
            phone_number: row.phone_number,
            primary_access,
            primary_company,
            onboarding_completed_at: row.onboarding_completed_at,
            terms_pending: row.terms_pending,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct UserEnvelope {
    user: UserView,
}

#[derive(Debug, Serialize, ToSchema)]
struct UserList {
    users: Vec<UserView>,
    meta: Meta,
}

#[derive(Debug, Serialize, ToSchema)]
struct LoginAnswer {
    token: String,
    expires_at: DateTime<Utc>,
    user: UserView,
}

/// Create a user
///
/// Works without a token. Roles are granted only by an administrator of their companies, or for the code of a pending
/// invitation, which is accepted in the same commit; the code that was mailed proves the e-mail too.
#[utoipa::path(post, path = "/users", tag = "Users", security((), ("bearer" = [])), request_body = NewUser,
    responses((status = 201, description = "User created successfully", body = UserEnvelope), (status = 401, description = "Bad token"),
        (status = 403, description = "Not an administrator of a company that a role is given in"), (status = 422, description = "Invalid")))]
async fn create_user(
    State(app): State<App>,
    caller: Option<Caller>,
    Anonymous(anonymous): Anonymous,
    Json(body): Json<NewUser>,
) -> Result<Response, Problem> {
    let mut errors = FieldErrors::default();
    let first_name = checked(
        &mut errors,
        "first_name",
        PersonName::parse(&body.first_name),
    );
    let last_name = body
        .last_name
        .as_deref()
        .filter(|name| !name.trim().is_empty());
    let last_name =
        last_name.and_then(|name| checked(&mut errors, "last_name", PersonName::parse(name)));
    let email = checked(&mut errors, "email", Email::parse(&body.email));
    check_password(&mut errors, body.password.as_deref());
    let wanted = body.user_accesses_attributes.unwrap_or_default();
    let (offered, grants) = match (body.invitation_code, &email) {
        (Some(code), Some(email)) => {
            let offered = check_offer(&app, &code, email, &wanted, &mut errors).await?;
            (offered, Vec::new())
        }
        // Without an e-mail nobody can tell whose code it is; the e-mail's own error is told.
        (Some(_), None) => (None, Vec::new()),
        (None, _) => {
            let grants = check_grants(&app, caller.as_ref(), wanted, &mut errors).await?;
            (None, grants)
        }
    };
    let (Some(first_name), Some(email), true) = (first_name, email, errors.is_empty()) else {
        return Err(errors.into());
    };
    let password_hash = match body.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };

    let claim = app.ledger.email_claim(&email);
    let write = caller.map_or(anonymous, |caller| caller.write);
    let given = grants.clone();
    let taken = claim.clone();
    let profile = Profile {
        first_name: Some(first_name),
        last_name,
        ..Profile::default()
    };
    let mut work = Work::new(write.provenance, move |unit| {
        let user_id = UserId(unit.next_id(IdKind::User));
        unit.claim(&taken, user_id.get(), Refusal::EmailTaken)?;
        let register = Register {
            user_id,
            email: email.clone(),
            profile: profile.clone(),
            password_hash: password_hash.clone(),
            status: match offered {
                Some(offered) if offered.proves_email => Status::Active,
                _ => Status::Pending,
            },
            platform_owner: false,
        };
        unit.execute::<User>(user_id.get(), UserCommand::Register(Box::new(register)))?;
        email_proofs::request_proof(unit, user_id.get())?;
        for grant in &grants {
            grant.execute(unit, user_id)?;
        }
        if let Some(offered) = offered {
            accept_on_sign_up(&offered, unit, user_id)?;
        }
        Ok(user_id.get())
    })
    .once(write.once)
    .claiming(claim);
    for grant in given {
        work = work.on(StreamKey::new(StreamKind::Company, grant.company_id.get()));
        work = grant.limits.watch_users(work);
    }
    if let Some(offered) = offered {
        work = offered.watch(work);
    }
    let committed = app.ledger.commit(work).await?;
    // Whoever creates a user sees every role that they gave.
    let row = row(&app, UserId(committed.resource_id)).await?;
    let user = envelope(row.version, row.into());
    Ok((StatusCode::CREATED, user).into_response())
}

/// The invitation that the code stands for, if it offers what is wanted and nothing else is wanted.
async fn check_offer(
    app: &App,
    code: &str,
    email: &Email,
    wanted: &[NewUserAccess],
    errors: &mut FieldErrors,
) -> Result<Option<Offered>, Problem> {
    let Some(mut offered) = Offered::to_sign_up(app, code, email).await? else {
        errors.add("invitation_code", Refusal::NotInvited.to_string());
        return Ok(None);
    };
    for (n, want) in wanted.iter().enumerate() {
        let field = format!("user_accesses_attributes[{n}]");
        if want.company_id != offered.grant.company_id.get() {
            errors.add(format!("{field}.company_id"), "is not the inviting company");
        } else if want.access_id != offered.grant.role.id() {
            errors.add(format!("{field}.access_id"), "is not the offered access");
        } else if n > 0 {
            errors.add(format!("{field}.company_id"), "appears twice");
        }
        offered.grant.primary |= want.primary.unwrap_or(false);
    }
    Ok(Some(offered))
}

/// An invitation that has ended makes a sign-up invalid, rather than being gone itself.
fn accept_on_sign_up(
    offered: &Offered,
    unit: &mut Unit<'_>,
    user_id: UserId,
) -> Result<(), Refusal> {
    match offered.accept(unit, user_id) {
        Ok(_) => Ok(()),
        Err(Refusal::Invitation(_)) => Err(Refusal::NotInvited),
        Err(refusal) => Err(refusal),
    }
}

/// A role to give, checked.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    pub company_id: CompanyId,
    pub role: Role,
    pub primary: bool,
    pub limits: PlanLimits,
}

impl Grant {
    /// Grants on the user's stream, and on the company's when it is an owner's.
    pub fn execute(&self, unit: &mut Unit<'_>, user_id: UserId) -> Result<UserAccessId, Refusal> {
        let user_access_id = UserAccessId(unit.next_id(IdKind::UserAccess));
        self.execute_as(unit, user_id, user_access_id)?;
        Ok(user_access_id)
    }

    /// As [`Grant::execute`], with an id that was given already.
    pub fn execute_as(
        &self,
        unit: &mut Unit<'_>,
        user_id: UserId,
        user_access_id: UserAccessId,
    ) -> Result<(), Refusal> {
        self.limits.add_user(unit, user_id)?;
        unit.execute::<User>(
            user_id.get(),
            UserCommand::GrantAccess {
                user_access_id,
                company_id: self.company_id,
                role: self.role,
                primary: self.primary,
            },
        )?;
        if self.role == Role::Owner {
            unit.execute::<Company>(
                self.company_id.get(),
                CompanyCommand::AddOwner {
                    user_access_id,
                    user_id,
                },
            )?;
        }
        Ok(())
    }
}

/// Checks that the caller may give this role in this company: an administrator may give any but an owner's.
///
/// # Errors
/// 422 for a role or company that is not there for the caller; 403 when the right is missing.
pub async fn check_grant(
    app: &App,
    caller: &Caller,
    field: &str,
    company_id: i64,
    access_id: i64,
    primary: bool,
) -> Result<Grant, Problem> {
    let role = Role::from_id(access_id)
        .ok_or_else(|| FieldErrors::of(format!("{field}access_id"), "is not an access"))?;
    let company_id = CompanyId(company_id);
    let scope = caller.scope(app, company_id).await.map_err(|problem| {
        if problem.status() == StatusCode::NOT_FOUND {
            FieldErrors::of(
                format!("{field}company_id"),
                "is not a company that you can see",
            )
            .into()
        } else {
            problem
        }
    })?;
    scope.require(Right::Administer)?;
    if role == Role::Owner {
        scope.require(Right::Govern)?;
    }
    Ok(Grant {
        company_id,
        role,
        primary,
        limits: PlanLimits::of(&scope.company),
    })
}

async fn check_grants(
    app: &App,
    caller: Option<&Caller>,
    wanted: Vec<NewUserAccess>,
    errors: &mut FieldErrors,
) -> Result<Vec<Grant>, Problem> {
    let Some(caller) = caller else {
        if !wanted.is_empty() {
            errors.add(
                "user_accesses_attributes",
                "needs an administrator's token or an invitation_code",
            );
        }
        return Ok(Vec::new());
    };
    let mut grants = Vec::new();
    let mut seen = BTreeSet::new();
    for (n, want) in wanted.into_iter().enumerate() {
        let field = format!("user_accesses_attributes[{n}].");
        if !seen.insert(want.company_id) {
            errors.add(format!("{field}company_id"), "appears twice");
        }
        let primary = want.primary.unwrap_or(false);
        let grant = check_grant(
            app,
            caller,
            &field,
            want.company_id,
            want.access_id,
            primary,
        )
        .await?;
        grants.push(grant);
    }
    Ok(grants)
}

/// Takes a checked value, or notes why it is refused.
pub fn checked<T, E: std::fmt::Display>(
    errors: &mut FieldErrors,
    field: &str,
    result: Result<T, E>,
) -> Option<T> {
    result
        .map_err(|error| errors.add(field, error.to_string()))
        .ok()
}

/// Takes a checked three-state value, or notes why it is refused.
pub fn checked_change<T, U, E: std::fmt::Display>(
    errors: &mut FieldErrors,
    field: &str,
    patch: Patch<T>,
    check: impl FnOnce(T) -> Result<U, E>,
) -> Change<U> {
    checked(errors, field, Change::from(patch).try_map(check)).unwrap_or_default()
}

pub fn check_password(errors: &mut FieldErrors, password: Option<&str>) {
    if let Some(Err(broken)) = password.map(password::check) {
        for rule in broken {
            errors.add("password", rule);
        }
    }
}

pub async fn one(app: &App, caller: &Caller, id: UserId) -> Result<Response, Problem> {
    let row = row(app, id).await?;
    Ok(envelope(row.version, UserView::seen_by(caller, row)))
}

async fn row(app: &App, id: UserId) -> Result<UserRow, Problem> {
    let mut connection = app.pool.acquire().await?;
    let row = list::by_id(&mut connection, id).await?;
    row.ok_or_else(|| Problem::not_found("user"))
}

fn envelope(version: i64, user: UserView) -> Response {
    let tag = [(header::ETAG, etag(version))];
    (tag, Json(UserEnvelope { user })).into_response()
}

/// Login into the application
///
/// A wrong e-mail and a wrong password cannot be told apart.
#[utoipa::path(post, path = "/users/login", tag = "Users", request_body = Credentials,
    responses((status = 200, description = "User logged in successfully", body = LoginAnswer),
        (status = 401, description = "Wrong e-mail or password")))]
async fn login(
    State(app): State<App>,
    // Nothing is kept of a sign-in; the headers of a write are held to their form all the same.
    _: Anonymous,
    Json(body): Json<Credentials>,
) -> Result<Json<LoginAnswer>, Problem> {
    let email = Email::parse(&body.email).ok();
    let mut connection = app.pool.acquire().await?;
    let known = match &email {
        Some(email) => list::credentials(&mut connection, email.as_str()).await?,
        None => None,
    };
    // The hash takes long: nobody else should wait for this connection meanwhile.
    drop(connection);
    let hash = known.as_ref().and_then(|(_, hash, _)| hash.clone());
    let matches = app.passwords.verify(body.password, hash).await?;
    let wrong = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "The e-mail or the password is wrong.",
        )
    };
    let (id, _, epoch) = known.filter(|_| matches).ok_or_else(wrong)?;
    let user_id = UserId(id);
    let (token, expires_at) = app.tokens.issue(Session { user_id, epoch });
    let mut connection = app.pool.acquire().await?;
    let row = list::by_id(&mut connection, user_id)
        .await?
        .ok_or_else(wrong)?;
    Ok(Json(LoginAnswer {
        token,
        expires_at,
        user: row.into(),
    }))
}

/// Validate JWT
#[utoipa::path(get, path = "/users/validate_jwt", tag = "Users", security(("bearer" = [])),
    responses((status = 200, description = "JWT is valid", body = UserEnvelope), (status = 401, description = "No or bad token")))]
async fn validate_jwt(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    one(&app, &caller, caller.user_id).await
}

/// Find a user by email
#[utoipa::path(get, path = "/users/find_by_email", tag = "Users", security(("bearer" = [])), params(EmailQuery),
    responses((status = 200, description = "User found", body = UserEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such user, or none that the caller sees")))]
async fn find_by_email(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EmailQuery>,
) -> Result<Response, Problem> {
    let email = Email::parse(&query.email)
        .map_err(|error| Problem::malformed_query(FieldErrors::of("email", error.to_string())))?;
    let mut connection = app.pool.acquire().await?;
    let row = list::by_email(&mut connection, email.as_str()).await?;
    drop(connection);
    let row = row.ok_or_else(|| Problem::not_found("user"))?;
    require_visible(&app, &caller, UserId(row.id)).await?;
    Ok(envelope(row.version, UserView::seen_by(&caller, row)))
}

/// Show all users
///
/// Those who share a company with the caller.
#[utoipa::path(get, path = "/users", tag = "Users", security(("bearer" = [])), params(PageQuery, UserQuery),
    responses((status = 200, description = "List of users", body = UserList), (status = 401, description = "No or bad token")))]
async fn list_users(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
    Query(query): Query<UserQuery>,
) -> Result<Json<UserList>, Problem> {
    let wanted = page.check::<i64>()?;
    let filter = UserFilter {
        text: query.search,
        status: query.status,
        company_id: query.company_id,
        role: role_filter(query.access_id),
    };
    let mut connection = app.pool.acquire().await?;
    let visible = caller.authority.visible();
    let (page, total) = list::page(
        &mut connection,
        &visible,
        caller.user_id,
        &filter,
        &wanted.request,
    )
    .await?;
    let next = page.rows.last().map(|row| row.id).filter(|_| page.more);
    Ok(Json(UserList {
        meta: wanted.meta(total, next.as_ref()),
        users: page
            .rows
            .into_iter()
            .map(|row| UserView::seen_by(&caller, row))
            .collect(),
    }))
}

/// The stored code that a filter by access id means; an unknown id matches nothing.
pub fn role_filter(access_id: Option<i64>) -> Option<String> {
    access_id.map(|id| Role::from_id(id).map_or("", Role::code).to_owned())
}

/// Show a user
#[utoipa::path(get, path = "/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "User found", body = UserEnvelope), (status = 401, description = "No or bad token"),
        (status = 404, description = "No such user, or none that the caller sees")))]
async fn show_user(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Problem> {
    require_visible(&app, &caller, UserId(id)).await?;
    one(&app, &caller, UserId(id)).await
}

/// The accesses of a user in companies that the caller sees.
///
/// # Errors
/// 404 unless the user is the caller, shares a company with them, or the caller sees everybody.
pub async fn require_visible(app: &App, caller: &Caller, user: UserId) -> Result<(), Problem> {
    if user == caller.user_id {
        return Ok(());
    }
    let mut connection = app.pool.acquire().await?;
    let visible = if caller.authority.platform_owner {
        list::by_id(&mut connection, user).await?.is_some()
    } else {
        list::shares_company(&mut connection, &caller.authority.visible(), user).await?
    };
    if visible {
        Ok(())
    } else {
        Err(Problem::not_found("user"))
    }
}

/// Update a user
///
/// Users change themselves; an administrator of every company that a user belongs to may change their profile too, but not their password.
#[utoipa::path(put, path = "/users/{id}", tag = "Users", security(("bearer" = [])), params(("id" = i64, Path), IfMatch), request_body = UserChanges,
    responses((status = 200, description = "User updated successfully", body = UserEnvelope), (status = 401, description = "No or bad token"),
        (status = 403, description = "Right missing"), (status = 404, description = "No such user"), (status = 422, description = "Invalid")))]
async fn update_user(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(body): Json<UserChanges>,
) -> Result<Response, Problem> {
    let user_id = UserId(id);
    require_visible(&app, &caller, user_id).await?;
    may_change(&app, &caller, user_id, body.password.is_some()).await?;
    let mut errors = FieldErrors::default();
    let name = |name: String| PersonName::parse(&name);
    let line = |value: String| text::line(&value, 50).map(str::to_owned);
    let region = app.region;
    let update = UpdateProfile {
        first_name: checked_change(&mut errors, "first_name", body.first_name, name),
        last_name: checked_change(&mut errors, "last_name", body.last_name, name),
        birthdate: checked_change(&mut errors, "birthdate", body.birthdate, day),
        theme: checked_change(&mut errors, "theme", body.theme, line),
        lang: checked_change(&mut errors, "lang", body.lang, language),
        currency: checked_change(&mut errors, "currency", body.currency, |c| {
            Currency::parse(&c)
        }),
        phone_number: checked_change(&mut errors, "phone_number", body.phone_number, |p| {
            Phone::parse(&p, region)
        }),
    };
    check_password(&mut errors, body.password.as_deref());
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let password_hash = match body.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    let stream = StreamKey::new(StreamKind::User, id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            unit.execute::<User>(id, UserCommand::UpdateProfile(Box::new(update.clone())))?;
            if let Some(password_hash) = password_hash.clone() {
                unit.execute::<User>(id, UserCommand::SetPassword { password_hash })?;
            }
            Ok(id)
        })
        .on(stream);
    app.ledger.commit(work).await?;
    one(&app, &caller, user_id).await
}

/// A language tag: `es`, `en` or `pt`, with or without a region.
fn language(tag: String) -> Result<String, &'static str> {
    let (language, region) = tag.split_once('-').unwrap_or((&tag, ""));
    let known = ["es", "en", "pt"].contains(&language);
    let sound =
        tag == language || region.len() == 2 && region.bytes().all(|b| b.is_ascii_uppercase());
    if known && sound {
        Ok(tag)
    } else {
        Err("must be es, en or pt, with or without a region, such as es-MX")
    }
}

async fn may_change(
    app: &App,
    caller: &Caller,
    user: UserId,
    password: bool,
) -> Result<(), Problem> {
    if user == caller.user_id || caller.authority.platform_owner {
        return Ok(());
    }
    let refused = || Problem::forbidden("You may not change this user.");
    if password {
        return Err(refused());
    }
    let mut connection = app.pool.acquire().await?;
    let paths = list::company_paths(&mut connection, user).await?;
    let administers = |path: &Vec<i64>| caller.authority.reach(path, Right::Administer).is_some();
    if !paths.is_empty() && paths.iter().all(administers) {
        Ok(())
    } else {
        Err(refused())
    }
}
