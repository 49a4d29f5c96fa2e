//! The command line `deathstar`.

fn main() {}
