//! The `{}` that deletes answer with (contract, conventions), which no operation has for itself.

use serde::Serialize;
use utoipa::ToSchema;

/// An object without anything in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Nothing {}
