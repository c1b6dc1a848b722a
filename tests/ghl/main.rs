//! The Users API of the GoHighLevel dialect from outside, and the tokens with which programs call it and API V1.

mod agency;
mod changes;
mod deletion;
mod errors;
mod integration_tokens;
mod search;
mod token_scopes;
mod users;

#[path = "../support/server.rs"]
#[expect(dead_code, reason = "other test binaries need the rest")]
mod server;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other test binaries need the rest")]
mod support;
