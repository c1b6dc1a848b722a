//! Signing in: password hashes and tokens. Who may do what is not decided here, but in `aggregates::access`.

pub mod password;
pub mod token;
