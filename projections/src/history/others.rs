//! What the events of invitations, subscriptions and imports changed.

use aggregates::import::ImportEvent;
use aggregates::invitation::InvitationEvent;
use aggregates::subscription::SubscriptionEvent;

use super::diff::Diff;

pub(super) fn invitation<'t>(diff: Diff<'t>, event: &InvitationEvent) -> Diff<'t> {
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
}

pub(super) fn subscription<'t>(diff: Diff<'t>, event: &SubscriptionEvent) -> Diff<'t> {
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
            .new_value("period_ends_at", period_ends_at)
            // Of the one before, should there have been one.
            .cleared("period_started_at")
            .cleared("cancelled_at")
            .cleared("ends_at")
            .cleared("ended_at"),
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
        } => diff
            .value("phase", &"cancelling", phase)
            .cleared("cancelled_at")
            .cleared("ends_at"),
        SubscriptionEvent::SubscriptionEnded {
            subscription_id: _,
            ended_at,
            limits,
        } => diff
            .new_value("phase", &"ended")
            .new_value("ended_at", ended_at)
            .new_value("limits", limits),
    }
}

/// An import's events tell what came to be, never what was replaced.
pub(super) fn import<'t>(diff: Diff<'t>, event: &ImportEvent) -> Diff<'t> {
    match event {
        ImportEvent::ImportRequested {
            import_id,
            import_code,
            company_id,
            user_id,
            name,
            import_type,
            file,
            options,
        } => diff
            .new_value("id", import_id)
            .new_value("import_code", import_code)
            .new_value("company_id", company_id)
            .new_value("user_id", user_id)
            .new_value("name", name)
            .new_value("import_type", import_type)
            .new_value("file", file)
            .object("", &(), options),
        ImportEvent::ImportStarted {
            total_rows,
            columns,
        } => diff
            .new_value("total_rows", total_rows)
            .new_value("columns", columns),
        ImportEvent::ImportRowsProcessed { rows } => diff.brought("rows", rows),
        ImportEvent::ImportCompleted { counts } => diff.new_value("counts", counts),
        ImportEvent::ImportFailed { reason, detail } => diff
            .new_value("failed", reason)
            .new_value("failure_detail", detail),
        ImportEvent::ImportCancelled { after_row } => {
            diff.new_value("cancelled_after_row", after_row)
        }
        ImportEvent::ImportUndoRequested { from } => diff.value("status", from, &"undoing"),
        ImportEvent::ImportLeadsUndone { leads } => diff.brought("undone", leads),
        ImportEvent::ImportUndone {} => diff.value("status", &"undoing", &"undone"),
    }
}
