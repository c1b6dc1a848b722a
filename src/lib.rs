//! The leadledger server: HTTP dialects over one ledger. The binary in `main.rs` is a thin shell around this library, which
//! exists so that tests and benchmarks can start its parts.

pub mod api;
pub mod app;
pub mod auth;
pub mod avatars;
pub mod checkpoint_key_command;
pub mod clock;
pub mod coalesce;
pub mod config;
pub mod connection_pool;
pub mod database;
pub mod digests;
pub mod embedded;
pub mod evidence_command;
pub mod first_run;
pub mod import;
pub mod lead_answers;
pub mod lead_files;
pub mod lead_routing;
pub mod ledger;
pub mod legal_hold;
pub mod lineage;
pub mod mail;
pub mod objects;
pub mod observability;
pub mod plan_limits;
pub mod proof;
pub mod providers;
pub mod replay_command;
pub mod serve;
pub mod tabular;
pub mod token_command;
pub mod trusted_proxies;
pub mod turns;
pub mod witness;
pub mod worker;
