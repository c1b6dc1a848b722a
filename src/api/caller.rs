//! Who calls, what they may do, and where their change comes from: the extractors that every operation begins with.

use std::net::SocketAddr;
use std::sync::Arc;

use aggregates::access::{Reach, Right};
use aggregates::ids::{CompanyId, IntegrationTokenId, UserAccessId, UserId};
use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use projections::companies::CompanyRow;
use projections::integration_tokens::IntegrationTokenRow;

use super::idempotency::{Judged, Once};
use super::look_back::LookingBack;
use super::preconditions::{self, IfMatch};
use super::problem::Problem;
use super::request_id::RequestId;
use super::token_scopes;
use crate::app::{App, Authority};
use crate::auth::integration_token;
use crate::auth::token::Session;
use crate::ledger::{Actor, IdempotencyKey, Provenance, Work};

/// What any write carries besides its body.
#[derive(Debug, Clone)]
pub struct WriteHeaders {
    /// For the events' metadata.
    pub provenance: Provenance,
    /// The versions that the caller expects.
    pub if_match: IfMatch,
    /// To act at most once.
    pub once: Option<IdempotencyKey>,
    /// Where it is noted whom and what the caller was allowed to see, should the answer be repeated later.
    pub judged: Judged,
}

/// Whose idempotency keys: a user's, a token's, or those of everybody who is not signed in.
fn owner_of_keys(actor: &Actor) -> i64 {
    match actor {
        Actor::User(id) => id.get(),
        // Users' ids are positive: a token's keys are apart from theirs.
        Actor::Token(id) => -id.get(),
        Actor::Anonymous | Actor::System => 0,
    }
}

impl WriteHeaders {
    /// Whose idempotency keys the request names.
    #[must_use]
    pub fn owner_of_keys(&self) -> i64 {
        owner_of_keys(&self.provenance.actor)
    }

    /// Of this request.
    ///
    /// # Errors
    /// 400 for a malformed header.
    pub fn of(parts: &Parts, actor: Actor) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let user_id = owner_of_keys(&actor);
        let carries = parts.extensions.get::<Once>();
        let once = preconditions::idempotency_key(headers)?.zip(carries);
        Ok(Self {
            if_match: IfMatch::of(headers)?,
            once: once
                .map(|(key, once)| IdempotencyKey::new(user_id, key, once.fingerprint.clone())),
            judged: carries.map(|once| once.judged.clone()).unwrap_or_default(),
            provenance: Provenance {
                actor,
                request_id: parts
                    .extensions
                    .get::<RequestId>()
                    .map(|id| id.as_str().to_owned()),
                ip: parts
                    .extensions
                    .get::<ConnectInfo<SocketAddr>>()
                    .map(|peer| peer.0.ip().to_string()),
                user_agent: headers
                    .get(header::USER_AGENT)
                    .and_then(|value| value.to_str().ok())
                    .map(|text| text.chars().take(200).collect()),
                reason: preconditions::reason(headers)?,
                source: "api".to_owned(),
            },
        })
    }
}

/// A signed-in user, or a program with an integration token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who; [`NOBODY`] for a token.
    pub user_id: UserId,
    /// The token of a program.
    pub token: Option<Arc<IntegrationTokenRow>>,
    /// What they hold; when they look back, only what allows them to.
    pub authority: Arc<Authority>,
    /// What they hold in all.
    pub holds: Arc<Authority>,
    /// The ledger position that the authority is as of.
    pub as_of: i64,
    /// The authority is what this node remembered: the commit must check that it still holds.
    pub checked_at_commit: bool,
    /// What a write carries.
    pub write: WriteHeaders,
}

/// A company that the caller sees, and what they may do there.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The company; as it was, when the caller looks back.
    pub company: Arc<CompanyRow>,
    /// The company as it is today: where it lies now decides who may do what.
    place: Arc<CompanyRow>,
    authority: Arc<Authority>,
}

/// The id of no user: users' ids begin at 1.
pub const NOBODY: UserId = UserId(0);

impl Caller {
    /// Who calls. What a token's scopes allow is not looked at; as an extractor, `Caller` does so for API V1.
    ///
    /// # Errors
    /// 401 for no token and for one that does not hold.
    pub async fn authenticated(parts: &Parts, app: &App) -> Result<Self, Problem> {
        if let Some(secret) = integration_token_of(&parts.headers) {
            let (token, as_of) = app
                .integration_token(secret)
                .await?
                .ok_or_else(Problem::unauthorized)?;
            let actor = Actor::Token(IntegrationTokenId(token.id));
            let authority = Arc::new(Authority::of_token(CompanyId(token.company_id)));
            return Ok(Self {
                user_id: NOBODY,
                holds: authority.clone(),
                authority,
                token: Some(token),
                as_of,
                checked_at_commit: false,
                write: WriteHeaders::of(parts, actor)?,
            });
        }
        let session = session_of(parts, app)?;
        let write = WriteHeaders::of(parts, Actor::User(session.user_id))?;
        Self::signed_in(app, session, write).await
    }

    /// The user of a session, with the authority that the ledger tells now.
    ///
    /// # Errors
    /// 401 when the user is gone or the session ended.
    pub async fn signed_in(
        app: &App,
        session: Session,
        write: WriteHeaders,
    ) -> Result<Self, Problem> {
        let (authority, as_of) = app
            .authority_of(session.user_id)
            .await?
            .filter(|(authority, _)| authority.session_epoch == session.epoch)
            .ok_or_else(Problem::unauthorized)?;
        Ok(Self {
            user_id: session.user_id,
            token: None,
            holds: authority.clone(),
            authority,
            as_of,
            checked_at_commit: false,
            write,
        })
    }

    /// The company, if the caller sees it.
    ///
    /// # Errors
    /// 404 for an unknown company and for one where the caller has no role: the two cannot be told apart.
    pub async fn scope(&self, app: &App, company: CompanyId) -> Result<Scope, Problem> {
        self.write.judged.company(company);
        let place = match app.today().company(company, self.as_of).await? {
            Some(place) if self.authority.sees(&place.path) => place,
            Some(place) if self.holds.sees(&place.path) => {
                let detail = "Your role in this company does not allow reading the past.";
                return Err(Problem::forbidden(detail));
            }
            _ => return Err(Problem::not_found("company")),
        };
        let company = match app.company_then(company, self.as_of).await? {
            Some(then) => then.ok_or_else(|| Problem::not_found("company"))?,
            None => place.clone(),
        };
        Ok(Scope {
            company,
            place,
            authority: self.authority.clone(),
        })
    }

    /// [`Caller::scope`] of the company that a thing belongs to. Whoever does not see the company is told that there is no such thing; every
    /// other refusal stays what it is, a database that is away above all.
    ///
    /// # Errors
    /// As [`Caller::scope`], 404 naming the thing.
    pub async fn scope_of(
        &self,
        app: &App,
        company: CompanyId,
        thing: &str,
    ) -> Result<Scope, Problem> {
        self.scope(app, company).await.map_err(|problem| {
            if problem.status() == StatusCode::NOT_FOUND {
                Problem::not_found(thing)
            } else {
                problem
            }
        })
    }

    /// The company, if the caller sees it and holds the right there.
    ///
    /// # Errors
    /// 404 as [`Caller::scope`]; 403 when the right is missing.
    pub async fn scope_with(
        &self,
        app: &App,
        company: CompanyId,
        right: Right,
    ) -> Result<(Scope, Reach), Problem> {
        let scope = self.scope(app, company).await?;
        let reach = scope.require(right)?;
        Ok((scope, reach))
    }

    /// Asks that the caller may read a lead of this company that is assigned to this access.
    ///
    /// # Errors
    /// 404 when the company is not visible, 403 when the lead is out of the role's reach.
    pub async fn require_readable(
        &self,
        app: &App,
        company: i64,
        assignee: Option<i64>,
    ) -> Result<(), Problem> {
        let scope = self.scope_of(app, CompanyId(company), "lead").await?;
        let readable = match scope.require(Right::ReadLeads)? {
            Reach::All => true,
            Reach::Own => {
                assignee.is_none_or(|access| scope.own_accesses().contains(&UserAccessId(access)))
            }
        };
        if readable {
            Ok(())
        } else {
            Err(Problem::forbidden(
                "Your role reaches only leads that are assigned to you or to nobody.",
            ))
        }
    }

    /// Asks that the caller holds the right in some company, for what belongs to none.
    ///
    /// # Errors
    /// 403 when they do not.
    pub fn require_anywhere(&self, right: Right) -> Result<(), Problem> {
        if self.authority.reaches_anywhere(right) {
            Ok(())
        } else {
            Err(Problem::forbidden("None of your roles allows this."))
        }
    }

    /// A command that carries this caller's provenance and idempotency key.
    pub fn work(
        &self,
        decision: impl FnMut(&mut crate::ledger::Unit<'_>) -> Result<i64, crate::ledger::Refusal>
        + Send
        + Sync
        + 'static,
    ) -> Work {
        let work = Work::new(self.write.provenance.clone(), decision).once(self.write.once.clone());
        if self.checked_at_commit {
            work.authorised_as_of(self.as_of)
        } else {
            work
        }
    }
}

impl Scope {
    /// How far the right reaches here.
    ///
    /// # Errors
    /// 403 when it is missing.
    pub fn require(&self, right: Right) -> Result<Reach, Problem> {
        self.authority
            .reach(&self.place.path, right)
            .ok_or_else(|| Problem::forbidden("Your role in this company does not allow this."))
    }

    /// The caller's own accesses that hold here: whose leads are "assigned to them".
    #[must_use]
    pub fn own_accesses(&self) -> Vec<UserAccessId> {
        self.authority
            .roles_on(&self.place.path)
            .map(|held| held.user_access_id)
            .collect()
    }
}

/// The token of the request: `Authorization: Bearer <token>`, or the bare token (contract, "Conventions").
#[must_use]
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None => value,
    };
    (!token.is_empty()).then_some(token)
}

/// The secret of an integration token, if that is what the request carries.
#[must_use]
pub fn integration_token_of(headers: &HeaderMap) -> Option<&str> {
    bearer_token(headers).filter(|token| token.starts_with(integration_token::PREFIX))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(LookingBack(caller)) = parts.extensions.get() {
            return Ok(caller.clone());
        }
        let caller = Self::authenticated(parts, app).await?;
        if let Some(token) = &caller.token {
            let id = IntegrationTokenId(token.id);
            let allowance = app.rate_limits.count(id, app.clock.now());
            if let Some(seconds) = allowance.refused_for {
                return Err(Problem::too_many_requests(seconds));
            }
            token_scopes::require(parts, token)?;
        }
        Ok(caller)
    }
}

/// The session that the request's token stands for.
///
/// # Errors
/// 401 without a token that holds.
pub fn session_of(parts: &Parts, app: &App) -> Result<Session, Problem> {
    bearer_token(&parts.headers)
        .and_then(|token| app.tokens.verify(token))
        .ok_or_else(Problem::unauthorized)
}

impl OptionalFromRequestParts<App> for Caller {
    type Rejection = Problem;

    /// `None` only when no token was sent: a bad one is refused rather than ignored.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            <Self as FromRequestParts<App>>::from_request_parts(parts, app)
                .await
                .map(Some)
        } else {
            Ok(None)
        }
    }
}

/// What a write carries when nobody is signed in.
#[derive(Debug, Clone)]
pub struct Anonymous(pub WriteHeaders);

impl FromRequestParts<App> for Anonymous {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        WriteHeaders::of(parts, Actor::Anonymous).map(Self)
    }
}
