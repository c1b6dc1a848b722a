//! The page that the link in an invitation's mail opens. Its button accepts: for whoever has no account yet with a name and a
//! password, for a user whose e-mail was never proved with a new password, for any other as they are.
//!
//! Only the code that was mailed serves here. Whoever has it reads the e-mail, as whoever has the link to a new password does.

use aggregates::email::Email;
use aggregates::ids::UserId;
use aggregates::person_name::PersonName;
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use projections::users::list::{self, UserRow};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::accesses::role_of;
use super::super::email_proofs::LinkQuery;
use super::super::link_pages::{LinkForm, LinkPage, STALE, in_language};
use super::super::passwords::POLICY_SAID;
use super::super::users::{check_password, checked};
use super::found::Found;
use super::offered::Offered;
use crate::api::caller::{Anonymous, WriteHeaders};
use crate::api::extract::Query;
use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Work};
use crate::mail::compose::role_name;
use crate::mail::language::Language;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_invitation_page, accept_by_form))
}

#[derive(Debug, Deserialize, ToSchema)]
struct AcceptanceForm {
    /// The code that was mailed.
    token: String,
    /// Of whoever has no account yet: 1 to 100 characters.
    first_name: Option<String>,
    /// Of whoever has no account yet, or never proved their e-mail: at least 12 characters with upper, lower, digit and special.
    password: Option<String>,
    /// `es`, `en` or `pt`: the language of the page.
    lang: Option<String>,
}

/// An invitation that can be accepted, and the user of its e-mail, if there is one.
struct Open {
    found: Found,
    email: Email,
    user: Option<UserRow>,
}

impl Open {
    /// `None` for what is no code that was mailed, and for an invitation that is over.
    async fn by_mailed_code(app: &App, code: &str) -> Result<Option<Self>, Problem> {
        let found = Found::by_code(app, code).await?;
        let found = found.filter(|it| it.proves_email && it.why_gone(app.clock.now()).is_none());
        let Some(found) = found else { return Ok(None) };
        let email = found.row.email.as_deref();
        let Some(email) = email.and_then(|email| Email::parse(email).ok()) else {
            return Ok(None);
        };
        let mut connection = app.pool.acquire().await?;
        let user = list::by_email(&mut connection, email.as_str()).await?;
        Ok(Some(Self { found, email, user }))
    }

    fn asks_name(&self) -> bool {
        self.user.is_none()
    }

    /// Somebody else may have signed up with the e-mail: only who proved it keeps the password.
    fn asks_password(&self) -> bool {
        let proved = |user: &UserRow| user.status == Status::Active.code();
        !self.user.as_ref().is_some_and(proved)
    }

    fn page(&self, language: Language, note: Option<[&'static str; 3]>, token: String) -> LinkPage {
        let row = &self.found.row;
        let company = &row.company_name;
        let role = role_of(&row.role).map_or("", |role| role_name(role, language));
        let invited = match language {
            Language::Spanish => format!("Te invitan a {company} como {role}."),
            Language::English => format!("You are invited to {company} as {role}."),
            Language::Portuguese => format!("Você foi convidado para {company} como {role}."),
        };
        let note = note.map(|note| in_language(language, note));
        let name = ["Nombre", "First name", "Nome"];
        let password = ["Contraseña nueva", "New password", "Nova senha"];
        let button = [
            "Aceptar la invitación",
            "Accept the invitation",
            "Aceitar o convite",
        ];
        LinkPage {
            language,
            heading: heading(language, company),
            message: [Some(invited.as_str()), note]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
            form: Some(LinkForm {
                action: "accept",
                token,
                name: self.asks_name().then(|| in_language(language, name)),
                password: self
                    .asks_password()
                    .then(|| in_language(language, password)),
                button: in_language(language, button),
            }),
        }
    }
}

fn heading(language: Language, company: &str) -> String {
    let to = ["Invitación a", "Invitation to", "Convite para"];
    format!("{} {company}", in_language(language, to))
}

/// A page that only says something.
fn said(language: Language, heading: String, message: [&'static str; 3]) -> LinkPage {
    LinkPage {
        language,
        heading,
        message: in_language(language, message).to_owned(),
        form: None,
    }
}

const INVITATION: [&str; 3] = ["Invitación", "Invitation", "Convite"];
const JOINED: [&str; 3] = [
    "La invitación está aceptada. Ya puedes cerrar esta página e iniciar sesión.",
    "The invitation is accepted. You can close this page and sign in.",
    "O convite foi aceito. Você já pode fechar esta página e entrar.",
];
const NO_ROOM: [&str; 3] = [
    "El plan de la empresa no permite más usuarios. Avisa a quien te invitó.",
    "The company's plan has no room for another user. Tell whoever invited you.",
    "O plano da empresa não permite mais usuários. Avise quem convidou você.",
];

/// The page that an invitation's mail opens
///
/// Opening it changes nothing; its button accepts.
#[utoipa::path(get, path = "/invitations/accept", tag = "Invitations", params(LinkQuery),
    responses((status = 200, description = "A page with a button, or one that says that the link does not hold", content_type = "text/html", body = String)))]
async fn show_invitation_page(
    State(app): State<App>,
    Query(link): Query<LinkQuery>,
) -> Result<Response, Problem> {
    let language = Language::of(link.lang.as_deref());
    let page = match Open::by_mailed_code(&app, &link.token).await? {
        Some(open) => open.page(language, None, link.token),
        None => said(
            language,
            in_language(language, INVITATION).to_owned(),
            STALE,
        ),
    };
    Ok(page.answer(StatusCode::OK))
}

/// Accept an invitation by the page's button
///
/// Needs no token: the code that was mailed proves the e-mail. Whoever has no account gets one.
#[utoipa::path(post, path = "/invitations/accept", tag = "Invitations",
    request_body(content = AcceptanceForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A page that says so", content_type = "text/html", body = String),
        (status = 422, description = "The link does not hold, the name or the password is refused, or the plan has no room; a problem when the form lacks a field",
            content((String = "text/html"), (Problem = "application/problem+json")))))]
async fn accept_by_form(
    State(app): State<App>,
    Anonymous(write): Anonymous,
    Form(form): Form<AcceptanceForm>,
) -> Result<Response, Problem> {
    let language = Language::of(form.lang.as_deref());
    let stale = || {
        said(
            language,
            in_language(language, INVITATION).to_owned(),
            STALE,
        )
    };
    let Some(open) = Open::by_mailed_code(&app, &form.token).await? else {
        return Ok(stale().answer(StatusCode::UNPROCESSABLE_ENTITY));
    };
    let heading = heading(language, &open.found.row.company_name);
    let token = form.token.clone();
    let page = match accept(&app, write, &open, form, language).await {
        Ok(()) => return Ok(said(language, heading, JOINED).answer(StatusCode::OK)),
        Err(problem) if problem.code() == "validation" => {
            let mut wrong = problem.errors().into_iter().flat_map(FieldErrors::iter);
            let name = wrong.any(|(field, _)| field == "first_name");
            let note = if name { NAME_SAID } else { POLICY_SAID };
            open.page(language, Some(note), token)
        }
        Err(problem) if problem.code() == "plan_limit" => said(language, heading, NO_ROOM),
        // Somebody was faster: with this invitation, or with the e-mail.
        Err(problem) if problem.status().is_client_error() => stale(),
        Err(problem) => return Err(problem),
    };
    Ok(page.answer(StatusCode::UNPROCESSABLE_ENTITY))
}

const NAME_SAID: [&str; 3] = [
    "El nombre debe tener de 1 a 100 caracteres.",
    "The name must have 1 to 100 characters.",
    "O nome deve ter de 1 a 100 caracteres.",
];

async fn accept(
    app: &App,
    write: WriteHeaders,
    open: &Open,
    form: AcceptanceForm,
    language: Language,
) -> Result<(), Problem> {
    let mut errors = FieldErrors::default();
    let name = form.first_name.unwrap_or_default();
    let name = open
        .asks_name()
        .then(|| checked(&mut errors, "first_name", PersonName::parse(&name)))
        .flatten();
    let password = open
        .asks_password()
        .then(|| form.password.unwrap_or_default());
    check_password(&mut errors, password.as_deref());
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let password_hash = match password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    let offered = Offered::of_found(app, &open.found).await?;
    let work = if let Some(user) = &open.user {
        joining(UserId(user.id), offered, password_hash, write)
    } else {
        let profile = Profile {
            first_name: name,
            lang: Some(language.code().to_owned()),
            ..Profile::default()
        };
        let email = open.email.clone();
        signing_up(app, email, profile, offered, password_hash, write)
    };
    app.ledger.commit(offered.watch(work)).await?;
    Ok(())
}

/// The user of the e-mail takes the offer.
fn joining(
    user_id: UserId,
    offered: Offered,
    password_hash: Option<String>,
    write: WriteHeaders,
) -> Work {
    let id = user_id.get();
    Work::new(write.provenance, move |unit| {
        if let Some(password_hash) = password_hash.clone() {
            unit.execute::<User>(id, UserCommand::SetPassword { password_hash })?;
        }
        offered.accept(unit, user_id)?;
        unit.execute::<User>(id, UserCommand::ProveEmail)?;
        Ok(id)
    })
    .once(write.once)
    .on(StreamKey::new(StreamKind::User, id))
}

/// A new user of the e-mail takes the offer.
fn signing_up(
    app: &App,
    email: Email,
    profile: Profile,
    offered: Offered,
    password_hash: Option<String>,
    write: WriteHeaders,
) -> Work {
    let claim = app.ledger.email_claim(&email);
    let taken = claim.clone();
    Work::new(write.provenance, move |unit| {
        let user_id = UserId(unit.next_id(IdKind::User));
        unit.claim(&taken, user_id.get(), Refusal::EmailTaken)?;
        let register = Register {
            user_id,
            email: email.clone(),
            profile: profile.clone(),
            password_hash: password_hash.clone(),
            status: Status::Active,
            platform_owner: false,
        };
        unit.execute::<User>(user_id.get(), UserCommand::Register(Box::new(register)))?;
        offered.accept(unit, user_id)?;
        Ok(user_id.get())
    })
    .once(write.once)
    .claiming(claim)
}
