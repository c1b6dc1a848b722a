//! The server: HTTP dialects, the door for writes, and what they stand on. The rules live in `aggregates`, the read
//! models in `projections`; neither knows this crate.

pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod observability;
