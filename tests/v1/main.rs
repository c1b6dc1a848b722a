//! API V1 from outside: a real server, a real database, HTTP. One module per group of operations.

mod accesses;
mod companies;
mod company_membership;
mod company_users;
mod contract;
mod duplicates;
mod idempotency;
mod invitations;
mod lead_access;
mod lead_counts;
mod lead_lists;
mod lead_notes;
mod leads;
mod memberships;
mod passing_time;
mod plan_limits;
mod problems;
mod roles;
mod sign_in;
mod stages;
mod tenancy;
mod user_access;
mod users;

mod appointments;
mod campaigns;
mod cycles;
mod lead_answers;
mod lead_stages;
mod questions;

#[path = "../support/server.rs"]
mod server;
#[expect(dead_code, reason = "other test binaries need the rest")]
#[path = "../support/mod.rs"]
mod support;
