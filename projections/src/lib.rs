//! The read models: how events become rows, and the queries that read them. SQL, no HTTP.
//!
//! A projection is a fold over a batch of events, whatever the batch's size: the committer, an import and a rebuild
//! run the same code. Every table can be dropped and rebuilt from the ledger, row for row.

pub mod appointments;
mod ascending;
pub mod avatars;
pub mod batch;
pub mod campaigns;
pub mod companies;
pub mod company_totals;
pub mod count_spans;
pub mod cycles;
pub mod duplicates;
pub mod facts;
pub mod history;
pub mod imports;
pub mod integration_tokens;
pub mod invitations;
pub mod lead_erasures;
pub mod lead_notes;
pub mod lead_stages;
pub mod leads;
pub mod legal_holds;
pub mod legal_terms;
pub mod mail_outbox;
pub mod onboarding;
pub mod page;
pub mod plans;
pub mod projection;
pub mod providers;
pub mod questions;
pub mod recorded;
pub mod search;
pub mod sources;
pub mod statement;
pub mod subscriptions;
pub mod territories;
mod total;
pub mod user_profiles;
pub mod users;
pub mod zone_maps;

pub use batch::Batch;
pub use projection::{Projection, Table, Unheld};
pub use recorded::{DomainEvent, Recorded};
pub use statement::Statement;
