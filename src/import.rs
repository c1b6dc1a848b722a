//! Files of leads into the ledger: one engine for the API and for `leadledger import`.
//!
//! A file is kept, its import is put on record, and a background task processes its rows chunk by chunk, each chunk in one commit
//! with what became of it. Nothing of HTTP here; which rows a file has is `tabular`'s business.

mod as_left;
pub mod blocked;
pub mod columns;
pub mod command;
pub mod decision;
pub mod dry_run;
pub mod engine;
pub mod errors_file;
pub mod files;
pub mod known_keys;
mod pace;
pub mod reading;
mod remote;
pub mod rows;
pub mod rows_of_lead;
pub mod runner;
mod running;
mod search_index;
pub mod shown;
pub mod through;
mod touched;
pub mod undo;
