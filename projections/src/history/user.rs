//! What a user's events changed.

use aggregates::user::UserEvent;

use super::diff::Diff;

#[expect(
    clippy::too_many_lines,
    reason = "one arm an event: to be read as a table"
)]
pub(super) fn changes<'t>(diff: Diff<'t>, event: &UserEvent) -> Diff<'t> {
    match event {
        UserEvent::UserRegistered {
            user_id,
            email,
            profile,
            password_hash,
            status,
            platform_owner,
        } => {
            let diff = diff
                .new_value("id", user_id)
                .new_value("email", email)
                .personal("profile", "", None, Some(profile))
                .new_value("status", status)
                .new_value("platform_owner", platform_owner);
            if password_hash.is_some() {
                diff.secret("password")
            } else {
                diff
            }
        }
        UserEvent::ProfileChanged { from, to } => {
            diff.personal("profile", "", Some(from), Some(to))
        }
        UserEvent::PasswordChanged {
            password_hash: _,
            session_epoch: _,
        } => diff.secret("password"),
        UserEvent::EmailProved {} => diff.value("status", &"pending", &"active"),
        UserEvent::AccessGranted {
            user_access_id,
            company_id,
            role,
        } => {
            let prefix = format!("user_accesses[{user_access_id}].");
            diff.new_value(format!("{prefix}company_id"), company_id)
                .new_value(format!("{prefix}role"), role)
        }
        UserEvent::AccessChanged {
            user_access_id,
            from_company_id,
            to_company_id,
            from_role,
            to_role,
        } => {
            let prefix = format!("user_accesses[{user_access_id}].");
            diff.value(
                format!("{prefix}company_id"),
                from_company_id,
                to_company_id,
            )
            .value(format!("{prefix}role"), from_role, to_role)
        }
        UserEvent::AccessRevoked {
            user_access_id,
            company_id,
            role,
        } => {
            let prefix = format!("user_accesses[{user_access_id}].");
            diff.gone(format!("{prefix}company_id"), company_id)
                .gone(format!("{prefix}role"), role)
        }
        UserEvent::PrimaryAccessChanged { from, to } => diff.value("primary_access_id", from, to),
        UserEvent::PasswordResetRequested {
            nonce: _,
            expires_at,
        } => diff
            .secret("password_reset")
            .new_value("password_reset.expires_at", expires_at),
        UserEvent::EmailProofRequested {
            nonce: _,
            expires_at,
        } => diff
            .secret("email_proof")
            .new_value("email_proof.expires_at", expires_at),
        UserEvent::UserAvatarChanged { from, to } => diff.value("avatar", from, to),
        UserEvent::OnboardingCompleted { completed_at } => {
            diff.new_value("onboarding.completed_at", completed_at)
        }
        UserEvent::LegalTermsApproved {
            legal_term_id,
            version,
            content_hash,
            approved_at,
            ip,
        } => diff
            .new_value("legal_terms.id", legal_term_id)
            .new_value("legal_terms.version", version)
            .new_value("legal_terms.content_hash", content_hash)
            .new_value("legal_terms.approved_at", approved_at)
            .new_value("legal_terms.ip", ip),
        UserEvent::ProviderLinked {
            provider_id,
            provider,
            uid,
            email,
        } => {
            let prefix = format!("providers[{provider_id}].");
            diff.new_value(format!("{prefix}provider"), provider)
                .new_value(format!("{prefix}uid"), uid)
                .new_value(format!("{prefix}email"), email)
        }
        UserEvent::ProviderUnlinked {
            provider_id,
            provider,
        } => diff
            .gone(format!("providers[{provider_id}].provider"), provider)
            .all_gone(&format!("providers[{provider_id}]")),
        UserEvent::AccountSettingsChanged { from, to } => diff.object("settings.", from, to),
        UserEvent::UserDeleted { accesses } => accesses
            .iter()
            .fold(diff.new_value("status", &"deleted"), |diff, access| {
                let prefix = format!("user_accesses[{}].", access.id);
                diff.gone(format!("{prefix}company_id"), &access.company_id)
                    .gone(format!("{prefix}role"), &access.role)
            })
            .everything_gone_but(&["id", "status"]),
    }
}
