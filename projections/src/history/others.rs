//! What the events of invitations and subscriptions changed.

use aggregates::invitation::InvitationEvent;
use aggregates::subscription::SubscriptionEvent;

use super::FieldChange;
use super::diff::Diff;

pub(super) fn invitation(event: &InvitationEvent) -> Vec<FieldChange> {
    let diff = Diff::default();
    match event {
        InvitationEvent::InvitationCreated {
            invitation_id,
            company_id,
            email,
            role,
            invited_by,
            language,
            nonce: _,
            code_hash: _,
            expires_at,
        } => diff
            .new_value("id", invitation_id)
            .new_value("company_id", company_id)
            .new_value("email", email)
            .new_value("role", role)
            .new_value("invited_by", invited_by)
            .new_value("language", language)
            .new_value("expires_at", expires_at)
            .new_value("status", &"pending")
            .secret("code"),
        InvitationEvent::InvitationAccepted {
            company_id: _,
            user_id,
            user_access_id,
        } => diff
            .value("status", &"pending", &"accepted")
            .new_value("user_id", user_id)
            .new_value("user_access_id", user_access_id),
        InvitationEvent::InvitationRevoked { company_id: _ } => {
            diff.value("status", &"pending", &"revoked")
        }
        InvitationEvent::InvitationExpired {
            company_id: _,
            expired_at,
        } => diff
            .value("status", &"pending", &"expired")
            .new_value("expired_at", expired_at),
    }
    .finish()
}

pub(super) fn subscription(event: &SubscriptionEvent) -> Vec<FieldChange> {
    let diff = Diff::default();
    match event {
        SubscriptionEvent::SubscriptionStarted {
            subscription_id,
            company_id,
            terms,
            phase,
            started_at,
            period_ends_at,
        } => diff
            .new_value("id", subscription_id)
            .new_value("company_id", company_id)
            .object("", &(), terms)
            .new_value("phase", phase)
            .new_value("started_at", started_at)
            .new_value("period_ends_at", period_ends_at),
        SubscriptionEvent::SubscriptionActivated {
            subscription_id: _,
            period_started_at,
            period_ends_at,
        } => diff
            .value("phase", &"trialing", &"active")
            .new_value("period_started_at", period_started_at)
            .new_value("period_ends_at", period_ends_at),
        SubscriptionEvent::SubscriptionRenewed {
            subscription_id: _,
            period_started_at,
            period_ends_at,
        } => diff
            .value("period_ends_at", period_started_at, period_ends_at)
            .new_value("period_started_at", period_started_at),
        SubscriptionEvent::SubscriptionChanged {
            subscription_id: _,
            from,
            to,
        } => diff.object("", from, to),
        SubscriptionEvent::SubscriptionCancelled {
            subscription_id: _,
            cancelled_at,
            ends_at,
        } => diff
            .new_value("phase", &"cancelling")
            .new_value("cancelled_at", cancelled_at)
            .new_value("ends_at", ends_at),
        SubscriptionEvent::SubscriptionResumed {
            subscription_id: _,
            phase,
        } => diff.value("phase", &"cancelling", phase),
        SubscriptionEvent::SubscriptionEnded {
            subscription_id: _,
            ended_at,
            limits,
        } => diff
            .new_value("phase", &"ended")
            .new_value("ended_at", ended_at)
            .new_value("limits", limits),
    }
    .finish()
}
