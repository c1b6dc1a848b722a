//! Users, their credentials apart, and the roles they hold.

mod fold;
pub mod list;

pub use fold::{UserAccesses, Users};
