//! Decisions of the Lead aggregate.
