//! `LeadsyGroup` API V1: one file a group of operations, each with its own routes, requests, answers and handlers.
//!
//! No SQL here (that is `projections`), no rules (those are `aggregates`), and nothing of another dialect.

mod accesses;
mod avatars;
mod companies;
mod company_membership;
mod company_updates;
mod company_users;
mod dates;
mod email_proofs;
mod history;
mod imports;
mod integration_tokens;
mod invitations;
mod lead_lists;
mod lead_notes;
mod lead_on_record;
mod leads;
mod legal_terms;
mod link_pages;
mod memberships;
mod nothing;
mod onboarding;
mod pages;
mod passwords;
mod providers;
mod refusals;
mod sources;
mod stages;
mod territories;
mod user_access;
mod users;
mod writable_lead;

mod appointments;
mod campaigns;
mod cycles;
mod lead_files;
mod lead_stages;
mod proofs;
mod questions;

mod lead_erasure;
mod lead_reads;
mod legal_holds;
mod personal_data;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// Every operation under `/api/v1`.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().nest(
        "/api/v1",
        OpenApiRouter::new()
            .merge(users::routes())
            .merge(user_access::routes())
            .merge(accesses::routes())
            .merge(companies::routes())
            .merge(company_users::routes())
            .merge(stages::routes())
            .merge(leads::routes())
            .merge(lead_lists::routes())
            .merge(lead_notes::routes())
            .merge(lead_files::routes())
            .merge(invitations::routes())
            .merge(memberships::routes())
            .merge(company_membership::routes())
            .merge(lead_stages::routes())
            .merge(questions::routes())
            .merge(campaigns::routes())
            .merge(cycles::routes())
            .merge(appointments::routes())
            .merge(company_updates::routes())
            .merge(sources::routes())
            .merge(territories::routes())
            .merge(passwords::routes())
            .merge(email_proofs::routes())
            .merge(avatars::routes())
            .merge(onboarding::routes())
            .merge(legal_terms::routes())
            .merge(providers::routes())
            .merge(integration_tokens::routes())
            .merge(lead_erasure::routes())
            .merge(legal_holds::routes())
            .merge(personal_data::routes())
            .merge(lead_reads::routes())
            .merge(history::routes())
            .merge(proofs::routes())
            .merge(imports::routes()),
    )
}
