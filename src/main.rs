//! The binary: reads the configuration and runs one subcommand.

fn main() {}
