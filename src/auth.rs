//! Signing in: password hashes and tokens. Who may do what is not decided here, but in `aggregates::access`.

pub mod integration_token;
pub mod password;
pub mod rate_limits;
pub mod token;
