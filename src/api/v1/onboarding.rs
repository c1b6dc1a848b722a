//! A user's first steps: completing the onboarding, approving the legal terms. Everybody for themselves only.

use aggregates::company::Company;
use aggregates::company::legal_terms::INSTALLATION;
use aggregates::ids::UserId;
use aggregates::user::onboarding::OnboardingCommand;
use aggregates::user::{User, UserCommand};
use axum::extract::State;
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::users;
use crate::api::caller::Caller;
use crate::api::extract::{Json, Path};
use crate::api::preconditions::IfMatch;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{Refusal, StreamKey, StreamKind};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(complete_onboarding))
        .routes(routes!(approve_terms))
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
struct Approval {
    /// The current legal terms.
    #[garde(skip)]
    legal_term_id: i64,
}

/// Mark as completed the onboarding
///
/// Once; a repeat changes nothing and answers the first time.
#[utoipa::path(put, path = "/users/{user_id}/onboarding/complete", tag = "User Onboarding", security(("bearer" = [])),
    params(("user_id" = i64, Path), IfMatch),
    responses((status = 200, description = "Onboarding completed successfully", body = users::UserEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Somebody else"), (status = 404, description = "No such user")))]
async fn complete_onboarding(
    State(app): State<App>,
    caller: Caller,
    Path(user_id): Path<i64>,
) -> Result<Response, Problem> {
    require_oneself(&app, &caller, UserId(user_id)).await?;
    let stream = StreamKey::new(StreamKind::User, user_id);
    let if_match = caller.write.if_match.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            let complete = OnboardingCommand::CompleteOnboarding { at: unit.now() };
            unit.execute::<User>(user_id, UserCommand::Onboard(complete))?;
            Ok(user_id)
        })
        .on(stream);
    app.ledger.commit(work).await?;
    users::one(&app, &caller, caller.user_id).await
}

/// Approve T&C
///
/// Only the current legal terms can be approved; new ones ask again.
#[utoipa::path(put, path = "/users/{user_id}/onboarding/terms_and_conditions", tag = "User Onboarding", security(("bearer" = [])),
    params(("user_id" = i64, Path), IfMatch), request_body = Approval,
    responses((status = 200, description = "Terms and conditions approved successfully", body = users::UserEnvelope),
        (status = 401, description = "No or bad token"), (status = 403, description = "Somebody else"), (status = 404, description = "No such user"),
        (status = 422, description = "Not the current terms")))]
async fn approve_terms(
    State(app): State<App>,
    caller: Caller,
    Path(user_id): Path<i64>,
    Json(body): Json<Approval>,
) -> Result<Response, Problem> {
    require_oneself(&app, &caller, UserId(user_id)).await?;
    let stream = StreamKey::new(StreamKind::User, user_id);
    let if_match = caller.write.if_match.clone();
    let ip = caller.write.provenance.ip.clone();
    let work = caller
        .work(move |unit| {
            if_match.check(unit, stream)?;
            // Which terms are current is decided in the same commit: none can be published in between.
            let installation = unit.state::<Company>(INSTALLATION.get());
            let current = installation
                .current_terms()
                .filter(|terms| terms.legal_term_id.get() == body.legal_term_id)
                .ok_or(Refusal::NotCurrentTerms)?;
            let approve = OnboardingCommand::ApproveTerms {
                legal_term_id: current.legal_term_id,
                version: current.version.clone(),
                content_hash: current.content_hash.clone(),
                at: unit.now(),
                ip: ip.clone(),
            };
            unit.execute::<User>(user_id, UserCommand::Onboard(approve))?;
            Ok(user_id)
        })
        .on(stream)
        .on(StreamKey::new(StreamKind::Company, INSTALLATION.get()));
    app.ledger.commit(work).await?;
    users::one(&app, &caller, caller.user_id).await
}

/// # Errors
/// 404 for a user that the caller does not see, 403 for any other but the caller.
async fn require_oneself(app: &App, caller: &Caller, user: UserId) -> Result<(), Problem> {
    users::require_visible(app, caller, user).await?;
    if user == caller.user_id {
        Ok(())
    } else {
        Err(Problem::forbidden("Nobody can do this for somebody else."))
    }
}
