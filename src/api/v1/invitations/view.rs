//! How an invitation is shown: to administrators, to the invited person, and to whoever holds its code.

use aggregates::access::{Right, Role};
use aggregates::email::Email;
use aggregates::ids::InvitationId;
use chrono::{DateTime, Utc};
use projections::invitations::InvitationRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::accesses::{AccessView, role_of};
use super::super::avatars::route_of;
use crate::api::caller::Caller;
use crate::app::App;

/// An invitation. To who is not signed in, most of it is null.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitationView {
    id: Option<i64>,
    /// What the invited person shows. Null to whom that role is not to give.
    code: Option<String>,
    /// Masked to who is not signed in.
    email: Option<String>,
    status: Option<String>,
    company: InvitingCompany,
    access: Option<AccessView>,
    invited_by: Option<InviterView>,
    expires_at: DateTime<Utc>,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct InvitingCompany {
    id: Option<i64>,
    name: String,
    default: Option<bool>,
    parent_company_id: Option<i64>,
}

/// Who invited. To who is not signed in, only a first name.
#[derive(Debug, Serialize, ToSchema)]
struct InviterView {
    id: Option<i64>,
    full_name: Option<String>,
    email: Option<String>,
    avatar_route: Option<String>,
}

impl InvitationView {
    /// Complete, but for the code.
    fn of(row: InvitationRow) -> Self {
        let inviter = row.inviter_id.map(|id| InviterView {
            id: Some(id),
            full_name: Some(row.inviter_full_name.unwrap_or_default()),
            email: row.inviter_email,
            avatar_route: route_of(row.inviter_avatar),
        });
        Self {
            id: Some(row.id),
            code: None,
            email: row.email,
            status: Some(row.status),
            company: InvitingCompany {
                id: Some(row.company_id),
                name: row.company_name,
                default: Some(row.company_is_default),
                parent_company_id: row.company_parent_id,
            },
            access: role_of(&row.role).map(AccessView::from),
            invited_by: inviter,
            expires_at: row.expires_at,
            created_at: Some(row.created_at),
        }
    }

    /// For the invited person.
    pub fn with_code(app: &App, row: InvitationRow) -> Self {
        let code = app.invitation_codes.shown(InvitationId(row.id), &row.nonce);
        Self {
            code: Some(code),
            ..Self::of(row)
        }
    }

    /// For an administrator: with the code, unless it would make an owner and they are none.
    pub fn for_administrator(app: &App, caller: &Caller, row: InvitationRow) -> Self {
        let right = right_to_give(role_of(&row.role));
        if caller.authority.reach(&row.company_path, right).is_some() {
            Self::with_code(app, row)
        } else {
            Self::of(row)
        }
    }

    /// For whoever holds the code, who may be anybody.
    pub fn for_bearer(row: InvitationRow) -> Self {
        let email = row.email.as_deref().and_then(|e| Email::parse(e).ok());
        Self {
            id: None,
            code: None,
            email: email.map(|email| email.masked()),
            status: None,
            company: InvitingCompany {
                id: None,
                name: row.company_name,
                default: None,
                parent_company_id: None,
            },
            access: role_of(&row.role).map(AccessView::from),
            invited_by: Some(InviterView {
                id: None,
                full_name: row.inviter_first_name,
                email: None,
                avatar_route: None,
            }),
            expires_at: row.expires_at,
            created_at: None,
        }
    }
}

/// What it takes to give this role: only an owner makes an owner.
pub fn right_to_give(role: Option<Role>) -> Right {
    match role {
        Some(Role::Owner) => Right::Govern,
        _ => Right::Administer,
    }
}
