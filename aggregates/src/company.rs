//! Placeholder until the concept lands.
