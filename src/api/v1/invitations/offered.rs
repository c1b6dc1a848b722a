//! An invitation on its way to be accepted: by a signed-in user, or by somebody who signs up with its code.

use aggregates::email::Email;
use aggregates::ids::{CompanyId, InvitationId, UserAccessId, UserId};
use aggregates::invitation::{Invitation, InvitationCommand};
use projections::invitations::InvitationRow;

use super::super::accesses::role_of;
use super::super::users::Grant;
use super::found::Found;
use crate::api::problem::Problem;
use crate::app::App;
use crate::ledger::{IdKind, Refusal, StreamKey, StreamKind, Unit, Work};
use crate::plan_limits::PlanLimits;

/// An invitation that somebody takes, and what they get for it.
#[derive(Debug, Clone, Copy)]
pub struct Offered {
    id: InvitationId,
    pub grant: Grant,
    /// Whoever takes it reads the invited e-mail.
    pub proves_email: bool,
}

impl Offered {
    /// What the row offers.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(app: &App, row: &InvitationRow, as_of: i64) -> Result<Self, Problem> {
        let company_id = CompanyId(row.company_id);
        let company = app.company(company_id, as_of).await?;
        let company = company.ok_or_else(|| Problem::not_found("invitation"))?;
        let role = role_of(&row.role).ok_or_else(|| Problem::not_found("invitation"))?;
        Ok(Self {
            id: InvitationId(row.id),
            grant: Grant {
                company_id,
                role,
                primary: false,
                limits: PlanLimits::of(&company),
            },
            proves_email: false,
        })
    }

    /// The invitation that this code of somebody who signs up with this e-mail stands for. Whether it is still pending is
    /// decided by the commit, so that a repeated request finds what the first one did.
    ///
    /// # Errors
    /// What the database answers; a code of nothing or for another e-mail is `None`.
    pub async fn to_sign_up(app: &App, code: &str, email: &Email) -> Result<Option<Self>, Problem> {
        let found = Found::by_code(app, code).await?;
        let Some(found) = found.filter(|it| it.row.email.as_deref() == Some(email.as_str())) else {
            return Ok(None);
        };
        Self::of_found(app, &found).await.map(Some)
    }

    /// What was found by a code, for somebody who is not signed in.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of_found(app: &App, found: &Found) -> Result<Self, Problem> {
        let as_of = app.reads.authority_position.get(()).await?;
        let offered = Self::of(app, &found.row, as_of).await?;
        Ok(Self {
            proves_email: found.proves_email,
            ..offered
        })
    }

    /// The work reads what accepting depends on.
    #[must_use]
    pub fn watch(&self, work: Work) -> Work {
        let work = work
            .on(StreamKey::new(StreamKind::Invitation, self.id.get()))
            .on(StreamKey::new(
                StreamKind::Company,
                self.grant.company_id.get(),
            ));
        self.grant.limits.watch_users(work)
    }

    /// Takes the offer and gives the role for it.
    ///
    /// # Errors
    /// The rule that says no: somebody was faster, the time is over, the user has an access, the plan has no room.
    pub fn accept(&self, unit: &mut Unit<'_>, user_id: UserId) -> Result<UserAccessId, Refusal> {
        let user_access_id = UserAccessId(unit.next_id(IdKind::UserAccess));
        let accept = InvitationCommand::Accept {
            user_id,
            user_access_id,
            now: unit.now(),
        };
        unit.execute::<Invitation>(self.id.get(), accept)?;
        self.grant.execute_as(unit, user_id, user_access_id)?;
        Ok(user_access_id)
    }
}
