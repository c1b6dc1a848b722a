//! What a company's events changed.

use aggregates::company::CompanyEvent;

use super::diff::Diff;

#[expect(
    clippy::too_many_lines,
    reason = "one arm an event: to be read as a table"
)]
pub(super) fn changes<'t>(diff: Diff<'t>, event: &CompanyEvent) -> Diff<'t> {
    match event {
        CompanyEvent::CompanyCreated {
            company_id,
            name,
            default,
            parent_company_id,
            region,
        } => diff
            .new_value("id", company_id)
            .new_value("name", name)
            .new_value("default", default)
            .new_value("parent_company_id", parent_company_id)
            .new_value("region", region)
            .new_value("cycles", &false),
        CompanyEvent::OwnerAdded {
            user_access_id,
            user_id,
        } => diff.new_value(format!("owners[{user_access_id}].user_id"), user_id),
        CompanyEvent::OwnerRemoved {
            user_access_id,
            user_id,
        } => diff.gone(format!("owners[{user_access_id}].user_id"), user_id),
        CompanyEvent::QuestionCreated {
            question,
            priority: _,
        } => {
            let prefix = format!("questions[{}].", question.question_id);
            diff.object(&prefix, &(), question)
                .last_of("questions", &question.question_id)
        }
        CompanyEvent::QuestionsReordered { from, to } => diff.order("questions", from, to),
        CompanyEvent::QuestionArchived {
            question_id,
            remaining,
        } => diff
            .all_gone(&format!("questions[{question_id}]"))
            .order("questions", &(), remaining),
        CompanyEvent::CampaignOptionsChanged {
            campaign_id,
            question_id,
            from,
            to,
        } => diff.value(
            format!("campaigns[{campaign_id}].questions[{question_id}].options"),
            from,
            to,
        ),
        CompanyEvent::CampaignCreated {
            campaign_id,
            campaign,
        } => diff.object(&format!("campaigns[{campaign_id}]."), &(), campaign),
        CompanyEvent::CampaignChanged {
            campaign_id,
            from,
            to,
        } => diff.object(&format!("campaigns[{campaign_id}]."), from, to),
        CompanyEvent::CyclesSwitched { from, to } => diff.value("cycles", from, to),
        CompanyEvent::CycleCreated { cycle } => {
            diff.object(&format!("cycles[{}].", cycle.cycle_id), &(), cycle)
        }
        CompanyEvent::CompanyRenamed { from, to } => diff.value("name", from, to),
        CompanyEvent::CompanyMoved {
            from_parent_company_id,
            to_parent_company_id,
        } => diff.value(
            "parent_company_id",
            from_parent_company_id,
            to_parent_company_id,
        ),
        CompanyEvent::CompanyDefaultChanged { from, to } => diff.value("default", from, to),
        CompanyEvent::CompanyRegionChanged { from, to } => diff.value("region", from, to),
        CompanyEvent::SourceAdded {
            source_id,
            name,
            priority: _,
        } => diff
            .new_value(format!("sources[{source_id}].name"), name)
            .last_of("sources", source_id),
        CompanyEvent::SourceRemoved {
            source_id,
            name,
            user_access_ids,
            order,
        } => diff
            .gone(format!("sources[{source_id}].name"), name)
            .gone(
                format!("sources[{source_id}].user_accesses"),
                user_access_ids,
            )
            .all_gone(&format!("sources[{source_id}]"))
            .order("sources", &(), order),
        CompanyEvent::SourcesReordered { from, to } => diff.order("sources", from, to),
        CompanyEvent::SourceUserAccessAssigned {
            source_id,
            user_access_id,
        } => diff.one_more(
            format!("sources[{source_id}].user_accesses"),
            user_access_id,
        ),
        CompanyEvent::SourceUserAccessRemoved {
            source_id,
            user_access_id,
        } => diff.one_less(
            format!("sources[{source_id}].user_accesses"),
            user_access_id,
        ),
        CompanyEvent::TerritoryAdded {
            territory_id,
            name,
            code,
            area,
            rule_version,
        } => {
            let prefix = format!("territories[{territory_id}].");
            diff.new_value(format!("{prefix}name"), name)
                .new_value(format!("{prefix}code"), code)
                .object(&prefix, &(), area)
                .new_value(format!("{prefix}rule_version"), rule_version)
        }
        CompanyEvent::CompanyAvatarChanged { from, to } => diff.value("avatar", from, to),
        CompanyEvent::LegalTermsPublished {
            legal_term_id,
            version,
            title,
            content,
            content_hash,
        } => {
            let prefix = format!("legal_terms[{legal_term_id}].");
            diff.new_value(format!("{prefix}version"), version)
                .new_value(format!("{prefix}title"), title)
                .new_value(format!("{prefix}content"), content)
                .new_value(format!("{prefix}content_hash"), content_hash)
        }
        CompanyEvent::IntegrationTokenCreated {
            integration_token_id,
            name,
            scopes,
            token_hash: _,
            expires_at,
        } => {
            let prefix = format!("integration_tokens[{integration_token_id}].");
            diff.new_value(format!("{prefix}name"), name)
                .new_value(format!("{prefix}scopes"), scopes)
                .new_value(format!("{prefix}expires_at"), expires_at)
                .new_value(format!("{prefix}revoked"), &false)
                .secret(&format!("{prefix}token"))
        }
        CompanyEvent::IntegrationTokenRevoked {
            integration_token_id,
        } => diff.value(
            format!("integration_tokens[{integration_token_id}].revoked"),
            &false,
            &true,
        ),
        CompanyEvent::LegalHoldPlaced {
            legal_hold_id,
            reason,
            until,
        } => diff
            .new_value(format!("legal_holds[{legal_hold_id}].reason"), reason)
            .new_value(format!("legal_holds[{legal_hold_id}].until"), until)
            .new_value(format!("legal_holds[{legal_hold_id}].released"), &false),
        CompanyEvent::LegalHoldReleased { legal_hold_id } => diff.value(
            format!("legal_holds[{legal_hold_id}].released"),
            &false,
            &true,
        ),
    }
}
