//! The domain: aggregates with their commands, events and rules.
//!
//! Pure by construction: no clock, no randomness, no database, no network. Time, new ids and looked-up facts
//! arrive in the command; secrets arrive as finished hashes. What is stored is decided here (event names and
//! shapes are a data format); how it is stored is not.

pub mod access;
pub mod avatar;
pub mod change;
pub mod company;
pub mod decide;
pub mod email;
pub mod ids;
pub mod import;
pub mod invitation;
pub mod lead;
pub mod legal_hold;
pub mod money;
pub mod password;
pub mod person_name;
pub mod personal;
pub mod phone;
pub mod plan;
pub mod stage;
pub mod subscription;
#[cfg(test)]
mod testing;
pub mod text;
pub mod upcasting;
pub mod user;

/// Names the code that folds states: a stored state may be read again only by the code with the same name.
pub const STATE_SHAPE: &str = env!("AGGREGATES_SHAPE");

pub use change::Change;
pub use decide::Decide;
pub use personal::Personal;
