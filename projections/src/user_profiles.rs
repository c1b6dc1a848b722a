//! Users as one document each, deleted ones too, and for every company the users it sees: what the GoHighLevel dialect reads.
//!
//! Which kind of account and which locations a user has depends on the company that looks: a role at that very company is
//! the agency's, one below it a location's.

mod fold;
pub mod list;
mod membership;
mod profile;

pub use fold::UserProfiles;
