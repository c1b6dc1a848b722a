//! What a handler takes from a request: [`Json`], [`Path`], [`Query`], and [`Patch`] for the fields of an update.
//!
//! They differ from axum's own in the refusal: a [`Problem`](super::problem::Problem) that names the field, never a
//! plain text; and in what they let through: no NUL character (PostgreSQL cannot store it) and no number outside 64
//! bits reaches a handler. What a value *means* is not decided here.

pub mod json;
pub mod patch;
pub mod path;
pub mod query;
mod wanted;

pub use json::Json;
pub use patch::Patch;
pub use path::Path;
pub use query::Query;

/// What is said of a text with a NUL character in it.
const NUL_MESSAGE: &str = "must not contain a NUL character";
