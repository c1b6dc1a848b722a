//! Proving the e-mail: by the link in a mail, and sending that mail again.

use aggregates::user::recovery::RecoveryCommand;
use aggregates::user::{User, UserCommand};
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::link_pages::{LinkForm, LinkPage, STALE, in_language};
use crate::api::caller::{Anonymous, Caller, WriteHeaders};
use crate::api::extract::{Json, Query};
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{Refusal, StreamKey, StreamKind, Unit, Work};
use crate::mail::language::Language;
use crate::mail::links::{Purpose, fresh_nonce};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(prove_email, show_proof_page, prove_email_by_form))
        .routes(routes!(resend_proof))
}

/// The token of a link in a mail.
#[derive(Debug, Deserialize, Validate, ToSchema)]
struct Proof {
    #[garde(length(max = 200))]
    token: String,
}

/// What a link in a mail carries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LinkQuery {
    pub token: String,
    /// `es`, `en` or `pt`: the language of the page.
    pub lang: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct ProofForm {
    token: String,
    lang: Option<String>,
}

/// A sentence for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    pub message: &'static str,
}

/// Sends a user who has just come into being the mail that proves their e-mail.
pub fn request_proof(unit: &mut Unit<'_>, user_id: i64) -> Result<(), Refusal> {
    let request = RecoveryCommand::RequestEmailProof {
        nonce: fresh_nonce(),
        at: unit.now(),
    };
    unit.execute::<User>(user_id, UserCommand::Recover(request))
}

/// Prove the e-mail
///
/// With the token of the link that was mailed. Using the link again does no harm.
#[utoipa::path(put, path = "/users/email/prove", tag = "Users", request_body = Proof,
    responses((status = 200, description = "E-mail proved", body = Message), (status = 422, description = "The link does not hold")))]
async fn prove_email(
    State(app): State<App>,
    Anonymous(write): Anonymous,
    Json(body): Json<Proof>,
) -> Result<Json<Message>, Problem> {
    prove(&app, write, &body.token).await?;
    Ok(Json(Message {
        message: "The e-mail is proved.",
    }))
}

async fn prove(app: &App, write: WriteHeaders, token: &str) -> Result<(), Problem> {
    let link = app.links.read(Purpose::EmailProof, token);
    let (user_id, nonce) = link.ok_or_else(invalid_link)?;
    let id = user_id.get();
    let work = Work::new(write.provenance, move |unit| {
        let proof = RecoveryCommand::ProveEmailByLink {
            nonce: nonce.clone(),
            at: unit.now(),
        };
        unit.execute::<User>(id, UserCommand::Recover(proof))?;
        Ok(id)
    })
    .once(write.once)
    .on(StreamKey::new(StreamKind::User, id));
    app.ledger.commit(work).await?;
    Ok(())
}

/// The answer to a token that is not one of ours.
pub fn invalid_link() -> Problem {
    Refusal::User(aggregates::user::UserError::InvalidLink).into()
}

const HEADING: [&str; 3] = [
    "Confirma tu correo electrónico",
    "Confirm your e-mail",
    "Confirme o seu e-mail",
];

/// The page that the mailed link opens
///
/// Opening it changes nothing; its button proves the e-mail.
#[utoipa::path(get, path = "/users/email/prove", tag = "Users", params(LinkQuery),
    responses((status = 200, description = "A page with a button", content_type = "text/html", body = String)))]
async fn show_proof_page(Query(link): Query<LinkQuery>) -> Response {
    let language = Language::of(link.lang.as_deref());
    let message = [
        "Pulsa el botón para confirmar que esta dirección es tuya.",
        "Press the button to confirm that this address is yours.",
        "Aperte o botão para confirmar que este endereço é seu.",
    ];
    let button = ["Confirmar", "Confirm", "Confirmar"];
    LinkPage {
        language,
        heading: in_language(language, HEADING).to_owned(),
        message: in_language(language, message).to_owned(),
        form: Some(LinkForm {
            action: "prove",
            token: link.token,
            name: None,
            password: None,
            button: in_language(language, button),
        }),
    }
    .answer(StatusCode::OK)
}

/// Prove the e-mail by the page's button
#[utoipa::path(post, path = "/users/email/prove", tag = "Users",
    request_body(content = ProofForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A page that says so", content_type = "text/html", body = String),
        (status = 422, description = "The link does not hold; a problem when the form lacks a field",
            content((String = "text/html"), (Problem = "application/problem+json")))))]
async fn prove_email_by_form(
    State(app): State<App>,
    Anonymous(write): Anonymous,
    Form(form): Form<ProofForm>,
) -> Result<Response, Problem> {
    let language = Language::of(form.lang.as_deref());
    let proved = [
        "Tu correo electrónico está confirmado. Ya puedes cerrar esta página.",
        "Your e-mail is confirmed. You can close this page.",
        "O seu e-mail está confirmado. Você já pode fechar esta página.",
    ];
    let (status, message) = match prove(&app, write, &form.token).await {
        Ok(()) => (StatusCode::OK, proved),
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            (problem.status(), STALE)
        }
        Err(problem) => return Err(problem),
    };
    let page = LinkPage {
        language,
        heading: in_language(language, HEADING).to_owned(),
        message: in_language(language, message).to_owned(),
        form: None,
    };
    Ok(page.answer(status))
}

/// Send the proof of e-mail again
///
/// To the caller's own e-mail, at most once a minute. Nothing is sent when it is proved already.
#[utoipa::path(post, path = "/users/email/prove/resend", tag = "Users", security(("bearer" = [])),
    responses((status = 200, description = "Sent, or proved already", body = Message), (status = 401, description = "No or bad token"),
        (status = 409, description = "Sent less than a minute ago")))]
async fn resend_proof(State(app): State<App>, caller: Caller) -> Result<Json<Message>, Problem> {
    let id = caller.user_id.get();
    let work = caller
        .work(move |unit| request_proof(unit, id).map(|()| id))
        .on(StreamKey::new(StreamKind::User, id));
    app.ledger.commit(work).await?;
    Ok(Json(Message {
        message: "Unless it is proved already, a mail with a link is on its way to your e-mail.",
    }))
}
