//! The leadledger server: HTTP dialects over one ledger. The binary in `main.rs` is a thin shell around this library, which
//! exists so that tests and benchmarks can start its parts.

pub mod clock;
pub mod embedded;
pub mod ledger;
