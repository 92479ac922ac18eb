//! The command `wfs`.

fn main() {}
