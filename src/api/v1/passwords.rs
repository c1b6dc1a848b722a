//! A forgotten password: asking for a link by mail, and choosing a new password with it.

use aggregates::email::Email;
use aggregates::user::recovery::RecoveryCommand;
use aggregates::user::{User, UserCommand};
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::email_proofs::{LinkQuery, Message, invalid_link};
use super::link_pages::{LinkForm, LinkPage, STALE, in_language};
use super::users::check_password;
use crate::api::caller::{Anonymous, WriteHeaders};
use crate::api::extract::{Json, Query};
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{StreamKey, StreamKind, Work, reset_requests};
use crate::mail::language::Language;
use crate::mail::links::Purpose;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(request_reset))
        .routes(routes!(
            reset_password,
            show_reset_page,
            reset_password_by_form
        ))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct ResetRequest {
    #[garde(skip)]
    #[schema(example = "user@example.com")]
    email: String,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct NewPassword {
    /// Of the link that was mailed.
    #[garde(length(max = 200))]
    token: String,
    /// At least 12 characters with upper, lower, digit and special.
    #[garde(skip)]
    password: String,
}

#[derive(Debug, Deserialize, ToSchema)]
struct NewPasswordForm {
    token: String,
    password: String,
    lang: Option<String>,
}

/// Reset user password
///
/// Mails a link to a new password, if the e-mail is a user's. The answer is the same if it is not.
#[utoipa::path(post, path = "/users/reset_password", tag = "Users", request_body = ResetRequest,
    responses((status = 200, description = "Reset password email sent successfully", body = Message),
        (status = 409, description = "Asked for less than a minute ago"), (status = 422, description = "Not an e-mail")))]
async fn request_reset(
    State(app): State<App>,
    Anonymous(write): Anonymous,
    Json(body): Json<ResetRequest>,
) -> Result<Json<Message>, Problem> {
    let email =
        Email::parse(&body.email).map_err(|error| FieldErrors::of("email", error.to_string()))?;
    // Whose address it is, if anybody's, is looked up behind the answer.
    let address = app.ledger.email_claim(&email);
    let now = app.clock.now();
    if !reset_requests::record(&app.pool, &address, &write.provenance, now).await? {
        let detail = "A new password was asked for less than a minute ago for this e-mail.";
        return Err(Problem::conflict("requested_recently", detail).retry_after(60));
    }
    Ok(Json(Message {
        message: "If the e-mail is a user's, a mail with a link to a new password is on its way.",
    }))
}

/// Choose a new password with a mailed link
///
/// The link holds once and for an hour. Older tokens end; the e-mail counts as proved.
#[utoipa::path(put, path = "/users/password", tag = "Users", request_body = NewPassword,
    responses((status = 200, description = "Password changed", body = Message),
        (status = 422, description = "The link does not hold, or the password is too weak")))]
async fn reset_password(
    State(app): State<App>,
    Anonymous(write): Anonymous,
    Json(body): Json<NewPassword>,
) -> Result<Json<Message>, Problem> {
    reset(&app, write, &body.token, body.password).await?;
    Ok(Json(Message {
        message: "The password is changed.",
    }))
}

async fn reset(
    app: &App,
    write: WriteHeaders,
    token: &str,
    password: String,
) -> Result<(), Problem> {
    // Before the password is hashed, which costs: only who was sent a link gets that far.
    let link = app.links.read(Purpose::PasswordReset, token);
    let (user_id, nonce) = link.ok_or_else(invalid_link)?;
    let mut errors = FieldErrors::default();
    check_password(&mut errors, Some(&password));
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let password_hash = app.passwords.hash(password).await?;
    let id = user_id.get();
    let work = Work::new(write.provenance, move |unit| {
        let reset = RecoveryCommand::ResetPassword {
            nonce: nonce.clone(),
            password_hash: password_hash.clone(),
            at: unit.now(),
        };
        unit.execute::<User>(id, UserCommand::Recover(reset))?;
        Ok(id)
    })
    .once(write.once)
    .on(StreamKey::new(StreamKind::User, id));
    app.ledger.commit(work).await?;
    Ok(())
}

/// The page that the mailed link opens
///
/// Opening it changes nothing; its form changes the password.
#[utoipa::path(get, path = "/users/password", tag = "Users", params(LinkQuery),
    responses((status = 200, description = "A page with a form", content_type = "text/html", body = String)))]
async fn show_reset_page(Query(link): Query<LinkQuery>) -> Response {
    let language = Language::of(link.lang.as_deref());
    page(language, POLICY_SAID, Some(link.token)).answer(StatusCode::OK)
}

/// Choose a new password by the page's form
#[utoipa::path(post, path = "/users/password", tag = "Users",
    request_body(content = NewPasswordForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A page that says so", content_type = "text/html", body = String),
        (status = 422, description = "The link does not hold, or the password is too weak; a problem when the form lacks a field",
            content((String = "text/html"), (Problem = "application/problem+json")))))]
async fn reset_password_by_form(
    State(app): State<App>,
    Anonymous(write): Anonymous,
    Form(form): Form<NewPasswordForm>,
) -> Result<Response, Problem> {
    let language = Language::of(form.lang.as_deref());
    let Err(problem) = reset(&app, write, &form.token, form.password).await else {
        return Ok(page(language, CHANGED, None).answer(StatusCode::OK));
    };
    match problem.code() {
        "validation" => Ok(page(language, POLICY_SAID, Some(form.token)).answer(problem.status())),
        "invalid_token" => Ok(page(language, STALE, None).answer(problem.status())),
        _ => Err(problem),
    }
}

pub const POLICY_SAID: [&str; 3] = [
    "Elige una contraseña de al menos 12 caracteres con mayúsculas, minúsculas, números y un carácter especial.",
    "Choose a password of at least 12 characters with upper case, lower case, a digit and a special character.",
    "Escolha uma senha de pelo menos 12 caracteres com maiúsculas, minúsculas, números e um caractere especial.",
];
const CHANGED: [&str; 3] = [
    "Tu contraseña está cambiada. Ya puedes cerrar esta página e iniciar sesión.",
    "Your password is changed. You can close this page and sign in.",
    "A sua senha foi alterada. Você já pode fechar esta página e entrar.",
];

fn page(language: Language, message: [&'static str; 3], token: Option<String>) -> LinkPage {
    let heading = ["Contraseña nueva", "New password", "Nova senha"];
    let button = ["Cambiar contraseña", "Change password", "Alterar senha"];
    LinkPage {
        language,
        heading: in_language(language, heading).to_owned(),
        message: in_language(language, message).to_owned(),
        form: token.map(|token| LinkForm {
            action: "password",
            token,
            name: None,
            password: Some(in_language(language, heading)),
            button: in_language(language, button),
        }),
    }
}
