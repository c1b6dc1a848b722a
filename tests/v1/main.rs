//! API V1 from outside: a real server, a real database, HTTP. One module per group of operations.

mod accesses;
mod avatars;
mod companies;
mod company_membership;
mod company_updates;
mod company_users;
mod contract;
mod contract_walk;
mod counters_of_the_past;
mod documentation;
mod documented_errors;
mod duplicates;
mod email_proofs;
mod evidence;
mod hidden_duplicates;
mod history;
mod history_across_tenants;
mod history_adds_up;
mod idempotency;
mod import_columns;
mod import_command;
mod import_duplicates;
mod import_hostile;
mod import_nodes;
mod import_provenance;
mod import_undo;
mod import_undo_chain;
mod import_uploads;
mod imports;
mod invitation_pages;
mod invitations;
mod lead_access;
mod lead_counts;
mod lead_lists;
mod lead_lists_of_the_past;
mod lead_notes;
mod lead_routing;
mod leads;
mod life_of_a_company;
mod lost_connections;
mod mailbox;
mod memberships;
mod onboarding;
mod passing_time;
mod passwords;
mod plan_limits;
mod problems;
mod providers;
mod proxies;
mod role_table;
mod roles;
mod sign_in;
mod sources;
mod stages;
mod tenancy;
mod territories;
mod time_travel;
mod user_access;
mod users;

mod appointments;
mod campaigns;
mod cycles;
mod lead_answers;
mod lead_files;
mod lead_stages;
mod questions;

mod erased_everywhere;
mod erased_imports;
mod erasure_certificates;
mod keys_that_are_back;
mod lead_erasure;
mod lead_reads;
mod legal_holds;

#[path = "../support/server.rs"]
mod server;
#[expect(dead_code, reason = "other test binaries need the rest")]
#[path = "../support/mod.rs"]
mod support;
