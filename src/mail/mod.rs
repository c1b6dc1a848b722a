//! Mail: what is said in which language, the links in it, and its delivery, which is driven from the ledger.

pub mod compose;
pub mod delivery;
pub mod language;
pub mod links;
pub mod transport;
