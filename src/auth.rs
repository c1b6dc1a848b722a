//! Signing in: password hashes, tokens and invitation codes. Who may do what is not decided here, but in `aggregates::access`.

pub mod integration_token;
pub mod invitation_code;
pub mod password;
pub mod rate_limits;
pub mod token;
