//! HTTP: what every dialect shares. A dialect's requests, answers and error bodies live in its own folder and never
//! here; so does SQL, which has no place under `api` at all.

pub mod docs;
pub mod extract;
pub mod field_errors;
pub mod http_metrics;
pub mod layers;
pub mod preconditions;
pub mod probes;
pub mod problem;
pub mod request_id;
