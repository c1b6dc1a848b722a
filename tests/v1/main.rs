//! API V1 from outside: a real server, a real database, HTTP. One module per group of operations.

mod accesses;
mod avatars;
mod companies;
mod company_users;
mod contract;
mod duplicates;
mod email_proofs;
mod idempotency;
mod lead_access;
mod lead_counts;
mod lead_lists;
mod lead_notes;
mod leads;
mod mailbox;
mod onboarding;
mod passwords;
mod problems;
mod providers;
mod roles;
mod sign_in;
mod stages;
mod tenancy;
mod user_access;
mod users;

#[path = "../support/server.rs"]
mod server;
#[expect(dead_code, reason = "other test binaries need the rest")]
#[path = "../support/mod.rs"]
mod support;
