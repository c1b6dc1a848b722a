//! Decisions of the User aggregate.
