//! Proof of identity: passwords and tokens. Who may do what is the domain's; who the caller is, is looked up elsewhere.

pub mod bearer;
pub mod password;
pub mod token;
