//! The ledger on a real PostgreSQL: what holds whoever writes, however many at once.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

mod append_only;
mod catalogues;
mod claims;
mod company_trees;
mod facts;
mod hidden_changes;
mod long_streams;
mod many_writers;
mod named_first;
mod node;
mod old_events;
mod once;
mod proofs;
mod queries;
mod read_tables;
mod rebuilding;
mod refused_changes;
mod statements;
mod stock_programs;
mod superuser;
#[expect(
    dead_code,
    reason = "each test binary takes what it needs of what they share"
)]
#[path = "../support/mod.rs"]
mod support;
mod tampering;
mod user_profiles;
mod versions;
