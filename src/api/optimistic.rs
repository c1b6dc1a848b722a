//! Callers of the writes that come most often: let in by what this node remembers of their rights, which the commit checks.
//!
//! Saves the question to the ledger's head that every other operation begins with. When the commit finds that rights have
//! changed, or the remembered ones lead to a refusal, the ledger is asked and the write is tried once more: what a client
//! sees is as if it had been asked at first. Only for handlers whose one effect is a command made by [`Caller::work`].

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::caller::{Caller, WriteHeaders, integration_token_of, session_of};
use super::problem::{Problem, STALE_AUTHORITY};
use crate::app::App;
use crate::auth::token::Session;
use crate::ledger::Actor;

/// See the module's text.
pub struct OptimisticCaller {
    caller: Caller,
    /// `None` for an integration token, whose authority is always asked for.
    session: Option<Session>,
}

impl FromRequestParts<App> for OptimisticCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if integration_token_of(&parts.headers).is_some() {
            return Ok(Self {
                caller: <Caller as FromRequestParts<App>>::from_request_parts(parts, app).await?,
                session: None,
            });
        }
        let session = session_of(parts, app)?;
        let write = WriteHeaders::of(parts, Actor::User(session.user_id))?;
        let remembered = app
            .remembered_authority_of(session.user_id)
            .filter(|(authority, _)| authority.session_epoch == session.epoch);
        let caller = match remembered {
            Some((authority, as_of)) => Caller {
                user_id: session.user_id,
                token: None,
                holds: authority.clone(),
                authority,
                as_of,
                checked_at_commit: true,
                write,
            },
            None => Caller::signed_in(app, session, write).await?,
        };
        Ok(Self {
            caller,
            session: Some(session),
        })
    }
}

impl OptimisticCaller {
    /// Carries the write out, a second time with rights asked for anew when the first was refused by old ones.
    ///
    /// # Errors
    /// What `write` answers.
    pub async fn attempt<T, F, W>(self, app: &App, write: F) -> Result<T, Problem>
    where
        F: Fn(Caller) -> W,
        W: Future<Output = Result<T, Problem>>,
    {
        let (remembered, as_of) = (self.caller.checked_at_commit, self.caller.as_of);
        let headers = self.caller.write.clone();
        let (problem, session) = match (write(self.caller).await, self.session) {
            // Any other failure may have left a command on its way: it must not be sent again.
            (Err(problem), Some(session))
                if remembered
                    && (problem.status().is_client_error()
                        || problem.code() == STALE_AUTHORITY) =>
            {
                (problem, session)
            }
            (outcome, _) => return outcome,
        };
        let caller = Caller::signed_in(app, session, headers).await?;
        if caller.as_of == as_of && problem.code() != STALE_AUTHORITY {
            return Err(problem);
        }
        write(caller).await
    }
}
