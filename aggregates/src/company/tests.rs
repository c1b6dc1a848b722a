//! Decisions of the Company aggregate.
