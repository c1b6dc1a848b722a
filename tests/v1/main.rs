//! API V1 from outside: a real server, a real database, HTTP. One module per group of operations.

mod accesses;
mod companies;
mod company_users;
mod contract;
mod lead_notes;
mod leads;
mod stages;
mod user_access;
mod users;

#[path = "../support/server.rs"]
mod server;
#[expect(dead_code, reason = "other test binaries need the rest")]
#[path = "../support/mod.rs"]
mod support;
